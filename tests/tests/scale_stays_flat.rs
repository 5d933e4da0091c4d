//! What one message costs does not depend on how many plugins, links and channels there are. Work
//! is counted, not timed: allocations, effects, and connections that are looked at.

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::time::{Duration, Instant};
use trunkline_core::broker::{ConnId, Handle, PluginId};
use trunkline_core::control::Role;
use trunkline_tests::mesh::{Mesh, NodeId, target};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Servers that are linked to the one that is looked at.
const LINKS: usize = 1_000;

/// Plugins of each of them.
const PLUGINS: usize = 10;

/// Channels to each of these plugins.
const CHANNELS: usize = 10;

/// How long all of it may take on a slow machine. It is there to find work that grows with the
/// square of something, which takes hours.
const AT_MOST: Duration = Duration::from_secs(120);

/// Allocations so far.
fn allocations() -> i64 {
    let stats = ALLOCATOR.stats();
    (stats.allocations + stats.reallocations) as i64
}

/// A server in the middle of many, and a channel from it that is looked at.
struct Hub {
    mesh: Mesh,
    server: NodeId,
    caller: PluginId,
    channel: Handle,
    spokes: Vec<(NodeId, ConnId)>,
}

/// What a message cost the server that sent it.
#[derive(Debug, PartialEq, Eq)]
struct Work {
    allocations: i64,
    effects: usize,
    touched: usize,
}

impl Hub {
    fn new() -> Hub {
        let mut mesh = Mesh::new(allocations);
        let server = mesh.add(Role::Server);
        let caller = mesh.plugin(server, "caller");
        let probe = mesh.add(Role::Server);
        mesh.plugin(probe, "probe");
        mesh.link(server, probe);
        let channel = mesh.open(server, caller, &target("probe"));
        mesh.settle();
        Hub { mesh, server, caller, channel, spokes: Vec::new() }
    }

    /// Links a server with some plugins, and opens some channels to each of them.
    fn grow(&mut self, number: usize) {
        let spoke = self.mesh.add(Role::Server);
        let names: Vec<String> = (0..PLUGINS).map(|plugin| format!("p{number}-{plugin}")).collect();
        for name in &names {
            self.mesh.plugin(spoke, name);
        }
        let [near, _] = self.mesh.link(self.server, spoke);
        self.spokes.push((spoke, near));
        for name in &names {
            for _ in 0..CHANNELS {
                self.mesh.open(self.server, self.caller, &target(name));
            }
            self.mesh.settle();
        }
        assert_eq!(self.mesh.heard(spoke).accepted, PLUGINS * CHANNELS);
    }

    /// Sends messages one by one.
    #[inline(never)]
    fn send(&mut self, messages: usize) {
        for _ in 0..messages {
            let (caller, channel) = (self.caller, self.channel);
            let taken =
                self.mesh.work(self.server, |broker| broker.write(caller, channel, &[7; 64]));
            assert_eq!(taken, Ok(64));
            self.mesh.settle();
        }
    }

    /// What so many messages cost.
    fn work(&mut self, messages: usize) -> Work {
        let (cost, heard) = (self.mesh.cost(self.server), self.mesh.heard(self.server));
        self.send(messages);
        let now = self.mesh.heard(self.server);
        Work {
            allocations: self.mesh.cost(self.server) - cost,
            effects: now.effects - heard.effects,
            touched: now.touched - heard.touched,
        }
    }
}

#[test]
fn a_message_costs_the_same_among_a_hundred_thousand_channels() {
    let begun = Instant::now();
    let mut hub = Hub::new();
    // Credit comes back each half window, so that both runs cover the same part of one.
    let messages = 2048;
    hub.send(messages);
    let few = hub.work(messages);
    eprintln!("few channels: {few:?} for {messages} messages");
    for number in 0..LINKS {
        hub.grow(number);
    }
    let directory = hub.mesh.broker(hub.server).directory().count();
    assert_eq!(directory, LINKS * PLUGINS + 2, "plugins that are known");
    eprintln!("{directory} plugins are known after {:?}", begun.elapsed());
    let many = hub.work(messages);
    assert_eq!(many, few, "of {messages} messages among {} channels", LINKS * PLUGINS * CHANNELS);

    // One link ends, and with it its channels.
    let ended = hub.mesh.heard(hub.server).ended;
    let (_, conn) = hub.spokes[LINKS / 2];
    let before = Instant::now();
    hub.mesh.cut(hub.server, conn);
    hub.mesh.settle();
    eprintln!("a link was lost within {:?}", before.elapsed());
    assert_eq!(hub.mesh.heard(hub.server).ended - ended, PLUGINS * CHANNELS);
    let taken = begun.elapsed();
    assert!(taken < AT_MOST, "all of it took {taken:?}");
}
