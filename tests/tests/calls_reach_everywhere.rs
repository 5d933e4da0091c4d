//! Calls from and to every placement: each has one outcome, whatever its callee does.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use rustix::process::Signal;
use std::path::PathBuf;
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Chan, Peer, Server, Setup, Socket, Status};

fn calls() -> PathBuf {
    fixtures::plugin(Api::Ours, "calls")
}

/// A client that has plugins make calls.
struct Asker {
    peer: Peer,
    chan: Chan,
}

impl Asker {
    fn new(server: &Server, plugin: &str, key: u8) -> Asker {
        let mut peer = Peer::link(Socket::unix(server), key);
        let chan = peer.open(plugin);
        Asker { peer, chan }
    }

    fn ask(&mut self, line: &str) -> String {
        self.peer.ask(self.chan, line)
    }

    /// The outcome of a call with a deadline of ten seconds.
    fn call(&mut self, callee: &str, request: &str) -> String {
        self.ask(&format!("call {callee} 10000 {request}"))
    }
}

fn named(name: &str, placement: &str) -> String {
    format!("name = \"{name}\"\nplacement = \"{placement}\"")
}

fn runs_all(status: &Status, names: &[&str]) -> bool {
    names.iter().all(|name| status.is(name, "running"))
}

/// A server with callers and callees of all kinds, one of its hosts, and another server.
struct Scene {
    alpha: Server,
    _host: Server,
    beta: Server,
    _folder: Folder,
}

impl Scene {
    fn new() -> Scene {
        let folder = Folder::new();
        let beta = Setup::new("beta").plugin(&calls(), &named("far", "inline"));
        let beta = Server::start(&folder, &beta);
        let advertised = |place: &str| format!("\nadvertise = [\"{place}\"]");
        let alpha = Setup::new("alpha")
            .peer("beta")
            .keep()
            .plugin(&calls(), &named("caller", "inline"))
            .plugin(&calls(), &named("hosted-caller", "process"))
            .plugin(&calls(), &named("inline", "inline"))
            .plugin(&calls(), &named("thread", "thread"))
            .plugin(&calls(), &named("process", "process"))
            .plugin(&calls(), &(named("unix", "process") + &advertised("unix")))
            .plugin(&calls(), &(named("tcp", "process") + &advertised("net:127.0.0.1:0")));
        let alpha = Server::start(&folder, &alpha);
        let host = Setup::host("gamma", "unix:alpha.sock");
        let host = host.plugin(&calls(), "name = \"host\"");
        let host = Server::start(&folder, &host);
        alpha.wait_until("all of them run", |status| {
            let hosted = ["hosted-caller", "thread", "process", "unix", "tcp", "host"];
            runs_all(status, &hosted) && status.knows_remote("far")
        });
        Scene { alpha, _host: host, beta, _folder: folder }
    }
}

#[test]
fn one_caller_reaches_callees_in_every_placement() {
    let scene = Scene::new();
    let everywhere = ["inline", "thread", "process", "unix", "tcp", "host", "far"];
    for (caller, key) in [("caller", 9), ("hosted-caller", 8)] {
        let mut asker = Asker::new(&scene.alpha, caller, key);
        for callee in everywhere {
            let when = if (caller, callee) == ("caller", "inline") { "now" } else { "later" };
            let local = callee != "far";
            let expected = format!("{when} answered {caller} 1 {local}");
            assert_eq!(asker.call(callee, "who"), expected, "{caller} calls {callee}");
            let refused = format!("{when} refused not-this: whatever");
            assert_eq!(asker.call(callee, "refuse whatever"), refused, "{caller} calls {callee}");
            assert_eq!(asker.call(callee, "twice once"), format!("{when} answered once"));
            assert_eq!(asker.call(callee, "later 20"), "later answered late", "{callee}");
            let long = asker.ask(&format!("long {callee} 3000000"));
            assert_eq!(long, format!("{when} answered 3000000 bytes"), "{callee}");
            let long = asker.call(callee, "size 3000000");
            assert_eq!(long, format!("{when} answered with 3000000 bytes"), "{callee}");
        }
    }
}

