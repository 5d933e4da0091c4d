//! One plugin file inline, on a thread, in a process and in hosts: others reach it in every
//! placement, and its view and rights are the same.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use std::path::Path;
use trunkline_core::key::Key;
use trunkline_tests::binaries::plugin;
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Chan, Peer, Server, Setup, Socket, Status};

/// The placements of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Home {
    Inline,
    Thread,
    Process,
    /// In a host that dials its server's unix socket.
    Near,
    /// In a host that proves its key over TCP.
    Secured,
}

use Home::{Inline, Near, Process, Secured, Thread};

const HOMES: [Home; 5] = [Inline, Thread, Process, Near, Secured];

impl Home {
    /// The word for it in the server's status.
    fn placement(self) -> &'static str {
        match self {
            Inline => "inline",
            Thread => "thread",
            Process => "process",
            Near | Secured => "remote",
        }
    }
}

/// A server, one of whose plugins runs where the test says.
struct Scene {
    host: Option<Server>,
    alpha: Server,
}

impl Scene {
    /// `lines` are those of the plugin's table, and then of its configuration.
    fn new(folder: &Folder, alpha: Setup, home: Home, file: &Path, lines: &str) -> Scene {
        let place = format!("placement = \"{}\"\n{lines}", home.placement());
        let key = Setup::host("gamma", "").key_in(folder);
        match home {
            Inline | Thread | Process => {
                let alpha = Server::start(folder, &alpha.plugin(file, &place));
                Scene { host: None, alpha }
            }
            Near => {
                let alpha = Server::start(folder, &alpha);
                let host = Setup::host("gamma", "unix:alpha.sock").plugin(file, lines);
                Scene { host: Some(Server::start(folder, &host)), alpha }
            }
            Secured => {
                let alpha = Server::start(folder, &alpha.secured().host_key(key));
                let at = format!("net:{}~shs:{}", alpha.tcp_address(), alpha.key());
                let host = Setup::host("gamma", &at).plugin(file, lines);
                Scene { host: Some(Server::start(folder, &host)), alpha }
            }
        }
    }

    fn wait_for(&self, name: &str) -> Status {
        self.alpha.wait_until(&format!("{name} runs"), |status| status.is(name, "running"))
    }

    /// The process in whose log the plugin's lines are.
    fn owner(&self) -> &Server {
        self.host.as_ref().unwrap_or(&self.alpha)
    }
}

fn obeys() -> std::path::PathBuf {
    fixtures::plugin(Api::Ours, "obeys")
}

/// The routes of the channels to `echo`, as a process shows them: the opener and the route of each.
fn routes(status: &Status) -> Vec<(String, String)> {
    let to_echo = status.channels.iter().filter(|channel| channel.to.starts_with("echo@"));
    let name = |from: &str| from.split('@').next().unwrap_or_default().to_string();
    let mut routes: Vec<_> = to_echo.map(|c| (name(&c.from), c.route.clone())).collect();
    routes.sort();
    routes
}

