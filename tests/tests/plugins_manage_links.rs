//! Plugins that may open and close links: what they are notified of, and what the servers do.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use std::net::{SocketAddr, TcpListener};
use trunkline_core::key::Key;
use trunkline_tests::binaries::plugin;
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Chan, Peer, Proxy, Server, Setup, Socket, key_of};

/// A server whose plugin obeys commands on a channel, and another server that accepts its link.
struct Scene {
    alpha: Server,
    beta: Server,
    peer: Peer,
    chan: Chan,
    folder: Folder,
}

impl Scene {
    /// `more` is added to alpha's configuration, and the rest is its plugin's table.
    fn new(more: impl Fn(Setup, &Server) -> (Setup, String)) -> Scene {
        let folder = Folder::new();
        let alpha = Setup::new("alpha");
        let beta = Setup::new("beta").secured().peer_key(alpha.key_in(&folder));
        let beta = Server::start(&folder, &beta.plugin(&plugin("echo"), ""));
        let (alpha, table) = more(alpha, &beta);
        let obeys = fixtures::plugin(Api::Ours, "obeys");
        let alpha = Server::start(&folder, &alpha.plugin(&obeys, &table));
        let mut peer = Peer::link(Socket::unix(&alpha), 1);
        let chan = peer.open("obeys");
        Scene { alpha, beta, peer, chan, folder }
    }

    /// With a plugin that has the right, and nothing else.
    fn allowed() -> Scene {
        Scene::new(|alpha, _| (alpha, ALLOWED.into()))
    }

    fn tell(&mut self, line: &str) -> String {
        self.peer.ask(self.chan, line)
    }

    /// What the plugin logs from a place on.
    fn hears(&self, mark: usize, text: &str) -> String {
        self.alpha.log().wait_for(mark, &format!("plugin::obeys] {text}"))
    }
}

const ALLOWED: &str = "allow = [\"links\"]";

fn address(at: SocketAddr, key: Key) -> String {
    format!("net:{at}~shs:{key}")
}

#[test]
fn a_plugin_opens_and_closes_a_link() {
    let mut scene = Scene::new(|alpha, beta| {
        let open = format!("open {}", address(beta.tcp_address(), beta.key()));
        (alpha, format!("{ALLOWED}\n[plugin.config]\nfirst = [\"{open}\"]"))
    });
    let key = scene.beta.key();
    scene.hears(0, &format!("at the start: done: {key}"));
    scene.hears(0, &format!("up: beta {key}"));
    let linked = |server: &Server, name: &str| {
        server.wait_until("the link is shown", |status| status.link_to(name).is_some());
    };
    linked(&scene.alpha, "beta");
    linked(&scene.beta, "alpha");

    let mark = scene.alpha.log().mark();
    assert_eq!(scene.tell("close beta"), format!("done: {key}"));
    scene.hears(mark, &format!("down: {key} link-closed: the plugin obeys closed it"));
    let line = scene.beta.log().wait_for(0, " ended: ");
    assert!(line.contains("link-closed: the plugin obeys closed it"), "{line}");
    let status = scene.alpha.status();
    assert!(status.link_to("beta").is_none() && !status.knows_remote("echo"), "{status:#?}");
    assert_eq!(status.links.len(), 1, "only the test is linked: {:?}", status.links);
    let again = scene.tell("close beta");
    assert!(again.starts_with("unknown-server: "), "it is closed already: {again}");
}

/// Cuts a link of the server, and waits until it is restored, this many times. Each time takes a
/// pause before the redial.
fn relink(server: &Server, name: &str, proxy: &Proxy, times: usize) {
    for _ in 0..times {
        server.wait_until("it is linked", |status| status.link_to(name).is_some());
        let mark = server.log().mark();
        proxy.cut();
        server.log().wait_for(mark, &format!("link to {name} ("));
        server.log().wait_for(mark, "cut, without goodbye");
    }
    server.wait_until("it is linked", |status| status.link_to(name).is_some());
}

#[test]
fn a_link_closed_by_a_plugin_is_redialled_only_for_a_plugin() {
    let folder = Folder::new();
    let alpha = Setup::new("alpha");
    let key = alpha.key_in(&folder);
    let other = |name| {
        let setup = Setup::new(name).secured().peer_key(key).plugin(&plugin("echo"), "");
        let server = Server::start(&folder, &setup);
        let proxy = Proxy::start(server.tcp_address());
        (server, proxy)
    };
    let (beta, to_beta) = other("beta");
    let (gamma, to_gamma) = other("gamma");
    let alpha = alpha
        .peer_with(beta.key(), to_beta.address())
        .peer_with(gamma.key(), to_gamma.address())
        .plugin(&fixtures::plugin(Api::Ours, "obeys"), ALLOWED);
    let alpha = Server::start(&folder, &alpha);
    alpha.wait_until("alpha is linked to beta", |status| status.link_to("beta").is_some());
    let mut peer = Peer::link(Socket::unix(&alpha), 1);
    let chan = peer.open("obeys");
    assert_eq!(peer.ask(chan, "close beta"), format!("done: {}", beta.key()));
    beta.log().wait_for(0, " ended: link-closed");
    relink(&alpha, "gamma", &to_gamma, 5);
    assert_eq!(to_beta.connections(), 1, "beta was dialled again, while gamma was five times");
    let status = alpha.status();
    let waits = status.links.iter().find(|link| link.state == "waiting");
    let reason = waits.and_then(|link| link.reason.as_deref());
    assert!(reason.is_some_and(|reason| reason.contains("link-closed")), "{status:#?}");

    let open = format!("open {}", address(to_beta.address(), beta.key()));
    assert_eq!(peer.ask(chan, &open), format!("done: {}", beta.key()));
    alpha.wait_until("alpha is linked again", |status| status.link_to("beta").is_some());
    assert_eq!(to_beta.connections(), 2, "it took one connection");
}

