//! All servers, pipes and planned events of one run, and its clock.

use super::actor::{Character, Kind};
use super::channel::Host;
use super::direct::{self, Advertised, Networks, Outcome, Punch};
use super::hosts::Nature;
use super::node::Node;
use super::pipe::Pipe;
use super::random::Random;
use super::{Ledger, Part, Shared, Trace};
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

/// Turns after which a run that does not end is a failure.
const TURNS: u64 = 2_000_000;

/// What channels of one server or host have for a window at first, in bytes.
pub(super) const WINDOWS: [u64; 3] = [64 * 1024, 64 * 1024, 256 * 1024];

/// The smallest outbox that can be configured, in bytes: with what a host may be told without
/// reading, it holds fewer plugins than a crowd announces.
const SMALL_OUTBOX: usize = 64 * 1024;

/// What a server or a host holds at most.
pub(super) fn limits(window: u64, outbox: usize) -> Limits {
    let (calls, call_size) = (super::calls::CALLS, super::calls::LONGEST);
    Limits { window, window_max: 1 << 20, calls, call_size, outbox, ..Limits::default() }
}

/// Something that is planned.
#[derive(Debug)]
pub enum Event {
    /// A dial of a server reaches another one, or nobody.
    Dialled {
        /// The server or host that dials.
        from: usize,
        /// How often it was started by then.
        life: u64,
        /// Its name for the other one.
        peer: PeerId,
        /// The other one.
        to: usize,
        /// The key that it has to prove, where that is asked for.
        expected: Option<Key>,
    },
    /// A pipe reaches its acceptor.
    Accepted {
        /// The acceptor.
        to: usize,
        /// How often it was started by then.
        life: u64,
        /// The pipe.
        pipe: usize,
    },
    /// A direct dial comes to its end.
    DirectDialled(Outcome),
    /// One of the faults happens.
    Fault,
    /// A direct connection breaks, or falls silent.
    DirectFault,
    /// A plugin that fell comes back.
    Return {
        /// At which server or host.
        node: usize,
    },
    /// A host that dials by itself is started.
    HostStarts {
        /// Which one.
        node: usize,
    },
    /// A server hears that a host which it started has ended.
    ChildEnded {
        /// The server.
        server: usize,
        /// The host.
        child: ChildId,
    },
}

/// One run.
pub struct World {
    /// What everything shares.
    pub shared: Shared,
    /// The servers, and then the hosts.
    pub nodes: Vec<Node>,
    /// The pipes, those that are over among them.
    pub pipes: Vec<Pipe>,
    events: BTreeMap<(Duration, u64), Event>,
    next_event: u64,
    /// Turns of all servers and hosts.
    pub turns: u64,
    /// What this run's faults are drawn from.
    pub(super) faults: Vec<super::chaos::Fault>,
    /// Whether links are kept that serve nobody.
    pub(super) keep: Keep,
    /// Pairs of servers that know each other's address, the higher number first.
    pub(super) mutual: BTreeSet<(usize, usize)>,
    /// Processes that dial each other.
    pub(super) punches: Vec<Punch>,
}

