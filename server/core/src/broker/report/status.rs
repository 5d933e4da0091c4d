//! What a server would say of itself: plugins, links and channels, as plain data.

use crate::broker::neighbours::children::{Child, ChildState, Placement};
use crate::broker::neighbours::connections::ConnPhase;
use crate::broker::registry::plugins::{Direct, Runs};
use crate::broker::{Broker, PluginState};
use crate::control::Role;
use crate::directory::Entry;
use crate::ends::{ChannelInfo, End, Owner};
use crate::ids::{ConnId, EndId};
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
    /// Plugins of this server, then those of linked servers.
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
    /// The peer's name, empty until its hello.
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

impl Broker {
    /// What this server would say of itself now.
    pub fn status(&self) -> Status {
        let channels =
            self.switch.ends().iter().filter_map(|(id, end)| self.channel_status(id, end));
        Status {
            plugins: self.plugin_status(),
            links: self.link_status(),
            channels: channels.collect(),
            counters: self.counters,
        }
    }

    fn plugin_status(&self) -> Vec<PluginStatus> {
        let home = self.neighbours.home_key();
        let counted = self.channels_by_plugin();
        let channels_of = |plugin: (Name, Key)| counted.get(&plugin).copied().unwrap_or(0);
        let own = self.registry.plugins_there().map(|(id, record)| PluginStatus {
            name: record.config.name.clone(),
            version: record.config.version,
            state: record.state.clone(),
            server: home,
            placement: self.placement(record.runs),
            direct: record.direct.clone(),
            channels: match record.runs {
                Runs::Here => self.switch.ends().count_of(id),
                Runs::At(_) => channels_of((record.config.name.clone(), home)),
            },
            calls: (record.runs == Runs::Here).then(|| self.calls.counts(id).open()),
        });
        let own: Vec<PluginStatus> = own.collect();
        let names: BTreeSet<Name> = own.iter().map(|plugin| plugin.name.clone()).collect();
        // What the directory has at a server itself are its own plugins, and some that still leave.
        let known = |entry: &Entry| {
            entry.server == home && (!self.is_host() || names.contains(&entry.name))
        };
        let others = self.registry.directory().entries().filter(|entry| !known(entry));
        let others = others.map(|entry| PluginStatus {
            channels: channels_of((entry.name.clone(), entry.server)),
            name: entry.name,
            version: entry.version,
            state: PluginState::Running,
            server: entry.server,
            placement: Where::Remote,
            direct: Direct::default(),
            calls: None,
        });
        let others: Vec<PluginStatus> = others.collect();
        let silent = self.neighbours.children().filter_map(|child| self.unregistered(child));
        let silent: Vec<PluginStatus> = silent.collect();
        own.into_iter().chain(silent).chain(others).collect()
    }

    /// A host that this server starts, as long as its plugin has not registered.
    fn unregistered(&self, child: &Child) -> Option<PluginStatus> {
        let name = &child.config.name;
        let shown = |record: &crate::broker::PluginRecord| match record.runs {
            Runs::At(conn) => child.conn == Some(conn) || record.config.name == *name,
            Runs::Here => false,
        };
        if self.registry.plugins_there().map(|(_, record)| record).any(shown) {
            return None;
        }
        Some(PluginStatus {
            name: name.clone(),
            version: 0,
            state: match &child.state {
                ChildState::Ended(reason) => PluginState::Failed(reason.clone()),
                ChildState::Starting | ChildState::Running => PluginState::Starting,
            },
            server: self.neighbours.home_key(),
            placement: Where::from(child.config.placement),
            direct: Direct::default(),
            channels: 0,
            calls: None,
        })
    }

    fn placement(&self, runs: Runs) -> Where {
        match runs {
            Runs::Here => Where::Inline,
            Runs::At(conn) => self.neighbours.placement_of(conn).map_or(Where::Remote, Where::from),
        }
    }

    /// Channels through this process, by the plugins that they are between.
    fn channels_by_plugin(&self) -> BTreeMap<(Name, Key), usize> {
        let mut channels = BTreeMap::new();
        for info in self.switch.ends().iter().filter_map(|(_, end)| end.info.as_ref()) {
            *channels.entry(info.from.clone()).or_default() += 1;
            if info.to != info.from {
                *channels.entry(info.to.clone()).or_default() += 1;
            }
        }
        channels
    }

    fn link_status(&self) -> Vec<LinkStatus> {
        let live = self.neighbours.conns().filter(|(_, conn)| {
            let hello = conn.hello.as_ref();
            conn.phase != ConnPhase::Ending
                && !conn.is_direct()
                && hello.is_none_or(|h| h.role != Role::Command)
        });
        let live = live.filter_map(|(id, conn)| Some((id, conn, self.switch.line(id)?)));
        let live = live.map(|(id, conn, line)| LinkStatus {
            plugins: self.plugins_over(id),
            peer: conn.hello.as_ref().map(|hello| hello.key).or(conn.expected),
            name: conn.peer_name().unwrap_or_default().into(),
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
            reason: None,
        });
        let linked =
            |key: Option<Key>| key.is_some_and(|key| self.neighbours.link_to(key).is_some());
        let dials = |peer: &&crate::broker::Peer| !peer.config.endpoints.is_empty();
        let absent = self.neighbours.peers().filter(|p| p.conn.is_none() && !linked(p.key));
        let absent = absent.filter(|peer| peer.config.role == Role::Server || dials(peer));
        let absent = absent.map(|peer| LinkStatus {
            peer: peer.key,
            name: String::new(),
            role: peer.config.role,
            address: peer.config.endpoints.first().map(|e| e.to_string()).unwrap_or_default(),
            state: if peer.dialling { LinkState::Connecting } else { LinkState::Waiting },
            streams: 0,
            plugins: 0,
            bytes_in: 0,
            bytes_out: 0,
            rtt: None,
            reason: peer.reason.clone(),
        });
        live.chain(absent).collect()
    }

    /// How many plugins are known because of a link.
    fn plugins_over(&self, id: ConnId) -> usize {
        match self.neighbours.serving(id) {
            Some(server) => self.registry.directory().count(server),
            None => self.registry.plugins_at(Runs::At(id)),
        }
    }

    fn channel_status(&self, id: EndId, end: &End) -> Option<ChannelStatus> {
        let info = end.info.as_ref()?;
        let opener = self.faces_opener(end, info);
        let (bytes_out, bytes_in) =
            if opener { (end.given, end.told) } else { (end.told, end.given) };
        Some(ChannelStatus {
            id: self.switch.handle(id).0,
            from: info.from.clone(),
            to: info.to.clone(),
            route: info.route,
            bytes_in,
            bytes_out,
        })
    }

    /// Whether what an end is given comes from the plugin that opened the channel. An end that a
    /// relay joined to another one can be on either side.
    fn faces_opener(&self, end: &End, info: &ChannelInfo) -> bool {
        let (name, server) = &info.from;
        let opener =
            (*server == self.neighbours.home_key()).then(|| self.registry.running(name)).flatten();
        let runs = opener.and_then(|plugin| self.registry.plugin(plugin)).map(|record| record.runs);
        match end.owner() {
            Owner::Plugin(plugin) => opener == Some(plugin),
            Owner::Stream(conn, _) => match self.neighbours.hello(conn) {
                Some(hello) if hello.role == Role::Host => runs == Some(Runs::At(conn)),
                Some(hello) if !self.is_host() => hello.key == *server,
                _ => runs != Some(Runs::Here),
            },
        }
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
