//! A server ends in time whatever the plugins in its loop do, and takes its hosts with it.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use rustix::process::Signal;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Peer, Process, Server, Setup, Socket, wait_until};
use trunkline_tests::skip;

/// The longest time of a stop, and as much again for a busy machine.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// An end that waits for nothing, on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(3);

/// Signals within 200 ms are one. This is longer.
const ONE_SIGNAL: Duration = Duration::from_millis(300);

fn harms() -> PathBuf {
    fixtures::plugin(Api::Ours, "harms")
}

/// A server whose loop a plugin blocks forever, with a plugin's process that does the same.
struct Blocked {
    alpha: Server,
    child: Process,
    _peer: Peer,
}

fn blocked(folder: &Folder) -> Blocked {
    let setup = Setup::new("alpha")
        .limit("watchdog-ms = 100")
        .plugin(&harms(), "name = \"boom\"")
        .plugin(&harms(), "name = \"child\"\nplacement = \"process\"");
    let alpha = Server::start(folder, &setup);
    alpha.wait_until("both run", |s| s.is("boom", "running") && s.is("child", "running"));
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    let (boom, chan) = (peer.open("boom"), peer.open("child"));
    let child = Process(peer.ask(chan, "pid").parse().expect("a number"));
    assert_eq!(peer.ask(boom, "count"), "1");
    let mark = alpha.log().mark();
    for (chan, name) in [(chan, "child"), (boom, "boom")] {
        peer.write(chan, b"loop\n");
        // The watchdog says that it blocks.
        alpha.log().wait_for(mark, &format!("plugin {name}"));
    }
    Blocked { alpha, child, _peer: peer }
}

#[test]
fn signals_end_a_server_whose_loop_is_blocked() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        if Process(std::process::id()).ignores(signal) {
            skip::aloud(&format!("{signal:?}"), "these tests were started with it ignored");
            continue;
        }
        let folder = Folder::new();
        let Blocked { mut alpha, child, _peer } = blocked(&folder);
        let begun = Instant::now();
        alpha.signal(signal);
        assert_eq!(alpha.wait_for_end(), 1, "{signal:?}: {}", alpha.log().text());
        let took = begun.elapsed();
        println!("{signal:?}: ended after {took:?}");
        assert!(took < ENDS_WITHIN, "{signal:?}: it took {took:?}");
        let line = "not stopped in 5 s, ending at once: plugin boom has not returned";
        assert!(alpha.log().text().contains(line), "{signal:?}: {}", alpha.log().text());
        let _ = child.wait_for_end();
        assert!(begun.elapsed() < ENDS_WITHIN, "{signal:?}: its host took {:?}", begun.elapsed());
        let alpha = alpha.start_again();
        alpha.wait_until("both run", |s| s.is("boom", "running") && s.is("child", "running"));
    }
}

#[test]
fn a_second_signal_ends_a_blocked_server_at_once() {
    let folder = Folder::new();
    let Blocked { mut alpha, child, _peer } = blocked(&folder);
    alpha.signal(Signal::TERM);
    let first = Instant::now();
    wait_until("a signal is a second one", || first.elapsed() > ONE_SIGNAL);
    alpha.signal(Signal::TERM);
    assert_eq!(alpha.wait_for_end(), 1, "{}", alpha.log().text());
    assert!(first.elapsed() < AT_ONCE, "it took {:?}", first.elapsed());
    let line = "a second signal: ending at once; plugin boom has not returned";
    assert!(alpha.log().text().contains(line), "{}", alpha.log().text());
    let _ = child.wait_for_end();
    assert!(first.elapsed() < AT_ONCE, "its host took {:?}", first.elapsed());
}

#[test]
fn a_plugin_that_never_starts_or_never_stops_does_not_keep_its_server() {
    let never = 3_600_000;
    for config in [format!("first = \"block {never}\""), format!("stop = {never}")] {
        let folder = Folder::new();
        let setup = Setup::new("alpha").plugin(&harms(), &format!("[plugin.config]\n{config}"));
        let mut alpha = Server::start_up_to(&folder, &setup, "listening on");
        let begun = Instant::now();
        alpha.signal(Signal::TERM);
        assert_eq!(alpha.wait_for_end(), 1, "{config}: {}", alpha.log().text());
        assert!(begun.elapsed() < ENDS_WITHIN, "{config}: it took {:?}", begun.elapsed());
        let line = "not stopped in 5 s, ending at once: plugin harms has not returned";
        assert!(alpha.log().text().contains(line), "{config}: {}", alpha.log().text());
    }
}

#[test]
fn stop_ends_a_server_that_cannot_answer_or_whose_plugin_does_not_stop() {
    let folder = Folder::new();
    let Blocked { mut alpha, child, _peer } = blocked(&folder);
    let begun = Instant::now();
    let output = alpha.command("stop", &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    println!("after {:?}: {said}", begun.elapsed());
    assert_eq!(output.status.code(), Some(0), "{said}");
    let socket = alpha.socket().display().to_string();
    let line = format!(
        "trunkline: stop: {socket}: the server does not answer; its process {} was sent SIGTERM, \
         and has ended\n",
        alpha.process().0
    );
    assert_eq!(said, line);
    assert_eq!(alpha.wait_for_end(), 1, "{}", alpha.log().text());
    let _ = child.wait_for_end();
    assert!(begun.elapsed() < ENDS_WITHIN, "it took {:?}", begun.elapsed());

    let folder = Folder::new();
    let setup = Setup::new("alpha").plugin(&harms(), "[plugin.config]\nstop = 3600000");
    let mut alpha = Server::start(&folder, &setup);
    let begun = Instant::now();
    let output = alpha.command("stop", &[]);
    assert_eq!(output.status.code(), Some(0), "it has ended: {output:?}");
    assert_eq!(alpha.wait_for_end(), 1, "{}", alpha.log().text());
    assert!(begun.elapsed() < ENDS_WITHIN, "it took {:?}", begun.elapsed());
}
