//! A process with a broker, and a loop with the turns and budgets of the real one
//! (`server/src/serve/turn.rs` and `connections.rs`).

use super::plugins::{Measurements, PROBE, Plugins};
use super::rogue::name;
use super::socket::Pair;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use trunkline_core::broker::{
    Accept, Broker, ConnId, Direct, Effect, Expose, Grants, Opened, Opening, PeerProcess,
    PluginConfig, PluginId, Security, Settings, Step, Target,
};
use trunkline_core::control::{Role, SocketName};
use trunkline_core::key::{Key, NETWORK};
use trunkline_core::limits::Limits;
use trunkline_core::reason::Reason;
use trunkline_shs::Identity;

/// Bytes that one read returns at most, as in the loop.
const READ_BUFFER: usize = 64 * 1024;

/// Reads of one connection in one turn, as in the loop.
const READS_PER_TURN: usize = 2;

/// Rounds of effects in one turn, as in the loop.
const ROUNDS_PER_TURN: usize = 16;

/// Connections accepted in one turn, as in the loop.
const ACCEPTS_PER_TURN: usize = 64;

/// Bytes that one connection writes in one turn, as in the loop.
const WRITE_BUDGET: usize = 1 << 20;

/// How long a closing connection may take, as in the loop.
const LINGER: Duration = Duration::from_secs(1);

/// One side of a pair of sockets.
#[derive(Clone, Copy, Debug)]
pub(super) struct SocketEnd {
    pub(super) pair: usize,
    pub(super) side: usize,
}

/// A plugin of an innocent process.
#[derive(Clone, Debug)]
pub(super) struct PluginSpec {
    config: PluginConfig,
    /// The plugin to which it sends messages.
    target: Option<Target>,
    /// Where it listens for direct connections.
    direct: Direct,
}

impl PluginSpec {
    /// A plugin that every server may see.
    pub(super) fn new(plugin: &str) -> PluginSpec {
        let config = PluginConfig { expose: Expose::Peers, ..PluginConfig::new(name(plugin), 1) };
        PluginSpec { config, target: None, direct: Direct::default() }
    }

    /// A plugin that sends messages to another one.
    pub(super) fn probing(from: &str, to: &str) -> PluginSpec {
        let target = Some(Target { name: name(to), least: 0, server: None });
        PluginSpec { target, ..PluginSpec::new(&format!("{PROBE}{from}-{to}")) }
    }

    /// Lets it advertise a unix socket, on which no process listens in the simulation.
    pub(super) fn on_a_socket(self) -> PluginSpec {
        let socket = Some(SocketName::new([7; 16]));
        PluginSpec { direct: Direct { socket, ..Direct::default() }, ..self }
    }
}

/// A process.
pub(super) struct Process {
    pub(super) name: String,
    pub(super) broker: Broker,
    sockets: BTreeMap<ConnId, SocketEnd>,
    backlog: VecDeque<(usize, Opening)>,
    /// Connections whose sockets are full.
    blocked: Vec<ConnId>,
    closing: VecDeque<(Duration, ConnId)>,
    plugins: Plugins,
    /// Plugins of a host, which start when the link to its server is up.
    waiting: Vec<PluginSpec>,
    buffer: Vec<u8>,
    plain: Vec<u8>,
    touched: Vec<ConnId>,
    /// Effects that were performed.
    pub(super) effects: i64,
    /// Bytes that were read and written, by pairs.
    pub(super) read: BTreeMap<usize, i64>,
    pub(super) written: BTreeMap<usize, i64>,
    /// Pairs whose connections this process ended.
    pub(super) ended: Vec<usize>,
}

impl Process {
    pub(super) fn new(number: u8, label: &str, role: Role, machine: Key) -> Process {
        let settings = Settings {
            identity: Identity::from_seed(&[number; 32]),
            network: NETWORK,
            accept: Accept::Anyone,
            name: label.to_string(),
            role,
            machine,
            software: String::new(),
            limits: Limits::default(),
            secret: [number; 32],
            seed: u64::from(number),
        };
        Process {
            name: label.to_string(),
            broker: Broker::new(settings),
            sockets: BTreeMap::new(),
            backlog: VecDeque::new(),
            blocked: Vec::new(),
            closing: VecDeque::new(),
            plugins: Plugins::default(),
            waiting: Vec::new(),
            buffer: vec![0; READ_BUFFER],
            plain: Vec::new(),
            touched: Vec::new(),
            effects: 0,
            read: BTreeMap::new(),
            written: BTreeMap::new(),
            ended: Vec::new(),
        }
    }

