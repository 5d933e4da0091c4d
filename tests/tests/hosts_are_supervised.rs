//! Processes that a server starts for its plugins: however one ends, the others continue, it is
//! restarted, and nothing of it remains.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use rustix::process::Signal;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use trunkline_core::control::{Answer, Message};
use trunkline_core::reason::Code;
use trunkline_tests::binaries::plugin;
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{
    Chan, Peer, PeerEvent, Process, Server, Setup, Socket, Status, wait_until,
};

/// The time for a process that must end at once, on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(5);

fn obeys() -> PathBuf {
    fixtures::plugin(Api::Ours, "obeys")
}

fn harms() -> PathBuf {
    fixtures::plugin(Api::Ours, "harms")
}

fn runs(name: &str) -> impl Fn(&Status) -> bool + '_ {
    move |status| status.is(name, "running")
}

/// The process of a `harms`, as its answer says.
fn process_of(peer: &mut Peer, chan: Chan) -> Process {
    Process(peer.ask(chan, "pid").parse().expect("the number of a process"))
}

/// A channel to a running plugin.
fn open(peer: &mut Peer, to: &str) -> Chan {
    let chan = peer.open(to);
    let accepted = |event: &PeerEvent| *event == PeerEvent::Answer(chan.tag, Answer::Accept(None));
    peer.wait_for("that the channel is accepted", accepted);
    chan
}

#[test]
fn a_killed_host_is_reported_and_restarted() {
    let folder = Folder::new();
    let process = "placement = \"process\"";
    let alpha = Setup::new("alpha")
        .plugin(&obeys(), "")
        .plugin(&plugin("echo"), process)
        .plugin(&obeys(), &format!("{process}\nname = \"hosted\""));
    let alpha = Server::start(&folder, &alpha);
    let beta = Setup::new("beta").peer("alpha").plugin(&obeys(), "");
    let beta = Server::start(&folder, &beta);
    alpha.wait_until("both run", |s| s.is("echo", "running") && s.is("hosted", "running"));
    beta.wait_until("beta knows the echo", |status| status.knows_remote("echo"));

    // One channel from an inline plugin, one from another process, one from another server, and a
    // peer's.
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    let (inline, hosted) = (peer.open("obeys"), peer.open("hosted"));
    assert_eq!(peer.ask(inline, "ask echo a"), "done: a");
    assert_eq!(peer.ask(hosted, "ask echo b"), "done: b");
    let mut far = Peer::link(Socket::unix(&beta), 8);
    let asker = far.open("obeys");
    assert_eq!(far.ask(asker, "ask echo c"), "done: c");
    let chan = open(&mut peer, "echo");
    let children = alpha.process().children();
    assert_eq!(children.len(), 2, "two plugins have processes");
    let echo = alpha.status().channels.len();
    assert!(echo >= 4, "the channels are there");

    let (mark, far_mark) = (alpha.log().mark(), beta.log().mark());
    let killed = Instant::now();
    // The echo's was started first.
    assert!(children[0].signal(Signal::KILL));
    let closing = peer.wait_for("why the channel ends", |event| match event {
        PeerEvent::Message(Message::Closing(closing)) => closing.stream == chan.stream.0,
        _ => false,
    });
    println!("a killed host was told of after {:?}", killed.elapsed());
    let PeerEvent::Message(Message::Closing(closing)) = closing else { panic!("{closing:?}") };
    assert!(closing.reason.is(Code::HostLost), "{}", closing.reason);
    for name in ["obeys", "hosted"] {
        let text = format!("plugin::{name}] a channel that it opened ended: host-lost: ");
        alpha.log().wait_for(mark, &text);
    }
    beta.log().wait_for(far_mark, "plugin::obeys] a channel that it opened ended: host-lost: ");
    let line = alpha.log().wait_for(mark, "the host of echo ended: ");
    assert!(line.contains("SIGKILL"), "{line}");
    beta.log().wait_for(far_mark, "left: echo-1-elsewhere");
    beta.log().wait_for(far_mark, "appeared: echo-1-elsewhere");
    println!("and was there again after {:?}", killed.elapsed());
    peer.echo("echo", b"channels work again");
    assert_eq!(far.ask(asker, "ask echo d"), "done: d");
    let status = alpha.status();
    let shown = status.plugins.iter().filter(|p| p.name == "echo").count();
    assert_eq!(shown, 1, "it is shown once: {:#?}", status.plugins);
    assert_eq!(alpha.process().children().len(), 2);
}

