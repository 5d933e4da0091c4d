//! The hosts of a run: which there are, how they start, and how they end.

use super::Shared;
use super::actor::{Character, Kind};
use super::direct;
use super::node::{Node, Order};
use super::pipe::Pipe;
use super::world::{Event, WINDOWS, World};
use std::time::Duration;
use trunkline_core::address::Address;
use trunkline_core::broker::{
    Accept, ChildConfig, ChildId, Keep, Opened, PeerConfig, Placement, Restart, Rights, Settings,
};
use trunkline_core::control::Role;
use trunkline_core::key::Key;
use trunkline_shs::Identity;

/// What somebody who takes part is, and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// A server.
    Server,
    /// A host that dials its server.
    Dials {
        /// Whether with a handshake.
        secured: bool,
    },
    /// A host that its server starts.
    Child {
        /// What its server calls it.
        id: ChildId,
        /// On a thread, or in a process, which can be killed.
        placement: Placement,
    },
    /// A server with a key that nobody lists.
    Unlisted,
}

impl Node {
    /// Whether it runs plugins for a server.
    pub fn is_host(&self) -> bool {
        matches!(self.nature, Nature::Dials { .. } | Nature::Child { .. })
    }
}

impl World {
    /// Adds hosts, each of them to one of the servers.
    pub(super) fn add_hosts(&mut self) {
        for server in 0..self.servers() {
            let address =
                format!("net:10.0.0.1:{}~shs:{}", 8000 + server, self.shared.keys[server]);
            let endpoints = address.parse::<Address>().map(|address| address.endpoints().0);
            self.nodes[server].broker.set_addresses(endpoints.unwrap_or_default());
        }
        for _ in 0..self.shared.random.below(4) {
            let home = self.shared.random.below(self.servers() as u64) as usize;
            let nature = match self.shared.random.chance(500) {
                true => self.child(home),
                false => Nature::Dials { secured: self.shared.random.chance(500) },
            };
            self.add_node("host", home, nature);
        }
    }

    /// Somebody with a real key that no server lists, who goes on dialling one of them.
    pub(super) fn add_unlisted(&mut self) {
        if self.shared.random.chance(150) {
            let number = self.add_node("unlisted", usize::MAX, Nature::Unlisted);
            let to = self.shared.random.below(self.servers() as u64) as usize;
            self.nodes[number].alive = true;
            self.dial_server(number, to, true);
        }
    }

    fn child(&mut self, home: usize) -> Nature {
        let random = &mut self.shared.random;
        let placement = random.pick(&[Placement::Thread, Placement::Process]);
        let lasts = random.chance(850);
        let restart = if lasts { Restart::OnFailure } else { Restart::Never };
        let name = format!("child-{}", self.nodes.len()).parse();
        let id = name.map(|name| {
            let config = ChildConfig { name, placement, restart, rights: Rights::all() };
            self.nodes[home].broker.add_child(config)
        });
        Nature::Child { id: id.unwrap_or(ChildId(u32::MAX)), placement }
    }

    fn add_node(&mut self, what: &str, home: usize, nature: Nature) -> usize {
        let number = self.nodes.len();
        let role = if nature == Nature::Unlisted { Role::Server } else { Role::Host };
        let name = format!("{what}-{number}");
        let mut model = self.nodes[0].broker.settings().clone();
        model.limits.window = self.shared.random.pick(&WINDOWS);
        let machine = self.machine_for(home, nature);
        model.machine = direct::machine(machine);
        let settings = Settings { accept: Accept::Listed, name: name.clone(), role, ..model };
        let settings = self.another_self(settings);
        self.nodes.push(Node::new(number, nature, settings));
        self.shared.cast.push(super::Part { name, home, machine });
        number
    }

    /// Who comes over a unix socket or is started is on its server's machine.
    fn machine_for(&mut self, home: usize, nature: Nature) -> u64 {
        match (nature, self.shared.cast.get(home)) {
            (Nature::Dials { secured: false } | Nature::Child { .. }, Some(home)) => home.machine,
            _ => direct::draw_machine(&mut self.shared.random),
        }
    }

