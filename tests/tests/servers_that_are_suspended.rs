//! A server that is stopped for longer than a peer may be silent, as a laptop that sleeps: the
//! other one says so once and goes on; afterwards one link serves both, and nothing else was lost.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use rustix::process::Signal;
use std::time::{Duration, Instant};
use trunkline_tests::binaries::plugin;
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Chan, LinkInfo, Peer, Server, Setup, Socket, Status, wait_until};

/// A heartbeat, and how long a server is stopped.
struct Times {
    heartbeat: &'static str,
    stopped: Duration,
}

const SHORT: Times = Times {
    heartbeat: "heartbeat-ms = 200\ndead-after-ms = 1000",
    stopped: Duration::from_secs(4),
};

/// With the defaults, a peer may be silent for 30 s.
const LONG: Times = Times { heartbeat: "", stopped: Duration::from_secs(60) };

/// Two linked servers, each with a plugin that asks and one that echoes in a process.
struct Scene {
    servers: [Server; 2],
}

impl Scene {
    fn start(folder: &Folder, times: &Times) -> Scene {
        let obeys = fixtures::plugin(Api::Ours, "obeys");
        let with = |setup: Setup, other: &str| {
            let name = setup.plugin(&obeys, &format!("name = \"asks-{other}\""));
            let own = if other == "alpha" { "beta" } else { "alpha" };
            let lines = format!("name = \"echo-{own}\"\nplacement = \"process\"");
            name.server(times.heartbeat).plugin(&plugin("echo"), &lines)
        };
        let beta = Setup::new("beta");
        let alpha = Setup::new("alpha").secured().peer_key(beta.key_in(folder)).keep();
        let alpha = Server::start(folder, &with(alpha, "beta"));
        let beta = beta.peer_with(alpha.key(), alpha.tcp_address()).keep();
        let beta = Server::start(folder, &with(beta, "alpha"));
        let scene = Scene { servers: [alpha, beta] };
        scene.is_whole();
        scene
    }

    /// Both are linked, and each knows the plugins of the other.
    fn is_whole(&self) {
        for (server, other) in self.servers.iter().zip(["beta", "alpha"]) {
            server.wait_until("both are linked by one link, and all runs", |status: &Status| {
                // The peers of the test itself are linked as servers, too.
                let to_other = |link: &&LinkInfo| link.name == other && link.state == "up";
                let up = status.links.iter().filter(to_other).count();
                up == 1
                    && status.knows_remote(&format!("echo-{other}"))
                    && status.plugins.iter().all(|plugin| plugin.state == "running")
            });
        }
    }

    /// A channel to the plugin of a server that asks.
    fn asking(&self, number: usize) -> (Peer, Chan) {
        let mut peer = Peer::link(Socket::unix(&self.servers[number]), 9);
        let chan = peer.open(["asks-beta", "asks-alpha"][number]);
        (peer, chan)
    }
}

/// Stops one of the two for that time; what the other one logs of it. It serves its own meanwhile.
fn stop(scene: &Scene, number: usize, times: &Times) {
    let [name, other_name] = if number == 0 { ["alpha", "beta"] } else { ["beta", "alpha"] };
    let (server, other) = (&scene.servers[number], &scene.servers[1 - number]);
    let (mut peer, chan) = scene.asking(1 - number);
    let ask = format!("ask echo-{name} it is there");
    assert_eq!(peer.ask(chan, &ask), "done: it is there");
    let children = server.process().children();
    let marks = [server, other].map(|server| server.log().mark());
    let begun = Instant::now();
    server.signal(Signal::STOP);
    wait_until("it is stopped", || server.process().state() == Some('T'));
    other.wait_until("it is given up", |status| !status.knows_remote(&format!("echo-{name}")));
    let given_up = begun.elapsed();
    let mut own = Peer::link(Socket::unix(other), 8);
    while let Some(left) = times.stopped.checked_sub(begun.elapsed()) {
        own.echo(&format!("echo-{other_name}"), b"others are served");
        std::thread::park_timeout(left.min(Duration::from_millis(500)));
    }
    server.signal(Signal::CONT);
    let begun = Instant::now();
    scene.is_whole();
    println!("{name}: given up after {given_up:?}, whole {:?} after it went on", begun.elapsed());
    assert!(given_up < times.stopped, "it is the silence that counts");
    assert_eq!(server.process().children(), children, "its processes are the same");
    let (mut asks, chan) = scene.asking(1 - number);
    assert_eq!(asks.ask(chan, &ask), "done: it is there");
    for (which, mark) in [server, other].into_iter().zip(marks) {
        let lines = which.log().since(mark);
        // The peers of the test itself end in the same way.
        let of_link = |line: &&String| {
            line.contains("] link to alpha ")
                || line.contains("] link to beta ")
                || line.contains("WARN") && !line.contains("peer-")
        };
        let lines: Vec<_> = lines.iter().filter(of_link).collect();
        let ended = lines.iter().filter(|line| line.contains(" ended: ")).count();
        let warned = lines.iter().filter(|line| line.contains("WARN")).count();
        println!("{} said {lines:#?}", which.name());
        assert_eq!(ended, 1, "{}: {lines:#?}", which.name());
        assert!(warned <= 1, "{}: {lines:#?}", which.name());
    }
}

fn each_is_suspended(times: &Times) {
    let folder = Folder::new();
    let scene = Scene::start(&folder, times);
    for number in 0..2 {
        stop(&scene, number, times);
    }
}

#[test]
fn a_server_that_was_suspended_is_linked_again_and_has_all_its_plugins() {
    each_is_suspended(&SHORT);
}

#[test]
#[ignore = "it takes minutes: make long"]
fn a_server_that_was_suspended_for_a_minute_is_linked_again_and_has_all_its_plugins() {
    each_is_suspended(&LONG);
}