#[test]
fn a_call_takes_the_same_route_as_a_channel() {
    let scene = Scene::new();
    let mut asker = Asker::new(&scene.alpha, "hosted-caller", 8);
    for callee in ["inline", "process", "unix", "tcp", "far"] {
        asker.call(callee, "who");
    }
    let state = scene.alpha.socket().with_file_name("alpha.state");
    let status = scene.alpha.command("status", &["--json"]);
    let text = String::from_utf8(status.stdout).expect("JSON is text");
    for (callee, route) in [("inline", "link"), ("process", "relay"), ("far", "relay")] {
        let of = |text: &str| text.contains(&format!("\"to\":\"{callee}@"));
        let channel = text.split("{\"id\":").find(|channel| of(channel));
        let channel = channel.unwrap_or_else(|| panic!("{callee} has no stream in {text}"));
        assert!(channel.contains(&format!("\"route\":\"{route}\"")), "{callee}: {channel}");
    }
    for (callee, route) in [("unix", "unix"), ("tcp", "tcp")] {
        let explained = scene.alpha.command("explain", &["hosted-caller", callee]);
        let explained = String::from_utf8_lossy(&explained.stdout).into_owned();
        let line = format!("connected, over {route}");
        assert!(explained.contains(&line), "{callee}, in {}: {explained}", state.display());
    }
}

#[test]
fn a_running_plugin_is_never_reentered() {
    let scene = Scene::new();
    let mut asker = Asker::new(&scene.alpha, "caller", 9);
    // The callee calls its caller, which is on the stack, and answers after that call.
    let back = asker.call("inline", "ask caller who");
    assert_eq!(back, "later answered later answered inline 1 true");
    let itself = asker.call("caller", "say hello");
    assert_eq!(itself, "later answered hello");
    let through = asker.call("inline", "ask process ask far who");
    assert_eq!(through, "later answered later answered later answered process 1 false");
}

#[test]
fn calls_between_two_plugins_begin_in_order() {
    let folder = Folder::new();
    let names = ["caller", "first", "second"];
    let setup = names
        .iter()
        .fold(Setup::new("alpha"), |setup, name| setup.plugin(&calls(), &named(name, "inline")));
    let alpha = Server::start(&folder, &setup);
    let mut asker = Asker::new(&alpha, "caller", 9);
    // `second` is on the stack when `first` calls it for the first time, and not the second time.
    let lines = b"call second 10000 ask first ask second who\ncall first 10000 ask second who\n";
    assert_eq!(asker.peer.write(asker.chan, lines), lines.len());
    let mut answers = [(); 2].map(|()| asker.peer.next_line(asker.chan));
    answers.sort_unstable();
    let once = "later answered later answered first 1 true".to_owned();
    assert_eq!(answers, [once.clone(), format!("later answered {once}")]);
}

#[test]
fn an_impossible_call_is_refused_with_its_reason() {
    let folder = Folder::new();
    let alpha = Setup::new("alpha")
        .limit("call-size = 2000000")
        .plugin(&calls(), &named("caller", "inline"))
        .plugin(&calls(), &named("inline", "inline"))
        .plugin(&calls(), &named("process", "process"))
        .plugin(&trunkline_tests::binaries::plugin("echo"), "");
    let alpha = Server::start(&folder, &alpha);
    alpha.wait_until("all of them run", |status| runs_all(status, &["process", "echo"]));
    let mut asker = Asker::new(&alpha, "caller", 9);
    let unknown = asker.call("nobody", "who");
    assert_eq!(unknown, "now refused unknown-plugin: no plugin nobody is known here");
    let bad = asker.call("No.Name", "who");
    let rule = "now refused unknown-plugin: a name must begin with a letter";
    assert!(bad.starts_with(rule), "{bad}");
    assert_eq!(asker.ask("call inline 0 say hello"), "now deadline", "zero is past");
    assert_eq!(asker.ask("call process 0 say hello"), "now deadline", "zero is past");
    let none = asker.call("echo", "who");
    assert_eq!(none, "now refused no-calls: this plugin accepts no calls");
    for callee in ["inline", "process"] {
        let long = asker.ask(&format!("long {callee} 1073741824"));
        let expected = "now refused limit-reached: the request has 1073741824 bytes, at most \
                        2000000 are taken";
        assert_eq!(long, expected, "1 GiB");
        let when = if callee == "inline" { "now" } else { "later" };
        let long = asker.call(callee, "size 2000001");
        let expected = format!(
            "{when} lost limit-reached: the answer has 2000001 bytes, at most 2000000 are taken"
        );
        assert_eq!(long, expected, "{callee}");
    }
    let status = alpha.command("status", &["--json"]);
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains("\"call-size\":{\"max\":2000000,\"reached\":"), "{status}");
}

