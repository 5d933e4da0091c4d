//! What must always hold inside a broker, checked for tests; nothing here decides anything.

use crate::broker::neighbours::connections::Opened;
use crate::broker::registry::plugins::Runs;
use crate::broker::{Broker, ConnId, PluginId};
use crate::bymux::{HIGH_WATER, QUANTUM, StreamId};
use crate::ends::{End, Flag, Lookup, Owner, Phase};
use crate::ids::{EndId, Handle};
use crate::key::Key;
use crate::link::NO_TAG;
use crate::name::Name;
use crate::route::Route;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Headers and Closes of streams that the outbox may hold beside data, in bytes.
const HEADERS_MAX: usize = 64 * 1024;

/// First frames, which are no part of any window, that may wait for a stream, in bytes.
const FRAMES_MAX: u64 = 8 * 1024;

/// What one side of a link knows of a stream's credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamAccount {
    /// The stream.
    pub stream: StreamId,
    /// Bytes that this side may write.
    pub writable: u64,
    /// Bytes that the other side may write, as this side has granted them.
    pub granted: u64,
}

/// What of direct connections is not decided yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unsettled {
    /// Channels whose routes are being tried.
    pub attempts: usize,
    /// Tickets that are remembered.
    pub tickets: usize,
    /// Connections that wait until the servers tell of their ticket.
    pub awaited: Vec<ConnId>,
    /// Direct channels of hosts, as these tell of them.
    pub told_of: usize,
    /// Plugins that are gone, and of which somebody has still to be told so.
    pub leaving: usize,
}

impl Broker {
    /// What of direct connections is not decided yet.
    pub fn unsettled(&self) -> Unsettled {
        Unsettled {
            attempts: self.meetings.attempts(),
            tickets: self.meetings.tickets(),
            awaited: self.meetings.arrivals().collect(),
            leaving: self.registry.remembered(),
            told_of: self.directs.channels().count(),
        }
    }

    /// How the bytes of a channel travel, as far as the plugin's end knows.
    pub fn route(&self, channel: Handle) -> Option<Route> {
        let Lookup::Live(id) = self.ends.lookup(channel) else { return None };
        self.ends.get(id)?.info.as_ref().map(|info| info.route)
    }

    /// The accounts of all streams of a connection, by their ids.
    pub fn stream_accounts(&self, id: ConnId) -> Vec<StreamAccount> {
        let Some(conn) = self.conns.get(&id) else { return Vec::new() };
        let mux = conn.link.mux_ref();
        let account = |(stream, _)| StreamAccount {
            stream,
            writable: mux.writable(stream),
            granted: mux.granted(stream),
        };
        mux.open().map(account).collect()
    }

    /// Checks what must hold after every call: that ends name each other, that no queue is over its
    /// bound, and that the sums agree. It costs time for each channel.
    ///
    /// # Errors
    /// What does not hold, for people.
    pub fn audit(&self) -> Result<(), String> {
        for (id, end) in self.ends.iter() {
            self.audit_end(id, end).map_err(|what| format!("end {id}: {what}: {end:?}"))?;
        }
        for (id, conn) in self.conns.iter() {
            self.audit_conn(*id).map_err(|what| format!("{id:?} in {:?}: {what}", conn.phase))?;
        }
        self.audit_calls()?;
        self.audit_counts()
    }

    fn audit_end(&self, id: EndId, end: &End) -> Result<(), String> {
        if let Some(peer) = end.peer
            && self.ends.get(peer).is_none_or(|peer| peer.peer != Some(id))
        {
            return Err(format!("its peer {peer} does not name it"));
        }
        match end.owner() {
            Owner::Plugin(plugin) => self.audit_plugin_end(id, plugin, end),
            Owner::Stream(conn, stream) => self.audit_stream_end(id, end, conn, stream),
        }
    }

