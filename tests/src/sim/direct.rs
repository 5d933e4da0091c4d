//! Direct connections between the processes of a run: their machines, the places where they listen,
//! which process can reach which, and the outcome of dials.

use super::Shared;
use super::chaos::Fault;
use super::node::Node;
use super::pipe::Pipe;
use super::random::Random;
use super::stranger;
use super::world::{Event, World};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use trunkline_core::address::{Address, Endpoint, Host, Scope, Shareable, Transform, Transport};
use trunkline_core::broker::{ConnId, Direct, DirectDial, DirectId, DirectPlace, Grants, Opened};
use trunkline_core::control::SocketName;
use trunkline_core::key::Key;

/// Machines of a run.
const MACHINES: u64 = 3;

/// The port of each process for direct connections. On loopback, the process's number is added.
const DIRECT_PORT: u16 = 7100;

/// The port from which a process dials its server.
const LINK_PORT: u16 = 6000;

/// The shell's timeout for an address that does not answer.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a plugin listens for direct connections.
#[derive(Clone, Copy, Debug, Default)]
pub struct Advertised {
    socket: bool,
    net: bool,
    loopback: bool,
}

impl Advertised {
    /// Draws the places, possibly none.
    pub fn draw(random: &mut Random) -> Advertised {
        Advertised {
            socket: random.chance(400),
            net: random.chance(400),
            loopback: random.chance(300),
        }
    }
}

/// The direct connections of one process.
#[derive(Debug, Default)]
pub struct Dialling {
    /// New requests of its broker.
    pub new: Vec<DirectDial>,
    /// Dials in progress.
    open: BTreeSet<DirectId>,
    /// Cancelled dials that will succeed nevertheless.
    late: BTreeSet<DirectId>,
    /// Connections that wait because their ticket is not known yet.
    unknown: BTreeSet<ConnId>,
    /// A dial or a dialled connection has just been cancelled.
    cancelled: bool,
}

impl Dialling {
    /// Begins a dial that the broker has requested.
    pub fn begin(&mut self, dial: DirectDial) {
        self.open.insert(dial.id);
        self.new.push(dial);
    }

    /// Cancels a dial, perhaps too late.
    pub fn give_up(&mut self, id: DirectId, shared: &mut Shared) {
        self.cancelled = true;
        if shared.random.chance(500) {
            self.late.insert(id);
        } else {
            shared.trace.saw("a dial cancelled");
            self.open.remove(&id);
        }
    }

    /// Notes that one of its dialled connections is closed.
    pub fn closes(&mut self) {
        self.cancelled = true;
    }

    /// Whether something was cancelled since the last call.
    pub fn take_cancelled(&mut self) -> bool {
        std::mem::take(&mut self.cancelled)
    }

    /// Updates the connections whose ticket is not known. Returns those that no longer wait.
    pub fn watch(&mut self, awaited: impl Iterator<Item = ConnId>) -> Vec<ConnId> {
        let now: BTreeSet<ConnId> = awaited.collect();
        let before = std::mem::replace(&mut self.unknown, now);
        before.difference(&self.unknown).copied().collect()
    }
}

/// One side of hole punching. It succeeds if the other side dials too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Punch {
    node: usize,
    generation: u64,
    id: DirectId,
    to: usize,
    answers: bool,
    until: Duration,
}

/// The planned outcome of a dial.
#[derive(Debug)]
pub struct DialOutcome {
    from: usize,
    generation: u64,
    id: DirectId,
    /// The process that is reached, its generation, and the key that it has to prove.
    to: Option<(usize, u64, Option<Key>)>,
}

/// The networks of a run.
#[derive(Debug, Default)]
pub struct Networks {
    sockets: BTreeMap<String, (usize, u64)>,
    /// Pairs of processes of which the first can reach the second over TCP.
    reachable: BTreeSet<(usize, usize)>,
    /// Pairs between which hole punching works, the lower number first.
    punchable: BTreeSet<(usize, usize)>,
}