#[test]
fn a_killed_host_ends_the_channels_that_it_opened() {
    let folder = Folder::new();
    let setup = Setup::new("alpha")
        .plugin(&plugin("echo"), "")
        .plugin(&obeys(), "placement = \"process\"\nrestart = \"never\"");
    let alpha = Server::start(&folder, &setup);
    alpha.wait_until("it runs", runs("obeys"));
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    let chan = peer.open("obeys");
    assert_eq!(peer.ask(chan, "ask echo a"), "done: a");
    let channels = |status: &Status| status.plugin("echo").map(|echo| echo.channels);
    assert_eq!(channels(&alpha.status()), Some(1));
    assert!(alpha.process().children()[0].signal(Signal::KILL));
    let status = alpha.wait_until("it has failed, and its channel has ended", |status| {
        status.is("obeys", "failed") && channels(status) == Some(0)
    });
    let reason = status.plugin("obeys").and_then(|obeys| obeys.reason.clone());
    assert!(reason.is_some_and(|reason| reason.starts_with("host-lost: ")), "{status:#?}");
    let placement = status.plugin("obeys").map(|obeys| obeys.placement.clone());
    assert_eq!(placement.as_deref(), Some("process"), "{status:#?}");
    let gone = || alpha.process().children().is_empty();
    wait_until("it is waited for, and not started again", gone);
    let line = alpha.log().wait_for(0, "the host of obeys ended: ");
    assert!(!line.contains("again"), "{line}");
}

#[test]
fn a_crashed_or_blocked_process_affects_no_other() {
    for how in ["abort", "SIGSEGV", "exit 0", "exit 7", "loop"] {
        let folder = Folder::new();
        let setup = Setup::new("alpha")
            .plugin(&plugin("echo"), "")
            .plugin(&harms(), "placement = \"process\"")
            .plugin(&plugin("echo"), "placement = \"process\"\nname = \"other\"")
            .plugin(&plugin("echo"), "placement = \"thread\"\nname = \"third\"");
        let alpha = Server::start(&folder, &setup);
        let others = ["echo", "other", "third"];
        for name in ["harms", "other", "third"] {
            alpha.wait_until(name, runs(name));
        }
        let mut peer = Peer::link(Socket::unix(&alpha), 9);
        let chan = peer.open("harms");
        let process = process_of(&mut peer, chan);
        // These channels are open while it happens.
        let chans = others.map(|name| open(&mut peer, name));
        let mark = alpha.log().mark();
        match how {
            // The first one only removes the handler with which Rust detects stack overflows; the
            // faulting instruction then fails again.
            "SIGSEGV" => {
                wait_until("it ends", || !process.signal(Signal::SEGV));
            }
            _ => drop(peer.write(chan, format!("{how}\n").as_bytes())),
        }
        for (name, chan) in others.into_iter().zip(chans) {
            assert_eq!(peer.ask(chan, how), how, "{how}: {name}");
            peer.echo(name, how.as_bytes());
        }
        if how == "loop" {
            assert!(matches!(process.state(), Some('R' | 'S')), "{:?}", process.state());
            assert!(process.signal(Signal::KILL));
        }
        let line = alpha.log().wait_for(mark, "the host of harms ended: ");
        assert!(line.contains("it is started again"), "{line}");
        println!("{how}: {line}");
        alpha.log().wait_for(mark, "plugin harms 1 runs");
        alpha.wait_until("it runs again", runs("harms"));
        let chan = peer.open("harms");
        let again = process_of(&mut peer, chan);
        assert_ne!(again, process, "{how}: it has another process");
        for (name, chan) in others.into_iter().zip(chans) {
            assert_eq!(peer.ask(chan, "after"), "after", "{how}: {name}: its channel was harmed");
        }
    }
}

#[test]
fn no_process_outlives_its_server() {
    let folder = Folder::new();
    let process = "placement = \"process\"";
    let setup = Setup::new("alpha")
        .plugin(&harms(), process)
        .plugin(&plugin("echo"), process)
        .plugin(&harms(), &format!("{process}\nname = \"second\""));
    let mut alpha = Server::start(&folder, &setup);
    for name in ["harms", "echo", "second"] {
        alpha.wait_until(name, runs(name));
    }
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    let (chan, second) = (peer.open("harms"), peer.open("second"));
    let looping = process_of(&mut peer, chan);
    assert_eq!(peer.ask(second, "count"), "1");
    peer.write(chan, b"loop\n");
    wait_until("it loops", || looping.state() == Some('R'));
    let children = alpha.process().children();
    assert!(children.len() == 3 && children.contains(&looping), "{children:?}");
    let killed = Instant::now();
    alpha.kill();
    println!("the server was gone after {:?}", killed.elapsed());
    for child in children {
        let _ = child.wait_for_end();
        println!("process {} was gone after {:?}", child.0, killed.elapsed());
    }
    assert!(killed.elapsed() < AT_ONCE, "it took {:?}", killed.elapsed());
}

