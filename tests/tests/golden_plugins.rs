//! Plugins that were built once with each minor version of the API load in today's server, and all
//! that their version has works. `tests/golden/make.sh` makes them.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use trunkline_core::control::{Answer, Message};
use trunkline_core::reason::Reason;
use trunkline_tests::binaries::plugin;
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Chan, PATIENCE, Peer, PeerEvent, Server, Setup, Socket};
use trunkline_tests::tidy::{root, trespass};

/// The most that a file may have, in bytes: they stay in the history forever.
const SIZE_MAX: u64 = 600 * 1024;
/// What a channel takes before its reader has given credit, in bytes.
const FIRST_WINDOW: u64 = 64 * 1024;
/// More than what says at the beginning of a stream what it is for, which is within the window.
const PREFACE_MAX: u64 = 1024;

const PLACEMENTS: [&str; 2] = ["inline", "process"];

/// The minor version of today's API.
fn newest() -> u64 {
    let manifest = fs::read_to_string(root().join("plugin-api/Cargo.toml")).expect("it is there");
    let version = manifest.lines().find_map(|line| line.strip_prefix("version = \"1."));
    let minor = version.and_then(|rest| rest.split('.').next()?.parse().ok());
    minor.expect("the version of the API is 1.MINOR.PATCH")
}

fn file(minor: u64) -> PathBuf {
    root().join(format!("tests/golden/api-1.{minor}/libgolden.so"))
}

#[test]
fn each_minor_version_of_the_api_has_a_golden_plugin() {
    for minor in 0..=newest() {
        let file = file(minor);
        let size = fs::metadata(&file).map(|data| data.len());
        let size = size.unwrap_or_else(|error| {
            panic!("API 1.{minor} has no golden plugin: {error}; run tests/golden/make.sh")
        });
        assert!(size <= SIZE_MAX, "{}: {size} bytes", file.display());
    }
}

#[test]
fn no_golden_plugin_tells_where_it_was_made() {
    for minor in 0..=newest() {
        let bytes = fs::read(file(minor)).expect("it is there");
        assert_eq!(trespass::in_bytes(&bytes), None, "API 1.{minor}");
        let holds = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        assert!(holds(b"/packages/abi_stable-"), "API 1.{minor}: its paths are mapped");
        assert!(!holds(b".symtab"), "API 1.{minor}: it is not stripped");
    }
}

/// A server with a golden plugin, and what it needs.
struct Scene {
    alpha: Server,
    beta: Server,
    peer: Peer,
    /// The channel for commands.
    chan: Chan,
    minor: u64,
    /// They lie in it, and it goes last.
    folder: Folder,
}

impl Scene {
    fn new(minor: u64, placement: &str) -> Scene {
        let folder = Folder::new();
        let lines = format!(
            "placement = \"{placement}\"\nallow = [\"links\"]\n[plugin.config]\ngreeting = \"hi\""
        );
        let alpha = Setup::new("alpha")
            .server("announce = [\"net:alpha.example:8008\"]")
            .plugin(&plugin("echo"), "")
            .plugin(&fixtures::plugin(Api::Ours, "calls"), "")
            .plugin(&file(minor), &lines);
        let beta = Setup::new("beta").secured().peer_key(alpha.key_in(&folder));
        let beta = Server::start(&folder, &beta.plugin(&plugin("echo"), "name = \"far\""));
        let alpha = Server::start(&folder, &alpha);
        alpha.wait_until("it runs", |status| status.is("golden", "running"));
        let mut peer = Peer::link_as(Socket::unix(&alpha), 9, "peer");
        alpha.log().wait_for(0, "plugin::golden] up: peer ");
        let chan = peer.open("golden");
        Scene { alpha, beta, peer, chan, minor, folder }
    }

    #[track_caller]
    fn answers(&mut self, line: &str, expected: &str) {
        let answer = self.peer.ask(self.chan, line);
        assert_eq!(answer, expected, "API 1.{}: {line:?}", self.minor);
    }

