//! The processes and plugins of a run.

use super::super::memory;
use super::node::Node;
use super::peer::Origin;
use super::world::World;
use super::{CASTS, INNOCENT, Script, VICTIM, identity, key, name};
use std::time::Duration;
use trunkline_core::address::Address;
use trunkline_core::broker::{
    Accept, ChildConfig, Direct, Expose, Grants, Keep, Names, Opened, PeerConfig, PeerProcess,
    Permission, Placement, PluginConfig, Restart, Rights, Settings,
};
use trunkline_core::control::{Role, SocketName};
use trunkline_core::key::{Key, NETWORK};
use trunkline_core::limits::Limits;

/// The plugins of the victim, by their names, which also say what they do.
const KINDS: [&str; 11] =
    ["echo", "sink", "held", "late", "calls", "slow", "joiner", "inviter", "user", "trap", "x"];

/// Draws which processes are ours, and which limits are small.
pub(super) fn world(script: &mut Script<'_>) -> World {
    let (cast, limits) = (script.below(CASTS.len()), limits(script));
    let limits = |who: usize| if who == VICTIM { limits.clone() } else { Limits::default() };
    let accept = if script.flag() { Accept::Listed } else { Accept::Anyone };
    let settings = |who: usize, role: Role| Settings {
        identity: identity(who).clone(),
        network: NETWORK,
        accept,
        name: ["victim", "innocent"][who].into(),
        role,
        machine: Key([0; 32]),
        software: "fuzz".into(),
        limits: limits(who),
        secret: [4; 32],
        seed: 11,
    };
    let role = if cast == 3 { Role::Host } else { Role::Server };
    let mut world = World {
        now: Duration::ZERO,
        nodes: vec![Node::new(settings(VICTIM, role))],
        link: None,
        peers: Vec::new(),
        tickets: Vec::new(),
        said: 0,
        told: 0,
        steps: 0,
        in_use: memory::in_use(),
        connections: 0,
    };
    match cast {
        3 => hostile_server(&mut world),
        2 => innocent_host(&mut world, settings(INNOCENT, Role::Host)),
        _ => innocent_server(&mut world, settings(INNOCENT, Role::Server)),
    }
    world.settle();
    world.check_innocent();
    world
}

/// Some limits are so small that they are reached.
fn limits(script: &mut Script<'_>) -> Limits {
    let small = script.byte();
    let mut limits = Limits::default();
    if small & 1 != 0 {
        (limits.announced, limits.half_open, limits.links) = (6, 3, 9);
        (limits.invited, limits.tickets) = (10, 8);
    }
    if small & 2 != 0 {
        (limits.streams, limits.calls) = (24, 12);
    }
    if small & 4 != 0 {
        (limits.link_window, limits.window_max) = (1 << 17, 1 << 17);
        limits.call_size = 16_384;
    }
    if small & 8 != 0 {
        limits.outbox = 65_536;
    }
    limits
}

fn innocent_server(world: &mut World, settings: Settings) {
    let config = |key: Key, role: Role| PeerConfig {
        key: Some(key),
        name: None,
        endpoints: Vec::new(),
        role,
        keep: Keep::Always,
        rights: Rights::all(),
    };
    world.nodes.push(Node::new(settings));
    start_victim(world);
    world.nodes[VICTIM].broker.add_peer(config(key(INNOCENT), Role::Server));
    link(world, Grants::Everything);
    let probe = PluginConfig { expose: Expose::Peers, ..PluginConfig::new(name("probe"), 1) };
    world.nodes[INNOCENT].start("probe", probe);
}

fn innocent_host(world: &mut World, settings: Settings) {
    world.nodes.push(Node::new(settings));
    start_victim(world);
    link(world, Grants::Everything);
    world.settle();
    assert!(world.nodes[INNOCENT].home_found, "the host finds its server");
    let probe = PluginConfig { expose: Expose::Peers, ..PluginConfig::new(name("probe"), 1) };
    world.nodes[INNOCENT].start("probe", probe);
    let other = PluginConfig { expose: Expose::Peers, ..PluginConfig::new(name("other"), 1) };
    let socket = Some(SocketName::new([7; 16]));
    let direct = Direct { socket, net: Vec::new(), loopback: Some(7) };
    world.nodes[INNOCENT].start("other", other);
    let started = world.nodes[INNOCENT].plugin("other");
    if let Some(other) = started {
        world.nodes[INNOCENT].broker.set_direct(other, direct);
    }
}

/// The innocent dials the victim.
fn link(world: &mut World, grants: Grants) {
    let config = PeerConfig {
        key: None,
        name: None,
        endpoints: endpoints("net:10.7.0.1:8008~shs"),
        role: Role::Server,
        keep: Keep::Always,
        rights: Rights::all(),
    };
    let peer = world.nodes[INNOCENT].broker.add_peer(config);
    world.nodes[INNOCENT].perform();
    let dialled = world.nodes[INNOCENT].dials.pop();
    assert_eq!(dialled.map(|(peer, _)| peer), Some(peer), "the innocent dials");
    world.join_nodes(Opened::Dialled(peer), grants);
    world.settle();
}

fn endpoints(text: &str) -> Vec<trunkline_core::address::Endpoint> {
    text.parse::<Address>().map(|address| address.endpoints().0).unwrap_or_default()
}

/// The victim is a host, and the server that started it is hostile.
fn hostile_server(world: &mut World) {
    start_victim(world);
    let origin =
        Origin { node: VICTIM, who: 2, how: Opened::Inherited, process: PeerProcess::Foreign };
    world.connect(&origin, Grants::Server, false);
}

fn start_victim(world: &mut World) {
    let victim = &mut world.nodes[VICTIM];
    for kind in KINDS {
        start(victim, kind);
    }
    if victim.broker.settings().role == Role::Server {
        victim.broker.set_addresses(endpoints("net:10.7.0.1:8008~shs"));
        let (placement, restart) = (Placement::Process, Restart::OnFailure);
        victim.broker.add_child(ChildConfig {
            name: name("child"),
            placement,
            restart,
            rights: Rights { names: Names::Only([name("child")].into()), ..Rights::none() },
        });
        for (who, role) in [(2, Role::Server), (3, Role::Host), (4, Role::Server)] {
            let endpoints = endpoints(&format!("net:10.9.0.1:8008~shs:{}", key(who)));
            let keep = if who == 4 { Keep::Always } else { Keep::WhileUseful };
            victim.broker.add_peer(PeerConfig {
                key: Some(key(who)),
                name: (who == 2).then(|| "two".into()),
                endpoints,
                role,
                keep,
                rights: Rights::all(),
            });
        }
    }
}

/// Starts a plugin of the victim, which may have failed before.
pub(super) fn start(node: &mut Node, kind: &'static str) {
    let mut config = PluginConfig::new(name(kind), 1);
    config.expose = match kind {
        "held" => Expose::Keys(vec![key(2), key(3)]),
        _ => Expose::Peers,
    };
    match kind {
        "inviter" => config.invites = vec![name("guest"), name("other"), name("user")],
        "user" => config.uses = vec![(name("guest"), 0), (name("sink"), 1)],
        "sink" => config.allow = vec![Permission::Links],
        _ => {}
    }
    node.start(kind, config);
}
