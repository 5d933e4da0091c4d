//! The stage: a victim, innocent peers whose plugins keep sending messages, and attackers.

use super::attacks::{Attack, Plan};
use super::cost::{Bounds, Cost, Meter, Turn};
use super::plugins::Measurements;
use super::process::{PluginSpec, Process, SocketEnd};
use super::rogue::{ELSEWHERE, HERE, Rogue};
use super::socket::Pair;
use crate::sim::random::Random;
use std::time::Duration;
use trunkline_core::broker::{Grants, Keep, Opened, PeerConfig, Rights};
use trunkline_core::control::Role;
use trunkline_core::key::Key;

/// The virtual time of a turn.
const TURN: Duration = Duration::from_millis(1);

/// Turns of an innocent process for each turn of the victim, because it has its own core.
const INNOCENT_TURNS: usize = 8;

/// Turns before the attack, in which buffers grow to their size.
const QUIET_TURNS: u64 = 128;

/// Turns in which all messages arrive after the probes have stopped.
const LAST_TURNS: u64 = 64;

/// How long after a disconnect state of the attackers may be left. Tickets last the longest.
const AFTERWARDS: Duration = Duration::from_secs(40);

/// One step of that time.
const STEP: Duration = Duration::from_millis(50);

/// Turns between two audits, because each examines the whole state.
const AUDIT_EVERY: u64 = 32;

/// Turns between two searches for the late host in the directory, which is large then.
const SEARCH_EVERY: u64 = 4;

/// The state of the innocent processes without an attack.
#[derive(Debug, PartialEq, Eq)]
struct Inventory {
    entries: usize,
    ends: usize,
    connections: usize,
    streams: usize,
    tickets: usize,
    timers: [usize; 4],
}

/// One connection of an attack.
struct Attacker {
    rogue: Rogue,
    attack: Box<dyn Attack>,
    plan: Plan,
    /// The turn in which it connected.
    since: u64,
    /// The turn in which it was disconnected for good.
    disconnected: Option<u64>,
    /// The last turn in which its plugins may still have been leaving.
    leaving: u64,
}

impl Attacker {
    /// Whether it is connected, or innocent peers may not have been notified yet that its plugins
    /// have left.
    fn is_charged(&self, turn: u64) -> bool {
        self.disconnected.is_none_or(|at| turn < self.leaving.max(at) + QUIET_TURNS)
    }
}

/// The processes, their connections, and the measurements.
pub struct Stage {
    victim: Process,
    innocents: Vec<Process>,
    attackers: Vec<Attacker>,
    pairs: Vec<Pair>,
    /// Pairs between the victim and innocent peers.
    innocent_pairs: Vec<usize>,
    now: Duration,
    log: Measurements,
    meter: Meter,
    bounds: Bounds,
    /// Bytes that the victim keeps.
    live: i64,
    /// Its bytes before the attack, and the state of all innocent processes.
    baseline: Option<(i64, Inventory)>,
    /// The turn in which the late host linked.
    late: Option<u64>,
    probing: bool,
    next_key: u8,
    cost: Cost,
}

impl Stage {
    /// A victim with a host and a linked server, both innocent.
    #[must_use]
    pub fn new(meter: Meter, bounds: Bounds) -> Stage {
        let mut stage = Stage {
            victim: Process::new(1, "victim", Role::Server, HERE),
            innocents: Vec::new(),
            attackers: Vec::new(),
            pairs: Vec::new(),
            innocent_pairs: Vec::new(),
            now: Duration::ZERO,
            log: Measurements::default(),
            meter,
            bounds,
            live: 0,
            baseline: None,
            late: None,
            probing: true,
            next_key: 100,
            cost: Cost::default(),
        };
        stage.victim.add(&mut stage.log, PluginSpec::new("inline"));
        let host = Process::new(2, "host", Role::Host, HERE);
        let hosted = PluginSpec::new("hosted").on_a_socket();
        let probes = ["inline", "far"].map(|to| PluginSpec::probing("host", to));
        stage.link(host, None, [hosted].into_iter().chain(probes));
        let server = Process::new(3, "server", Role::Server, ELSEWHERE);
        let probes = ["inline", "hosted"].map(|to| PluginSpec::probing("server", to));
        let server = stage.link(server, None, [PluginSpec::new("far")].into_iter().chain(probes));
        // Its server is on another machine, so it is invited to direct connections on this one.
        let guest = Process::new(4, "guest", Role::Host, HERE);
        stage.link(guest, Some(server), [PluginSpec::probing("guest", "hosted")]);
        stage
    }