    /// Has the plugin treat the next channel in some way, and opens it.
    fn next(&mut self, how: &str) -> Chan {
        self.answers(&format!("next {how}"), "next");
        self.peer.open("golden")
    }

    fn answer_to(&mut self, chan: Chan) -> Answer {
        let is_answer =
            |event: &PeerEvent| matches!(event, PeerEvent::Answer(tag, _) if *tag == chan.tag);
        match self.peer.wait_for("the answer to a channel", is_answer) {
            PeerEvent::Answer(_, answer) => answer,
            other => panic!("{other:?} is no answer"),
        }
    }

    fn logs(&self, line: &str) {
        self.alpha.log().wait_for(0, &format!(" plugin::golden] {line}"));
    }
}

fn refusal(answer: &Answer) -> &Reason {
    match answer {
        Answer::Refuse(reason) => reason,
        other => panic!("{other:?} is no refusal"),
    }
}

#[test]
fn golden_plugins_do_what_api_1_0_has() {
    for (minor, placement) in all(0) {
        let mut scene = Scene::new(minor, placement);
        sees_its_surroundings(&mut scene);
        waits(&mut scene);
        opens_channels(&mut scene);
        takes_channels(&mut scene);
        holds_back(&mut scene);
        ends_channels(&mut scene);
        fails_alone(&mut scene);
        println!("API 1.{minor}, {placement}: all of 1.0 works");
    }
}

/// Each golden plugin from a minor version on, in each place.
fn all(from: u64) -> impl Iterator<Item = (u64, &'static str)> {
    (from..=newest()).flat_map(|minor| PLACEMENTS.map(|placement| (minor, placement)))
}

fn sees_its_surroundings(scene: &mut Scene) {
    let key = scene.alpha.key();
    let version = 10 + scene.minor;
    scene.answers("greet", "hi");
    scene.answers("about", &format!("golden {version} at alpha {key}"));
    let status = scene.alpha.status();
    assert_eq!(status.plugin("golden").map(|golden| golden.version), Some(version));
    scene.answers("links", "peer");
    scene.answers("directory", &format!("calls-1-here echo-1-here golden-{version}-here"));
    scene.answers("log such words", "logged");
    let line = scene.alpha.log().wait_for(0, "such words");
    assert!(line.contains("WARN  plugin::golden] such words"), "{line}");
    scene.logs("opened by test 1, local false, ours false: Commands");
    scene.logs("golden starts as golden");
}

fn waits(scene: &mut Scene) {
    scene.answers("timer", "fired, cancelled too: false");
    scene.answers("watch", "bytes, same true, readable true");
    scene.answers("wake", "woken");
}

fn opens_channels(scene: &mut Scene) {
    for target in ["echo 0", "echo 1", "echo@here 1", "echo@alpha 1"] {
        scene.answers(&format!("open {target} some text"), "some text, ended in order");
    }
    for (target, code) in [
        ("echo 2", "version-too-low"),
        ("nobody 0", "unknown-plugin"),
        ("echo@zeta 0", "unknown-server"),
    ] {
        // In a process of its own it may be its server that knows.
        let answer = scene.peer.ask(scene.chan, &format!("open {target} some text"));
        let later = format!(", ended server {code}: ");
        let told = answer == format!("refused at once {code}") || answer.starts_with(&later);
        assert!(told, "API 1.{}: {target}: {answer}", scene.minor);
    }
    // More than there is room for at once.
    scene.answers("pour 300000", &".".repeat(300_000));
}

fn takes_channels(scene: &mut Scene) {
    scene.answers("next join", "next");
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    scene.peer.echo("golden", &bytes);

    let refused = scene.next("refuse");
    let answer = scene.answer_to(refused);
    assert_eq!(refusal(&answer), &Reason::plugin("not-now", "as it was told"));
    let refused = scene.next("refuse-later");
    let answer = scene.answer_to(refused);
    assert_eq!(refusal(&answer), &Reason::plugin("not-later", "as it was told"));
    let accepted = scene.next("accept-later");
    assert_eq!(scene.answer_to(accepted), Answer::Accept(None));
    assert_eq!(scene.peer.ask(accepted, "greet"), "hi");
}