#[test]
fn a_million_unanswered_calls_are_bounded() {
    let folder = Folder::new();
    let alpha = Setup::new("alpha")
        .plugin(&calls(), &named("caller", "inline"))
        .plugin(&calls(), &named("inline", "inline"))
        .plugin(&calls(), &named("process", "process"));
    let alpha = Server::start(&folder, &alpha);
    alpha.wait_until("all of them run", |status| runs_all(status, &["process"]));
    let mut asker = Asker::new(&alpha, "caller", 9);
    let expected = "65536 pending, 934464 over, at last refused too-many-calls: caller waits for \
                    65536 calls, as many as a plugin may";
    assert_eq!(asker.ask("flood inline 1000000"), expected);
    let status = alpha.status();
    let shown = ["caller", "inline", "process"].map(|name| {
        let plugin = status.plugins.iter().find(|plugin| plugin.name == name).expect("it runs");
        (plugin.calls_made, plugin.calls_to_answer)
    });
    let elsewhere = (None, None);
    assert_eq!(shown, [(Some(65536), Some(0)), (Some(0), Some(65536)), elsewhere]);
    // Others still call.
    let mut other = Asker::new(&alpha, "process", 8);
    let refused = other.call("inline", "say hello");
    let expected = "later refused too-many-calls: inline has 65536 calls to answer, as many as a \
                    plugin may have";
    assert_eq!(refused, expected);
    assert_eq!(other.call("process", "say hello"), "later answered hello");
}

#[test]
fn waiting_answers_are_bounded_in_every_placement() {
    let scene = Scene::new();
    for callee in ["inline", "process"] {
        let mut asker = Asker::new(&scene.alpha, "caller", 9);
        for _ in 0..6 {
            asker.peer.write(asker.chan, format!("call {callee} 60000 never\n").as_bytes());
        }
        // Four fit in 64 MiB.
        let mut lines = vec![asker.call(callee, "release 16000000")];
        lines.extend((0..6).map(|_| asker.peer.next_line(asker.chan)));
        lines.retain(|line| !line.ends_with(" answered released"));
        lines.sort_unstable();
        let (answered, others) = lines.split_at(4);
        let all = answered.iter().all(|line| line == "later answered with 16000000 bytes");
        let lost = others.iter().filter(|line| line.starts_with("later lost too-many-calls: "));
        assert!(all && lost.count() == 2, "{callee}: {lines:#?}");
    }
}

#[test]
fn calls_to_a_failed_or_stopped_callee_are_lost_with_its_reason() {
    for placement in ["inline", "process"] {
        let folder = Folder::new();
        let alpha = Setup::new("alpha")
            .plugin(&calls(), &named("caller", "inline"))
            .plugin(&calls(), &(named("fails", placement) + "\nrestart = \"never\""))
            .plugin(&calls(), &(named("leaves", "process") + "\nrestart = \"never\""));
        let alpha = Server::start(&folder, &alpha);
        alpha.wait_until("all of them run", |status| runs_all(status, &["fails", "leaves"]));
        let mut asker = Asker::new(&alpha, "caller", 9);
        let failed = asker.call("fails", "panic now");
        let (when, code) = match placement {
            "inline" => ("now", "plugin-failed"),
            _ => ("later", "plugin-failed"),
        };
        assert!(failed.starts_with(&format!("{when} lost {code}: ")), "{placement}: {failed}");
        assert!(failed.contains("it was told to: now"), "{placement}: {failed}");
        let gone = asker.call("fails", "say hello");
        assert!(gone.starts_with("now refused unknown-plugin: "), "{placement}: {gone}");

        let children = alpha.process().children();
        asker.peer.write(asker.chan, b"call leaves 10000 never\n");
        asker.peer.flush();
        let mut witness = Asker::new(&alpha, "caller", 7);
        assert_eq!(witness.call("leaves", "open"), "later answered 1 open, 0 cancelled");
        // The one of the plugin that failed may have ended since.
        let killed = children.iter().filter(|child| child.signal(Signal::KILL)).count();
        assert!(killed > 0, "the plugin that leaves had a process");
        let lost = asker.peer.next_line(asker.chan);
        assert!(lost.starts_with("later lost host-lost: "), "{placement}: {lost}");
    }
}

