//! What a server would say of itself: plugins, links and channels, as plain data.

use crate::broker::neighbours::children::{Child, ChildState, Placement};
use crate::broker::neighbours::connections::ConnPhase;
use crate::broker::registry::plugins::{Direct, Runs};
use crate::broker::{Broker, Keep, Neighbours, Peer, PluginId, PluginState, Registry, Switch};
use crate::control::Role;
use crate::directory::Entry;
use crate::ends::{ChannelInfo, End, Ends, Owner};
use crate::ids::ChildId;
use crate::key::Key;
use crate::limits::Counters;
use crate::name::{Name, Version};
use crate::reason::Reason;
use crate::route::Route;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

/// Everything that `trunkline status` shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Plugins of this server, those that could not be loaded among them, then those of linked
    /// servers.
    pub plugins: Vec<PluginStatus>,
    /// Links to other servers, and peers that are not linked.
    pub links: Vec<LinkStatus>,
    /// Channels with an end in this process.
    pub channels: Vec<ChannelStatus>,
    /// How often each limit was reached.
    pub counters: Counters,
}

/// One plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginStatus {
    /// Its name.
    pub name: Name,
    /// Its version.
    pub version: Version,
    /// What it is doing.
    pub state: PluginState,
    /// The server where it is.
    pub server: Key,
    /// In which process it runs.
    pub placement: Where,
    /// The host in which it runs, if this server started it.
    pub child: Option<ChildId>,
    /// Where its process takes direct connections for it.
    pub direct: Direct,
    /// Its channels that have an end in this process.
    pub channels: usize,
    /// Its calls, where it runs in this process.
    pub calls: Option<OpenCalls>,
}

/// Calls of a plugin that have no outcome yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenCalls {
    /// Those that it has made.
    pub made: usize,
    /// Those that it has to answer.
    pub to_answer: usize,
}

/// In which process a plugin runs, seen from its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// In this one.
    Inline,
    /// On a thread that this server started.
    Thread,
    /// In a process that this server started.
    Process,
    /// In one that the server did not start: of a host, or of another server.
    Remote,
}

impl Where {
    /// The word that `status` uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Where::Inline => "inline",
            Where::Thread => "thread",
            Where::Process => "process",
            Where::Remote => "remote",
        }
    }
}

/// How far a link has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// It works.
    Up,
    /// It is being dialled, or has not said hello.
    Connecting,
    /// It waits to be dialled again.
    Waiting,
}

/// One link, or a peer without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkStatus {
    /// The peer's key, where it is known.
    pub peer: Option<Key>,
    /// The peer's name, as the configuration says or its last hello; empty if neither does.
    pub name: String,
    /// Whether the peer is a server or a host.
    pub role: Role,
    /// The address that was dialled, or from which it came.
    pub address: String,
    /// How far it has come.
    pub state: LinkState,
    /// Open streams, the control stream not counted.
    pub streams: usize,
    /// Plugins that the peer has announced, or registered.
    pub plugins: usize,
    /// Bytes that came from the peer.
    pub bytes_in: u64,
    /// Bytes that went to the peer.
    pub bytes_out: u64,
    /// The last round-trip time that was measured.
    pub rtt: Option<Duration>,
    /// Whether the configuration keeps the link, whatever it serves.
    pub keep: Keep,
    /// Why it is not up.
    pub reason: Option<Reason>,
}

/// One channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelStatus {
    /// Its number, unique in this process.
    pub id: u64,
    /// The plugin that opened it, and its server.
    pub from: (Name, Key),
    /// The plugin that it goes to, and its server.
    pub to: (Name, Key),
    /// How its bytes travel.
    pub route: Route,
    /// Bytes to the plugin that opened it.
    pub bytes_in: u64,
    /// Bytes from the plugin that opened it.
    pub bytes_out: u64,
}

impl Status {
    /// The plugins of this server that failed, or could not be loaded.
    pub fn failed(&self) -> impl Iterator<Item = &PluginStatus> {
        self.plugins.iter().filter(|plugin| matches!(plugin.state, PluginState::Failed(_)))
    }
}

impl Broker {
    /// What this server would say of itself now.
    pub fn status(&self) -> Status {
        let (registry, neighbours, ends) = (&self.registry, &self.neighbours, self.switch.ends());
        let channels = ChannelCounts::of(ends);
        let calls = |plugin| self.calls.counts(plugin).open();
        let mut plugins = own_plugins(registry, neighbours, &channels, calls);
        let others = other_plugins(registry, neighbours.home_key(), &channels);
        plugins.extend(unregistered(registry, neighbours));
        plugins.extend(not_loaded(registry, neighbours.home_key()));
        plugins.extend(others);
        Status {
            plugins,
            links: link_status(neighbours, registry, &self.switch),
            channels: channel_status(ends, registry, neighbours),
            counters: self.counters,
        }
    }
}

