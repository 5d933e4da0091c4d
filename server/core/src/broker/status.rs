//! What a server would say of itself: plugins, links and channels, as plain data.

use super::connections::ConnPhase;
use super::{Broker, PluginState};
use crate::control::Role;
use crate::ends::{End, EndId, Owner};
use crate::key::Key;
use crate::limits::Counters;
use crate::name::{Name, Version};
use crate::reason::Reason;
use crate::route::Route;
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
    /// Its channels that have an end in this process.
    pub channels: usize,
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
    /// The address that was dialled, or from which it came.
    pub address: String,
    /// How far it has come.
    pub state: LinkState,
    /// Open streams, the control stream not counted.
    pub streams: usize,
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
        let channels = self.ends.iter().filter_map(|(id, end)| self.channel_status(id, end));
        Status {
            plugins: self.plugin_status(),
            links: self.link_status(),
            channels: channels.collect(),
            counters: self.counters,
        }
    }

    fn plugin_status(&self) -> Vec<PluginStatus> {
        let home = self.key;
        let local = self.plugins.values().map(|record| PluginStatus {
            name: record.config.name.clone(),
            version: record.config.version,
            state: record.state.clone(),
            server: home,
            channels: record.channels,
        });
        let remote = self.directory.entries().filter(|entry| entry.server != home);
        let remote = remote.map(|entry| {
            let with = (entry.name.clone(), entry.server);
            let touches = |end: &&End| {
                end.info.as_ref().is_some_and(|info| info.to == with || info.from == with)
            };
            let channels = self.ends.iter().filter(|(_, end)| touches(end)).count();
            PluginStatus {
                name: entry.name,
                version: entry.version,
                state: PluginState::Running,
                server: entry.server,
                channels,
            }
        });
        local.chain(remote).collect()
    }

    fn link_status(&self) -> Vec<LinkStatus> {
        let live = self.conns.values().filter(|conn| {
            let hello = conn.hello.as_ref();
            conn.phase != ConnPhase::Ending && hello.is_none_or(|h| h.role == Role::Server)
        });
        let live = live.map(|conn| LinkStatus {
            peer: conn.hello.as_ref().map(|hello| hello.key).or(conn.expected),
            name: conn.peer_name().unwrap_or_default().into(),
            address: conn.address.clone(),
            state: match conn.phase {
                ConnPhase::Shaking | ConnPhase::AwaitsHello => LinkState::Connecting,
                _ => LinkState::Up,
            },
            streams: conn.link.streams(),
            bytes_in: conn.bytes_in,
            bytes_out: conn.bytes_out,
            rtt: conn.link.rtt(),
            reason: None,
        });
        let linked = |key: Option<Key>| key.is_some_and(|key| self.servers.contains_key(&key));
        let absent = self.peers.values().filter(|p| p.conn.is_none() && !linked(p.key));
        let absent = absent.map(|peer| LinkStatus {
            peer: peer.key,
            name: String::new(),
            address: peer.config.endpoints.first().map(|e| e.to_string()).unwrap_or_default(),
            state: if peer.dialling { LinkState::Connecting } else { LinkState::Waiting },
            streams: 0,
            bytes_in: 0,
            bytes_out: 0,
            rtt: None,
            reason: peer.reason.clone(),
        });
        live.chain(absent).collect()
    }

    fn channel_status(&self, id: EndId, end: &End) -> Option<ChannelStatus> {
        let info = end.info.as_ref()?;
        let peer = end.peer.and_then(|peer| self.ends.get(peer));
        let streams = [Some(end), peer].into_iter().flatten();
        let over_link = streams.clone().any(|end| matches!(end.owner, Owner::Stream(..)));
        let opener = self.faces_opener(end, &info.from);
        let (bytes_out, bytes_in) =
            if opener { (end.given, end.told) } else { (end.told, end.given) };
        Some(ChannelStatus {
            id: self.ends.handle(id).0,
            from: info.from.clone(),
            to: info.to.clone(),
            route: if over_link { Route::Link } else { Route::Local },
            bytes_in,
            bytes_out,
        })
    }

    /// Whether what an end is given comes from the plugin that opened the channel. An end that a
    /// relay joined to another one can be on either side.
    fn faces_opener(&self, end: &End, (name, server): &(Name, Key)) -> bool {
        let here = *server == self.key;
        match end.owner {
            Owner::Plugin(plugin) => {
                here && self.plugins.get(&plugin).is_some_and(|p| p.config.name == *name)
            }
            Owner::Stream(..) => !here,
        }
    }
}
