//! The servers, pipes and planned events of a run, and its clock.

use super::actor::{Kind, PluginSpec};
use super::channel::Host;
use super::direct::{self, Advertised, DialOutcome, Networks, Punch};
use super::hosts::NodeKind;
use super::node::Node;
use super::pipe::Pipe;
use super::random::Random;
use super::{Ledger, NodeInfo, Shared, Trace};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use trunkline_core::address::{Address, Endpoint, Transform};
use trunkline_core::broker::{
    Accept, ChildId, Dial, Expose, Grants, Keep, Opened, PeerConfig, PeerId, Rights, Settings,
};
use trunkline_core::control::Role;
use trunkline_core::key::{Key, NETWORK};
use trunkline_core::limits::Limits;
use trunkline_core::reason::{Code, Reason};
use trunkline_shs::Identity;

/// A run with more turns than this has failed.
const TURNS: u64 = 2_000_000;

/// Initial windows of the channels of a server or host, in bytes.
pub(super) const WINDOWS: [u64; 3] = [64 * 1024, 64 * 1024, 256 * 1024];

/// The smallest outbox that can be configured, in bytes. It holds less than the directory of a
/// crowd, even together with the control credit of a host that does not read.
const SMALL_OUTBOX: usize = 64 * 1024;

/// The limits of a server or host.
pub(super) fn limits(window: u64, outbox: usize) -> Limits {
    let (calls, call_size) = (super::calls::CALLS, super::calls::LONGEST);
    Limits { window, window_max: 1 << 20, calls, call_size, outbox, ..Limits::default() }
}

/// A planned event.
#[derive(Debug)]
pub enum Event {
    /// A dial reaches a server, or fails.
    Dialled {
        /// The server or host that dials.
        from: usize,
        /// Its generation.
        generation: u64,
        /// The number of the dialled server at the dialler.
        peer: PeerId,
        /// The dialled server.
        to: usize,
        /// The key that it has to prove, on an encrypted link.
        expected: Option<Key>,
    },
    /// A pipe reaches its acceptor.
    Accepted {
        /// The acceptor.
        to: usize,
        /// Its generation.
        generation: u64,
        /// The pipe.
        pipe: usize,
    },
    /// A direct dial has its outcome.
    DirectDialled(DialOutcome),
    /// A fault happens.
    Fault,
    /// A direct connection breaks, or falls silent.
    DirectFault,
    /// A plugin that failed or was stopped is restarted.
    Return {
        /// Its server or host.
        node: usize,
    },
    /// A host that dials by itself is started.
    HostStarts {
        /// The host.
        node: usize,
    },
    /// A server is notified that a host which it started has ended.
    ChildEnded {
        /// The server.
        server: usize,
        /// The host.
        child: ChildId,
    },
}

/// One run.
pub struct World {
    /// The state that all parts of the run share.
    pub shared: Shared,
    /// The servers, and then the hosts.
    pub nodes: Vec<Node>,
    /// All pipes, including closed ones.
    pub pipes: Vec<Pipe>,
    events: BTreeMap<(Duration, u64), Event>,
    next_event: u64,
    /// Turns of all servers and hosts.
    pub turns: u64,
    /// The kinds of faults of this run.
    pub(super) faults: Vec<super::chaos::Fault>,
    /// Whether links are kept that no pair of plugins uses.
    pub(super) keep: Keep,
    /// Pairs of servers that dial each other, the higher number first.
    pub(super) mutual: BTreeSet<(usize, usize)>,
    /// Hole punching in progress.
    pub(super) punches: Vec<Punch>,
}