    /// A new key, as a host that its server starts has each time.
    fn another_self(&mut self, settings: Settings) -> Settings {
        let words: Vec<u8> = (0..4).flat_map(|_| self.shared.random.bits().to_le_bytes()).collect();
        let seed = std::array::from_fn(|at| words[at]);
        let random = self.shared.random.bits() | 1;
        Settings { identity: Identity::from_seed(&seed), seed: random, ..settings }
    }

    /// Gives a plugin of a kind to a server or to one of its hosts. Some get a name that another
    /// one has.
    pub(super) fn place(&mut self, server: usize, kind: Kind) {
        let members = self.members(server);
        let holders = match kind {
            Kind::Driver => members,
            _ => {
                let one = self.shared.random.pick(&members);
                let first = if self.shared.random.chance(300) { server } else { one };
                let second = self.shared.random.pick(&members);
                let twice = first != second && self.shared.random.chance(120);
                if twice && let Ok(name) = kind.name().parse() {
                    self.shared.contested.insert((server, name));
                }
                if twice { vec![first, second] } else { vec![first] }
            }
        };
        for number in holders {
            let name = match kind {
                Kind::Driver if number != server => format!("driver-{number}"),
                _ => kind.name().to_string(),
            };
            let Some(character) = self.character(kind, &name) else { continue };
            match self.nodes[number].nature {
                Nature::Server => self.nodes[number].start(&mut self.shared, character),
                _ => self.nodes[number].begins_with.push(character),
            }
        }
    }

    /// A server, and its hosts.
    pub(super) fn members(&self, server: usize) -> Vec<usize> {
        let parts = self.shared.cast.iter().enumerate();
        parts.filter(|(_, part)| part.home == server).map(|(number, _)| number).collect()
    }

    /// Hosts that dial are listed where that matters, and started; the others are started by their
    /// servers. A host on a thread may have no plugin but one whose name is taken.
    pub(super) fn start_hosts(&mut self) {
        for number in self.servers()..self.nodes.len() {
            let (home, nature) = (self.shared.cast[number].home, self.nodes[number].nature);
            match nature {
                Nature::Dials { secured } => {
                    let key = self.nodes[number].broker.key();
                    if secured {
                        let (key, endpoints, keep) = (Some(key), Vec::new(), Keep::WhileUseful);
                        let config = PeerConfig {
                            key,
                            name: None,
                            endpoints,
                            role: Role::Host,
                            keep,
                            rights: Rights::all(),
                        };
                        self.nodes[home].broker.add_peer(config);
                    }
                    self.start_host(number);
                }
                Nature::Child { .. } => self.thin_out(number, home),
                Nature::Server | Nature::Unlisted => {}
            }
        }
    }

    /// Some hosts have nothing but a plugin whose name another one has, until the run is calm.
    fn thin_out(&mut self, number: usize, home: usize) {
        let contested =
            |plugin: &Character| self.shared.contested.contains(&(home, plugin.name.clone()));
        if self.nodes[number].begins_with.iter().any(contested) && self.shared.random.chance(500) {
            let (kept, rest) = self.nodes[number]
                .begins_with
                .drain(..)
                .partition(|plugin| self.shared.contested.contains(&(home, plugin.name.clone())));
            let _: Vec<Character> = rest;
            self.nodes[number].begins_with = kept;
        }
    }

    fn dial_server(&mut self, number: usize, to: usize, secured: bool) {
        let (key, endpoints) =
            (secured.then_some(self.shared.keys[to]), self.endpoints(to, secured));
        let (role, keep) = (Role::Server, Keep::Always);
        self.nodes[number].broker.add_peer(PeerConfig {
            key,
            name: None,
            endpoints,
            role,
            keep,
            rights: Rights::all(),
        });
    }

    /// Starts a host that dials its server.
    pub(super) fn start_host(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        if let (Nature::Dials { secured }, false) = (node.nature, node.alive) {
            if node.life > 0 {
                self.shared.trace.saw("a host came back");
            }
            node.alive = true;
            node.waiting = node.begins_with.clone();
            self.dial_server(number, self.shared.cast[number].home, secured);
        }
    }

