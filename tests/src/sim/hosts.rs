//! The hosts of a run: their kinds, their start and their end.

use super::Shared;
use super::actor::{Kind, PluginSpec};
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

/// The kind of a node, and how it is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A server.
    Server,
    /// A host that dials its server.
    Dials {
        /// Whether the connection is encrypted.
        secured: bool,
    },
    /// A host that its server starts.
    Child {
        /// Its number at its server.
        id: ChildId,
        /// On a thread or in a process. Only a process can be killed.
        placement: Placement,
    },
    /// A server whose key is not listed.
    Unlisted,
}

impl Node {
    /// Whether it runs plugins for a server.
    pub fn is_host(&self) -> bool {
        matches!(self.node_kind, NodeKind::Dials { .. } | NodeKind::Child { .. })
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
            let node_kind = match self.shared.random.chance(500) {
                true => self.child(home),
                false => NodeKind::Dials { secured: self.shared.random.chance(500) },
            };
            self.add_node("host", home, node_kind);
        }
    }

    /// Adds a server with a valid key that no server lists. It keeps dialling one of them.
    pub(super) fn add_unlisted(&mut self) {
        if self.shared.random.chance(150) {
            let number = self.add_node("unlisted", usize::MAX, NodeKind::Unlisted);
            let to = self.shared.random.below(self.servers() as u64) as usize;
            self.nodes[number].alive = true;
            self.dial_server(number, to, true);
        }
    }

    fn child(&mut self, home: usize) -> NodeKind {
        let random = &mut self.shared.random;
        let placement = random.pick(&[Placement::Thread, Placement::Process]);
        let lasts = random.chance(850);
        let restart = if lasts { Restart::OnFailure } else { Restart::Never };
        let name = format!("child-{}", self.nodes.len()).parse();
        let id = name.map(|name| {
            let config = ChildConfig { name, placement, restart, rights: Rights::all() };
            self.nodes[home].broker.add_child(config)
        });
        NodeKind::Child { id: id.unwrap_or(ChildId(u32::MAX)), placement }
    }

    fn add_node(&mut self, what: &str, home: usize, node_kind: NodeKind) -> usize {
        let number = self.nodes.len();
        let role = if node_kind == NodeKind::Unlisted { Role::Server } else { Role::Host };
        let name = format!("{what}-{number}");
        let mut model = self.nodes[0].broker.settings().clone();
        model.limits.window = self.shared.random.pick(&WINDOWS);
        let machine = self.machine_for(home, node_kind);
        model.machine = direct::machine(machine);
        let settings = Settings { accept: Accept::Listed, name: name.clone(), role, ..model };
        let settings = self.with_new_key(settings);
        self.nodes.push(Node::new(number, node_kind, settings));
        self.shared.info.push(super::NodeInfo { name, home, machine });
        number
    }

    /// The machine of a host. One that uses a unix socket, or is started by its server, is on the
    /// server's machine.
    fn machine_for(&mut self, home: usize, node_kind: NodeKind) -> u64 {
        match (node_kind, self.shared.info.get(home)) {
            (NodeKind::Dials { secured: false } | NodeKind::Child { .. }, Some(home)) => {
                home.machine
            }
            _ => direct::draw_machine(&mut self.shared.random),
        }
    }

    /// Settings with a new key, because a host that its server starts has a new key each time.
    fn with_new_key(&mut self, settings: Settings) -> Settings {
        let words: Vec<u8> = (0..4).flat_map(|_| self.shared.random.bits().to_le_bytes()).collect();
        let seed = std::array::from_fn(|at| words[at]);
        let random = self.shared.random.bits() | 1;
        Settings { identity: Identity::from_seed(&seed), seed: random, ..settings }
    }

    /// Gives a plugin of a kind to a server or to one of its hosts. Sometimes two of them get a
    /// plugin of the same name.
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
            let Some(spec) = self.spec(kind, &name) else { continue };
            match self.nodes[number].node_kind {
                NodeKind::Server => self.nodes[number].start(&mut self.shared, spec),
                _ => self.nodes[number].initial_plugins.push(spec),
            }
        }
    }

    /// The numbers of a server and of its hosts.
    pub(super) fn members(&self, server: usize) -> Vec<usize> {
        let parts = self.shared.info.iter().enumerate();
        parts.filter(|(_, part)| part.home == server).map(|(number, _)| number).collect()
    }

    /// Starts the hosts that dial, and lists their keys if links are encrypted. The others are
    /// started by their servers.
    pub(super) fn start_hosts(&mut self) {
        for number in self.servers()..self.nodes.len() {
            let (home, node_kind) = (self.shared.info[number].home, self.nodes[number].node_kind);
            match node_kind {
                NodeKind::Dials { secured } => {
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
                NodeKind::Child { .. } => self.keep_contested_only(number, home),
                NodeKind::Server | NodeKind::Unlisted => {}
            }
        }
    }

    /// Leaves some hosts only with plugins whose names may be taken, so that no plugin of theirs
    /// may be running.
    fn keep_contested_only(&mut self, number: usize, home: usize) {
        let contested =
            |plugin: &PluginSpec| self.shared.contested.contains(&(home, plugin.name.clone()));
        if self.nodes[number].initial_plugins.iter().any(contested)
            && self.shared.random.chance(500)
        {
            let (kept, rest) = self.nodes[number]
                .initial_plugins
                .drain(..)
                .partition(|plugin| self.shared.contested.contains(&(home, plugin.name.clone())));
            let _: Vec<PluginSpec> = rest;
            self.nodes[number].initial_plugins = kept;
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
        if let (NodeKind::Dials { secured }, false) = (node.node_kind, node.alive) {
            if node.generation > 0 {
                self.shared.trace.saw("a host started again");
            }
            node.alive = true;
            node.waiting = node.initial_plugins.clone();
            self.dial_server(number, self.shared.info[number].home, secured);
        }
    }

    /// Starts and ends hosts as the node that had a turn asks for.
    pub(super) fn manage_hosts(&mut self, number: usize) -> Result<(), String> {
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

    /// Ends a host that runs in a process; one on a thread ends by itself.
    fn end_child(&mut self, server: usize, child: ChildId) {
        let number = (0..self.nodes.len()).find(|n| self.is_child(*n, server, child));
        if let Some(number) = number
            && let NodeKind::Child { placement: Placement::Process, .. } =
                self.nodes[number].node_kind
        {
            self.end_host(number);
        }
    }

    fn is_child(&self, number: usize, server: usize, child: ChildId) -> bool {
        let is = matches!(self.nodes[number].node_kind, NodeKind::Child { id, .. } if id == child);
        is && self.shared.info[number].home == server
    }

    fn start_child(&mut self, server: usize, child: ChildId, pipe: usize) -> Result<(), String> {
        let number = (0..self.nodes.len()).find(|n| self.is_child(*n, server, child));
        let Some(number) = number else { return Err(format!("{child:?} is unknown")) };
        if self.nodes[number].alive {
            return Err(format!("{} was started while it ran", self.shared.info[number].name));
        }
        if self.nodes[number].generation > 0 {
            self.shared.trace.saw("a host restarted");
        }
        self.pipes[pipe].host = Some(number);
        let node = &mut self.nodes[number];
        node.alive = true;
        if !self.shared.closing {
            node.waiting = node.initial_plugins.clone();
        }
        node.connected(&mut self.shared, &mut self.pipes, pipe, 0, Opened::Inherited, None);
        Ok(())
    }

    /// Ends a host. The server that started it is notified once.
    fn end_host(&mut self, number: usize) {
        if !self.nodes[number].alive {
            return;
        }
        let mut settings = self.nodes[number].broker.settings().clone();
        if let NodeKind::Child { id, .. } = self.nodes[number].node_kind {
            settings = self.with_new_key(settings);
            let after = Duration::from_micros(self.shared.random.size(1, 5_000));
            let server = self.shared.info[number].home;
            self.plan(after, Event::ChildEnded { server, child: id });
        }
        self.nodes[number].die(&mut self.shared, &mut self.pipes, settings);
    }

    fn living_host(&mut self, which: impl Fn(NodeKind) -> bool) -> Option<usize> {
        let hosts = self.nodes.iter().filter(|node| node.is_host() && node.alive);
        let hosts: Vec<usize> = hosts.filter(|n| which(n.node_kind)).map(|n| n.number).collect();
        (!hosts.is_empty()).then(|| self.shared.random.pick(&hosts))
    }

    /// Plans the restart of a host that dials, in most cases.
    fn start_again(&mut self, number: usize) {
        let comes_back = self.shared.random.chance(800);
        if comes_back && let NodeKind::Dials { .. } = self.nodes[number].node_kind {
            let after = Duration::from_micros(self.shared.random.size(1_000, 10_000_000));
            self.plan(after + Duration::from_secs(6), Event::HostStarts { node: number });
        }
    }

    pub(super) fn kill_a_host(&mut self) {
        if let Some(number) = self.living_host(is_killable) {
            self.kill_host(number);
        }
    }

    /// Kills a host. Returns whether it could be killed.
    pub(super) fn kill_host(&mut self, number: usize) -> bool {
        let node = &self.nodes[number];
        let kills = node.is_host() && node.alive && is_killable(node.node_kind);
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

    /// Ends the chaos phase for hosts: drops plugins with contested names, and the unlisted server.
    pub(super) fn calm_hosts(&mut self) {
        for number in self.servers()..self.nodes.len() {
            let home = self.shared.info[number].home;
            if self.nodes[number].node_kind == NodeKind::Unlisted {
                self.end_host(number);
            } else if let NodeKind::Child { .. } = self.nodes[number].node_kind {
                let driver = self.spec(Kind::Driver, &format!("driver-{number}"));
                let node = &mut self.nodes[number];
                let contested = &self.shared.contested;
                node.initial_plugins
                    .retain(|plugin| !contested.contains(&(home, plugin.name.clone())));
                let has_driver =
                    node.initial_plugins.iter().any(|plugin| plugin.kind == Kind::Driver);
                node.initial_plugins.extend(driver.filter(|_| !has_driver));
            }
        }
    }

    /// Whether a pipe is the link of a server to a running host of its own.
    pub(super) fn serves_host(&self, pipe: &Pipe, server: usize) -> bool {
        let Some(host) = pipe.host else { return false };
        let here = pipe.ends[0].is_some_and(|(number, _)| number == host);
        here && self.nodes[host].alive && self.shared.info[host].home == server
    }

    /// Checks at rest that a host has one link, and knows the same as its server.
    pub(super) fn check_host(&self, host: &Node) -> Result<(), String> {
        let (at, home) = (&self.shared.info[host.number].name, self.shared.info[host.number].home);
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
        let name = (self.shared.keys[home], self.shared.info[home].name.as_str());
        differ("server", format!("{:?}", host.broker.home()), format!("{name:?}"))?;
        let least = trunkline_core::address::Scope::Local;
        let addresses = |node: &Node| {
            node.broker.addresses(least).map(ToString::to_string).collect::<Vec<_>>().join(";")
        };
        differ("addresses", addresses(host), addresses(server))
    }
}

/// A thread cannot be killed.
fn is_killable(node_kind: NodeKind) -> bool {
    !matches!(node_kind, NodeKind::Child { placement: Placement::Thread, .. })
}

/// Bytes that a peer receives before it has proved its key: one message of the handshake.
const GREETING: u64 = 64;

/// Counts the kinds of paths of channels, if the caller's name tells its host.
pub(super) fn note_path(shared: &mut Shared, callee: usize, caller: &str) {
    let number = caller.strip_prefix("driver-").and_then(|number| number.parse::<usize>().ok());
    let homes = |number: usize| shared.info.get(number).map(|part| (number, part.home));
    let Some((to, to_home)) = homes(callee) else { return };
    let to_host = to != to_home;
    let path = match number.and_then(homes) {
        Some((from, _)) if from == to => "a channel within a host",
        Some((_, home)) if home == to_home && to_host => "a relay between hosts",
        Some((_, home)) if home == to_home => "a channel from a host to its server",
        Some(_) if to_host => "a channel between hosts of two servers",
        Some(_) => "a channel from a host to another server",
        None if to_host => "a channel to a host",
        None => return,
    };
    shared.trace.saw(path);
}
