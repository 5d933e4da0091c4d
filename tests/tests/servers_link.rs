//! Servers that come and go: what each knows of the other, and when it forgets it.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use std::os::unix::net::UnixListener;
use std::time::Instant;
use trunkline_core::bymux::MuxRole;
use trunkline_core::control::Message;
use trunkline_core::key::Key;
use trunkline_tests::binaries::plugin;
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Peer, PeerEvent, Server, Setup, Socket, Status, hello};

/// Whether a server has one link to the other, and knows its echo.
fn knows(other: &str) -> impl Fn(&Status) -> bool + '_ {
    move |status| {
        status.links.len() == 1 && status.link_to(other).is_some() && status.knows_remote("echo")
    }
}

#[test]
fn a_killed_server_is_forgotten_at_once_and_restored_when_it_returns() {
    let folder = Folder::new();
    let echo = plugin("echo");
    let alpha = Server::start(&folder, &Setup::new("alpha").peer("beta").plugin(&echo, ""));
    let mut beta = Server::start(&folder, &Setup::new("beta").plugin(&echo, ""));
    alpha.wait_until("alpha knows beta's echo", knows("beta"));
    beta.wait_until("beta knows alpha's echo", knows("alpha"));

    let (mark, killed) = (alpha.log().mark(), Instant::now());
    beta.kill();
    alpha.log().wait_for(mark, "link to beta");
    let forgotten = killed.elapsed();
    let status = alpha.status();
    println!("a killed server was forgotten after {forgotten:?}");
    assert!(!status.knows_remote("echo"), "the plugins of a dead server are known: {status:#?}");
    assert!(status.is("echo", "running"), "alpha's own echo must go on: {status:#?}");
    assert!(status.link_to("beta").is_none(), "{status:#?}");
    let waiting = &status.links[0];
    assert_ne!(waiting.state, "up");
    assert!(waiting.reason.is_some(), "a link that is down says why: {waiting:?}");

    assert!(beta.socket().exists(), "who is killed leaves the file of the socket");
    let beta = beta.start_again();
    let restored = Instant::now();
    alpha.wait_until("alpha knows beta's echo again", knows("beta"));
    beta.wait_until("beta knows alpha's echo again", knows("alpha"));
    println!("all was restored {:?} after its return", restored.elapsed());
    Peer::link(Socket::unix(&alpha), 9).echo("echo", b"and channels work");
}

#[test]
fn a_plugin_that_fails_leaves_the_other_servers_directory() {
    let folder = Folder::new();
    let panics = fixtures::plugin(Api::Ours, "panics");
    let echo = plugin("echo");
    let alpha = Server::start(&folder, &Setup::new("alpha").peer("beta"));
    let config = "[plugin.config]\nin = \"write\"";
    let beta = Setup::new("beta").plugin(&echo, "").plugin(&panics, config);
    let beta = Server::start(&folder, &beta);
    alpha.wait_until("alpha knows both", |s| s.knows_remote("panics") && s.knows_remote("echo"));

    let mut peer = Peer::link(Socket::unix(&beta), 9);
    let chan = peer.open("panics");
    peer.write(chan, b"x");
    let status =
        alpha.wait_until("alpha has forgotten the one", |status| !status.knows_remote("panics"));
    assert!(status.knows_remote("echo"), "the other one is still there: {status:#?}");
    assert!(status.link_to("beta").is_some(), "a plugin that fails harms no link: {status:#?}");
}

#[test]
fn a_plugin_file_can_be_loaded_under_two_names() {
    let folder = Folder::new();
    let echo = plugin("echo");
    let setup = Setup::new("alpha").plugin(&echo, "").plugin(&echo, "name = \"second\"");
    let alpha = Server::start(&folder, &setup);
    let status = alpha.status();
    assert!(status.is("echo", "running") && status.is("second", "running"), "{status:#?}");
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    peer.echo("echo", b"the first");
    peer.echo("second", b"the second");
    let channels = alpha.status().channels;
    assert_eq!(channels.len(), 0, "both channels are over: {channels:?}");
}

#[test]
fn servers_that_dial_each_other_keep_one_link() {
    let folder = Folder::new();
    let echo = plugin("echo");
    let setup = |name, peer| Setup::new(name).peer(peer).plugin(&echo, "");
    let mut alpha = Server::start(&folder, &setup("alpha", "beta"));
    let mut beta = Server::start(&folder, &setup("beta", "alpha"));
    for round in 0..5 {
        alpha.wait_until("alpha has one link", knows("beta"));
        beta.wait_until("beta has one link", knows("alpha"));
        for (server, other) in [(&alpha, "beta"), (&beta, "alpha")] {
            let status = server.status();
            assert!(knows(other)(&status), "round {round}: a link was lost again: {status:#?}");
        }
        // The returning server dials while the other one is about to dial again.
        if round % 2 == 0 {
            beta.kill();
            beta = beta.start_again();
        } else {
            alpha.kill();
            alpha = alpha.start_again();
        }
    }
}

/// The two servers have dialled each other, and both connections are up. Their keys alone decide
/// which one stays.
#[test]
fn of_two_crossing_links_the_one_dialled_by_the_lower_key_stays() {
    for (key, stays) in [(0x00, "ours"), (0xff, "theirs")] {
        let folder = Folder::new();
        let listener = UnixListener::bind(folder.path().join("peer.sock")).expect("a socket");
        let setup = Setup::new("alpha").peer("peer").plugin(&plugin("echo"), "");
        let alpha = Server::start(&folder, &setup);
        let (dialled, _) = listener.accept().expect("the server dials");
        let hello = || hello(Key([key; 32]));
        let mut ours = Peer::send_hello(Socket::unix(&alpha), MuxRole::Dialler, hello());
        let mut theirs = Peer::send_hello(Socket::from(dialled), MuxRole::Acceptor, hello());
        let (winner, loser) = match stays {
            "ours" => (&mut ours, &mut theirs),
            _ => (&mut theirs, &mut ours),
        };
        let is_goodbye =
            |event: &PeerEvent| matches!(event, PeerEvent::Message(Message::Goodbye(_)));
        let goodbye = loser.wait_for("goodbye", is_goodbye);
        assert!(format!("{goodbye:?}").contains("duplicate-link"), "key {key}: {goodbye:?}");
        winner.echo("echo", b"the link that stays works");
        let status = alpha.status();
        assert_eq!(status.links.len(), 1, "key {key}: {:?}", status.links);
        assert_eq!(status.links[0].state, "up", "key {key}: {:?}", status.links);
    }
}