    /// Does with hosts what somebody who had a turn asks for.
    pub(super) fn mind_hosts(&mut self, number: usize) -> Result<(), String> {
        for order in std::mem::take(&mut self.nodes[number].orders) {
            match order {
                Order::Start(child, pipe) => self.start_child(number, child, pipe)?,
                Order::End(child) => self.end_child(number, child),
            }
        }
        if self.nodes[number].has_ended(self.shared.now) {
            self.end_host(number);
        }
        match self.pipes.iter().find(|pipe| pipe.unlisted && pipe.ways[1].written > GREETING) {
            Some(pipe) => Err(format!("a key that is not listed was answered: {:?}", pipe.ends)),
            None => Ok(()),
        }
    }

    /// A thread ends by itself.
    fn end_child(&mut self, server: usize, child: ChildId) {
        let number = (0..self.nodes.len()).find(|n| self.is_child(*n, server, child));
        if let Some(number) = number
            && let Nature::Child { placement: Placement::Process, .. } = self.nodes[number].nature
        {
            self.end_host(number);
        }
    }

    fn is_child(&self, number: usize, server: usize, child: ChildId) -> bool {
        let is = matches!(self.nodes[number].nature, Nature::Child { id, .. } if id == child);
        is && self.shared.cast[number].home == server
    }

    fn start_child(&mut self, server: usize, child: ChildId, pipe: usize) -> Result<(), String> {
        let number = (0..self.nodes.len()).find(|n| self.is_child(*n, server, child));
        let Some(number) = number else { return Err(format!("{child:?} is unknown")) };
        if self.nodes[number].alive {
            return Err(format!("{} was started while it ran", self.shared.cast[number].name));
        }
        if self.nodes[number].life > 0 {
            self.shared.trace.saw("a host restarted");
        }
        self.pipes[pipe].host = Some(number);
        let node = &mut self.nodes[number];
        node.alive = true;
        if !self.shared.closing {
            node.waiting = node.begins_with.clone();
        }
        node.connected(&mut self.shared, &mut self.pipes, pipe, 0, Opened::Inherited, None);
        Ok(())
    }

    /// A host is gone; whoever started it hears of that once.
    fn end_host(&mut self, number: usize) {
        if !self.nodes[number].alive {
            return;
        }
        let mut settings = self.nodes[number].broker.settings().clone();
        if let Nature::Child { id, .. } = self.nodes[number].nature {
            settings = self.another_self(settings);
            let after = Duration::from_micros(self.shared.random.size(1, 5_000));
            let server = self.shared.cast[number].home;
            self.plan(after, Event::ChildEnded { server, child: id });
        }
        self.nodes[number].die(&mut self.shared, &mut self.pipes, settings);
    }

    fn living_host(&mut self, which: impl Fn(Nature) -> bool) -> Option<usize> {
        let hosts = self.nodes.iter().filter(|node| node.is_host() && node.alive);
        let hosts: Vec<usize> = hosts.filter(|n| which(n.nature)).map(|n| n.number).collect();
        (!hosts.is_empty()).then(|| self.shared.random.pick(&hosts))
    }

    /// A host that dials is started again by somebody, or is not.
    fn start_again(&mut self, number: usize) {
        let comes_back = self.shared.random.chance(800);
        if comes_back && let Nature::Dials { .. } = self.nodes[number].nature {
            let after = Duration::from_micros(self.shared.random.size(1_000, 10_000_000));
            self.plan(after + Duration::from_secs(6), Event::HostStarts { node: number });
        }
    }

    pub(super) fn kill_a_host(&mut self) {
        if let Some(number) = self.living_host(is_killable) {
            self.kill_host(number);
        }
    }

    /// Kills a host; whether it was one that can be killed.
    pub(super) fn kill_host(&mut self, number: usize) -> bool {
        let node = &self.nodes[number];
        let kills = node.is_host() && node.alive && is_killable(node.nature);
        if kills {
            self.shared.trace.saw("a host killed");
            self.end_host(number);
            self.start_again(number);
        }
        kills
    }

    pub(super) fn stop_a_host(&mut self) {
        let Some(number) = self.living_host(|_| true) else { return };
        self.shared.trace.saw("a host stopped");
        self.nodes[number].stop(&mut self.shared);
        self.start_again(number);
    }

