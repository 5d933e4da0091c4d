//! Records what a release says in control messages, prefaces and answers, as lines of JSON on
//! stdout: `record_control PROGRAM`. `tests/vectors/control-RELEASE.jsonl` was made by it.
//!
//! A server, another one that dials it, two hosts and the command line are run, with keys that are
//! always the same; golden plugins have them say all that they can be made to say.

// A recording that does not work must not go on.
#![allow(clippy::expect_used)]

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use trunkline::key::SecretKey;
use trunkline_core::control::Message;
use trunkline_core::key::Key;
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Chan, HostSetup, Peer, PeerEvent, Server, Setup, Socket};
use trunkline_tests::tap::{Frame, Tap};
use trunkline_tests::tidy::root;

fn main() {
    let program = std::env::args().nth(1).expect("usage: record_control PROGRAM");
    let program = std::path::absolute(program).expect("a path");
    let frames: BTreeSet<Frame> = record(&program).into_iter().collect();
    let mut out = std::io::stdout().lock();
    for Frame { by, place, bytes } in frames {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let place = format!("{place:?}").to_lowercase();
        writeln!(out, "{{\"by\":\"{by}\",\"frame\":\"{place}\",\"hex\":\"{hex}\"}}")
            .expect("stdout is open");
    }
}

fn golden() -> PathBuf {
    root().join("tests/golden/api-1.2/libgolden.so")
}

/// The lines of a golden plugin's table.
fn named(name: &str, more: &str) -> String {
    format!("name = \"{name}\"\nallow = [\"links\"]\n{more}\n[plugin.config]\ngreeting = \"hi\"")
}

/// A key file that holds this seed.
fn key(folder: &Folder, name: &str, seed: u8) {
    let file = folder.write(&format!("{name}.key"), format!("{}\n", Key([seed; 32])));
    std::fs::set_permissions(file, PermissionsExt::from_mode(0o600)).expect("it is ours");
}

fn record(program: &Path) -> Vec<Frame> {
    let folder = Folder::new();
    for (name, seed) in [("alpha", 1), ("beta", 2), ("gamma", 3), ("delta", 4)] {
        key(&folder, name, seed);
    }
    let alpha = Setup::new("alpha").by(program).plugin(&golden(), &named("golden", ""));
    let alpha = Server::start(&folder, &alpha);
    let tap = Tap::default();
    let relay = |name: &str, dialler: &'static str| {
        let socket = folder.path().join(format!("{name}.tap"));
        tap.listen(&socket, &alpha.socket(), dialler, "server");
        format!("unix:{}", socket.display())
    };
    let host = |name: &str, tables: &[String]| {
        let setup = HostSetup::new(name, &relay(name, "host")).by(program);
        let setup = tables.iter().fold(setup, |setup, lines| setup.plugin(&golden(), lines));
        Server::start_host(None, &folder, &setup)
    };
    let gamma = host("gamma", &[named("hosted", "advertise = [\"unix\"]")]);
    alpha.log().wait_for(0, "plugin::golden] appeared: hosted-12-here");
    let beta = Setup::new("beta").by(program).peer_at(&relay("beta", "server")).keep();
    let beta = Server::start(&folder, &beta.plugin(&golden(), &named("far", "")));
    gamma.log().wait_for(0, "plugin::hosted] appeared: far-12-elsewhere");
    // It has a plugin whose name is taken.
    let delta = host("delta", &[named("direct", ""), named("hosted", "")]);
    alpha.log().wait_for(0, "plugin::golden] appeared: direct-12-here");
    beta.log().wait_for(0, "plugin::far] appeared: direct-12-elsewhere");

    between_servers(&alpha, &beta);
    between_hosts(&alpha);
    ask(program, &relay("command", "command"));
    say_unknown(&relay("peer", ""));
    end(&alpha, &beta, &gamma, delta);
    tap.frames()
}

/// A channel for commands to a plugin.
fn commands(server: &Server, plugin: &str, seed: u8) -> (Peer, Chan) {
    let mut peer = Peer::link_as(Socket::unix(server), seed, "peer");
    let chan = peer.open(plugin);
    assert_eq!(peer.ask(chan, "greet"), "hi");
    (peer, chan)
}

fn between_servers(alpha: &Server, beta: &Server) {
    let (mut near, golden) = commands(alpha, "golden", 9);
    let (mut there, far) = commands(beta, "far", 8);
    assert_eq!(near.ask(golden, "call far 10000 say words"), "answered words to golden");
    assert_eq!(there.ask(far, "next abort"), "next");
    let ended = near.ask(golden, "open far 1 words");
    assert_eq!(ended, ", ended plugin enough: as it was told");
    assert_eq!(there.ask(far, "next refuse"), "next");
    let ended = near.ask(golden, "open far 1 words");
    assert_eq!(ended, ", ended plugin not-now: as it was told");
}

fn between_hosts(alpha: &Server) {
    let (mut peer, hosted) = commands(alpha, "hosted", 7);
    let direct = peer.open("direct");
    assert_eq!(peer.ask(hosted, "next abort"), "next");
    let ended = peer.ask(direct, "open hosted 1 words");
    assert_eq!(ended, ", ended plugin enough: as it was told");
    assert_eq!(peer.ask(hosted, "next refuse"), "next");
    let ended = peer.ask(direct, "open hosted 1 words");
    assert_eq!(ended, ", ended plugin not-now: as it was told");
    // No program listens on this port, because that takes root.
    let nobody = SecretKey::from_seed(&[6; 32]).public();
    let answer = peer.ask(hosted, &format!("open-link net:127.0.0.1:9~shs:{nobody}"));
    assert_eq!(answer, format!("done {nobody}"));
}

fn ask(program: &Path, address: &str) {
    for command in [&["status"][..], &["explain", "golden", "far"]] {
        let asked = Command::new(program).args(command).args(["--server", address]).output();
        assert!(asked.expect("it can be started").status.success(), "{command:?}");
    }
}

/// A message of a kind that does not exist.
fn say_unknown(address: &str) {
    let socket = address.strip_prefix("unix:").expect("it is a unix socket");
    let stream = UnixStream::connect(socket).expect("the relay listens");
    let mut peer = Peer::link_as(Socket::from(stream), 5, "strange");
    peer.send_message(&Message::Other(99));
    peer.wait_for("an answer", |heard| matches!(heard, PeerEvent::Message(Message::Unknown(_))));
}

fn end(alpha: &Server, beta: &Server, gamma: &Server, mut delta: Server) {
    gamma.log().wait_for(0, "plugin::hosted] down: ");
    delta.signal(Signal::TERM);
    assert_eq!(delta.wait_for_end(), 0);
    beta.log().wait_for(0, "plugin::far] left: direct-12-elsewhere");
    let (mut peer, hosted) = commands(alpha, "hosted", 7);
    peer.ask(hosted, "close-link beta");
    gamma.log().wait_for(0, "plugin::hosted] down: beta link-closed");
    let mark = gamma.log().mark();
    alpha.signal(Signal::TERM);
    gamma.log().wait_for(mark, "server-stopping");
}