fn holds_back(scene: &mut Scene) {
    let held = scene.next("hold");
    assert_eq!(scene.answer_to(held), Answer::Accept(None));
    let deadline = Instant::now() + PATIENCE;
    let (mut written, mut heard) = (0, 0);
    // What the answer grants may come behind it.
    while heard < FIRST_WINDOW - PREFACE_MAX || scene.peer.credit_of(held) > 0 {
        written += scene.peer.write_out(held);
        heard = scene.peer.ask(scene.chan, "held").parse().expect("a number");
        assert!(Instant::now() < deadline, "of {written} bytes it has had {heard}");
    }
    assert!(written <= FIRST_WINDOW, "{written} bytes: what is held is not consumed");
    scene.answers(&format!("consumed {heard}"), "consumed");
    while scene.peer.credit_of(held) == 0 {
        scene.peer.wait_for("credit", |event| *event == PeerEvent::Credit(held.tag));
    }
}

fn ends_channels(scene: &mut Scene) {
    let aborted = scene.next("abort");
    scene.peer.write(aborted, b"x");
    let is_end = |event: &PeerEvent| match event {
        PeerEvent::Message(Message::Closing(closing)) => closing.stream == aborted.stream.0,
        _ => false,
    };
    match scene.peer.wait_for("the end of the channel", is_end) {
        PeerEvent::Message(Message::Closing(closing)) => {
            assert_eq!(closing.reason, Reason::plugin("enough", "as it was told"));
        }
        other => panic!("{other:?} is no end"),
    }
    scene.logs("ended: plugin enough: as it was told");

    let stopped = scene.next("stop-read");
    scene.peer.write(stopped, b"x");
    scene.peer.wait_for("stop-read", |event| *event == PeerEvent::StopRead(stopped.tag));

    let other = scene.peer.open("golden");
    assert_eq!(scene.peer.ask(other, "greet"), "hi");
    scene.peer.stop_read(other);
    scene.logs("the other end reads no more");
    scene.peer.close(other);
    scene.logs("closed by the other end");
    scene.peer.wait_for("its end", |event| *event == PeerEvent::Gone(other.tag));
    scene.logs("ended: in order");
}

fn fails_alone(scene: &mut Scene) {
    let Scene { peer, alpha, chan, minor, .. } = scene;
    peer.write(*chan, b"panic with these words\n");
    // A process starts it again, so that the log is what tells.
    let line = alpha.log().wait_for(0, "with these words");
    assert!(line.contains("golden"), "API 1.{minor}: {line}");
    peer.wait_for("the end of the channel", |event| *event == PeerEvent::Gone(chan.tag));
    peer.echo("echo", b"nobody else is harmed");
}

#[test]
fn golden_plugins_do_what_api_1_1_has() {
    for (minor, placement) in all(1) {
        let mut scene = Scene::new(minor, placement);
        let (key, other) = (scene.alpha.key(), scene.beta.key());
        let own = format!("done net:alpha.example:8008~shs:{key}");
        scene.answers("addresses public", &own);
        scene.answers("addresses local", &own);
        scene.answers("uses something", "done something");
        scene.answers("uses No Name", "refused bad-name");
        scene.answers("invites far", "done far");
        scene.answers("invites No Name", "refused bad-name");
        scene.answers("open-link nonsense", "refused bad-address");
        scene.answers("close-link nobody", "refused unknown-server");

        // It has invited what it finds there, so that there is a channel at once.
        let at = scene.beta.tcp_address();
        scene.answers(&format!("open-link net:{at}~shs:{other}"), &format!("done {other}"));
        scene.logs(&format!("up: beta {other}"));
        scene.logs("appeared: far-1-elsewhere");
        scene.logs("opened by far 1, local false, ours false: Commands");
        scene.answers("links", "beta peer");
        scene.answers("open far@beta 1 some text", "some text, ended in order");
        scene.answers("close-link beta", &format!("done {other}"));
        scene.logs("down: beta link-closed");
        scene.logs("left: far-1-elsewhere");
        println!("API 1.{minor}, {placement}: all of 1.1 works");
    }
}