#[test]
fn restarts_leave_no_zombies_and_no_descriptors() {
    const KILLS: usize = 20;
    let folder = Folder::new();
    let setup = Setup::new("alpha").plugin(&plugin("echo"), "placement = \"process\"");
    let alpha = Server::start(&folder, &setup);
    alpha.wait_until("it runs", runs("echo"));
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    peer.echo("echo", b"it works");
    let before = alpha.descriptors();
    let mut seen = Vec::new();
    for kill in 0..KILLS {
        let children = alpha.process().children();
        let [child] = children[..] else { panic!("kill {kill}: {children:?}") };
        assert!(!seen.contains(&child), "kill {kill}: each has a process of its own");
        seen.push(child);
        let mark = alpha.log().mark();
        assert!(child.signal(Signal::KILL));
        alpha.log().wait_for(mark, "plugin echo 1 runs");
        alpha.wait_until("it runs again", runs("echo"));
        peer.echo("echo", b"it works again");
    }
    let zombies: Vec<_> =
        alpha.process().children().into_iter().filter(|c| c.state() == Some('Z')).collect();
    assert_eq!(zombies, [], "they were not waited for");
    // The command line's connection may still be closing.
    wait_until("there are no more descriptors than before", || alpha.descriptors() <= before);
    println!("{KILLS} kills: {before} descriptors before, {} after", alpha.descriptors());
    assert_eq!(alpha.status().plugins.len(), 1);
}

#[test]
fn a_plugin_that_panics_in_a_process_is_shown_with_its_reason() {
    for (restart, again) in [("never", false), ("on-failure", true)] {
        let folder = Folder::new();
        let table = format!("placement = \"process\"\nrestart = \"{restart}\"");
        let setup = Setup::new("alpha").plugin(&plugin("echo"), "").plugin(&harms(), &table);
        let alpha = Server::start(&folder, &setup);
        alpha.wait_until("it runs", runs("harms"));
        let mut peer = Peer::link(Socket::unix(&alpha), 9);
        let chan = peer.open("harms");
        let process = process_of(&mut peer, chan);
        let mark = alpha.log().mark();
        peer.write(chan, b"panic\n");
        let closing = peer.wait_for("why the channel ends", |event| match event {
            PeerEvent::Message(Message::Closing(closing)) => closing.stream == chan.stream.0,
            _ => false,
        });
        let PeerEvent::Message(Message::Closing(closing)) = closing else { panic!("{closing:?}") };
        assert!(closing.reason.is(Code::PluginFailed), "{restart}: {}", closing.reason);
        // A peer does not receive the plugin's own text; the server's log has it.
        assert!(!closing.reason.text.contains("as asked"), "{restart}: {}", closing.reason);
        alpha.log().wait_for(mark, "as asked");
        let line = alpha.log().wait_for(mark, "the host of harms ended: ");
        assert_eq!(line.contains("started again"), again, "{restart}: {line}");
        assert_eq!(process.state(), None, "{restart}: its process is gone");
        peer.echo("echo", b"nobody else is harmed");
        if again {
            alpha.log().wait_for(mark, "plugin harms 1 runs");
            alpha.wait_until("it runs again", runs("harms"));
            let chan = peer.open("harms");
            assert_eq!(peer.ask(chan, "count"), "1", "it begins anew");
            continue;
        }
        let status = alpha.status();
        let reason = status.plugin("harms").and_then(|harms| harms.reason.clone());
        let reason = reason.unwrap_or_default();
        assert!(status.is("harms", "failed"), "{status:#?}");
        assert!(reason.starts_with("plugin-failed: ") && reason.contains("as asked"), "{reason}");
        assert!(reason.contains("lib.rs:"), "the place is told: {reason}");
        assert_eq!(alpha.process().children(), []);
        println!("{restart}: {reason}");
    }
}

#[test]
fn restarts_back_off() {
    let folder = Folder::new();
    let lines = "placement = \"process\"\n[plugin.config]\nfirst = \"panic\"";
    let setup = Setup::new("alpha").plugin(&plugin("echo"), "").plugin(&harms(), lines);
    let alpha = Server::start(&folder, &setup);
    let mut mark = 0;
    let mut ends = Vec::new();
    for _ in 0..6 {
        let seen = alpha.log().since(mark);
        if !seen.iter().any(|line| line.contains("the host of harms ended")) {
            alpha.log().wait_for(mark, "the host of harms ended");
        }
        let lines = alpha.log().since(mark);
        let at = lines.iter().position(|line| line.contains("the host of harms ended"));
        mark += at.expect("the line came") + 1;
        ends.push(Instant::now());
    }
    let gaps: Vec<Duration> = ends.windows(2).map(|pair| pair[1] - pair[0]).collect();
    println!("time between failures: {gaps:?}");
    // 50, 100, 200, 400 and 500 ms, each at random less by at most a half, and the time of a start.
    let least = [25, 50, 100, 200, 250].map(Duration::from_millis);
    for (gap, least) in gaps.iter().zip(least) {
        assert!(*gap + Duration::from_millis(20) >= least, "{gaps:?}");
    }
    let status = alpha.status();
    let reason = status.plugin("harms").and_then(|harms| harms.reason.clone());
    let shown = status.plugin("harms").map(|harms| harms.state.clone());
    println!("meanwhile it is shown as {shown:?}: {reason:?}");
    let told = reason.is_some_and(|r| r.starts_with("plugin-failed: ") && r.contains("as asked"));
    assert!(told || shown.as_deref() == Some("starting"), "{status:#?}");
    Peer::link(Socket::unix(&alpha), 9).echo("echo", b"the server does not care");
}