impl World {
    /// The start of a run.
    pub fn new(seed: u64) -> World {
        let mut random = Random::new(seed);
        let count = 2 + usize::from(random.chance(600));
        let identity = |n: usize| Identity::from_seed(&[n as u8 + 1; 32]);
        let keys: Vec<Key> = (0..count).map(|n| Key(*identity(n).public())).collect();
        let windows: Vec<u64> = (0..count).map(|_| random.pick(&WINDOWS)).collect();
        let machines: Vec<u64> = (0..count).map(|_| direct::draw_machine(&mut random)).collect();
        let anyone = random.chance(300);
        let crowded = random.chance(40);
        let outbox = if crowded { SMALL_OUTBOX } else { Limits::default().outbox };
        let settings = |number: usize| Settings {
            identity: identity(number),
            network: NETWORK,
            accept: if anyone { Accept::Anyone } else { Accept::Listed },
            name: format!("server-{number}"),
            role: Role::Server,
            machine: direct::machine(machines[number]),
            software: "simulation".to_string(),
            secret: [number as u8 + 1; 32],
            limits: limits(windows[number], outbox),
            seed: seed ^ number as u64 ^ 0x5555,
        };
        let node = |number| Node::new(number, NodeKind::Server, settings(number));
        let nodes = (0..count).map(node).collect();
        let named = |home| format!("server-{home}");
        let part = |home| NodeInfo { name: named(home), home, machine: machines[home] };
        let shared = Shared {
            now: Duration::ZERO,
            ledger: Ledger::default(),
            calls: Default::default(),
            trace: Trace::new(),
            calm: false,
            bulk: if random.chance(50) { 400 } else { 10 },
            keys,
            secured: random.chance(500),
            garbled: false,
            strangers: false,
            clock_jumped: false,
            info: (0..count).map(part).collect(),
            contested: BTreeSet::new(),
            eager: random.chance(100),
            closed: BTreeSet::new(),
            starts: BTreeMap::new(),
            links: BTreeMap::new(),
            request_pipe: None,
            unasked: BTreeMap::new(),
            networks: Networks::default(),
            closing: false,
            random,
        };
        let mut world = World {
            shared,
            nodes,
            pipes: Vec::new(),
            events: BTreeMap::new(),
            next_event: 0,
            turns: 0,
            faults: Vec::new(),
            keep: Keep::Always,
            mutual: BTreeSet::new(),
            punches: Vec::new(),
        };
        world.set_up(anyone, crowded);
        world
    }

    fn set_up(&mut self, anyone: bool, crowded: bool) {
        self.choose_links();
        self.add_hosts();
        if !anyone {
            self.add_unlisted();
        }
        self.draw_networks();
        self.populate();
        if crowded {
            self.crowd();
        }
    }

    fn choose_links(&mut self) {
        if self.shared.secured {
            self.shared.trace.saw("secured links");
        }
        if self.shared.random.chance(300) {
            self.keep = Keep::WhileUseful;
            self.shared.trace.saw("links that are closed if useless");
        }
    }

    fn populate(&mut self) {
        for server in 0..self.servers() {
            for kind in Kind::ALL {
                if kind == Kind::Driver || !self.shared.random.chance(250) {
                    self.place(server, kind);
                }
            }
        }
        self.add_peers();
        self.start_hosts();
        self.choose_faults();
        for _ in 0..self.shared.random.size(2, 24) {
            let at = Duration::from_micros(self.shared.random.below(20_000_000));
            self.plan(at, Event::Fault);
        }
    }

    /// Draws the properties of a plugin of a kind, with a name.
    pub(super) fn spec(&mut self, kind: Kind, name: &str) -> Option<PluginSpec> {
        let random = &mut self.shared.random;
        let version = 1 + random.below(3);
        let expose = match random.below(8) {
            _ if matches!(kind, Kind::Inviter | Kind::Guest) => Expose::Peers,
            0 => Expose::Local,
            1 => Expose::Keys(vec![random.pick(&self.shared.keys)]),
            _ => Expose::Peers,
        };
        let advertised = Advertised::draw(random);
        let (manages_links, name) = (random.chance(300), name.parse().ok()?);
        Some(PluginSpec { kind, name, version, expose, advertised, manages_links })
    }

    /// How many servers there are.
    pub(super) fn servers(&self) -> usize {
        self.shared.keys.len()
    }

    /// Lets one or both of every two servers dial the other.
    fn add_peers(&mut self) {
        for a in 0..self.servers() {
            for b in 0..a {
                let dialler = self.shared.random.below(3);
                self.add_peer(a, b, dialler != 0);
                self.add_peer(b, a, dialler != 1);
                if dialler == 2 {
                    self.mutual.insert((a, b));
                    self.shared.trace.saw("dialling each other");
                }
            }
        }
    }

    /// Adds a peer. One that is not dialled is listed by its key, which matters on encrypted links
    /// only.
    fn add_peer(&mut self, from: usize, to: usize, dials: bool) {
        let (secured, to_key) = (self.shared.secured, self.shared.keys[to]);
        if !dials && !secured {
            return;
        }
        let known = secured || self.shared.random.chance(500);
        let endpoints = if dials { self.endpoints(to, secured) } else { Vec::new() };
        let (key, role, keep) = (known.then_some(to_key), Role::Server, self.keep);
        self.nodes[from].broker.add_peer(PeerConfig {
            key,
            name: None,
            endpoints,
            role,
            keep,
            rights: Rights::all(),
        });
    }

    /// The endpoints of a server.
    pub(super) fn endpoints(&self, to: usize, secured: bool) -> Vec<Endpoint> {
        let key = self.shared.keys[to];
        let transform = if secured { format!("shs:{key}") } else { "noauth".to_string() };
        let address = format!("net:127.0.0.1:{}~{transform}", 8000 + to).parse::<Address>();
        address.map(|address| address.endpoints().0).unwrap_or_default()
    }