    /// Links an innocent process to the victim, or to another innocent one. Returns its number.
    fn link(
        &mut self,
        mut process: Process,
        to: Option<usize>,
        specs: impl IntoIterator<Item = PluginSpec>,
    ) -> usize {
        for spec in specs {
            process.add(&mut self.log, spec);
        }
        let pair = self.new_pair();
        let (endpoints, role, keep) = (Vec::new(), Role::Server, Keep::Always);
        let peer =
            PeerConfig { key: None, name: None, endpoints, role, keep, rights: Rights::all() };
        let peer = process.broker.add_peer(peer);
        process.connect(self.now, SocketEnd { pair, side: 0 }, Opened::Dialled(peer));
        match to {
            Some(number) => self.innocents[number].wait_for_accept(pair, Grants::Everything),
            None => {
                self.innocent_pairs.push(pair);
                self.victim.wait_for_accept(pair, Grants::Everything);
            }
        }
        self.innocents.push(process);
        self.innocents.len() - 1
    }

    fn new_pair(&mut self) -> usize {
        self.pairs.push(Pair::new());
        self.pairs.len() - 1
    }

    /// Lets the innocent processes link and exchange messages for a while.
    ///
    /// # Errors
    /// Messages do not arrive, although there is no attack.
    pub fn settle(&mut self) -> Result<(), String> {
        self.probing = false;
        self.turns(16)?;
        self.probing = true;
        self.turns(QUIET_TURNS)?;
        self.rest()?;
        self.baseline = Some((self.live, self.inventory()));
        self.cost = Cost::default();
        (self.log.latency, self.log.opened_after) = (0, 0);
        match self.log.arrived > QUIET_TURNS {
            true => Ok(()),
            false => {
                Err(format!("few messages arrive, although there is no attack: {:?}", self.log))
            }
        }
    }

    /// Connects attackers. Returns their numbers.
    pub fn attack(&mut self, plan: &Plan, random: &mut Random) -> Vec<usize> {
        let (first, since) = (self.attackers.len(), self.log.turn);
        for _ in 0..plan.peers {
            let pair = self.new_pair();
            self.victim.wait_for_accept(pair, plan.grants);
            let key = Key([self.next_key; 32]);
            self.next_key = self.next_key.wrapping_add(1).max(100);
            let mut rogue = Rogue::new(pair, key, plan.role);
            let mut attack = (plan.make)(random);
            attack.begin(&mut rogue);
            self.attackers.push(Attacker {
                rogue,
                attack,
                plan: *plan,
                since,
                disconnected: None,
                leaving: 0,
            });
        }
        (first..self.attackers.len()).collect()
    }

    /// Disconnects attackers for good.
    pub fn disconnect(&mut self, numbers: &[usize]) {
        for number in numbers {
            let attacker = &mut self.attackers[*number];
            attacker.disconnected = Some(self.log.turn);
            attacker.rogue.closed = true;
            self.pairs[attacker.rogue.pair].cut();
        }
    }

    /// Links one more host, with a plugin that all servers may see.
    pub fn add_late_host(&mut self) {
        if self.late.is_none() {
            self.link(Process::new(5, "late", Role::Host, HERE), None, [PluginSpec::new("late")]);
            self.late = Some(self.log.turn);
        }
    }

    /// Runs this many turns of the victim.
    ///
    /// # Errors
    /// The harm to an innocent process.
    pub fn turns(&mut self, count: u64) -> Result<(), String> {
        for _ in 0..count {
            self.turn(TURN)?;
        }
        Ok(())
    }

    fn turn(&mut self, time: Duration) -> Result<(), String> {
        self.now += time;
        self.log.turn += 1;
        for attacker in &mut self.attackers {
            let pair = &mut self.pairs[attacker.rogue.pair];
            attacker.rogue.act(&mut *attacker.attack, pair, attacker.plan.pace);
        }
        self.reconnect();
        for innocent in &mut self.innocents {
            if self.probing {
                innocent.send_probes(&mut self.log);
            }
        }
        self.innocent_turns();
        self.victim_turn();
        self.innocent_turns();
        self.check_innocents()
    }

