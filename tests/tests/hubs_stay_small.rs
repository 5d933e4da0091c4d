//! A server with thousands of links knows all plugins of its peers, and each of them takes few
//! bytes, whether a plugin here uses it or not.

#![allow(clippy::expect_used)]

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use trunkline_core::broker::{PluginId, Target, Verdict};
use trunkline_core::control::Role;
use trunkline_core::reason::Code;
use trunkline_tests::mesh::{Mesh, NodeId, target};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Plugins of each peer.
const PLUGINS: usize = 50;

/// Links of the hub for which the target is set, and of the one that each run of the tests makes.
const MANY_LINKS: usize = 5_000;
const SOME_LINKS: usize = 400;

/// What the plugins of all peers of the larger hub may take, in bytes.
const MOST: i64 = 40_000_000;

/// Bytes that are in use.
fn in_use() -> i64 {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated as i64 - stats.bytes_deallocated as i64
}

/// A server with a plugin of its own and a host, which are told of all plugins.
struct Hub {
    mesh: Mesh,
    server: NodeId,
    plugin: PluginId,
}

impl Hub {
    fn new() -> Hub {
        let mut mesh = Mesh::new(in_use);
        let server = mesh.add(Role::Server);
        let plugin = mesh.plugin(server, "here");
        let host = mesh.add(Role::Host);
        mesh.link(host, server);
        Hub { mesh, server, plugin }
    }

    /// A hub with links whose peers have plugins each, which may invite another one.
    fn linked(links: usize, plugins: usize, invited: Option<&str>) -> Hub {
        let mut hub = Hub::new();
        for number in 0..links {
            let spoke = hub.link(number, plugins, invited);
            // The hub does not notice, and memory is needed for the hub alone.
            hub.mesh.drop_silently(spoke);
        }
        hub
    }

    fn link(&mut self, number: usize, plugins: usize, invited: Option<&str>) -> NodeId {
        let spoke = self.mesh.add(Role::Server);
        for plugin in 0..plugins {
            let plugin = self.mesh.plugin(spoke, &name(number, plugin));
            if let Some(invited) = invited {
                let invited = invited.parse().expect("a name");
                let said = self.mesh.work(spoke, |broker| broker.invites(plugin, invited));
                assert_eq!(said, Ok(()));
            }
        }
        self.mesh.link(self.server, spoke);
        spoke
    }

    fn known(&self) -> usize {
        self.mesh.broker(self.server).directory().count()
    }

    fn cost(&self) -> i64 {
        self.mesh.cost(self.server)
    }
}

fn name(link: usize, plugin: usize) -> String {
    format!("service-{link}-{plugin}")
}

/// The bytes that one plugin of a peer takes, besides what its link does.
fn bytes_per_plugin(links: usize, invited: Option<&str>) -> i64 {
    let bare = Hub::linked(links, 0, None).cost();
    let hub = Hub::linked(links, PLUGINS, invited);
    assert_eq!(hub.known(), links * PLUGINS + 1, "plugins that the hub knows");
    let taken = hub.cost() - bare;
    eprintln!(
        "{links} links take {} KiB each; {PLUGINS} plugins of each: {taken} bytes in all",
        bare / 1024 / links as i64
    );
    taken / (links * PLUGINS) as i64
}

// A single test, because allocations of others would be counted.
#[test]
fn a_plugin_of_a_peer_takes_few_bytes_and_is_reached_at_once() {
    let most = MOST / (MANY_LINKS * PLUGINS) as i64;
    let bytes = bytes_per_plugin(SOME_LINKS, None);
    let inviting = bytes_per_plugin(SOME_LINKS, Some("nowhere"));
    eprintln!("a plugin takes {bytes} bytes, one that invites another {inviting}");
    assert!(bytes <= most, "a plugin of a peer takes {bytes} bytes, {most} are allowed");
    any_plugin_is_reached();
}

/// However many there are, any of them is opened and explained at once. A name that no peer has is
/// refused without a question to the peers.
fn any_plugin_is_reached() {
    let mut hub = Hub::linked(SOME_LINKS, PLUGINS, None);
    let spoke = hub.link(SOME_LINKS, PLUGINS, None);
    let wanted = name(SOME_LINKS, 17);
    let told = hub.mesh.broker(hub.server).explain("here", &wanted);
    assert!(told.rules.iter().all(|rule| rule.verdict != Verdict::Broken), "{told:?}");
    hub.mesh.open(hub.server, hub.plugin, &target(&wanted));
    hub.mesh.settle();
    assert_eq!(hub.mesh.events(hub.server).opened, 1);
    assert_eq!(hub.mesh.events(spoke).accepted, 1);

    let touched = hub.mesh.events(hub.server).touched;
    let (plugin, nobody) = (hub.plugin, Target { least: 0, ..target("service-nowhere") });
    for _ in 0..1000 {
        let refused = hub.mesh.work(hub.server, |broker| broker.open(plugin, &nobody));
        assert!(refused.is_err_and(|reason| reason.is(Code::UnknownPlugin)));
    }
    hub.mesh.settle();
    assert_eq!(hub.mesh.events(hub.server).touched, touched, "no peer is asked");
}

#[test]
#[ignore = "it takes minutes: cargo test --release --test hubs_stay_small -- --ignored"]
fn five_thousand_peers_with_fifty_plugins_each_take_forty_megabytes() {
    let bytes = bytes_per_plugin(MANY_LINKS, None);
    let all = bytes * (MANY_LINKS * PLUGINS) as i64;
    eprintln!("a plugin takes {bytes} bytes, all of them {all}");
    assert!(all <= MOST, "the plugins take {all} bytes, {MOST} are allowed");
}
