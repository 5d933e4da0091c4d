//! Plugins that panic or misuse their host, while all others continue.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use trunkline_core::control::{Announced, Answer, Message, Plugins};
use trunkline_core::reason::{Code, Reason};
use trunkline_tests::binaries::plugin;
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Chan, Peer, PeerEvent, Server, Setup, Socket};

/// Callbacks that every plugin receives by itself, soon after the start.
const BY_THEMSELVES: [&str; 3] = ["timer", "ready", "wake"];

/// A server with one `panics` for each of these callbacks, named after it, then `echo` and a plugin
/// to which each of them opens a channel.
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
    let is_end = |event: &PeerEvent| match event {
        PeerEvent::Message(Message::Closing(closing)) => of(closing.stream),
        PeerEvent::Answer(tag, Answer::Refuse(_)) => chans.iter().any(|chan| chan.tag == *tag),
        _ => false,
    };
    let reason = |_: &Chan| match peer.wait_for("the end of a channel", is_end) {
        PeerEvent::Message(Message::Closing(closing)) => closing.reason,
        PeerEvent::Answer(_, Answer::Refuse(reason)) => reason,
        other => panic!("{other:?} is no end"),
    };
    chans.iter().map(reason).collect()
}

fn opened(peer: &mut Peer, to: &str) -> Chan {
    let chan = peer.open(to);
    let accepted = |event: &PeerEvent| *event == PeerEvent::Answer(chan.tag, Answer::Accept(None));
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
    // All of these work: they start, wait, and open a channel to `late`.
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
            |event: &PeerEvent| matches!(event, PeerEvent::Answer(tag, _) if *tag == refused.tag);
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
fn a_panic_in_drop_ends_nothing_else() {
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
fn a_failed_plugin_is_withdrawn_and_peers_announcements_still_arrive() {
    let folder = Folder::new();
    let alpha = server(&folder, &["write"]);
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    let plugins = [Announced::new("far".parse().expect("a name"), 3)].to_vec();
    peer.send_message(&Message::Plugins(Plugins { plugins }));
    alpha.wait_until("the peer's plugin is known", |status| status.knows_remote("far"));
    let plugin = name("write");
    let chan = opened(&mut peer, &plugin);
    peer.write(chan, b"x");
    let withdrawn = peer.wait_for("the withdrawal", |event| {
        matches!(event, PeerEvent::Message(Message::Withdrawn(_)))
    });
    assert!(format!("{withdrawn:?}").contains(&plugin), "{withdrawn:?}");
    let status = alpha.status();
    assert!(status.knows_remote("far"), "the others' plugins stay: {status:#?}");
}