/// How many channels through this process plugins have.
struct ChannelCounts<'a> {
    ends: &'a Ends,
    by_name: BTreeMap<&'a (Name, Key), usize>,
}

impl<'a> ChannelCounts<'a> {
    fn of(ends: &'a Ends) -> Self {
        let mut by_name = BTreeMap::new();
        for info in ends.iter().filter_map(|(_, end)| end.info.as_ref()) {
            *by_name.entry(&info.from).or_default() += 1;
            if info.to != info.from {
                *by_name.entry(&info.to).or_default() += 1;
            }
        }
        ChannelCounts { ends, by_name }
    }

    fn of_name(&self, name: &Name, server: Key) -> usize {
        self.by_name.get(&(name.clone(), server)).copied().unwrap_or(0)
    }
}

/// The plugins of this process and of its hosts.
fn own_plugins(
    registry: &Registry,
    neighbours: &Neighbours,
    channels: &ChannelCounts<'_>,
    calls: impl Fn(PluginId) -> OpenCalls,
) -> Vec<PluginStatus> {
    let home = neighbours.home_key();
    let own = registry.plugins_there().map(|(id, record)| PluginStatus {
        name: record.config.name.clone(),
        version: record.config.version,
        state: record.state.clone(),
        server: home,
        placement: placement(neighbours, record.runs),
        child: child(neighbours, record.runs),
        direct: record.direct.clone(),
        channels: match record.runs {
            Runs::Here => channels.ends.count_of(id),
            Runs::At(_) => channels.of_name(&record.config.name, home),
        },
        calls: (record.runs == Runs::Here).then(|| calls(id)),
    });
    own.collect()
}

/// Plugins that the directory knows, and that are not this server's own.
fn other_plugins(
    registry: &Registry,
    home: Key,
    channels: &ChannelCounts<'_>,
) -> Vec<PluginStatus> {
    let own = registry.plugins_there().map(|(_, record)| &record.config.name);
    let own: BTreeSet<&Name> = own.collect();
    // What the directory has at a server itself are its own plugins, and some that still leave.
    let known = |entry: &Entry| {
        entry.server == home && (!registry.is_of_host() || own.contains(&entry.name))
    };
    let others = registry.directory().entries().filter(|entry| !known(entry));
    let others = others.map(|entry| PluginStatus {
        channels: channels.of_name(&entry.name, entry.server),
        name: entry.name,
        version: entry.version,
        state: PluginState::Running,
        server: entry.server,
        placement: Where::Remote,
        child: None,
        direct: Direct::default(),
        calls: None,
    });
    others.collect()
}

/// Hosts that this server starts, as long as their plugins have not registered.
fn unregistered(registry: &Registry, neighbours: &Neighbours) -> Vec<PluginStatus> {
    let shown = |child: &Child| {
        registry.plugins_there().any(|(_, record)| match record.runs {
            Runs::At(conn) => child.conn == Some(conn) || record.config.name == child.config.name,
            Runs::Here => false,
        })
    };
    let silent = neighbours.children().filter(|child| !shown(child));
    let silent = silent.map(|child| PluginStatus {
        name: child.config.name.clone(),
        version: 0,
        state: match &child.state {
            ChildState::Ended(reason) => PluginState::Failed(reason.clone()),
            ChildState::Starting | ChildState::Running => PluginState::Starting,
        },
        server: neighbours.home_key(),
        placement: Where::from(child.config.placement),
        child: Some(child.id),
        direct: Direct::default(),
        channels: 0,
        calls: None,
    });
    silent.collect()
}

/// Plugins of this process that could not be loaded.
fn not_loaded(registry: &Registry, home: Key) -> impl Iterator<Item = PluginStatus> {
    registry.not_loaded().map(move |plugin| PluginStatus {
        name: plugin.name.clone(),
        version: 0,
        state: PluginState::Failed(plugin.reason.clone()),
        server: home,
        placement: Where::Inline,
        child: None,
        direct: Direct::default(),
        channels: 0,
        calls: None,
    })
}

