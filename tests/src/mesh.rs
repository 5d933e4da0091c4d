//! Brokers in one process, whose connections are joined in memory. Unlike in the simulation,
//! nothing fails here and no time passes: it measures the cost of brokers.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use trunkline_core::broker::{
    Accept, Broker, ConnId, Effect, Expose, Grants, Handle, Keep, Opened, Opening, PeerConfig,
    PeerProcess, PluginConfig, PluginId, Rights, Security, Settings, Step, Target, Told,
};
use trunkline_core::control::Role;
use trunkline_core::key::{Key, NETWORK};
use trunkline_core::limits::Limits;
use trunkline_shs::Identity;

/// The number of a broker in a mesh.
pub type NodeId = usize;

/// Brokers that are joined.
pub struct Mesh {
    nodes: Vec<Node>,
    /// The other end of each connection.
    wires: BTreeMap<(NodeId, ConnId), (NodeId, ConnId)>,
    /// Brokers with pending work.
    due: VecDeque<NodeId>,
    meter: fn() -> i64,
    pipe: Vec<u8>,
    touched: Vec<ConnId>,
}

/// One broker, and the events of its plugins.
struct Node {
    broker: Broker,
    /// What the meter counted while this broker ran.
    cost: i64,
    told: NodeEvents,
}

/// The events that the plugins of one broker have received so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeEvents {
    /// The channel that was offered last.
    pub last: Option<Handle>,
    /// Channels that were accepted here.
    pub accepted: usize,
    /// Channels that were opened here and accepted elsewhere.
    pub opened: usize,
    /// Bytes.
    pub bytes: usize,
    /// Channels that ended.
    pub ended: usize,
    /// Effects of any kind.
    pub effects: usize,
    /// Connections that the broker asked to be flushed.
    pub touched: usize,
}

impl Mesh {
    /// An empty mesh. `meter` is read before and after each call to a broker, to measure its cost.
    #[must_use]
    pub fn new(meter: fn() -> i64) -> Mesh {
        let (nodes, wires, due) = Default::default();
        Mesh {
            nodes,
            wires,
            due,
            meter,
            pipe: Vec::with_capacity(1 << 20),
            touched: Vec::with_capacity(4096),
        }
    }

