//! The process of a plugin, and what it starts, is nothing to its server but the host of that
//! plugin: no other host, no server and not the command line.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use std::fmt::Write;
use trunkline_core::bymux::{Packet, StreamId};
use trunkline_core::control::{Hello, Message, Role};
use trunkline_core::key::Key;
use trunkline_tests::binaries::trunkline;
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Peer, PeerEvent, Server, Setup, Socket, hello};

/// What the log and the process are told.
const REASON: &str = "belongs to the host of harms";

/// The first bytes of a peer of this role, in hexadecimal.
fn first_bytes(role: Role) -> String {
    let frame = Message::Hello(Hello { role, ..hello(Key([7; 32])) }).frame();
    let stream = StreamId::CONTROL;
    let header = Packet::Write { stream, length: frame.len() as u64 }.encode();
    [header.as_bytes(), &frame].concat().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[test]
fn a_process_of_a_plugin_is_no_other_peer_of_its_server() {
    let folder = Folder::new();
    let harms = fixtures::plugin(Api::Ours, "harms");
    let setup = Setup::new("alpha").plugin(&harms, "placement = \"process\"");
    let alpha = Server::start(&folder, &setup);
    alpha.wait_until("it runs", |status| status.is("harms", "running"));
    let socket = alpha.socket();
    let mut peer = Peer::link(Socket::unix(&alpha), 1);
    let chan = peer.open("harms");
    peer.wait_for("the answer", |event| matches!(event, PeerEvent::Answer(..)));
    for role in [Role::Server, Role::Host, Role::Command] {
        let mark = alpha.log().mark();
        let line = format!("say {} {}", socket.display(), first_bytes(role));
        let answer = peer.ask(chan, &line);
        assert!(answer.contains("not-allowed") && answer.contains(REASON), "{role:?}: {answer}");
        let line = alpha.log().wait_for(mark, " ended: ");
        assert!(line.contains("not-allowed") && line.contains(REASON), "{line}");
        let lines = alpha.log().since(mark);
        let about = lines.iter().filter(|line| line.contains(REASON));
        let (audited, said): (Vec<_>, Vec<_>) = about.partition(|line| line.contains(" audit] "));
        assert_eq!((audited.len(), said.len()), (1, 1), "it is said once: {lines:?}");
    }
    // So is what it starts.
    let (program, socket) = (trunkline(), socket.display());
    let asks = format!("run {} status --server unix:{socket}", program.display());
    let answer = peer.ask(chan, &asks);
    assert!(answer.contains(REASON), "{answer}");

    let status = alpha.status();
    assert!(status.is("harms", "running"), "it goes on, and others are served: {status:#?}");
}