fn placement(neighbours: &Neighbours, runs: Runs) -> Where {
    match runs {
        Runs::Here => Where::Inline,
        Runs::At(conn) => {
            neighbours.child_at(conn).map_or(Where::Remote, |(_, placement)| placement.into())
        }
    }
}

fn child(neighbours: &Neighbours, runs: Runs) -> Option<ChildId> {
    match runs {
        Runs::Here => None,
        Runs::At(conn) => neighbours.child_at(conn).map(|(id, _)| id),
    }
}

/// Links that there are, and then peers that are not linked.
fn link_status(neighbours: &Neighbours, registry: &Registry, switch: &Switch) -> Vec<LinkStatus> {
    let live = neighbours.conns().filter(|(_, conn)| {
        let hello = conn.hello.as_ref();
        conn.phase != ConnPhase::Ending
            && !conn.is_direct()
            && hello.is_none_or(|h| h.role != Role::Command)
    });
    let live = live.filter_map(|(id, conn)| Some((id, conn, switch.line(id)?)));
    let live = live.map(|(id, conn, line)| LinkStatus {
        plugins: registry.plugins_over(id),
        peer: conn.hello.as_ref().map(|hello| hello.key).or(conn.expected),
        name: neighbours.name_at(conn),
        role: conn.hello.as_ref().map_or(Role::Server, |hello| hello.role),
        address: conn.address.clone(),
        state: match conn.phase {
            phase if phase.is_young() => LinkState::Connecting,
            _ => LinkState::Up,
        },
        streams: line.link().streams(),
        bytes_in: line.bytes().0,
        bytes_out: line.bytes().1,
        rtt: line.link().rtt(),
        keep: neighbours.keep_of(conn),
        reason: None,
    });
    live.chain(absent_peers(neighbours)).collect()
}

fn absent_peers(neighbours: &Neighbours) -> impl Iterator<Item = LinkStatus> {
    let linked = |key: Option<Key>| key.is_some_and(|key| neighbours.link_to(key).is_some());
    let dials = |peer: &&Peer| !peer.config.endpoints.is_empty();
    let absent = neighbours.peers().filter(move |p| p.conn.is_none() && !linked(p.key));
    let absent = absent.filter(move |peer| peer.config.role == Role::Server || dials(peer));
    absent.map(|peer| LinkStatus {
        peer: peer.key,
        name: peer.name().unwrap_or_default().into(),
        role: peer.config.role,
        address: peer.config.endpoints.first().map(|e| e.to_string()).unwrap_or_default(),
        state: if peer.dialling { LinkState::Connecting } else { LinkState::Waiting },
        streams: 0,
        plugins: 0,
        bytes_in: 0,
        bytes_out: 0,
        rtt: None,
        keep: peer.config.keep,
        reason: peer.reason.clone(),
    })
}

/// Channels with an end in this process.
fn channel_status(ends: &Ends, registry: &Registry, neighbours: &Neighbours) -> Vec<ChannelStatus> {
    let channels = ends.iter().filter_map(|(id, end)| {
        let info = end.info.as_ref()?;
        let (bytes_out, bytes_in) = match faces_opener(registry, neighbours, end, info) {
            true => (end.given, end.told),
            false => (end.told, end.given),
        };
        Some(ChannelStatus {
            id: ends.handle(id).0,
            from: info.from.clone(),
            to: info.to.clone(),
            route: info.route,
            bytes_in,
            bytes_out,
        })
    });
    channels.collect()
}

/// Whether what an end is given comes from the plugin that opened the channel. An end that a
/// relay joined to another one can be on either side.
fn faces_opener(
    registry: &Registry,
    neighbours: &Neighbours,
    end: &End,
    info: &ChannelInfo,
) -> bool {
    let (name, server) = &info.from;
    let opener = (*server == neighbours.home_key()).then(|| registry.running(name)).flatten();
    let runs = opener.and_then(|plugin| registry.plugin(plugin)).map(|record| record.runs);
    match end.owner() {
        Owner::Plugin(plugin) => opener == Some(plugin),
        Owner::Stream(conn, _) => match neighbours.hello(conn) {
            Some(hello) if hello.role == Role::Host => runs == Some(Runs::At(conn)),
            Some(hello) if !registry.is_of_host() => hello.key == *server,
            _ => runs != Some(Runs::Here),
        },
    }
}

impl From<Placement> for Where {
    fn from(placement: Placement) -> Where {
        match placement {
            Placement::Inline => Where::Inline,
            Placement::Thread => Where::Thread,
            Placement::Process => Where::Process,
        }
    }
}