#[test]
fn golden_plugins_do_what_api_1_2_has() {
    for (minor, placement) in all(2) {
        let mut scene = Scene::new(minor, placement);
        scene.answers("call calls 10000 say words", "answered words");
        scene.answers("call calls 10000 later 1", "answered late");
        scene.answers("call calls 10000 refuse it", "refused not-this");
        scene.answers("call calls 0 say words", "deadline");
        scene.answers("call calls 20 never", "deadline");
        scene.answers("call nobody 10000 x", "refused unknown-plugin");
        scene.answers("call echo 10000 x", "refused no-calls");
        scene.answers("call golden 10000 say words", "answered words to golden");
        scene.peer.write(scene.chan, b"call calls 60000 never\n");
        scene.answers("cancel", "cancelled");

        let calls = scene.peer.open("calls");
        let mut asks = |line: &str| scene.peer.ask(calls, line);
        let outcome = |line: String| line.split_once(' ').map(|(_, rest)| rest.to_owned());
        let mut calls_golden =
            |request: &str| outcome(asks(&format!("call golden 10000 {request}")));
        assert_eq!(calls_golden("say hello").as_deref(), Some("answered hello to calls"));
        assert_eq!(calls_golden("later").as_deref(), Some("answered late"));
        let refused = calls_golden("something else").expect("an outcome");
        assert!(refused.starts_with("refused not-this"), "{refused}");
        assert_eq!(outcome(asks("call golden 20 never")).as_deref(), Some("deadline"));
        scene.logs("cancelled, known: true");

        scene.answers("call calls 10000 panic now", "lost plugin-failed");
        println!("API 1.{minor}, {placement}: all of 1.2 works");
    }
}

#[test]
fn golden_plugins_do_what_api_1_3_has() {
    for (minor, placement) in all(3) {
        let mut scene = Scene::new(minor, placement);
        let folder = scene.folder.path().display().to_string();
        scene.answers("data", &format!("done {folder}/alpha.state/data/golden"));
        scene.answers("keep words", "done words");
        scene.answers("kept", "done words");
        scene.answers("path words.txt", &format!("done {folder}/words.txt"));
        scene.answers("path /words.txt", "done /words.txt");
        println!("API 1.{minor}, {placement}: all of 1.3 works");
    }
}

#[test]
fn what_a_version_does_not_have_is_refused() {
    for placement in PLACEMENTS {
        let mut scene = Scene::new(0, placement);
        scene.answers("addresses local", "what?");
        let calls = scene.peer.open("calls");
        let line = scene.peer.ask(calls, "call golden 10000 say hello");
        assert!(line.contains("refused no-calls"), "{line}");
        let mut scene = Scene::new(1, placement);
        scene.answers("call calls 10000 say hello", "what?");
        let mut scene = Scene::new(2, placement);
        scene.answers("data", "what?");
    }
}

#[test]
fn golden_plugins_start_and_stop_in_order() {
    for (minor, placement) in all(0) {
        let folder = Folder::new();
        let lines = |greeting: &str| {
            format!("placement = {placement:?}\n[plugin.config]\ngreeting = {greeting:?}")
        };
        let setup = Setup::new("alpha")
            .plugin(&file(minor), &lines("hi"))
            .plugin(&file(minor), &format!("name = \"silent\"\n{}", lines("none")));
        let mut alpha = Server::start(&folder, &setup);
        let status = alpha.wait_until("one runs, and one does not", |status| {
            status.is("golden", "running") && status.is("silent", "failed")
        });
        let reason = status.plugin("silent").and_then(|silent| silent.reason.clone());
        let reason = reason.unwrap_or_default();
        assert!(reason.contains("it was told to greet nobody"), "API 1.{minor}: {reason}");
        assert!(alpha.command("stop", &[]).status.success());
        assert_eq!(alpha.wait_for_end(), 0, "API 1.{minor}, {placement}");
        alpha.log().wait_for(0, " plugin::golden] golden stops");
    }
}