    /// Connects attackers again whose connection was closed.
    fn reconnect(&mut self) {
        for number in 0..self.attackers.len() {
            if self.attackers[number].rogue.closed && self.attackers[number].disconnected.is_none()
            {
                let pair = self.new_pair();
                let attacker = &mut self.attackers[number];
                self.victim.wait_for_accept(pair, attacker.plan.grants);
                attacker.rogue = Rogue::new(pair, attacker.rogue.key(), attacker.plan.role);
                attacker.attack.begin(&mut attacker.rogue);
            }
        }
    }

    fn innocent_turns(&mut self) {
        for _ in 0..INNOCENT_TURNS {
            for innocent in &mut self.innocents {
                if innocent.is_busy(self.now, &self.pairs) {
                    innocent.turn(self.now, &mut self.pairs, &mut self.log);
                }
            }
        }
    }

    /// Runs one turn of the victim, and measures its cost.
    fn victim_turn(&mut self) {
        let before = (self.meter)();
        let (received, sent, effects) = (self.received(), self.sent(), self.victim.effects);
        self.victim.turn(self.now, &mut self.pairs, &mut self.log);
        let after = (self.meter)();
        self.live += after.live - before.live;
        self.cost.add(Turn {
            received: self.received() - received,
            allocations: after.allocations - before.allocations,
            cpu: after.cpu.saturating_sub(before.cpu),
            effects: self.victim.effects - effects,
            sent: self.sent() - sent,
            lines: after.lines - before.lines,
            audited: after.audited - before.audited,
        });
        let (turn, lost) = (self.log.turn, self.victim.broker.unsettled().lost);
        let mut peers = 0;
        for attacker in self.attackers.iter_mut().filter(|attacker| attacker.is_charged(turn)) {
            peers += 1;
            attacker.leaving = if lost { turn } else { attacker.leaving };
        }
        if let Some((quiet, _)) = self.baseline
            && peers > 0
        {
            self.cost.kept = self.cost.kept.max((self.live - quiet) / peers);
        }
        self.note_lines();
        self.log.note_late();
        (self.cost.latency, self.cost.opening) = (self.log.latency, self.log.opened_after);
    }

    /// Seconds of all attackers: each second that has begun, and one for what it is told behind.
    fn note_lines(&mut self) {
        let seconds = |attacker: &Attacker| {
            let last = attacker.disconnected.unwrap_or(self.log.turn);
            let turns = u128::from(last - attacker.since);
            2 + u64::try_from(turns * TURN.as_millis() / 1000).unwrap_or(u64::MAX)
        };
        let all: u64 = self.attackers.iter().map(seconds).sum();
        if all > 0 {
            self.cost.note_attackers(all);
        }
    }

    fn received(&self) -> i64 {
        let read = self.victim.read.iter();
        read.filter(|(pair, _)| !self.innocent_pairs.contains(pair)).map(|(_, bytes)| bytes).sum()
    }

    fn sent(&self) -> i64 {
        let sent = |pair| self.victim.written.get(pair).copied().unwrap_or(0);
        self.innocent_pairs.iter().map(sent).sum()
    }

    /// Checks that no innocent process is harmed, and that the cost is within its bounds.
    fn check_innocents(&mut self) -> Result<(), String> {
        self.search_late_host();
        let turn = self.log.turn;
        let harm = self.log.harm.take().map_or(Ok(()), Err);
        let cost = || match self.baseline {
            Some(_) => self.cost.check(&self.bounds),
            None => Ok(()),
        };
        let audit = || match turn.is_multiple_of(AUDIT_EVERY) {
            true => self.victim.broker.audit(),
            false => Ok(()),
        };
        let all = harm.and_then(|()| self.check_links()).and_then(|()| cost());
        all.and_then(|()| audit()).map_err(|what| format!("in turn {turn}: {what}"))
    }