    /// Adds a plugin.
    pub(super) fn add(&mut self, log: &mut Measurements, spec: PluginSpec) {
        if self.broker.settings().role == Role::Host && self.broker.uplink_conn().is_none() {
            self.waiting.push(spec);
            return;
        }
        match self.broker.add_plugin(spec.config) {
            Ok(plugin) => {
                self.broker.set_direct(plugin, spec.direct);
                self.broker.plugin_started(plugin);
                if let Some(target) = spec.target {
                    self.plugins.probe(log, plugin, target);
                }
            }
            Err(reason) => log.harm(|| format!("a plugin cannot be added: {reason}")),
        }
    }

    /// Opens a connection at the dialling side.
    pub(super) fn connect(&mut self, now: Duration, end: SocketEnd, how: Opened) {
        self.broker.tick(now);
        let id = self.broker.connected(opening(how, Grants::Everything));
        self.sockets.insert(id, end);
    }

    /// Queues a connection to be accepted; `grants` are the roles that its peer may have.
    pub(super) fn wait_for_accept(&mut self, pair: usize, grants: Grants) {
        self.backlog.push_back((pair, opening(Opened::Accepted, grants)));
    }

    /// Lets its probes send.
    pub(super) fn send_probes(&mut self, log: &mut Measurements) {
        self.plugins.send_probes(&mut self.broker, log);
    }

    /// Whether a turn would do something.
    pub(super) fn is_busy(&self, now: Duration, pairs: &[Pair]) -> bool {
        let readable = |end: &SocketEnd| pairs[end.pair].ways[1 - end.side].is_readable();
        self.broker.effects_waiting() > 0
            || self.broker.has_touched()
            || self.broker.deadline().is_some_and(|at| at <= now)
            || !self.backlog.is_empty()
            || self.sockets.values().any(readable)
    }

    /// One turn of the loop: read all, tick, perform, flush all.
    pub(super) fn turn(&mut self, now: Duration, pairs: &mut [Pair], log: &mut Measurements) {
        self.broker.tick(now);
        for (id, bytes) in self.broker.take_unread() {
            self.take_in(id, &bytes, now, pairs, log);
        }
        self.accept(now, pairs, log);
        for id in self.sockets.keys().copied().collect::<Vec<_>>() {
            self.read(id, now, pairs, log);
        }
        for id in std::mem::take(&mut self.blocked) {
            self.flush_one(id, pairs);
        }
        for _ in 0..ROUNDS_PER_TURN {
            self.perform_waiting(now, pairs, log);
            self.flush(pairs);
            if self.broker.effects_waiting() == 0 {
                break;
            }
        }
        while let Some((at, id)) = self.closing.front().copied()
            && at <= now
        {
            self.closing.pop_front();
            self.remove(id, pairs, "");
        }
    }

    fn accept(&mut self, now: Duration, pairs: &mut [Pair], log: &mut Measurements) {
        for _ in 0..ACCEPTS_PER_TURN {
            let accepted = self.backlog.pop_front_if(|(_, o)| self.broker.accepts(o.grants));
            let Some((pair, opening)) = accepted else { return };
            let id = self.broker.connected(opening);
            self.sockets.insert(id, SocketEnd { pair, side: 1 });
            self.perform_waiting(now, pairs, log);
        }
    }

    fn read(&mut self, id: ConnId, now: Duration, pairs: &mut [Pair], log: &mut Measurements) {
        let mut buffer = std::mem::take(&mut self.buffer);
        for _ in 0..READS_PER_TURN {
            let Some(end) = self.sockets.get(&id).copied() else { break };
            if self.broker.is_behind(id) {
                break;
            }
            match pairs[end.pair].ways[1 - end.side].read(&mut buffer) {
                Some(0) => break,
                Some(count) => {
                    *self.read.entry(end.pair).or_default() += count as i64;
                    self.feed(id, &mut buffer[..count], now, pairs, log);
                }
                None => {
                    self.remove(id, pairs, "the peer closed the connection");
                    break;
                }
            }
        }
        self.buffer = buffer;
    }

