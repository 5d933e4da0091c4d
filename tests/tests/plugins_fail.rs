//! Plugins that panic or misuse their host, while all others run on.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use trunkline_core::control::{Announced, Answer, Message, Plugins};
use trunkline_core::reason::{Code, Reason};
use trunkline_tests::binaries::plugin;
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Chan, Heard, Peer, Server, Setup, Socket};

/// Callbacks that come to each plugin by themselves, soon after the start.
const BY_THEMSELVES: [&str; 3] = ["timer", "ready", "wake"];

/// A server with one `panics` for each of these callbacks, which is their name; behind them `echo`
/// and a plugin that each of them opens a channel to.
fn server(folder: &Folder, callbacks: &[&str]) -> Server {
    let panics = fixtures::plugin(Api::Ours, "panics");
    let mut setup = Setup::new("alpha");
    for callback in callbacks {
        let name = name(callback);
        let lines =
            format!("name = \"{name}\"\n[plugin.config]\nin = \"{callback}\"\nto = \"late\"");
        setup = setup.plugin(&panics, &lines);
    }
    let echo = plugin("echo");
    Server::start(folder, &setup.plugin(&echo, "").plugin(&echo, "name = \"late\""))
}

fn name(callback: &str) -> String {
    format!("in-{}", callback.replace('_', "-"))
}

/// Waits until the plugins have failed, each with the reason that it panicked as asked.
fn wait_until_failed(server: &Server, callbacks: &[&str]) {
    let status = server.wait_until(&format!("{callbacks:?} have failed"), |status| {
        callbacks.iter().all(|callback| status.is(&name(callback), "failed"))
    });
    for callback in callbacks {
        let plugin = status.plugin(&name(callback)).expect("it is there");
        let reason = plugin.reason.clone().unwrap_or_default();
        assert!(reason.starts_with("plugin-failed: "), "{callback}: {reason}");
        assert!(reason.contains(&format!("as asked, in {callback}")), "{callback}: {reason}");
        assert!(reason.contains("lib.rs:"), "{callback}: the place is told: {reason}");
        assert_eq!(plugin.channels, 0, "{callback}: a plugin that failed has no channels");
        let log = server.log().text();
        let about =
            [format!("plugin {} failed: ", name(callback)), format!("plugin {}: ", name(callback))];
        let told = log.lines().filter(|line| about.iter().any(|text| line.contains(text))).count();
        assert_eq!(told, 1, "{callback}: one line in the log:\n{log}");
    }
    assert!(status.is("echo", "running") && status.is("late", "running"), "{status:#?}");
}

/// The reasons with which the server ends channels, whichever it ends first.
fn reasons(peer: &mut Peer, chans: &[Chan]) -> Vec<Reason> {
    let of = |stream: u64| chans.iter().any(|chan| chan.stream.0 == stream);
    let is_end = |heard: &Heard| match heard {
        Heard::Message(Message::Closing(closing)) => of(closing.stream),
        Heard::Answer(tag, Answer::Refuse(_)) => chans.iter().any(|chan| chan.tag == *tag),
        _ => false,
    };
    let reason = |_: &Chan| match peer.wait_for("the end of a channel", is_end) {
        Heard::Message(Message::Closing(closing)) => closing.reason,
        Heard::Answer(_, Answer::Refuse(reason)) => reason,
        other => panic!("{other:?} is no end"),
    };
    chans.iter().map(reason).collect()
}

fn opened(peer: &mut Peer, to: &str) -> Chan {
    let chan = peer.open(to);
    let accepted = |heard: &Heard| *heard == Heard::Answer(chan.tag, Answer::Accept(None));
    peer.wait_for("that the channel is accepted", accepted);
    chan
}