#[test]
fn a_plugin_gets_the_reason_of_a_failed_link() {
    let mut scene = Scene::allowed();
    let to_beta = scene.beta.tcp_address();
    // The listener that was there is gone.
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let nobody = nobody.expect("a port of loopback");
    for (at, key, why) in
        [(to_beta, key_of(77), "handshake-failed: "), (nobody, key_of(78), "transport-lost: ")]
    {
        let mark = scene.alpha.log().mark();
        let answer = scene.tell(&format!("open {}", address(at, key)));
        assert_eq!(answer, format!("done: {key}"), "the attempt is begun");
        let line = scene.hears(mark, &format!("down: {key} "));
        assert!(line.contains(why), "the plugin hears {line:?} and not {why:?}");
        let status = scene.alpha.status();
        assert_eq!(status.links.len(), 1, "it is not tried again: {:?}", status.links);
    }
    // The earlier attempts are over, so a good one is made.
    let open = format!("open {}", address(to_beta, scene.beta.key()));
    let mark = scene.alpha.log().mark();
    scene.tell(&open);
    scene.hears(mark, &format!("up: beta {}", scene.beta.key()));
}

#[test]
fn an_impossible_link_is_refused_at_once() {
    let mut scene = Scene::allowed();
    let own = scene.alpha.key();
    let key = key_of(77);
    for (line, code) in [
        ("open net:127.0.0.1:8008".to_string(), "bad-address: "),
        ("open unix:beta.sock~noauth".to_string(), "bad-address: "),
        ("open nonsense".to_string(), "bad-address: "),
        (format!("open ws:a:1~shs:{key}"), "bad-address: "),
        (format!("open net:127.0.0.1:1~shs:{key};net:127.0.0.1:2~noauth"), "bad-address: "),
        (format!("open net:127.0.0.1:1~shs:{own}"), "self-link: "),
        ("close nobody".to_string(), "unknown-server: "),
    ] {
        let answer = scene.tell(&line);
        assert!(answer.starts_with(code), "{line:?} is answered by {answer:?} and not {code:?}");
    }
}

#[test]
fn managing_links_needs_permission() {
    let mut scene =
        Scene::new(|alpha, beta| (alpha.peer_with(beta.key(), beta.tcp_address()), String::new()));
    scene.alpha.wait_until("they are linked", |status| status.link_to("beta").is_some());
    let open = format!("open {}", address(scene.beta.tcp_address(), scene.beta.key()));
    for line in [open.as_str(), "close beta", "close nobody"] {
        let answer = scene.tell(line);
        assert!(answer.starts_with("not-allowed: "), "{line:?} is answered by {answer:?}");
        assert!(answer.contains("allow = [\"links\"]"), "it says what to do: {answer:?}");
    }
    let status = scene.alpha.status();
    assert!(status.link_to("beta").is_some(), "the link is still up: {status:#?}");
}

#[test]
fn a_plugin_gets_its_servers_addresses() {
    let mut scene = Scene::new(|alpha, _| {
        let announce = "announce = [\"net:alpha.example:8008\"]";
        (alpha.secured().server(announce), String::new())
    });
    let own = scene.alpha.key();
    let announced = format!("net:alpha.example:8008~shs:{own}");
    let listened = address(scene.alpha.tcp_address(), own);
    let device = scene.tell("addresses device");
    let told: Vec<&str> = device.trim_start_matches("done: ").split(' ').collect();
    assert_eq!(told.first(), Some(&announced.as_str()), "what is announced comes first: {told:?}");
    assert!(told.contains(&listened.as_str()), "from here, loopback is known: {told:?}");
    for reach in ["local", "public"] {
        let answer = scene.tell(&format!("addresses {reach}"));
        assert_eq!(answer, format!("done: {announced}"), "what reaches {reach} places");
    }
    // Without it, a server on loopback cannot be reached from elsewhere.
    let quiet = Setup::new("quiet").secured().plugin(&fixtures::plugin(Api::Ours, "obeys"), "");
    let quiet = Server::start(&scene.folder, &quiet);
    let mut peer = Peer::link(Socket::unix(&quiet), 1);
    let chan = peer.open("obeys");
    assert_eq!(peer.ask(chan, "addresses local"), "done:");
}
