//! Plugins that only some servers may see and reach: by the configuration, which lists proved keys,
//! and by the plugin's own decision.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use trunkline_core::bymux::MuxRole;
use trunkline_core::control::{Answer, Message};
use trunkline_core::reason::Reason;
use trunkline_tests::binaries::plugin;
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Peer, PeerEvent, Server, Setup, Socket, hello, key_of};

/// A key that may see echo.
const FRIEND: u8 = 9;
/// A key that may not.
const OTHER: u8 = 10;

/// A server for every key, whose echo is exposed to one key, and whose `obeys` refuses all other
/// keys.
fn beta(folder: &Folder) -> Server {
    let only = format!("[plugin.config]\nonly = \"{}\"", key_of(FRIEND));
    let setup = Setup::new("beta").secured().server("accept = \"anyone\"");
    let setup = setup.plugin_for_key(key_of(FRIEND), &plugin("echo"), "");
    Server::start(folder, &setup.plugin(&fixtures::plugin(Api::Ours, "obeys"), &only))
}

/// A peer that has sent hello and received nothing yet.
fn peer(server: &Server, seed: u8) -> Peer {
    Peer::send_hello(Socket::shs(server, seed), MuxRole::Dialler, hello(key_of(seed)))
}

/// Opens a channel; returns the answer and the names of all plugins that were announced before it.
fn open(peer: &mut Peer, to: &str) -> (Answer, Vec<String>) {
    let chan = peer.open(to);
    let mut told = Vec::new();
    loop {
        match peer.next_event() {
            PeerEvent::Message(Message::Hello(hello)) => told.extend(hello.plugins),
            PeerEvent::Message(Message::Plugins(message)) => told.extend(message.plugins),
            PeerEvent::Answer(tag, answer) if tag == chan.tag => {
                let mut names: Vec<_> = told.iter().map(|one| one.name.to_string()).collect();
                names.sort();
                return (answer, names);
            }
            PeerEvent::End => panic!("the server hung up before it answered for {to}"),
            _ => {}
        }
    }
}

fn refusal(answer: Answer) -> Reason {
    match answer {
        Answer::Refuse(reason) => reason,
        other => panic!("a refusal was expected: {other:?}"),
    }
}

#[test]
fn a_plugin_exposed_to_one_key_does_not_exist_for_others() {
    let folder = Folder::new();
    let beta = beta(&folder);
    let mut friend = peer(&beta, FRIEND);
    let (answer, told) = open(&mut friend, "echo");
    assert_eq!(answer, Answer::Accept(None));
    assert_eq!(told, ["echo", "obeys"], "what the friend is told");
    friend.echo("echo", b"and it works");

    let mut other = peer(&beta, OTHER);
    let (hidden, told) = open(&mut other, "echo");
    assert_eq!(told, ["obeys"], "what another server is told");
    let (unknown, told) = open(&mut other, "no-such");
    assert!(told.is_empty(), "nor is it told later: {told:?}");
    let (hidden, unknown) = (refusal(hidden).to_string(), refusal(unknown).to_string());
    assert!(hidden.starts_with("unknown-plugin: "), "{hidden}");
    let renamed = unknown.replace("no-such", "echo");
    assert_eq!(hidden, renamed, "a hidden plugin and an unknown one are refused alike");
}

#[test]
fn a_plugin_sees_the_proved_key_of_its_caller_and_may_refuse_it() {
    let folder = Folder::new();
    let beta = beta(&folder);
    let (answer, _) = open(&mut peer(&beta, FRIEND), "obeys");
    assert_eq!(answer, Answer::Accept(None));
    let calls = |seed| format!("test of {} calls, local: false", key_of(seed));
    beta.log().wait_for(0, &calls(FRIEND));
    let (answer, _) = open(&mut peer(&beta, OTHER), "obeys");
    beta.log().wait_for(0, &calls(OTHER));
    let reason = refusal(answer).to_string();
    let expected = format!("plugin says not-you: {} may not call", key_of(OTHER));
    assert_eq!(reason, expected, "the plugin's own words, as its own");
}
