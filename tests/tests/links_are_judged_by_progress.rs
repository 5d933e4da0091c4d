//! When a link ends for silence: if a ping stays unanswered although time and bytes pass, and not
//! because this process was stopped, or the path is slow.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use rustix::process::Signal;
use std::time::{Duration, Instant};
use trunkline_core::bymux::Packet;
use trunkline_core::control::Message;
use trunkline_core::key::Key;
use trunkline_tests::binaries::plugin;
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Peer, Process, RawPeer, Server, Setup, Socket, hello, wait_until};

const HEARTBEAT: &str = "heartbeat-ms = 200\ndead-after-ms = 1000";

/// The longest silence of a peer with that heartbeat.
const DEAD_AFTER: Duration = Duration::from_secs(1);

/// The time in which a peer without a pong is ended, on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// An unknown kind of control message.
const UNKNOWN: u64 = 99;

/// A peer that has sent hello, and received the server's and the first ping.
fn greeted(server: &Server) -> RawPeer {
    let mut peer = RawPeer::new(Socket::unix(server));
    peer.send_message(&Message::Hello(hello(Key([9; 32]))));
    peer.wait_for("hello", |message| matches!(message, Message::Hello(_)));
    peer.wait_for_pings(1);
    peer
}

/// Stops a process until `time` has passed. Checks meanwhile what holds.
fn stop_for(process: Process, time: Duration, holds: impl Fn()) {
    assert!(process.signal(Signal::STOP));
    wait_until("it is stopped", || process.state() == Some('T'));
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        holds();
        std::thread::park_timeout(left.min(Duration::from_millis(10)));
    }
    assert!(process.signal(Signal::CONT));
}

#[test]
fn a_server_that_was_stopped_keeps_its_processes() {
    let folder = Folder::new();
    let setup = Setup::new("alpha").server(HEARTBEAT);
    let setup = setup.plugin(&plugin("echo"), "placement = \"process\"");
    let alpha = Server::start(&folder, &setup);
    alpha.wait_until("it runs", |status| status.is("echo", "running"));
    let children = alpha.process().children();
    assert_eq!(children.len(), 1);
    let mark = alpha.log().mark();
    stop_for(alpha.process(), 3 * DEAD_AFTER, || {
        let state = children[0].state();
        assert!(state.is_some_and(|state| state != 'Z'), "it ended while its server was stopped");
    });
    Peer::link(Socket::unix(&alpha), 9).echo("echo", b"it went on");
    assert_eq!(alpha.process().children(), children);
    let lines = alpha.log().since(mark);
    let ended = lines.iter().find(|line| line.contains("the host of echo ended"));
    assert_eq!(ended, None);
}

#[test]
fn a_server_that_was_stopped_reads_before_it_gives_a_peer_up() {
    let folder = Folder::new();
    let alpha = Server::start(&folder, &Setup::new("alpha").server(HEARTBEAT));
    let mut peer = greeted(&alpha);
    peer.packet(Packet::GlobalPong);
    peer.wait_for_pings(2);
    // The pong comes while the server is stopped: it is late by the server's clock only.
    let answered = std::cell::Cell::new(false);
    let peer = std::cell::RefCell::new(peer);
    stop_for(alpha.process(), DEAD_AFTER + DEAD_AFTER / 4, || {
        if !answered.replace(true) {
            peer.borrow_mut().packet(Packet::GlobalPong);
        }
    });
    let mut peer = peer.into_inner();
    peer.send_message(&Message::Other(UNKNOWN));
    let answer = |message: &Message| matches!(message, Message::Unknown(it) if it.kind == UNKNOWN);
    peer.wait_for("an answer over the same link", answer);
}

#[test]
fn a_peer_that_says_something_but_answers_no_ping_is_ended() {
    let folder = Folder::new();
    let alpha = Server::start(&folder, &Setup::new("alpha").server(HEARTBEAT));
    let mark = alpha.log().mark();
    let mut peer = greeted(&alpha);
    let begun = Instant::now();
    // One byte at a time, each answered by a byte.
    while peer.packet(Packet::GlobalPing).read_on() {
        assert!(begun.elapsed() < SOON, "its link is kept");
        std::thread::park_timeout(Duration::from_millis(50));
    }
    println!("it was ended after {:?}", begun.elapsed());
    assert!(begun.elapsed() >= DEAD_AFTER - Duration::from_millis(250), "not before its time");
    alpha.log().wait_for(mark, "ended: silent: a ping was not answered in time");
}