#[test]
fn a_panic_in_each_callback_fails_that_plugin_only() {
    let folder = Folder::new();
    let by_channel = ["open", "write", "close", "stop_read", "ended", "bomb", "resumed"];
    let callbacks = ["start", "opened", "credit", "directory", "link", "stop"];
    let all = [&BY_THEMSELVES[..], &by_channel[..], &callbacks[..]].concat();
    let alpha = server(&folder, &all);
    // All of these have what they need: they start, wait, and open a channel to `late`.
    wait_until_failed(&alpha, &["start", "opened", "credit", "directory"]);
    wait_until_failed(&alpha, &BY_THEMSELVES);

    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    wait_until_failed(&alpha, &["link"]);
    peer.echo("echo", b"nobody else is harmed");
    for callback in by_channel {
        let plugin = name(callback);
        let chan = match callback {
            "open" => peer.open(&plugin),
            _ => opened(&mut peer, &plugin),
        };
        match callback {
            "write" | "bomb" | "resumed" => drop(peer.write(chan, b"x")),
            "close" => peer.close(chan),
            "stop_read" => peer.stop_read(chan),
            "ended" => {
                peer.stop_read(chan);
                peer.close(chan);
            }
            _ => {}
        }
        if callback != "ended" {
            let reasons = reasons(&mut peer, &[chan]);
            assert!(reasons[0].is(Code::PluginFailed), "{callback}: {reasons:?}");
        }
        let status = alpha.wait_until(callback, |status| status.is(&plugin, "failed"));
        assert_eq!(status.links.len(), 1, "{callback}: the link lives: {:?}", status.links);
        peer.echo("echo", callback.as_bytes());
        let refused = peer.open(&plugin);
        let is_answer =
            |heard: &Heard| matches!(heard, Heard::Answer(tag, _) if *tag == refused.tag);
        let answer = peer.wait_for("the answer", is_answer);
        assert!(format!("{answer:?}").contains("unknown-plugin"), "{callback}: {answer:?}");
    }
    wait_until_failed(&alpha, &["open", "write", "close", "stop_read", "ended"]);
    let status = alpha.status();
    assert!(status.is(&name("stop"), "running"), "it was not told to stop: {status:#?}");
    assert_eq!(alpha.command("stop", &[]).status.code(), Some(0), "{}", alpha.log().text());
    assert!(alpha.log().text().contains("as asked, in stop"), "{}", alpha.log().text());
}

#[test]
fn a_panic_while_a_plugin_is_dropped_ends_nothing() {
    let folder = Folder::new();
    let mut alpha = server(&folder, &["drop"]);
    Peer::link(Socket::unix(&alpha), 9).echo("echo", b"it runs");
    assert_eq!(alpha.command("stop", &[]).status.code(), Some(0), "{}", alpha.log().text());
    assert_eq!(alpha.wait_for_end(), 0, "{}", alpha.log().text());
}

#[test]
fn a_plugin_that_misuses_its_host_fails_alone() {
    let folder = Folder::new();
    let misuses = fixtures::plugin(Api::Ours, "misuses");
    let cases = [
        ("write-after-close", "it wrote to a channel that it had closed"),
        ("answer-twice", "it answered a channel that was not waiting for an answer"),
        ("too-much-credit", "it gave more credit than 2^64 - 2 in all"),
    ];
    let mut setup = Setup::new("alpha").plugin(&plugin("echo"), "");
    for (how, _) in cases {
        let lines = format!("name = \"{how}\"\n[plugin.config]\nhow = \"{how}\"");
        setup = setup.plugin(&misuses, &lines);
    }
    let alpha = Server::start(&folder, &setup);
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    for (how, why) in cases {
        let (chan, other) = (opened(&mut peer, how), opened(&mut peer, how));
        peer.write(chan, b"go");
        for reason in reasons(&mut peer, &[chan, other]) {
            assert!(reason.is(Code::PluginFailed), "{how}: {reason}");
        }
        let status = alpha.wait_until(how, |status| status.is(how, "failed"));
        let reason = status.plugin(how).and_then(|plugin| plugin.reason.clone());
        assert!(reason.is_some_and(|told| told.contains(why)), "{how}: {status:#?}");
        peer.echo("echo", how.as_bytes());
    }
}

#[test]
fn a_plugin_that_fails_is_withdrawn_and_peers_that_announce_are_heard() {
    let folder = Folder::new();
    let alpha = server(&folder, &["write"]);
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    let plugins = [Announced::new("far".parse().expect("a name"), 3)].to_vec();
    peer.say(&Message::Plugins(Plugins { plugins }));
    alpha.wait_until("the peer's plugin is known", |status| status.knows_remote("far"));
    let plugin = name("write");
    let chan = opened(&mut peer, &plugin);
    peer.write(chan, b"x");
    let withdrawn = peer
        .wait_for("the withdrawal", |heard| matches!(heard, Heard::Message(Message::Withdrawn(_))));
    assert!(format!("{withdrawn:?}").contains(&plugin), "{withdrawn:?}");
    let status = alpha.status();
    assert!(status.knows_remote("far"), "the others' plugins stay: {status:#?}");
}