#[test]
fn an_echo_answers_in_every_placement() {
    for home in HOMES {
        let folder = Folder::new();
        let other = "placement = \"process\"\nname = \"other\"";
        let setup = Setup::new("alpha").plugin(&obeys(), "").plugin(&obeys(), other);
        let scene = Scene::new(&folder, setup, home, &plugin("echo"), "");
        scene.wait_for("other");
        let status = scene.wait_for("echo");
        let echo = status.plugin("echo").expect("it is there");
        assert_eq!((echo.placement.as_str(), echo.version), (home.placement(), 1), "{home:?}");

        let mut peer = Peer::link(Socket::unix(&scene.alpha), 9);
        let bytes: Vec<u8> = (0..=255).cycle().take(1_000_000).collect();
        peer.echo("echo", &bytes);
        for (asker, text) in [("obeys", "from inline"), ("other", "from a process")] {
            let chan = peer.open(asker);
            let answer = peer.ask(chan, &format!("ask echo {text}"));
            assert_eq!(answer, format!("done: {text}"), "{home:?}");
        }
        // The channels of both are still open, and one of the peer's own is added.
        let chan = peer.open("echo");
        assert_eq!(peer.ask(chan, "a line"), "a line", "{home:?}");
        let (obeys, other) = match home {
            Inline => ("local", "link"),
            _ => ("link", "relay"),
        };
        let expected = [("obeys", obeys), ("other", other), ("test", "link")];
        let expected = expected.map(|(from, route)| (from.to_string(), route.to_string()));
        let shown = scene.alpha.status();
        assert_eq!(routes(&shown), expected, "{home:?}: {:#?}", shown.channels);
        let channels = shown.plugin("echo").map(|echo| echo.channels);
        assert_eq!(channels, Some(3), "{home:?}: {:#?}", shown.channels);
        if let Some(host) = &scene.host {
            let own = host.status();
            assert_eq!(routes(&own), expected, "{home:?}, in the host: {:#?}", own.channels);
            let echo = own.plugins.iter().find(|plugin| plugin.name == "echo");
            let shown =
                echo.map(|echo| (echo.placement.as_str(), echo.state.as_str(), echo.channels));
            assert_eq!(shown, Some(("inline", "running", 3)), "{home:?}: {own:#?}");
            assert_eq!(own.link_to("alpha").map(|link| link.role.as_str()), Some("server"));
            let link = scene.alpha.status().link_to("gamma").map(|link| link.role.clone());
            assert_eq!(link.as_deref(), Some("host"), "{home:?}");
        }
        println!("{home:?}: 1 MB echoed; routes {expected:?}");
    }
}

/// The commands for a plugin that may manage links, in this order, with the expected answers.
fn commands(alpha: Key, beta: &Server) -> Vec<(String, String)> {
    let at = beta.tcp_address();
    let open = format!("open net:{at}~shs:{}", beta.key());
    let own = format!("net:alpha.example:8008~shs:{alpha}");
    let table = [
        ("name", "done: mine".to_string()),
        ("server", format!("done: alpha {alpha}")),
        ("links", "done: peer".into()),
        ("directory", "done: echo-1-here mine-1-here".into()),
        ("addresses local", format!("done: {own}")),
        ("addresses public", format!("done: {own}")),
        ("timer 1", "done: fired".into()),
        ("ask echo hello there", "done: hello there".into()),
        ("ask nobody hello", "unknown-plugin: ".into()),
        ("uses nobody", "done: nobody".into()),
        ("uses No Name", "bad-name: ".into()),
        ("open nonsense", "bad-address: ".into()),
        ("open unix:beta.sock~noauth", "bad-address: ".into()),
        (&*format!("open net:{at}~shs:{alpha}"), "self-link: ".into()),
        ("close nobody", "unknown-server: ".into()),
        (&*open, format!("done: {}", beta.key())),
    ];
    table.map(|(command, answer)| (command.to_string(), answer)).to_vec()
}

#[test]
fn a_plugin_has_the_same_view_and_rights_in_every_placement() {
    for home in HOMES {
        let folder = Folder::new();
        let alpha = Setup::new("alpha")
            .server("announce = [\"net:alpha.example:8008\"]")
            .plugin(&plugin("echo"), "");
        let alpha_key = alpha.key_in(&folder);
        let beta = Setup::new("beta").secured().peer_key(alpha_key);
        let beta = Server::start(&folder, &beta.plugin(&plugin("echo"), "name = \"far\""));
        let lines = "name = \"mine\"\nallow = [\"links\"]\n[plugin.config]\nfirst = [\"server\"]";
        let scene = Scene::new(&folder, alpha, home, &obeys(), lines);
        scene.wait_for("mine");
        let log = scene.owner().log();
        // Its configuration came with it, and its server was known before it started.
        log.wait_for(0, &format!("at the start: done: alpha {alpha_key}"));

        let mut peer = Peer::link_as(Socket::unix(&scene.alpha), 9, "peer");
        log.wait_for(0, "plugin::mine] up: peer ");
        let chan = peer.open("mine");
        for (command, expected) in commands(alpha_key, &beta) {
            let answer = peer.ask(chan, &command);
            let good = match expected.ends_with(": ") {
                true => answer.starts_with(&expected),
                false => answer == expected,
            };
            assert!(good, "{home:?}: {command:?} is answered by {answer:?}, not {expected:?}");
        }
        log.wait_for(0, &format!("up: beta {}", beta.key()));
        log.wait_for(0, "appeared: far-1-elsewhere");
        close_again(&scene, &mut peer, chan, &beta);
        println!("{home:?}: all commands are answered alike");
    }
}

