//! Plugins that do not return: they are reported, and ended if the configuration says so. The
//! watchdog costs an idle server nothing.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use rustix::process::Signal;
use std::sync::mpsc;
use std::time::Duration;
use trunkline_tests::binaries::plugin;
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Peer, Process, Server, Setup, Socket};

/// The watchdog's limit in these tests, in seconds.
const LIMIT: f64 = 0.1;

/// A server with an `echo` and with a `harms` that has this table.
fn server(folder: &Folder, table: &str) -> Server {
    let harms = fixtures::plugin(Api::Ours, "harms");
    let setup = Setup::new("alpha").limit("watchdog-ms = 100").plugin(&plugin("echo"), "");
    Server::start(folder, &setup.plugin(&harms, table))
}

/// The seconds in the log lines about `harms`.
fn reported(lines: &[String]) -> Vec<f64> {
    let blocks =
        lines.iter().filter(|line| line.contains("plugin harms has blocked its loop for "));
    let seconds = |line: &String| line.split(" for ").nth(1)?.split(' ').next()?.parse().ok();
    blocks.filter_map(seconds).collect()
}

#[test]
fn a_blocking_plugin_is_reported_each_time_its_duration_doubles() {
    for place in ["inline", "thread", "process"] {
        let folder = Folder::new();
        let alpha = server(&folder, &format!("placement = \"{place}\""));
        alpha.wait_until("harms runs", |status| status.is("harms", "running"));
        let mut peer = Peer::link(Socket::unix(&alpha), 9);
        let chan = peer.open("harms");
        assert_eq!(peer.ask(chan, "count"), "1");
        let mark = alpha.log().mark();
        assert_eq!(peer.ask(chan, "block 1000"), "went on");
        let returned = "plugin harms has returned after blocking its loop for ";
        let line = alpha.log().wait_for(mark, returned);
        let lines = alpha.log().since(mark);
        let times = reported(&lines);
        println!("{place}: reported at {times:?} s; {line}");
        assert!(times.len() >= 2 && times.len() <= 4, "{place}: {lines:#?}");
        assert!(times[0] >= LIMIT, "{place}: not before its time: {lines:#?}");
        // They are printed with one digit.
        let doubles = times.windows(2).all(|pair| pair[1] + 0.11 >= 2.0 * (pair[0] - 0.05));
        assert!(doubles || times.len() == 2, "{place}: {lines:#?}");
        let warned = lines.iter().filter(|line| line.contains("WARN")).count();
        assert_eq!(warned, times.len(), "{place}: nothing else is wrong: {lines:#?}");
        assert_eq!(peer.ask(chan, "count"), "3", "{place}: it is not harmed");
    }
}

#[test]
fn the_watchdog_blames_the_callee_not_the_caller() {
    let folder = Folder::new();
    let calls = fixtures::plugin(Api::Ours, "calls");
    let setup = Setup::new("alpha").limit("watchdog-ms = 100");
    let setup = setup.plugin(&calls, "name = \"caller\"").plugin(&calls, "name = \"callee\"");
    let alpha = Server::start(&folder, &setup);
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    let chan = peer.open("caller");
    let mark = alpha.log().mark();
    assert_eq!(peer.ask(chan, "call callee 10 block 1000"), "now answered went on");
    alpha.log().wait_for(mark, "plugin callee has blocked its loop for ");
    let blamed = alpha.log().since(mark);
    let blamed = blamed.iter().find(|line| line.contains("plugin caller has blocked"));
    assert_eq!(blamed, None, "the caller only waits");

    // It blocks while it is dropped, which is part of the call.
    let mark = alpha.log().mark();
    let lost = peer.ask(chan, "call callee 10 fail-slowly 1000");
    assert!(lost.starts_with("now lost plugin-failed: "), "{lost}");
    alpha.log().wait_for(mark, "plugin callee has blocked its loop for ");
}

#[test]
fn with_blocked_end_a_blocking_process_is_ended_and_restarted() {
    let folder = Folder::new();
    let harms = fixtures::plugin(Api::Ours, "harms");
    let setup = Setup::new("alpha").limit("watchdog-ms = 100").plugin(&plugin("echo"), "");
    let setup = setup
        .plugin(&harms, "placement = \"process\"\nblocked = \"end\"")
        .plugin(&harms, "placement = \"process\"\nname = \"other\"");
    let alpha = Server::start(&folder, &setup);
    let runs = |status: &trunkline_tests::harness::Status| {
        status.is("harms", "running") && status.is("other", "running")
    };
    alpha.wait_until("both run", runs);
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    let (chan, other) = (peer.open("harms"), peer.open("other"));
    let pid: u32 = peer.ask(chan, "pid").parse().expect("a number");
    let other_pid = peer.ask(other, "pid");
    let mark = alpha.log().mark();
    peer.write(chan, b"loop\n");
    peer.echo("echo", b"meanwhile");
    alpha.log().wait_for(mark, "plugin harms has blocked its loop for ");
    alpha.log().wait_for(mark, "the host of harms ended: its plugin blocked its loop for too long");
    println!("its process was gone after {:?}", Process(pid).wait_for_end());
    alpha.log().wait_for(mark, "plugin harms 1 runs");
    alpha.wait_until("it runs again", runs);
    let chan = peer.open("harms");
    let again: u32 = peer.ask(chan, "pid").parse().expect("a number");
    assert_ne!(again, pid, "it runs in a new process");
    assert_eq!(peer.ask(other, "pid"), other_pid, "the other one was not harmed");
    peer.echo("echo", b"and afterwards");
}