impl Networks {
    /// The places where a plugin of a process listens.
    pub fn advertise(
        &mut self,
        random: &mut Random,
        (node, generation): (usize, u64),
        places: Advertised,
    ) -> Direct {
        let socket = places.socket.then(|| {
            let words = [random.bits().to_le_bytes(), random.bits().to_le_bytes()].concat();
            SocketName::new(std::array::from_fn(|at| words[at]))
        });
        if let Some(socket) = &socket {
            self.sockets.insert(socket.as_str().to_string(), (node, generation));
        }
        let net = places.net.then(|| shareable(Ipv4Addr::new(10, 1, 0, node as u8), DIRECT_PORT));
        let loopback = places.loopback.then_some(DIRECT_PORT + node as u16);
        Direct { socket, net: net.flatten().into_iter().collect(), loopback }
    }
}

/// The machine with a number.
pub(super) fn machine(number: u64) -> Key {
    Key([100 + number as u8; 32])
}

/// One of the machines.
pub(super) fn draw_machine(random: &mut Random) -> u64 {
    random.below(MACHINES)
}

/// The address from which a process dials its server.
pub(super) fn link_addr(node: usize) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::new(10, 2, 0, node as u8).into(), LINK_PORT)
}

fn shareable(ip: Ipv4Addr, port: u16) -> Option<Shareable> {
    let transport = Transport::Net { host: Host::V4(ip), port };
    let endpoint = Endpoint { transport, transform: Transform::ShsKnownKey };
    endpoint.to_string().parse::<Address>().ok()?.shareable(Scope::Local)
}

impl World {
    /// Draws which processes can reach each other.
    pub(super) fn draw_networks(&mut self) {
        for a in 0..self.nodes.len() {
            for b in 0..self.nodes.len() {
                if self.shared.random.chance(600) {
                    self.shared.networks.reachable.insert((a, b));
                }
                if a < b && self.shared.random.chance(700) {
                    self.shared.networks.punchable.insert((a, b));
                }
            }
        }
    }

    fn one_machine(&self, a: usize, b: usize) -> bool {
        let machine = |n: usize| self.nodes[n].broker.settings().machine;
        machine(a) == machine(b)
    }

    /// Plans the outcomes of new dials.
    pub(super) fn take_direct_dials(&mut self) {
        for from in 0..self.nodes.len() {
            for DirectDial { id, place } in std::mem::take(&mut self.nodes[from].dialling.new) {
                match place {
                    DirectPlace::Socket(socket) => {
                        let there = self.shared.networks.sockets.get(socket.as_str()).copied();
                        let there = there.filter(|(to, generation)| {
                            self.one_machine(from, *to) && self.is_alive(*to, *generation)
                        });
                        self.plan_outcome(
                            from,
                            id,
                            there.map(|(to, generation)| (to, generation, None)),
                        );
                    }
                    DirectPlace::Net(endpoints) => {
                        let reached = endpoints.iter().find_map(|at| self.resolve(from, at));
                        self.plan_outcome(from, id, reached);
                    }
                    DirectPlace::Punch(endpoints) => self.punch(from, id, &endpoints, false),
                    DirectPlace::Answer(endpoints) => self.punch(from, id, &endpoints, true),
                }
            }
        }
    }

    fn is_alive(&self, node: usize, generation: u64) -> bool {
        self.nodes[node].alive && self.nodes[node].generation == generation
    }

    /// The process that listens at an endpoint, if it can be reached from another one.
    fn resolve(&self, from: usize, endpoint: &Endpoint) -> Option<(usize, u64, Option<Key>)> {
        let Transport::Net { host: Host::V4(ip), port } = &endpoint.transport else { return None };
        let Transform::Shs(key) = endpoint.transform else { return None };
        let (to, reached) = match ip.octets() {
            [127, 0, 0, 1] => {
                let to = usize::from(*port - DIRECT_PORT);
                (to, self.one_machine(from, to))
            }
            [.., node] => {
                let to = usize::from(node);
                let reachable = self.shared.networks.reachable.contains(&(from, to));
                (to, reachable || self.one_machine(from, to))
            }
        };
        let node = &self.nodes[to];
        (reached && node.alive).then_some((to, node.generation, Some(key)))
    }