    fn audit_plugin_end(&self, id: EndId, plugin: PluginId, end: &End) -> Result<(), String> {
        let window = self.window(id);
        if !self.registry.is_live(plugin) {
            return Err(format!("it belongs to {plugin:?}, which is over"));
        }
        let source = end.peer.and_then(|peer| self.ends.get(peer));
        // Of a plugin whose peer is a stream, bymux keeps the allowance.
        let allowance = source.map_or(0, |source| source.allowance);
        let under_way = end.inbox.len() as u64 + u64::from(end.owed) + allowance;
        if !end.flags.has(Flag::Manual) && under_way > window {
            return Err(format!("{under_way} bytes may come, over its window"));
        }
        let deaf = [Flag::ReadOver, Flag::Ending, Flag::Muted];
        let reads = end.is_up() && !deaf.into_iter().any(|flag| end.flags.has(flag));
        let settled = self.effects.is_empty() && source.is_some() && !end.flags.has(Flag::Manual);
        if settled && reads && under_way < window {
            return Err(format!("{under_way} bytes may come, credit for the rest is lost"));
        }
        let over = [Flag::Ending, Flag::Closing].into_iter().any(|flag| end.flags.has(flag));
        if end.peer.is_none() && end.is_up() && !over {
            return Err("it has nobody at the other side".into());
        }
        Ok(())
    }

    fn audit_stream_end(
        &self,
        id: EndId,
        end: &End,
        conn: ConnId,
        stream: StreamId,
    ) -> Result<(), String> {
        let Some(conn) = self.conns.get(&conn) else { return Err("its link is gone".into()) };
        // A stream may be gone, and its end not yet told so.
        if conn.link.mux_ref().tag(stream).is_some_and(|tag| tag != id.tag()) {
            return Err("its stream belongs to another end".into());
        }
        let limits = &self.settings.limits;
        let most = limits.window_max.max(limits.window) + limits.window + FRAMES_MAX;
        match end.inbox.len() as u64 > most {
            true => Err(format!("{} bytes wait for its stream", end.inbox.len())),
            false => Ok(()),
        }
    }

    fn audit_conn(&self, id: ConnId) -> Result<(), String> {
        let Some(conn) = self.conns.get(&id) else { return Ok(()) };
        let outbox = conn.link.outbox();
        let data = outbox.len() - outbox.control_len();
        if data > HIGH_WATER + QUANTUM + HEADERS_MAX {
            return Err(format!("{data} bytes of data wait in its outbox"));
        }
        let ending = self.is_ending(id);
        for (stream, tag) in conn.link.mux_ref().open().filter(|(_, tag)| *tag != NO_TAG) {
            let owner = EndId::of_tag(tag).and_then(|end| self.ends.get(end)).map(End::owner);
            if !ending && owner != Some(Owner::Stream(id, stream)) {
                return Err(format!("stream {stream} has no end, but {owner:?}"));
            }
        }
        let asking = |end: &&End| end.conn() == Some(id) && end.phase == Phase::Asking;
        let asking = self.ends.iter().map(|(_, end)| end).filter(asking).count();
        if asking != conn.unanswered {
            let counted = conn.unanswered;
            return Err(format!("{asking} streams wait for an answer, {counted} are counted"));
        }
        let comes_from = |end: &&End| {
            let source = end.peer.and_then(|peer| self.ends.get(peer));
            source.is_some_and(|source| source.conn() == Some(id))
        };
        let ends = self.ends.iter().map(|(_, end)| end);
        let grown: u64 = ends.filter(comes_from).map(|end| end.rare().grown).sum();
        match grown == conn.grown {
            true => Ok(()),
            false => Err(format!("windows grew by {grown}, {} are on its account", conn.grown)),
        }
    }

    fn audit_counts(&self) -> Result<(), String> {
        let mut counted: BTreeMap<PluginId, usize> = BTreeMap::new();
        for (_, end) in self.ends.iter() {
            for plugin in end.plugins() {
                *counted.entry(plugin).or_default() += 1;
            }
        }
        for (id, found) in counted {
            let counts = self.ends.count_of(id);
            if found != counts {
                return Err(format!("{id:?} has {found} ends, {counts} are counted"));
            }
        }
        self.audit_records()?;
        self.audit_peers()
    }