#[test]
fn without_blocked_end_a_blocking_process_is_only_logged() {
    let folder = Folder::new();
    let alpha = server(&folder, "placement = \"process\"");
    alpha.wait_until("harms runs", |status| status.is("harms", "running"));
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    let chan = peer.open("harms");
    let pid: u32 = peer.ask(chan, "pid").parse().expect("a number");
    let mark = alpha.log().mark();
    peer.write(chan, b"loop\n");
    // The third report comes after four times the limit.
    for _ in 0..3 {
        let seen = reported(&alpha.log().since(mark)).len();
        peer.echo("echo", b"nobody else is harmed");
        let last = alpha.log().since(mark).len();
        while reported(&alpha.log().since(mark)).len() == seen {
            alpha.log().wait_for(mark + last, "plugin harms has blocked its loop for ");
        }
    }
    assert!(Process(pid).state().is_some_and(|state| state != 'Z'), "{}", alpha.log().text());
}

#[test]
fn with_blocked_end_a_stopped_process_is_ended_and_restarted() {
    let folder = Folder::new();
    let alpha = server(&folder, "placement = \"process\"\nblocked = \"end\"");
    alpha.wait_until("harms runs", |status| status.is("harms", "running"));
    let stopped = alpha.process().children()[0];
    let mark = alpha.log().mark();
    assert!(stopped.signal(Signal::STOP));
    let line = alpha.log().wait_for(mark, "the process of plugin harms has been stopped for ");
    assert!(line.contains("ERROR"), "{line}");
    let why = "the host of harms ended: its process was stopped for too long";
    alpha.log().wait_for(mark, why);
    alpha.wait_until("harms runs again", |status| status.is("harms", "running"));
    assert_ne!(alpha.process().children(), [stopped], "it runs in a new process");
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    let chan = peer.open("harms");
    assert_eq!(peer.ask(chan, "count"), "1");
}

#[test]
fn without_blocked_end_a_stopped_process_is_only_logged() {
    let folder = Folder::new();
    let alpha = server(&folder, "placement = \"process\"");
    alpha.wait_until("harms runs", |status| status.is("harms", "running"));
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    let chan = peer.open("harms");
    let process = Process(peer.ask(chan, "pid").parse().expect("a number"));
    for count in ["2", "3"] {
        let mark = alpha.log().mark();
        assert!(process.signal(Signal::STOP));
        let line = alpha.log().wait_for(mark, "the process of plugin harms has been stopped for ");
        assert!(line.contains("WARN") && line.contains("kill -CONT"), "{line}");
        assert!(process.signal(Signal::CONT));
        alpha.log().wait_for(mark, "the process of plugin harms goes on after ");
        assert_eq!(peer.ask(chan, "count"), count, "it is the same one");
    }
}

#[test]
fn an_idle_server_and_its_hosts_do_not_wake_up() {
    let folder = Folder::new();
    let harms = fixtures::plugin(Api::Ours, "harms");
    let setup = Setup::new("alpha")
        .server("heartbeat-ms = 600000\ndead-after-ms = 1200000")
        .limit("watchdog-ms = 100")
        .plugin(&plugin("echo"), "")
        .plugin(&harms, "placement = \"process\"")
        .plugin(&harms, "placement = \"thread\"\nname = \"thread\"");
    let alpha = Server::start(&folder, &setup);
    alpha.wait_until("all run", |s| s.is("harms", "running") && s.is("thread", "running"));
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    peer.echo("echo", b"it works");
    drop(peer);
    let children = alpha.process().children();
    assert_eq!(children.len(), 1, "one plugin has a process");
    let all = [alpha.process(), children[0]];
    let sleeps = || all.map(Process::sleeps);
    // Nothing ever arrives here: it is a wait with an end.
    let (_keep, nothing) = mpsc::channel::<()>();
    let wait = |time| assert!(nothing.recv_timeout(Duration::from_millis(time)).is_err());
    // Each thread that worked checks once more; after the third quiet moment, that is over.
    let quiet = (0..200).position(|_| {
        let before = sleeps();
        wait(200);
        before == sleeps()
    });
    let quiet = quiet.expect("it comes to rest");
    let before = sleeps();
    wait(1500);
    let after = sleeps();
    println!("at rest after {quiet} moments: {before:?} sleeps, 1.5 s later {after:?}");
    assert_eq!(before, after, "an idle server was woken");
}