#[test]
fn answers_given_before_a_panic_arrive() {
    for caller in ["caller", "hosted-caller"] {
        let scene = Scene::new();
        for callee in ["inline", "thread", "process", "unix", "tcp", "host", "far"] {
            let mut asker = Asker::new(&scene.alpha, caller, 9);
            // All three are made before the callee receives the first.
            let made = ["say a", "say b", "panic now"];
            let made = made.map(|request| format!("call {callee} 10000 {request}\n")).concat();
            asker.peer.write(asker.chan, made.as_bytes());
            let told: Vec<String> = (0..3).map(|_| asker.peer.next_line(asker.chan)).collect();
            let when = if (caller, callee) == ("caller", "inline") { "now" } else { "later" };
            let answered = ["a", "b"].map(|what| format!("{when} answered {what}"));
            assert_eq!(told[..2], answered, "{caller} calls {callee}");
            let lost = format!("{when} lost plugin-failed: ");
            assert!(told[2].starts_with(&lost), "{caller} calls {callee}: {}", told[2]);
            // Its own text is not for other servers, to which a direct connection may lead.
            let said = told[2].contains("it was told to: now");
            if !matches!(callee, "unix" | "tcp") {
                assert_eq!(said, callee != "far", "{caller} calls {callee}: {}", told[2]);
            }
        }
    }
}

#[test]
fn answers_given_in_stop_arrive_while_the_caller_runs() {
    for callee in ["inline", "process", "far"] {
        let scene = Scene::new();
        let Scene { alpha, beta, .. } = &scene;
        let mut asker = Asker::new(alpha, "caller", 9);
        asker.peer.write(asker.chan, format!("call {callee} 60000 never\n").as_bytes());
        let mut witness = Asker::new(alpha, "caller", 7);
        assert!(witness.call(callee, "open").ends_with("answered 1 open, 0 cancelled"));
        // The callee ends before the caller.
        match callee {
            "inline" => alpha.signal(Signal::TERM),
            "far" => beta.signal(Signal::TERM),
            _ => {
                let children = alpha.process().children();
                let told = children.iter().filter(|child| child.signal(Signal::TERM)).count();
                assert!(told > 0, "{callee} has a process");
            }
        }
        alpha.log().wait_for(0, "told: later answered at the end");
    }
}

#[test]
fn the_callee_is_notified_when_the_caller_stops_waiting() {
    let scene = Scene::new();
    for callee in ["inline", "process", "far"] {
        let mut asker = Asker::new(&scene.alpha, "caller", 9);
        let cancelled = asker.ask(&format!("call {callee} 60000 never\ncancel"));
        assert_eq!(cancelled, "later cancelled", "{callee}");
        assert_eq!(asker.ask(&format!("call {callee} 30 never")), "later deadline", "{callee}");
        let open = asker.call(callee, "open");
        let told = open.ends_with("answered 0 open, 2 cancelled");
        assert!(told, "{callee} heard of both: {open}");
    }
}

#[test]
fn the_samples_call_each_other_within_a_server_and_across_two() {
    let folder = Folder::new();
    let sample = trunkline_tests::binaries::plugin;
    let alpha = Setup::new("alpha").plugin(&sample("clock"), "");
    let alpha = alpha.plugin(&sample("poll"), "[plugin.config]\nevery-ms = 20");
    let alpha = Server::start(&folder, &alpha);
    let beta = Setup::new("beta").peer("alpha");
    let far = "[plugin.config]\nevery-ms = 20\nserver = \"alpha\"";
    let beta = Server::start(&folder, &beta.plugin(&sample("poll"), far));
    for server in [&alpha, &beta] {
        let line = server.log().wait_for(0, "plugin::poll] poll clock: 1");
        let seconds: u64 = line.rsplit(' ').next().and_then(|s| s.parse().ok()).expect("a number");
        assert!(seconds > 1_700_000_000, "{line}");
    }
    drop(alpha);
    beta.log().wait_for(0, "plugin::poll] poll clock: the call was ");
}

#[test]
fn a_long_request_does_not_delay_a_short_one() {
    let scene = Scene::new();
    let mut asker = Asker::new(&scene.alpha, "caller", 9);
    // Both are on their way at once; the later one is answered first.
    let first = asker.ask("long far 16000000\ncall far 10000 say short");
    assert_eq!(first, "later answered short");
}