    /// Checks that no innocent link has ended.
    fn check_links(&self) -> Result<(), String> {
        let mut processes = self.innocents.iter().chain([&self.victim]);
        let is_innocent = |pair: &usize| self.innocent_pairs.contains(pair);
        match processes.find(|process| process.ended.iter().any(is_innocent)) {
            None => Ok(()),
            Some(process) => {
                let links = self.victim.broker.status().links.into_iter();
                let reasons: Vec<String> = links
                    .filter_map(|link| Some(format!("{}: {}", link.name, link.reason?)))
                    .collect();
                Err(format!("{} ended an innocent link: {reasons:?}", process.name))
            }
        }
    }

    fn search_late_host(&mut self) {
        if let Some(since) = self.late
            && self.cost.joining.is_none()
            && self.log.turn.is_multiple_of(SEARCH_EVERY)
            && self.knows_late_host()
        {
            self.cost.joining = Some(self.log.turn - since);
        }
    }

    fn knows_late_host(&self) -> bool {
        let home = self.victim.broker.key();
        self.victim.broker.directory().any(|e| e.server == home && e.name.as_str() == "late")
    }

    /// Stops the probes until all messages have arrived, and lets time pass.
    fn rest(&mut self) -> Result<(), String> {
        self.probing = false;
        self.turns(LAST_TURNS)?;
        if !self.log.is_quiet() {
            return Err(format!("messages did not arrive: {:?}", self.log));
        }
        let end = self.now + AFTERWARDS;
        while self.now < end {
            self.turn(STEP)?;
        }
        self.probing = true;
        Ok(())
    }

    fn all(&self) -> impl Iterator<Item = &Process> {
        self.innocents.iter().chain([&self.victim])
    }

    fn inventory(&self) -> Inventory {
        let broker = &self.victim.broker;
        let status = broker.status();
        let connections: Vec<_> = broker.connections().map(|(id, _)| id).collect();
        Inventory {
            entries: broker.directory().count(),
            ends: status.channels.len(),
            streams: connections.iter().map(|id| broker.stream_accounts(*id).len()).sum(),
            connections: connections.len(),
            tickets: self.all().map(|process| process.broker.unsettled().tickets).sum(),
            timers: broker.timers_set(),
        }
    }

    /// Checks that no state is left some time after the attackers have disconnected. Returns the
    /// bytes that the victim keeps.
    ///
    /// # Errors
    /// The state that is left, or the harm to an innocent process.
    pub fn check_nothing_left(&mut self) -> Result<i64, String> {
        self.turns(QUIET_TURNS)?;
        self.rest()?;
        self.check_directories()?;
        let Some((live, quiet)) = &self.baseline else { return Ok(0) };
        let late = usize::from(self.late.is_some());
        let [links, others, plugins, useless] = quiet.timers;
        let expected = Inventory {
            entries: quiet.entries + late,
            connections: quiet.connections + late,
            timers: [links + late, others, plugins, useless],
            ..*quiet
        };
        let now = self.inventory();
        match now == expected {
            true => Ok(self.live - live),
            false => Err(format!("afterwards there is {now:?}, before there was {expected:?}")),
        }
    }

    /// The cost of the attacks, given the bytes kept after the first and after the last one.
    ///
    /// # Errors
    /// The costs that exceed their bounds.
    pub fn finish(mut self, first: i64, last: i64) -> Result<Cost, String> {
        (self.cost.spare, self.cost.left) = (first, last - first);
        self.cost.check_end(&self.bounds)?;
        Ok(self.cost)
    }

    /// Checks that the victim's hosts know the same plugins as the victim.
    fn check_directories(&self) -> Result<(), String> {
        let entries = |process: &Process| -> Vec<String> {
            process.broker.directory().map(|e| format!("{} {}", e.name, e.version)).collect()
        };
        let victims = entries(&self.victim);
        let home = self.victim.broker.key();
        let is_host = |process: &&Process| process.broker.settings().role == Role::Host;
        let hosts = self.innocents.iter().filter(is_host);
        for host in hosts.filter(|host| host.broker.home().0 == home) {
            let hosts = entries(host);
            if hosts != victims {
                return Err(format!("{} knows {hosts:?}, its server {victims:?}", host.name));
            }
        }
        Ok(())
    }
}