/// The plugin closes the link to beta that it opened, and is notified.
fn close_again(scene: &Scene, peer: &mut Peer, chan: Chan, beta: &Server) {
    scene.alpha.wait_until("the link is shown", |status| status.link_to("beta").is_some());
    assert_eq!(peer.ask(chan, "links"), "done: beta peer");
    assert_eq!(peer.ask(chan, "ask far hello"), "done: hello");
    let mark = scene.owner().log().mark();
    assert_eq!(peer.ask(chan, "close beta"), format!("done: {}", beta.key()));
    let down = format!("down: {} link-closed: the plugin mine closed it", beta.key());
    scene.owner().log().wait_for(mark, &down);
    scene.owner().log().wait_for(mark, "left: far-1-elsewhere");
    assert!(scene.alpha.status().link_to("beta").is_none());
    let ended = "a channel that it opened ended: ";
    let line = scene.owner().log().wait_for(mark, ended);
    assert!(line.contains("link-lost: ") || line.contains("link-closed: "), "{line}");
}

#[test]
fn managing_links_needs_permission_in_every_placement() {
    for home in HOMES {
        let folder = Folder::new();
        let scene = Scene::new(&folder, Setup::new("alpha"), home, &obeys(), "");
        scene.wait_for("obeys");
        let mut peer = Peer::link_as(Socket::unix(&scene.alpha), 9, "peer");
        let chan = peer.open("obeys");
        for command in ["open net:127.0.0.1:1~shs:AAAA", "close peer"] {
            let answer = peer.ask(chan, command);
            assert!(answer.starts_with("not-allowed: "), "{home:?}: {command}: {answer}");
        }
        assert!(scene.alpha.status().link_to("peer").is_some());
    }
}

#[test]
fn a_use_keeps_the_link_in_every_placement() {
    for home in HOMES {
        let folder = Folder::new();
        let alpha = Setup::new("alpha").nothing_in_common_ms(300).peer("beta").peer("clock");
        let serve = |name: &str, plugin_name: &str| {
            let setup = Setup::new(name).nothing_in_common_ms(300);
            Server::start(&folder, &setup.plugin(&plugin("echo"), plugin_name))
        };
        let beta = serve("beta", "name = \"wanted\"");
        let lines = "[plugin.config]\nfirst = [\"uses wanted\"]";
        let scene = Scene::new(&folder, alpha, home, &obeys(), lines);
        scene.wait_for("obeys");
        scene.alpha.wait_until("beta is linked", |status| status.link_to("beta").is_some());
        // No plugins use the link to this one. When it has ended, so would beta's.
        let mark = beta.log().mark();
        let clock = serve("clock", "name = \"unwanted\"");
        clock.log().wait_for(0, " ended: nothing-in-common");
        let status = scene.alpha.status();
        assert!(status.link_to("beta").is_some(), "{home:?}: {status:#?}");
        let lines = beta.log().since(mark);
        let ended = lines.iter().find(|line| line.contains("nothing-in-common"));
        assert_eq!(ended, None, "{home:?}");
    }
}

#[test]
fn a_plugins_stdio_does_not_disturb_the_protocol() {
    for home in [Thread, Process, Near] {
        let folder = Folder::new();
        let harms = fixtures::plugin(Api::Ours, "harms");
        let config = "[plugin.config]\nfirst = \"read\"";
        let scene = Scene::new(&folder, Setup::new("alpha"), home, &harms, config);
        scene.wait_for("harms");
        scene.owner().log().wait_for(0, "at the start: Ok(0)");
        let mut peer = Peer::link(Socket::unix(&scene.alpha), 9);
        let chan = peer.open("harms");
        for _ in 0..3 {
            assert_eq!(peer.ask(chan, "print"), "Ok(())", "{home:?}");
            assert_eq!(peer.ask(chan, "read"), "Ok(0)", "{home:?}: standard input is at its end");
        }
        assert_eq!(peer.ask(chan, "count"), "7", "{home:?}: it runs on, and so does its channel");
        assert!(scene.alpha.status().is("harms", "running"), "{home:?}");
    }
}