    /// Plans an event for a time from now.
    pub(super) fn plan(&mut self, after: Duration, event: Event) {
        self.events.insert((self.shared.now + after, self.next_event), event);
        self.next_event += 1;
    }

    /// Runs to the end.
    pub fn run(&mut self) -> Result<(), String> {
        self.run_until(Duration::from_secs(20))?;
        self.calm();
        let rest = self.shared.now + Duration::from_secs(200);
        self.run_until(rest)?;
        self.check_rest()?;
        self.release()?;
        let end = self.shared.now + Duration::from_secs(60);
        self.run_until(end)?;
        self.check_calm()?;
        self.stop_plugins();
        let end = self.shared.now + Duration::from_secs(30);
        self.run_until(end)?;
        self.check_stopped()?;
        self.stop_all();
        let end = self.shared.now + Duration::from_secs(30);
        self.run_until(end)?;
        self.check_ended()
    }

    fn release(&mut self) -> Result<(), String> {
        for node in &mut self.nodes {
            for (plugin, actor) in &mut node.actors {
                let (broker, shared) = (&mut node.broker, &mut self.shared);
                // These callbacks do not call other plugins.
                let (others, plugin) = (&mut BTreeMap::new(), *plugin);
                let restartable = &mut node.restartable;
                actor.release_all(&mut Host { broker, plugin, shared, others, restartable })?;
            }
        }
        Ok(())
    }

    fn stop_all(&mut self) {
        for node in &mut self.nodes {
            match node.node_kind {
                NodeKind::Server => node.broker.stop(&Reason::server(Code::ServerStopping, "")),
                NodeKind::Dials { .. } | NodeKind::Unlisted => node.stop(&mut self.shared),
                NodeKind::Child { .. } => {}
            }
        }
    }

    fn stop_plugins(&mut self) {
        self.shared.closing = true;
        for node in &mut self.nodes {
            for plugin in node.actors.keys().copied().collect::<Vec<_>>() {
                node.stop_plugin(&mut self.shared, plugin);
            }
        }
    }

    /// Runs until nothing is due before this time.
    fn run_until(&mut self, end: Duration) -> Result<(), String> {
        loop {
            self.take_dials();
            self.take_direct_dials();
            let busy: Vec<usize> = (0..self.nodes.len()).filter(|n| self.is_busy(*n)).collect();
            if busy.is_empty() {
                match self.next_time() {
                    Some(next) if next < end => {
                        self.shared.now = self.shared.now.max(next);
                        self.run_events()?;
                    }
                    _ => break,
                }
                continue;
            }
            let number = self.shared.random.pick(&busy);
            self.nodes[number].turn(&mut self.shared, &mut self.pipes)?;
            self.shared.now += Duration::from_micros(1 + self.shared.random.below(20));
            self.run_events()?;
            self.after_turn(number)?;
        }
        self.shared.now = self.shared.now.max(end);
        Ok(())
    }

    fn after_turn(&mut self, number: usize) -> Result<(), String> {
        self.turns += 1;
        if self.turns > TURNS {
            return Err("the run does not end".to_string());
        }
        if self.nodes[number].broker.windows_grown() > 0 {
            self.shared.trace.saw("a window grew");
        }
        let at = &self.shared.info[number].name;
        self.nodes[number].broker.audit().map_err(|what| format!("{at}: {what}"))?;
        self.check_accounts(number)?;
        self.watch_tickets(number);
        if self.shared.random.chance(3) {
            self.ask(number)?;
        }
        self.manage_hosts(number)
    }

    /// Whether a node has something to do now.
    fn is_busy(&self, number: usize) -> bool {
        let (node, now) = (&self.nodes[number], self.shared.now);
        node.broker.effects_waiting() > 0
            || node.broker.has_touched()
            || node.broker.deadline().is_some_and(|at| at <= now)
            || node.closing.values().any(|at| *at <= now)
            || node.acceptable(&self.pipes).is_some()
            || !node.ended.is_empty()
            || node.has_ended(now)
            || node.conns.keys().any(|id| node.readable(*id, now, &self.pipes))
            || node.blocked.iter().any(|id| node.writable(*id, &self.pipes))
    }

    fn next_time(&self) -> Option<Duration> {
        let event = self.events.keys().next().map(|(at, _)| *at);
        let of_node = |node: &Node| {
            let closing = node.closing.values().copied();
            let ways = node.conns.values().map(|(pipe, side)| &self.pipes[*pipe].ways[1 - side]);
            let reads = ways.filter_map(|way| way.readable_at());
            closing.chain(reads).chain(node.broker.deadline()).chain(node.stop_by).min()
        };
        self.nodes.iter().filter_map(of_node).chain(event).min()
    }