    fn feed(
        &mut self,
        id: ConnId,
        bytes: &mut [u8],
        now: Duration,
        pairs: &mut [Pair],
        log: &mut Measurements,
    ) {
        let mut plain = std::mem::take(&mut self.plain);
        let opened = self.broker.unseal(id, bytes, &mut plain);
        self.take_in(id, opened, now, pairs, log);
        self.plain = plain;
    }

    /// Passes decrypted bytes of a connection to the broker.
    fn take_in(
        &mut self,
        id: ConnId,
        bytes: &[u8],
        now: Duration,
        pairs: &mut [Pair],
        log: &mut Measurements,
    ) {
        let mut input = bytes;
        loop {
            let step = self.broker.receive(id, &mut input);
            self.perform_waiting(now, pairs, log);
            match step {
                Step::Done => break,
                Step::More => {}
                Step::Write { plugin, channel, bytes } => {
                    self.plugins.bytes(log, channel, bytes);
                    self.broker.consumed(plugin, channel, bytes.len());
                }
            }
        }
    }

    /// Performs the effects that are queued now.
    fn perform_waiting(&mut self, now: Duration, pairs: &mut [Pair], log: &mut Measurements) {
        for _ in 0..self.broker.effects_waiting() {
            self.effects += 1;
            match self.broker.next_effect() {
                Some(Effect::Tell(plugin, told)) => {
                    self.plugins.tell(&mut self.broker, log, plugin, told);
                }
                Some(Effect::HangUp(id)) => {
                    self.ended.extend(self.sockets.get(&id).map(|end| end.pair));
                    self.closing.push_back((now + LINGER, id));
                    self.flush_one(id, pairs);
                }
                Some(Effect::CutOff(id)) => {
                    self.ended.extend(self.sockets.get(&id).map(|end| end.pair));
                    self.remove(id, pairs, "");
                }
                Some(Effect::HomeFound) => {
                    for spec in std::mem::take(&mut self.waiting) {
                        self.add(log, spec);
                    }
                }
                Some(Effect::Reject(plugin, reason)) => self.rejected(log, plugin, &reason),
                // No process listens at the addresses that attackers name.
                Some(Effect::DialDirect(dial)) => {
                    self.broker.direct_failed(dial.id, "no process listens")
                }
                Some(_) => {}
                None => break,
            }
        }
    }

    fn rejected(&mut self, log: &mut Measurements, plugin: PluginId, reason: &Reason) {
        log.harm(|| format!("{plugin:?} of {} is rejected: {reason}", self.name));
    }

    /// Ends a connection.
    fn remove(&mut self, id: ConnId, pairs: &mut [Pair], why: &str) {
        if let Some(end) = self.sockets.remove(&id) {
            pairs[end.pair].ways[end.side].ended = true;
            self.broker.disconnected(id, why);
        }
    }

    fn flush(&mut self, pairs: &mut [Pair]) {
        let mut touched = std::mem::take(&mut self.touched);
        self.broker.take_touched(&mut touched);
        for id in &touched {
            self.flush_one(*id, pairs);
        }
        self.touched = touched;
    }

    fn flush_one(&mut self, id: ConnId, pairs: &mut [Pair]) {
        let Some(end) = self.sockets.get(&id).copied() else { return };
        let way = &mut pairs[end.pair].ways[end.side];
        let mut budget = WRITE_BUDGET;
        while budget > 0 {
            let outgoing = self.broker.outgoing(id);
            let waiting: usize = outgoing.iter().map(|slice| slice.len()).sum();
            if waiting == 0 {
                self.broker.flushed(id, 0);
                return;
            }
            let taken: usize = outgoing.iter().map(|slice| way.write(slice)).sum();
            *self.written.entry(end.pair).or_default() += taken as i64;
            budget = budget.saturating_sub(taken);
            self.broker.flushed(id, taken);
            if taken < waiting {
                self.blocked.push(id);
                return;
            }
        }
        self.broker.write_later(id);
    }
}

fn opening(how: Opened, grants: Grants) -> Opening {
    let (address, process) = (String::new(), PeerProcess::Foreign);
    Opening { how, grants, address, security: Security::NoAuth, from: None, process }
}