    /// Names lead to plugins that live or still have to leave, and nothing but the last word of a
    /// host's plugin is kept.
    fn audit_records(&self) -> Result<(), String> {
        let mut of_hosts: BTreeSet<&Name> = BTreeSet::new();
        for (id, record) in self.registry.plugins() {
            let name = &record.config.name;
            let has_name = self.registry.is_live(id) || self.registry.is_leaving(id);
            if has_name != (self.registry.named(name.as_str()) == Some(id)) {
                return Err(format!("{id:?} is {:?}, but {name} says other", record.state));
            }
            let Runs::At(conn) = record.runs else { continue };
            if !of_hosts.insert(name) {
                return Err(format!("there are two records of a host's {name}"));
            }
            if self.registry.is_live(id) && self.is_ending(conn) {
                return Err(format!("{name} lives, its host does not"));
            }
        }
        match self.registry.name_without_plugin() {
            Some(id) => Err(format!("{id:?} has a name and no record")),
            None => Ok(()),
        }
    }

    /// The pauses between dials begin anew with each link that comes up.
    fn audit_peers(&self) -> Result<(), String> {
        for id in self.neighbours.links().map(|(_, id)| id).chain(self.uplink()) {
            let how = self.conns.get(&id).map(|conn| conn.how);
            if let Some(Opened::Dialled(peer)) = how
                && let Some(failures) = self.neighbours.peer(peer).map(|peer| peer.failures)
                && failures > 0
            {
                return Err(format!("{peer:?} is linked, {failures} failures are counted"));
            }
        }
        Ok(())
    }

    /// By how many bytes the windows of all links have grown.
    pub fn windows_grown(&self) -> u64 {
        self.conns.values().map(|conn| conn.grown).sum()
    }

    /// The servers that are linked.
    pub fn linked_servers(&self) -> impl Iterator<Item = Key> + '_ {
        self.neighbours.links().map(|(key, _)| key)
    }

    /// The servers that are linked, each with the connection that serves it.
    pub fn links(&self) -> impl Iterator<Item = (Key, ConnId)> + '_ {
        self.neighbours.links()
    }

    /// Whether this server accepted the link with another one.
    pub fn accepted(&self, server: Key) -> bool {
        let conn = self.neighbours.link_to(server).and_then(|id| self.conns.get(&id));
        conn.is_some_and(|conn| conn.how == Opened::Accepted)
    }

    /// The connections that there are, with whether they serve a server.
    pub fn connections(&self) -> impl Iterator<Item = (ConnId, bool)> + '_ {
        self.conns
            .keys()
            .map(|id| (*id, self.neighbours.links().any(|(_, serving)| serving == *id)))
    }

    /// The plugins' ends of channels that go over a connection, and were not told of their end.
    pub fn channels_over(&self, id: ConnId) -> Vec<(PluginId, Handle)> {
        let over =
            |end: &End| end.peer.and_then(|peer| self.ends.get(peer)).map(|peer| peer.conn());
        let ends = self.ends.iter().filter(|(_, end)| over(end) == Some(Some(id)));
        let ends = ends.filter(|(_, end)| !end.flags.has(Flag::Ending));
        ends.filter_map(|(end, at)| Some((at.plugin()?, self.ends.handle(end)))).collect()
    }

    /// Deadlines that are set: of links, of redials, of plugins, and of links that serve nobody.
    pub fn timers_set(&self) -> [usize; 4] {
        let mut counts = [0; 4];
        for key in self.timers.keys() {
            counts[match key {
                crate::broker::TimerKey::Link(_) => 0,
                crate::broker::TimerKey::Redial(_)
                | crate::broker::TimerKey::Restart(_)
                | crate::broker::TimerKey::Tickets => 1,
                crate::broker::TimerKey::Attempt(_) => 2,
                crate::broker::TimerKey::Plugin(..)
                | crate::broker::TimerKey::Call(_)
                | crate::broker::TimerKey::IdleCalls(_) => 2,
                crate::broker::TimerKey::Useless(_) => 3,
            }] += 1;
        }
        counts
    }
}