    /// Runs the planned events that are due.
    fn run_events(&mut self) -> Result<(), String> {
        while let Some(entry) = self.events.first_entry()
            && entry.key().0 <= self.shared.now
        {
            match entry.remove() {
                Event::Dialled { from, generation, peer, to, expected } => {
                    if self.nodes[from].generation == generation {
                        self.dialled(from, peer, to, expected);
                    }
                }
                Event::Accepted { to, generation, pipe } => self.queue_pipe(to, generation, pipe),
                Event::DirectDialled(outcome) => self.direct_dialled(outcome),
                Event::Fault if !self.shared.calm => self.fault(),
                Event::DirectFault if !self.shared.calm => self.break_direct(),
                Event::Fault | Event::DirectFault => {}
                Event::Return { node } => self.return_one(node),
                Event::HostStarts { node } => self.start_host(node),
                Event::ChildEnded { server, child } => {
                    self.nodes[server].ended.push((child, "it has ended"));
                }
            }
        }
        Ok(())
    }

    /// Queues a pipe at its acceptor, or ends it if the acceptor has ended.
    fn queue_pipe(&mut self, to: usize, generation: u64, pipe: usize) {
        if !self.nodes[to].alive || self.nodes[to].generation != generation {
            self.pipes[pipe].ways[1].end();
            return;
        }
        if !self.pipes[pipe].direct {
            self.note_second_link(to, pipe);
        }
        self.nodes[to].backlog.push(pipe);
    }

    /// Notes that two servers have dialled each other at the same time.
    fn note_second_link(&mut self, to: usize, pipe: usize) {
        let node = |end: Option<(usize, _)>| end.map(|(node, _)| node);
        let from = node(self.pipes[pipe].ends[0]);
        let links = |pipe: &&Pipe| !pipe.direct;
        let other = |pipe: &Pipe| (node(pipe.ends[0]), node(pipe.ends[1])) == (Some(to), from);
        if from.is_some() && self.pipes.iter().filter(links).any(other) {
            self.shared.trace.saw("two links at once");
        }
    }

    pub(super) fn return_one(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        // A host that its server starts is restarted as a whole, and a stopping one is not.
        if matches!(node.node_kind, NodeKind::Child { .. }) || node.stop_by.is_some() {
            return;
        }
        let Some(mut spec) = node.restartable.pop() else { return };
        self.shared.trace.saw("a plugin restarted");
        spec.version += self.shared.random.below(2);
        node.start(&mut self.shared, spec);
    }

    fn take_dials(&mut self) {
        for from in 0..self.nodes.len() {
            for Dial { peer, endpoints, .. } in std::mem::take(&mut self.nodes[from].dials) {
                let port = endpoints.first().map(ToString::to_string).unwrap_or_default();
                let to = (0..self.servers()).find(|n| port.contains(&format!(":{}", 8000 + n)));
                let after = Duration::from_micros(self.shared.random.size(1, 300_000));
                if let Some(to) = to {
                    let expected = endpoints.iter().find_map(|endpoint| match endpoint.transform {
                        Transform::Shs(key) => Some(key),
                        _ => None,
                    });
                    let generation = self.nodes[from].generation;
                    self.plan(after, Event::Dialled { from, generation, peer, to, expected });
                }
            }
        }
    }

    fn dialled(&mut self, from: usize, peer: PeerId, to: usize, expected: Option<Key>) {
        let secured = expected.is_some();
        if !self.shared.calm && self.shared.random.chance(100) {
            self.shared.trace.saw("a failed dial");
            self.nodes[from].broker.dial_failed(peer, "no server listens there");
            return;
        }
        let pipe = self.new_pipe(secured);
        self.pipes[pipe].from = secured.then(|| direct::link_addr(from));
        let node_kind = self.nodes[from].node_kind;
        self.pipes[pipe].unlisted = node_kind == NodeKind::Unlisted;
        if let NodeKind::Dials { .. } = node_kind {
            self.pipes[pipe].host = Some(from);
            self.pipes[pipe].grants = Grants::Everything;
        }
        self.nodes[from].connected(
            &mut self.shared,
            &mut self.pipes,
            pipe,
            0,
            Opened::Dialled(peer),
            expected,
        );
        let after = Duration::from_micros(self.shared.random.size(1, 50_000));
        let generation = self.nodes[to].generation;
        self.plan(after, Event::Accepted { to, generation, pipe });
    }

    pub(super) fn new_pipe(&mut self, secured: bool) -> usize {
        let pipe = Pipe::draw(&mut self.shared.random);
        self.pipes.push(Pipe { secured, ..pipe });
        self.pipes.len() - 1
    }
}