    /// No host fights for a name any more, and nobody dials in vain.
    pub(super) fn calm_hosts(&mut self) {
        for number in self.servers()..self.nodes.len() {
            let home = self.shared.cast[number].home;
            if self.nodes[number].nature == Nature::Unlisted {
                self.end_host(number);
            } else if let Nature::Child { .. } = self.nodes[number].nature {
                let driver = self.character(Kind::Driver, &format!("driver-{number}"));
                let node = &mut self.nodes[number];
                let contested = &self.shared.contested;
                node.begins_with.retain(|plugin| !contested.contains(&(home, plugin.name.clone())));
                let has_driver = node.begins_with.iter().any(|plugin| plugin.kind == Kind::Driver);
                node.begins_with.extend(driver.filter(|_| !has_driver));
            }
        }
    }

    /// Whether a connection of a server is the one of a host of it that runs.
    pub(super) fn serves_host(&self, pipe: &Pipe, server: usize) -> bool {
        let Some(host) = pipe.host else { return false };
        let here = pipe.ends[0].is_some_and(|(number, _)| number == host);
        here && self.nodes[host].alive && self.shared.cast[host].home == server
    }

    /// At rest, a host has one link, and knows what its server does.
    pub(super) fn check_host(&self, host: &Node) -> Result<(), String> {
        let (at, home) = (&self.shared.cast[host.number].name, self.shared.cast[host.number].home);
        let server = &self.nodes[home];
        let serves = |pipe: &&usize| self.serves_host(&self.pipes[**pipe], home);
        let links = host.conns.values().map(|(pipe, _)| pipe);
        let links: Vec<&usize> = links.filter(|pipe| !self.pipes[**pipe].direct).collect();
        let linked = links.iter().all(serves);
        if links.len() != 1 || !linked || !host.waiting.is_empty() {
            return Err(format!("{at} has the links {:?}", host.conns));
        }
        let differ = |what: &str, ours: String, theirs: String| match ours == theirs {
            true => Ok(()),
            false => Err(format!("{at} knows the {what} {ours}, its server {theirs}")),
        };
        let entries = |node: &Node| format!("{:?}", node.broker.directory().collect::<Vec<_>>());
        differ("plugins", entries(host), entries(server))?;
        let mut theirs: Vec<(Key, &str)> = server.broker.servers().collect();
        let mut ours: Vec<(Key, &str)> = host.broker.servers().collect();
        theirs.sort();
        ours.sort();
        differ("links", format!("{ours:?}"), format!("{theirs:?}"))?;
        let name = (self.shared.keys[home], self.shared.cast[home].name.as_str());
        differ("server", format!("{:?}", host.broker.home()), format!("{name:?}"))?;
        let least = trunkline_core::address::Scope::Local;
        let addresses = |node: &Node| {
            node.broker.addresses(least).map(ToString::to_string).collect::<Vec<_>>().join(";")
        };
        differ("addresses", addresses(host), addresses(server))
    }
}

/// A thread cannot be killed.
fn is_killable(nature: Nature) -> bool {
    !matches!(nature, Nature::Child { placement: Placement::Thread, .. })
}

/// Bytes that somebody hears who has not proved its key: the first message of the handshake.
const GREETING: u64 = 64;

/// Counts the ways of channels, as far as the caller's name gives it away.
pub(super) fn note_way(shared: &mut Shared, callee: usize, caller: &str) {
    let number = caller.strip_prefix("driver-").and_then(|number| number.parse::<usize>().ok());
    let homes = |number: usize| shared.cast.get(number).map(|part| (number, part.home));
    let Some((to, to_home)) = homes(callee) else { return };
    let to_host = to != to_home;
    let way = match number.and_then(homes) {
        Some((from, _)) if from == to => "a channel within a host",
        Some((_, home)) if home == to_home && to_host => "a relay between hosts",
        Some((_, home)) if home == to_home => "a channel from a host to its server",
        Some(_) if to_host => "a channel between hosts of two servers",
        Some(_) => "a channel from a host to another server",
        None if to_host => "a channel to a host",
        None => return,
    };
    shared.trace.saw(way);
}
