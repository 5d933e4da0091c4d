//! The cost of a message does not depend on the number of plugins, links and channels. Work is
//! counted, not timed: allocations, effects, and visited connections.

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::time::{Duration, Instant};
use trunkline_core::broker::{ConnId, Handle, PluginId};
use trunkline_core::control::Role;
use trunkline_tests::mesh::{Mesh, NodeId, target};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Servers that are linked to the measured one.
const LINKS: usize = 1_000;

/// Plugins of each of them.
const PLUGINS: usize = 10;

/// Channels to each of these plugins.
const CHANNELS: usize = 10;

/// The time for all of it on a slow machine. It finds work that grows with the square of something,
/// which takes hours.
const AT_MOST: Duration = Duration::from_secs(120);

/// Allocations so far.
fn allocations() -> i64 {
    let stats = ALLOCATOR.stats();
    (stats.allocations + stats.reallocations) as i64
}

/// A server in the middle of many, and the measured channel from it.
struct Hub {
    mesh: Mesh,
    server: NodeId,
    caller: PluginId,
    channel: Handle,
    spokes: Vec<(NodeId, ConnId)>,
}

/// The cost of a message for the server that sent it.
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
        assert_eq!(self.mesh.events(spoke).accepted, PLUGINS * CHANNELS);
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

    /// The cost of this many messages.
    fn work(&mut self, messages: usize) -> Work {
        let (cost, before) = (self.mesh.cost(self.server), self.mesh.events(self.server));
        self.send(messages);
        let now = self.mesh.events(self.server);
        Work {
            allocations: self.mesh.cost(self.server) - cost,
            effects: now.effects - before.effects,
            touched: now.touched - before.touched,
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
    let ended = hub.mesh.events(hub.server).ended;
    let (_, conn) = hub.spokes[LINKS / 2];
    let before = Instant::now();
    hub.mesh.cut(hub.server, conn);
    hub.mesh.settle();
    eprintln!("a link was lost within {:?}", before.elapsed());
    assert_eq!(hub.mesh.events(hub.server).ended - ended, PLUGINS * CHANNELS);
    let taken = begun.elapsed();
    assert!(taken < AT_MOST, "all of it took {taken:?}");
}
