//! The longest time that there is does not overflow: neither as a timer nor as the deadline of a
//! call.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Peer, Server, Setup, Socket};

const PLACES: [&str; 3] = ["inline", "thread", "process"];

/// A server with one plugin of the fixtures in each placement.
fn everywhere(folder: &Folder, fixture: &str) -> Server {
    let file = fixtures::plugin(Api::Ours, fixture);
    let setup = PLACES.iter().fold(Setup::new("alpha"), |setup, place| {
        setup.plugin(&file, &format!("name = \"{place}\"\nplacement = \"{place}\""))
    });
    let alpha = Server::start(folder, &setup);
    for place in PLACES {
        alpha.wait_until(place, |status| status.is(place, "running"));
    }
    alpha
}

/// How often a server that does nothing may wake up in the test; its heartbeats do not count here.
const IDLE: u64 = 20;

#[test]
fn a_timer_that_never_fires_leaves_others_and_costs_no_time() {
    let folder = Folder::new();
    let alpha = everywhere(&folder, "obeys");
    for place in PLACES {
        let mut peer = Peer::link(Socket::unix(&alpha), 9);
        let chan = peer.open(place);
        peer.write(chan, b"timer longest\n");
        assert_eq!(peer.ask(chan, "timer 50"), "done: fired", "{place}");
        let slept = alpha.process().sleeps();
        assert_eq!(peer.ask(chan, "timer 1000"), "done: fired", "{place}");
        let woken = alpha.process().sleeps() - slept;
        assert!(woken <= IDLE, "{place}: it woke up {woken} times in a second");
    }
}

#[test]
fn a_call_may_wait_forever_and_is_answered() {
    let folder = Folder::new();
    let alpha = everywhere(&folder, "calls");
    for (from, to) in [("inline", "process"), ("process", "thread"), ("thread", "inline")] {
        let mut peer = Peer::link(Socket::unix(&alpha), 9);
        let chan = peer.open(from);
        let said = peer.ask(chan, &format!("call {to} longest later 50"));
        assert_eq!(said, "later answered late", "{from} to {to}");
    }
}