impl World {
    /// The beginning of a run.
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
        let node = |number| Node::new(number, Nature::Server, settings(number));
        let nodes = (0..count).map(node).collect();
        let named = |home| format!("server-{home}");
        let part = |home| Part { name: named(home), home, machine: machines[home] };
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
            visited: false,
            jumped: false,
            cast: (0..count).map(part).collect(),
            contested: BTreeSet::new(),
            eager: random.chance(100),
            closed: BTreeSet::new(),
            starts: BTreeMap::new(),
            links: BTreeMap::new(),
            told_over: None,
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
        world.furnish(anyone, crowded);
        world
    }

    fn furnish(&mut self, anyone: bool, crowded: bool) {
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
            self.shared.trace.saw("links that have to be useful");
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

    /// A plugin of a kind, under a name.
    pub(super) fn character(&mut self, kind: Kind, name: &str) -> Option<Character> {
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
        Some(Character { kind, name, version, expose, advertised, manages_links })
    }

    /// How many servers there are.
    pub(super) fn servers(&self) -> usize {
        self.shared.keys.len()
    }

    /// Every two servers know each other's address, or one of them the other's.
    fn add_peers(&mut self) {
        for a in 0..self.servers() {
            for b in 0..a {
                let who = self.shared.random.below(3);
                self.add_peer(a, b, who != 0);
                self.add_peer(b, a, who != 1);
                if who == 2 {
                    self.mutual.insert((a, b));
                    self.shared.trace.saw("dialling each other");
                }
            }
        }
    }

    /// A server that is not dialled is listed by its key, which matters on secured links only.
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

    /// Where a server can be dialled.
    pub(super) fn endpoints(&self, to: usize, secured: bool) -> Vec<Endpoint> {
        let key = self.shared.keys[to];
        let transform = if secured { format!("shs:{key}") } else { "noauth".to_string() };
        let address = format!("net:127.0.0.1:{}~{transform}", 8000 + to).parse::<Address>();
        address.map(|address| address.endpoints().0).unwrap_or_default()
    }

    /// Plans an event for so long from now.
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
                // What they do about it does not concern the other plugins.
                let (others, plugin) = (&mut BTreeMap::new(), *plugin);
                let fallen = &mut node.fallen;
                actor.release_all(&mut Host { broker, plugin, shared, others, fallen })?;
            }
        }
        Ok(())
    }

    fn stop_all(&mut self) {
        for node in &mut self.nodes {
            match node.nature {
                Nature::Server => node.broker.stop(&Reason::server(Code::ServerStopping, "")),
                Nature::Dials { .. } | Nature::Unlisted => node.stop(&mut self.shared),
                Nature::Child { .. } => {}
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

    /// Runs until nothing more is due before a time.
    fn run_until(&mut self, end: Duration) -> Result<(), String> {
        loop {
            self.take_dials();
            self.take_direct_dials();
            let busy: Vec<usize> = (0..self.nodes.len()).filter(|n| self.is_busy(*n)).collect();
            if busy.is_empty() {
                match self.next_time() {
                    Some(next) if next < end => {
                        self.shared.now = self.shared.now.max(next);
                        self.happen()?;
                    }
                    _ => break,
                }
                continue;
            }
            let number = self.shared.random.pick(&busy);
            self.nodes[number].turn(&mut self.shared, &mut self.pipes)?;
            self.shared.now += Duration::from_micros(1 + self.shared.random.below(20));
            self.happen()?;
            self.after_turn(number)?;
        }
        self.shared.now = self.shared.now.max(end);
        Ok(())
    }

    fn after_turn(&mut self, number: usize) -> Result<(), String> {
        self.turns += 1;
        if self.turns > TURNS {
            return Err("the run does not come to rest".to_string());
        }
        if self.nodes[number].broker.windows_grown() > 0 {
            self.shared.trace.saw("a window grew");
        }
        let at = &self.shared.cast[number].name;
        self.nodes[number].broker.audit().map_err(|what| format!("{at}: {what}"))?;
        self.check_accounts(number)?;
        self.watch_tickets(number);
        if self.shared.random.chance(3) {
            self.ask(number)?;
        }
        self.mind_hosts(number)
    }

    /// Whether a server has something to do now.
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

    /// Lets planned events happen whose time has come.
    fn happen(&mut self) -> Result<(), String> {
        while let Some(entry) = self.events.first_entry()
            && entry.key().0 <= self.shared.now
        {
            match entry.remove() {
                Event::Dialled { from, life, peer, to, expected } => {
                    if self.nodes[from].life == life {
                        self.dialled(from, peer, to, expected);
                    }
                }
                Event::Accepted { to, life, pipe } => self.arrive(to, life, pipe),
                Event::DirectDialled(outcome) => self.direct_dialled(outcome),
                Event::Fault if !self.shared.calm => self.fault(),
                Event::DirectFault if !self.shared.calm => self.break_direct(),
                Event::Fault | Event::DirectFault => {}
                Event::Return { node } => self.return_one(node),
                Event::HostStarts { node } => self.start_host(node),
                Event::ChildEnded { server, child } => {
                    self.nodes[server].ended.push((child, "it is gone"));
                }
            }
        }
        Ok(())
    }

    /// A pipe reaches its acceptor, or finds it gone.
    fn arrive(&mut self, to: usize, life: u64, pipe: usize) {
        if !self.nodes[to].alive || self.nodes[to].life != life {
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
        // A host that its server starts begins anew instead, and one that stops does not.
        if matches!(node.nature, Nature::Child { .. }) || node.stop_by.is_some() {
            return;
        }
        let Some(mut character) = node.fallen.pop() else { return };
        self.shared.trace.saw("a plugin came back");
        character.version += self.shared.random.below(2);
        node.start(&mut self.shared, character);
    }

    fn take_dials(&mut self) {
        for from in 0..self.nodes.len() {
            for Dial { peer, endpoints } in std::mem::take(&mut self.nodes[from].dials) {
                let port = endpoints.first().map(ToString::to_string).unwrap_or_default();
                let to = (0..self.servers()).find(|n| port.contains(&format!(":{}", 8000 + n)));
                let after = Duration::from_micros(self.shared.random.size(1, 300_000));
                if let Some(to) = to {
                    let expected = endpoints.iter().find_map(|endpoint| match endpoint.transform {
                        Transform::Shs(key) => Some(key),
                        _ => None,
                    });
                    let life = self.nodes[from].life;
                    self.plan(after, Event::Dialled { from, life, peer, to, expected });
                }
            }
        }
    }

    fn dialled(&mut self, from: usize, peer: PeerId, to: usize, expected: Option<Key>) {
        let secured = expected.is_some();
        if !self.shared.calm && self.shared.random.chance(100) {
            self.shared.trace.saw("a failed dial");
            self.nodes[from].broker.dial_failed(peer, "nobody is there");
            return;
        }
        let pipe = self.new_pipe(secured);
        self.pipes[pipe].from = secured.then(|| direct::link_addr(from));
        let nature = self.nodes[from].nature;
        self.pipes[pipe].unlisted = nature == Nature::Unlisted;
        if let Nature::Dials { .. } = nature {
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
        let life = self.nodes[to].life;
        self.plan(after, Event::Accepted { to, life, pipe });
    }

    pub(super) fn new_pipe(&mut self, secured: bool) -> usize {
        let pipe = Pipe::draw(&mut self.shared.random);
        self.pipes.push(Pipe { secured, ..pipe });
        self.pipes.len() - 1
    }
}
