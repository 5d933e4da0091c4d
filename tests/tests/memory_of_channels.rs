//! An idle channel costs a server at most 256 bytes, on every route.

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use trunkline_core::control::Role;
use trunkline_tests::mesh::{Mesh, NodeId, target};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Channels that are open at the same time.
const CHANNELS: i64 = 20_000;

/// Bytes of an idle channel, in all layers of one server together.
const MOST: i64 = 256;

/// Bytes that are in use.
fn in_use() -> i64 {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated as i64 - stats.bytes_deallocated as i64
}

/// The cost of one of many channels in a server that has an end of them, or relays them.
fn bytes_per_channel(mesh: &mut Mesh, caller: NodeId, server: NodeId) -> i64 {
    let plugin = mesh.plugin(caller, "caller");
    mesh.settle();
    let callee = target("callee");
    let mut open = |count: i64| {
        for _ in 0..count {
            let channel = mesh.open(caller, plugin, &callee);
            mesh.settle();
            // It was used before it became idle.
            mesh.work(caller, |broker| broker.write(plugin, channel, &[7; 100])).ok();
            mesh.settle();
        }
        mesh.cost(server)
    };
    // Buffers that are kept have their size then.
    let before = open(16);
    let after = open(CHANNELS);
    assert_eq!(mesh.events(caller).opened as i64, CHANNELS + 16, "channels that were opened");
    (after - before) / CHANNELS
}

// A single test, because allocations of others would be counted.
#[test]
fn an_idle_channel_costs_at_most_256_bytes() {
    let mut mesh = Mesh::new(in_use);
    let server = mesh.add(Role::Server);
    mesh.plugin(server, "callee");
    let local = bytes_per_channel(&mut mesh, server, server);

    let mut mesh = Mesh::new(in_use);
    let [near, far] = [(); 2].map(|()| mesh.add(Role::Server));
    mesh.plugin(far, "callee");
    mesh.link(near, far);
    let linked = bytes_per_channel(&mut mesh, near, near);

    let mut mesh = Mesh::new(in_use);
    let server = mesh.add(Role::Server);
    let [near, far] = [(); 2].map(|()| mesh.add(Role::Host));
    mesh.link(near, server);
    mesh.link(far, server);
    mesh.plugin(far, "callee");
    let relayed = bytes_per_channel(&mut mesh, near, server);

    let all = [("local", local), ("over a link", linked), ("passed on", relayed)];
    eprintln!("bytes of an idle channel: {all:?}");
    for (what, bytes) in all {
        assert!(bytes <= MOST, "a channel that is {what} costs {bytes} bytes, {MOST} are allowed");
    }
}