    /// Adds a server, or a host.
    pub fn add(&mut self, role: Role) -> NodeId {
        let id = self.nodes.len();
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&(id as u64 + 1).to_be_bytes());
        let settings = Settings {
            identity: Identity::from_seed(&seed),
            network: NETWORK,
            accept: Accept::Listed,
            name: format!("node-{id}"),
            role,
            machine: Key([0; 32]),
            software: String::new(),
            limits: Limits { announced: 1 << 20, links: 8192, ..Limits::default() },
            secret: seed,
            seed: id as u64 + 1,
        };
        let broker = Broker::new(settings);
        self.nodes.push(Node { broker, cost: 0, told: NodeEvents::default() });
        id
    }

    /// Adds a plugin that runs, and that every server may see.
    pub fn plugin(&mut self, node: NodeId, name: &str) -> PluginId {
        let name = name.parse().unwrap_or_else(|error| panic!("{name} is no name: {error}"));
        let config = PluginConfig { expose: Expose::Peers, ..PluginConfig::new(name, 1) };
        self.work(node, |broker| {
            let plugin = broker.add_plugin(config).unwrap_or_else(|reason| panic!("{reason}"));
            broker.plugin_started(plugin);
            plugin
        })
    }

    /// Joins two brokers, as if the first had dialled the second; returns their connections.
    pub fn link(&mut self, from: NodeId, to: NodeId) -> [ConnId; 2] {
        let (role, keep) = (Role::Server, Keep::Always);
        let peer = PeerConfig {
            key: None,
            name: None,
            endpoints: Vec::new(),
            role,
            keep,
            rights: Rights::all(),
        };
        let near = self.work(from, |broker| {
            let peer = broker.add_peer(peer);
            broker.connected(opening(Opened::Dialled(peer)))
        });
        let far = self.work(to, |broker| broker.connected(opening(Opened::Accepted)));
        self.wires.insert((from, near), (to, far));
        self.wires.insert((to, far), (from, near));
        self.settle();
        [near, far]
    }

    /// A plugin opens a channel to another one, which accepts it.
    pub fn open(&mut self, node: NodeId, plugin: PluginId, target: &Target) -> Handle {
        self.work(node, |broker| broker.open(plugin, target))
            .unwrap_or_else(|reason| panic!("{} is not reached: {reason}", target.name))
    }

    /// Calls a broker and charges the cost to its node; the broker may have pending work then.
    pub fn work<T>(&mut self, id: NodeId, work: impl FnOnce(&mut Broker) -> T) -> T {
        let before = (self.meter)();
        let node = &mut self.nodes[id];
        let result = work(&mut node.broker);
        node.cost += (self.meter)() - before;
        if !self.due.contains(&id) {
            self.due.push_back(id);
        }
        result
    }

    /// Runs all brokers until no work is pending.
    pub fn settle(&mut self) {
        while let Some(id) = self.due.pop_front() {
            self.perform(id);
            let mut touched = std::mem::take(&mut self.touched);
            self.work(id, |broker| broker.take_touched(&mut touched));
            self.nodes[id].told.touched += touched.len();
            for conn in &touched {
                self.flush(id, *conn);
            }
            self.touched = touched;
            let node = &self.nodes[id];
            if node.broker.effects_waiting() == 0 && !node.broker.has_touched() {
                self.due.retain(|due| *due != id);
            }
        }
    }

    fn flush(&mut self, id: NodeId, conn: ConnId) {
        let Some(&(to, far)) = self.wires.get(&(id, conn)) else { return };
        let mut pipe = std::mem::take(&mut self.pipe);
        pipe.clear();
        self.work(id, |broker| {
            for slice in broker.outgoing(conn) {
                pipe.extend_from_slice(slice);
            }
            broker.flushed(conn, pipe.len());
        });
        let before = (self.meter)();
        let node = &mut self.nodes[to];
        for read in pipe.chunks(READ) {
            feed(node, far, read);
            loop {
                let unread = node.broker.take_unread();
                if unread.is_empty() {
                    break;
                }
                node.broker.tick(Duration::ZERO);
                unread.iter().for_each(|(id, bytes)| feed(node, *id, bytes));
            }
        }
        node.cost += (self.meter)() - before;
        self.work(to, |_| ());
        self.pipe = pipe;
    }

    fn perform(&mut self, id: NodeId) {
        let before = (self.meter)();
        perform(&mut self.nodes[id]);
        self.nodes[id].cost += (self.meter)() - before;
    }

    /// What the meter has counted so far while a broker ran.
    #[must_use]
    pub fn cost(&self, node: NodeId) -> i64 {
        self.nodes[node].cost
    }

    /// The events that the plugins of a broker have received so far.
    #[must_use]
    pub fn events(&self, node: NodeId) -> NodeEvents {
        self.nodes[node].told
    }

    /// A broker, read-only.
    #[must_use]
    pub fn broker(&self, node: NodeId) -> &Broker {
        &self.nodes[node].broker
    }

    /// Ends a connection at both sides.
    pub fn cut(&mut self, node: NodeId, conn: ConnId) {
        let Some((to, far)) = self.wires.remove(&(node, conn)) else { return };
        self.wires.remove(&(to, far));
        self.work(node, |broker| broker.disconnected(conn, "cut"));
        self.work(to, |broker| broker.disconnected(far, "cut"));
    }

    /// Drops a broker, of which the others hear nothing: they find it silent.
    pub fn drop_silently(&mut self, node: NodeId) {
        let settings = self.nodes[node].broker.settings().clone();
        let gone = |at: &NodeId| *at != node;
        self.wires.retain(|(from, _), (to, _)| gone(from) && gone(to));
        self.nodes[node] =
            Node { broker: Broker::new(settings), cost: 0, told: NodeEvents::default() };
    }

    /// Lets time pass for one broker.
    pub fn tick(&mut self, node: NodeId, now: Duration) {
        self.work(node, |broker| broker.tick(now));
    }
}

/// Bytes that one read of a connection brings, as in a server.
const READ: usize = 64 * 1024;

/// Gives a broker what a connection brought.
fn feed(node: &mut Node, conn: ConnId, mut input: &[u8]) {
    loop {
        match node.broker.receive(conn, &mut input) {
            Step::Write { plugin, channel, bytes } => {
                perform(node);
                node.told.bytes += bytes.len();
                node.broker.consumed(plugin, channel, bytes.len());
            }
            Step::More => perform(node),
            Step::Done => return,
        }
    }
}

/// Performs a broker's effects, as a plugin that accepts every channel.
fn perform(node: &mut Node) {
    while let Some(effect) = node.broker.next_effect() {
        node.told.effects += 1;
        match effect {
            Effect::Tell(plugin, Told::Open(handle, _)) => {
                node.told.accepted += 1;
                node.told.last = Some(handle);
                node.broker.accept(plugin, handle).unwrap_or_else(|misuse| panic!("{misuse}"));
            }
            Effect::Tell(_, Told::Opened(_)) => node.told.opened += 1,
            Effect::Tell(_, Told::Ended(..)) => node.told.ended += 1,
            Effect::Tell(plugin, Told::Deliver(handle)) => {
                let bytes = node.broker.take_inbox(plugin, handle);
                node.told.bytes += bytes.len();
                node.broker.consumed(plugin, handle, bytes.len());
            }
            _ => {}
        }
    }
}

fn opening(how: Opened) -> Opening {
    let (grants, security) = (Grants::Everything, Security::NoAuth);
    Opening {
        how,
        grants,
        address: String::new(),
        security,
        from: None,
        process: PeerProcess::Foreign,
    }
}

/// The plugin of a name, wherever it is.
#[must_use]
pub fn target(name: &str) -> Target {
    let name = name.parse().unwrap_or_else(|error| panic!("{name} is no name: {error}"));
    Target { name, least: 1, server: None }
}