    fn plan_outcome(&mut self, from: usize, id: DirectId, to: Option<(usize, u64, Option<Key>)>) {
        if let Some((to, ..)) = to {
            self.fault_before_dial(from, to);
        }
        let random = &mut self.shared.random;
        let to = to.filter(|_| !random.chance(80));
        let after = match (to, random.chance(150)) {
            (Some(_), true) => Duration::from_micros(random.size(250_000, 3_000_000)),
            (None, true) => DIAL_TIMEOUT,
            _ => Duration::from_micros(random.size(1, 300_000)),
        };
        let generation = self.nodes[from].generation;
        self.plan(after, Event::DirectDialled(DialOutcome { from, generation, id, to }));
    }

    fn punch(&mut self, node: usize, id: DirectId, endpoints: &[Endpoint], answers: bool) {
        let (generation, until) = (self.nodes[node].generation, self.shared.now + DIAL_TIMEOUT);
        let addr = endpoints.iter().find_map(|endpoint| match &endpoint.transport {
            Transport::Net { host: Host::V4(ip), .. } => Some(usize::from(ip.octets()[3])),
            _ => None,
        });
        let outcome = DialOutcome { from: node, generation, id, to: None };
        let Some(to) = addr else {
            self.plan(Duration::ZERO, Event::DirectDialled(outcome));
            return;
        };
        let new = Punch { node, generation, id, to, answers, until };
        let pair = (node.min(to), node.max(to));
        let meets = |other: &Punch| {
            (other.node, other.to, other.answers) == (to, node, !answers)
                && other.until > self.shared.now
                && self.is_alive(to, other.generation)
                && self.nodes[to].dialling.open.contains(&other.id)
        };
        let met = self.punches.iter().position(meets);
        match met.filter(|_| self.shared.networks.punchable.contains(&pair)) {
            Some(at) => {
                let other = self.punches.remove(at);
                self.meet(new, other);
            }
            None => self.punches.push(new),
        }
        self.plan(DIAL_TIMEOUT, Event::DirectDialled(outcome));
    }

    /// Connects two processes that dial each other. The caller's process counts as the dialler.
    fn meet(&mut self, a: Punch, b: Punch) {
        let (dials, answers) = if a.answers { (b, a) } else { (a, b) };
        self.nodes[answers.node].dialling.open.remove(&answers.id);
        let Punch { node: from, generation, id, .. } = dials;
        let expected = self.nodes[answers.node].broker.key();
        let to = Some((answers.node, answers.generation, Some(expected)));
        self.shared.trace.saw("hole punching succeeded");
        let after = Duration::from_micros(self.shared.random.size(1, 300_000));
        self.plan(after, Event::DirectDialled(DialOutcome { from, generation, id, to }));
    }

    /// Handles the outcome of a dial.
    pub(super) fn direct_dialled(&mut self, outcome: DialOutcome) {
        let DialOutcome { from, generation, id, to } = outcome;
        let node = &mut self.nodes[from];
        if !(node.alive && node.generation == generation && node.dialling.open.remove(&id)) {
            return;
        }
        let late = node.dialling.late.remove(&id);
        let Some((to, generation, expected)) =
            to.filter(|(to, generation, _)| self.is_alive(*to, *generation))
        else {
            self.shared.trace.saw("a direct connection that failed");
            self.nodes[from].broker.direct_failed(id, "no process listens there");
            return;
        };
        if late {
            self.shared.trace.saw("a direct connection that came too late");
        }
        let pipe = self.new_pipe(expected.is_some());
        self.pipes[pipe].direct = true;
        self.pipes[pipe].callee = Some((to, generation));
        self.pipes[pipe].ways[0].first = expected.is_none().then(Vec::new);
        self.pipes[pipe].grants = Grants::Everything;
        if self.shared.random.chance(150) {
            self.pipes[pipe].delay = Duration::from_millis(self.shared.random.size(100, 1_500));
        }
        let (shared, pipes) = (&mut self.shared, &mut self.pipes);
        self.nodes[from].connected(shared, pipes, pipe, 0, Opened::DirectDial(id), expected);
        let after = Duration::from_micros(self.shared.random.size(1, 50_000));
        self.plan(after, Event::Accepted { to, generation, pipe });
        if self.faults.contains(&Fault::Direct) && self.shared.random.chance(60) {
            let after = Duration::from_micros(self.shared.random.size(1, 400_000));
            self.plan(after, Event::DirectFault);
        }
    }

