//! How a server stops, and what it does with its socket files.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use rustix::process::Signal;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::time::{Duration, Instant};
use trunkline_core::control::Message;
use trunkline_tests::binaries::plugin;
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{
    Peer, PeerEvent, Process, Server, Setup, Socket, run_to_its_end, wait_until,
};
use trunkline_tests::skip;

/// The longest time of an orderly stop, and as much again for a busy machine.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// Signals within 200 ms are one. This is longer.
const ONE_SIGNAL: Duration = Duration::from_millis(300);

#[test]
fn stop_and_the_signals_to_stop_end_a_server_in_order() {
    for how in ["stop", "SIGINT", "SIGTERM", "SIGHUP"] {
        if how == "SIGHUP" && Process(std::process::id()).ignores(Signal::HUP) {
            skip::aloud(how, "these tests were started with it ignored");
            continue;
        }
        let folder = Folder::new();
        // This plugin proves that it was stopped, by failing at that.
        let panics = fixtures::plugin(Api::Ours, "panics");
        let setup = Setup::new("alpha").tcp().plugin(&plugin("echo"), "");
        let setup = setup.plugin(&panics, "[plugin.config]\nin = \"stop\"");
        let mut alpha = Server::start(&folder, &setup);
        let mut peer = Peer::link(Socket::unix(&alpha), 9);
        let chan = peer.open("echo");
        peer.wait_for("the answer", |event| matches!(event, PeerEvent::Answer(..)));
        let begun = Instant::now();
        match how {
            "SIGINT" => alpha.signal(Signal::INT),
            "SIGTERM" => alpha.signal(Signal::TERM),
            // A terminal that is closed, too, ends a server in order.
            "SIGHUP" => alpha.signal(Signal::HUP),
            _ => {
                let output = alpha.command("stop", &[]);
                assert_eq!(output.status.code(), Some(0), "{how}: {output:?}");
            }
        }
        let closing = peer.wait_for("why the channel ends", |event| match event {
            PeerEvent::Message(Message::Closing(closing)) => closing.stream == chan.stream.0,
            _ => false,
        });
        assert!(format!("{closing:?}").contains("plugin-stopped"), "{how}: {closing:?}");
        let goodbye =
            peer.wait_for("goodbye", |h| matches!(h, PeerEvent::Message(Message::Goodbye(_))));
        assert!(format!("{goodbye:?}").contains("server-stopping"), "{how}: {goodbye:?}");
        peer.wait_for("the end of the link", |event| *event == PeerEvent::End);
        drop(peer);
        assert_eq!(alpha.wait_for_end(), 0, "{how}: {}", alpha.log().text());
        let took = begun.elapsed();
        println!("{how}: ended in {took:?}");
        assert!(took < ENDS_WITHIN, "{how} took {took:?}");
        assert!(!alpha.socket().exists(), "{how}: the socket's file is still there");
        let log = alpha.log().text();
        assert!(log.contains("as asked, in stop"), "{how}: plugins are told to stop: {log}");
        assert!(log.contains("the server has ended"), "{how}: {log}");
    }
}

#[test]
fn two_signals_at_once_are_one() {
    let folder = Folder::new();
    let mut alpha = Server::start(&folder, &Setup::new("alpha").plugin(&plugin("echo"), ""));
    // As a program does that sends a signal to a process and to its group.
    alpha.signal(Signal::TERM);
    alpha.signal(Signal::INT);
    assert_eq!(alpha.wait_for_end(), 0, "{}", alpha.log().text());
    let log = alpha.log().text();
    assert!(log.contains("the server has ended") && !log.contains("a second signal"), "{log}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let folder = Folder::new();
    let mut alpha = Server::start(&folder, &Setup::new("alpha").plugin(&plugin("echo"), ""));
    // A peer that does not close, for which the server would wait.
    let peer = Peer::link(Socket::unix(&alpha), 9);
    alpha.signal(Signal::INT);
    let first = Instant::now();
    wait_until("a signal is a second one", || first.elapsed() > ONE_SIGNAL);
    alpha.signal(Signal::TERM);
    assert_eq!(alpha.wait_for_end(), 1, "{}", alpha.log().text());
    let log = alpha.log().text();
    assert!(log.contains("a second signal: ending at once"), "{log}");
    assert!(!alpha.socket().exists(), "the socket's file is removed all the same");
    drop(peer);
}

#[test]
fn a_peer_that_never_closes_delays_the_stop_by_five_seconds_at_most() {
    let folder = Folder::new();
    let mut alpha = Server::start(&folder, &Setup::new("alpha").plugin(&plugin("echo"), ""));
    let peer = Peer::link(Socket::unix(&alpha), 9);
    let begun = Instant::now();
    alpha.signal(Signal::TERM);
    assert_eq!(alpha.wait_for_end(), 0, "{}", alpha.log().text());
    let took = begun.elapsed();
    println!("with a peer that stays, it ended in {took:?}");
    assert!(took < ENDS_WITHIN, "it took {took:?}");
    drop(peer);
}

#[test]
fn a_live_servers_socket_is_kept_and_a_dead_ones_replaced() {
    let folder = Folder::new();
    let setup = Setup::new("alpha").plugin(&plugin("echo"), "");
    let mut alpha = Server::start(&folder, &setup);
    let metadata = std::fs::metadata(alpha.socket()).expect("the socket has a file");
    assert!(metadata.file_type().is_socket());
    let mode = metadata.permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "only we may open the socket, but its mode is {mode:o}");

    let (code, said) = run_to_its_end(&folder, &setup);
    let socket = alpha.socket().display().to_string();
    assert_eq!(code, 1, "{said}");
    let errors: Vec<&str> = said.lines().filter(|l| l.starts_with("trunkline: ")).collect();
    assert_eq!(errors.len(), 1, "one line says what is wrong: {said}");
    assert!(errors[0].contains(&socket) && errors[0].contains("another server"), "{said}");
    assert!(alpha.socket().exists(), "who is refused takes the live server's file away");
    Peer::link(Socket::unix(&alpha), 9).echo("echo", b"the first server goes on");

    alpha.kill();
    assert!(alpha.socket().exists(), "a killed server leaves its file");
    let mut alpha = alpha.start_again();
    Peer::link(Socket::unix(&alpha), 9).echo("echo", b"the file was taken over");
    assert_eq!(alpha.command("stop", &[]).status.code(), Some(0));
    assert_eq!(alpha.wait_for_end(), 0);
    assert!(!alpha.socket().exists());

    folder.write("alpha.sock", "not a socket");
    let (code, said) = run_to_its_end(&folder, &setup);
    assert!(code == 1 && said.contains("not a socket"), "{said}");
    let kept = std::fs::read_to_string(folder.path().join("alpha.sock"));
    assert_eq!(kept.ok().as_deref(), Some("not a socket"), "another program's file was touched");
}

#[test]
fn without_a_server_the_command_line_reports_it() {
    let folder = Folder::new();
    let mut alpha = Server::start(&folder, &Setup::new("alpha"));
    assert_eq!(alpha.command("stop", &[]).status.code(), Some(0));
    alpha.wait_for_end();
    for command in ["status", "stop"] {
        let output = alpha.command(command, &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{command}: {said}");
        assert_eq!(said.lines().count(), 1, "{command}: {said}");
        assert!(said.contains("no server listens there"), "{command}: {said}");
    }
}
