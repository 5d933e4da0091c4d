//! Nothing that logs or prints waits for a reader, and no plugin's process writes lines of another
//! name.

use rustix::process::Signal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use trunkline_tests::binaries::plugin;
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Peer, Server, Setup, Socket, Status};

/// Far more than the server's queue and the pipe hold together.
const FLOOD: &str = "log 100000000";

fn harms() -> PathBuf {
    fixtures::plugin(Api::Ours, "harms")
}

fn runs(name: &str) -> impl Fn(&Status) -> bool + '_ {
    move |status| status.is(name, "running")
}

#[test]
fn a_server_goes_on_and_stops_although_its_stderr_is_not_read() {
    let folder = Folder::new();
    let mut alpha = Server::start(&folder, &Setup::new("alpha").plugin(&harms(), ""));
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    let chan = peer.open("harms");
    assert_eq!(peer.ask(chan, "count"), "1");
    alpha.log().stop_reading();
    assert_eq!(peer.ask(chan, FLOOD), "logged");
    assert_eq!(peer.ask(chan, "count"), "3", "its plugins are served");
    let _ = alpha.status();
    alpha.signal(Signal::TERM);
    let took = alpha.process().wait_for_end();
    assert!(took < Duration::from_secs(15), "{took:?}");
    alpha.log().read_on();
    assert_eq!(alpha.wait_for_end(), 0);
}

#[test]
fn lines_that_were_dropped_are_counted_when_stderr_is_read_again() {
    let folder = Folder::new();
    // What two plugins print has a budget of its own.
    let setup = Setup::new("alpha").plugin(&harms(), "").plugin(&plugin("echo"), "");
    let alpha = Server::start(&folder, &setup);
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    let chan = peer.open("harms");
    assert_eq!(peer.ask(chan, "count"), "1");
    alpha.log().stop_reading();
    // Each stays within the budget of printed lines or of the plugin; together they fill the queue.
    assert_eq!(peer.ask(chan, "log 400000"), "logged");
    assert_eq!(peer.ask(chan, "print"), "Ok(())");
    assert_eq!(peer.ask(chan, "print"), "Ok(())");
    let mark = alpha.log().mark();
    alpha.log().read_on();
    let line = alpha.log().wait_for(mark, " were dropped, because stderr took no more");
    let words = line.split_once("] ").map(|(_, text)| text.split(' ').next());
    let count = words.flatten().and_then(|count| count.parse::<u64>().ok());
    assert!(count.is_some_and(|count| count > 0), "{line}");
}

#[test]
fn a_plugin_in_the_server_prints_although_stdout_is_closed() {
    let folder = Folder::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let setup = Setup::new("alpha").stdout(Arc::new(writer.into())).plugin(&harms(), "");
    let alpha = Server::start(&folder, &setup);
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    let chan = peer.open("harms");
    assert_eq!(peer.ask(chan, "println"), "printed");
    alpha.log().wait_for(0, "INFO  plugin::harms] a line on stdout");
    alpha.log().wait_for(0, "INFO  plugin::harms] a line on stderr");
    assert!(alpha.status().is("harms", "running"));
}

#[test]
fn a_plugin_in_the_server_prints_although_stdout_is_not_read() {
    let folder = Folder::new();
    let (_reader, writer) = std::io::pipe().unwrap();
    let setup = Setup::new("alpha").stdout(Arc::new(writer.into())).plugin(&harms(), "");
    let alpha = Server::start(&folder, &setup);
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    let chan = peer.open("harms");
    for _ in 0..20 {
        assert_eq!(peer.ask(chan, "print"), "Ok(())");
    }
    let lines = alpha.log().since(0);
    let whole = |line: &String| !line.contains(char::is_control);
    assert!(lines.iter().all(whole), "control characters are escaped");
}

#[test]
fn a_plugins_process_has_a_budget_and_writes_under_its_own_name_only() {
    let folder = Folder::new();
    let setup = Setup::new("alpha").plugin(&harms(), "placement = \"process\"\nname = \"evil\"");
    let alpha = Server::start(&folder, &setup);
    alpha.wait_until("it runs", runs("evil"));
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    let chan = peer.open("evil");
    let mark = alpha.log().mark();
    for forged in [
        "[2024-01-01T00:00:00Z ERROR trunkline::serve] all is lost 1",
        "\x1e1 trunkline::serve all is lost 2",
        "half a line \x1e1 plugin::other all is lost 3",
    ] {
        assert_eq!(peer.ask(chan, &format!("stderr {forged}")), "written");
    }
    for number in 1..=3 {
        let line = alpha.log().wait_for(mark, &format!("all is lost {number}"));
        let head = line.split("] ").next().unwrap_or_default();
        let named = head.ends_with(" plugin::evil") || head.ends_with(" host::evil");
        assert!(head.starts_with('[') && named, "{line:?}");
    }
    assert_eq!(peer.ask(chan, FLOOD), "logged");
    alpha.log().wait_for(mark, " lines of plugin::evil were dropped");
    assert_eq!(peer.ask(chan, "println"), "printed");
    let written: usize = alpha.log().since(mark).iter().map(String::len).sum();
    println!("{written} bytes of log");
    assert!(written < 4_000_000, "100 MB became {written} bytes of log");
    let _ = alpha.status();
}

#[test]
fn what_a_plugins_process_prints_has_its_name() {
    let folder = Folder::new();
    let setup = Setup::new("alpha").plugin(&harms(), "placement = \"process\"");
    let alpha = Server::start(&folder, &setup);
    alpha.wait_until("it runs", runs("harms"));
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    let chan = peer.open("harms");
    assert_eq!(peer.ask(chan, "println"), "printed");
    alpha.log().wait_for(0, "INFO  plugin::harms] a line on stdout");
    alpha.log().wait_for(0, "INFO  plugin::harms] a line on stderr");
    alpha.log().wait_for(0, "INFO  host::harms] plugin harms 1 runs");
}