    /// A stranger presents a ticket that it was not given: a used one, or a made-up one.
    pub(super) fn false_ticket(&mut self) {
        let used = |pipe: &Pipe| {
            let (to, generation) = pipe.callee?;
            let first = pipe.ways[0].first.clone().filter(|first| !first.is_empty())?;
            let arrived = pipe.ways[0].queued() == 0 && self.is_alive(to, generation);
            arrived.then_some((to, false, first))
        };
        let used: Vec<_> = self.pipes.iter().filter_map(used).collect();
        let again = !used.is_empty() && self.shared.random.chance(700);
        let (to, secured, bytes) = if again {
            self.shared.trace.saw("a used ticket");
            used[self.shared.random.below(used.len() as u64) as usize].clone()
        } else {
            let alive: Vec<usize> =
                (0..self.nodes.len()).filter(|n| self.nodes[*n].alive).collect();
            let (to, secured) = (self.shared.random.pick(&alive), self.shared.random.chance(300));
            let key = secured.then_some(self.nodes[to].broker.key());
            self.shared.trace.saw("a made-up ticket");
            (to, secured, stranger::false_ticket(&mut self.shared.random, key))
        };
        let pipe = self.new_pipe(secured);
        self.pipes[pipe].direct = true;
        self.pipes[pipe].grants = Grants::Everything;
        self.connect_stranger(to, pipe, &bytes);
    }

    /// Makes a fault happen just before a direct connection.
    fn fault_before_dial(&mut self, from: usize, to: usize) {
        if self.shared.calm || !self.shared.random.chance(30) {
            return;
        }
        match self.shared.random.below(3) {
            0 if self.faults.contains(&Fault::KillHost) && self.kill_host(to) => {
                self.shared.trace.saw("a host killed between invitation and dial");
            }
            1 if self.faults.contains(&Fault::CutHost) => {
                let to_server = |pipe: &Pipe| pipe.host == Some(from);
                self.cut(to_server, &[]);
            }
            2 if self.faults.contains(&Fault::Leave) => self.leave(from),
            _ => {}
        }
    }

    /// Notes tickets that became known only after they were presented.
    pub(super) fn watch_tickets(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        for id in node.dialling.watch(node.broker.unsettled().awaited.into_iter()) {
            if node.conns.contains_key(&id) && !node.broker.is_ending(id) {
                self.shared.trace.saw("an unknown ticket that became known");
            }
        }
    }

    /// Checks at rest that only direct connections with a channel are left.
    pub(super) fn check_direct(&self, node: &Node) -> Result<(), String> {
        let at = &self.shared.info[node.number].name;
        let unsettled = node.broker.unsettled();
        if unsettled.attempts + unsettled.tickets + unsettled.awaited.len() > 0 {
            return Err(format!("{at} has {unsettled:?} left"));
        }
        let direct =
            |pipe: usize| -> Option<&Pipe> { Some(&self.pipes[pipe]).filter(|pipe| pipe.direct) };
        let idle = |id: &ConnId| node.broker.stream_accounts(*id).is_empty();
        let mut conns = node.conns.iter().filter(|(_, (pipe, _))| direct(*pipe).is_some());
        match conns.find(|(id, _)| idle(id)) {
            Some((id, pipe)) => Err(format!("{at}: {id:?}, {pipe:?}, is for no channel")),
            None => Ok(()),
        }
    }
}
