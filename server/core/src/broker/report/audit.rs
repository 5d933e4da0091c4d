//! What must always hold inside a broker, checked for tests; nothing here decides anything.

use crate::broker::calls::{CallTimer, Calls};
use crate::broker::neighbours::connections::{ConnPhase, Opened};
use crate::broker::registry::plugins::Runs;
use crate::broker::switch::Switch;
use crate::broker::{Broker, ConnId, PluginId, TimerKey};
use crate::bymux::StreamId;
use crate::ends::{End, Flag};
use crate::ids::{EndId, Handle};
use crate::key::Key;
use crate::name::Name;
use crate::route::Route;
use crate::timers::Timers;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

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
    /// Plugins that are gone, and whose end some listener has still to be told of.
    pub leaving: usize,
    /// Whether plugins of lost servers and hosts are still among those that are there.
    pub lost: bool,
}

impl Broker {
    /// What of direct connections is not decided yet.
    pub fn unsettled(&self) -> Unsettled {
        Unsettled {
            attempts: self.meetings.attempts(),
            tickets: self.meetings.tickets(),
            awaited: self.meetings.arrivals().collect(),
            leaving: self.registry.remembered(),
            lost: self.registry.has_leaving(),
            told_of: self.directs.channels().count(),
        }
    }

    /// How the bytes of a channel travel, as far as the plugin's end knows.
    pub fn route(&self, channel: Handle) -> Option<Route> {
        let id = self.switch.live(channel)?;
        self.switch.end(id)?.info.as_ref().map(|info| info.route)
    }

    /// The accounts of all streams of a connection, by their ids.
    pub fn stream_accounts(&self, id: ConnId) -> Vec<StreamAccount> {
        let Some(line) = self.switch.line(id) else { return Vec::new() };
        let mux = line.link().mux_ref();
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
        if !self.is_settled() {
            return Err("an event has not been passed on".into());
        }
        self.switch.audit(self.effects.is_empty())?;
        self.audit_owners()?;
        self.calls.audit(&self.effects)?;
        audit_call_streams(&self.calls, &self.switch)?;
        audit_call_timers(&self.calls, &self.timers)?;
        self.audit_counts()
    }

    /// Ends belong to plugins that live, and each owner knows the same connections.
    fn audit_owners(&self) -> Result<(), String> {
        let plugins = self.switch.ends().iter().filter_map(|(_, end)| end.plugin());
        if let Some(plugin) = plugins.into_iter().find(|plugin| !self.registry.is_live(*plugin)) {
            return Err(format!("an end belongs to {plugin:?}, which is over"));
        }
        for (id, conn) in self.neighbours.conns() {
            let ending = conn.phase == ConnPhase::Ending;
            if self.switch.line(id).is_none() || self.switch.is_ending(id) != ending {
                return Err(format!("{id:?} is {:?}, the switch knows other", conn.phase));
            }
        }
        if self.neighbours.conns().count() != self.switch.lines().len() {
            return Err("the switch carries a connection that nobody knows".into());
        }
        match self.neighbours.links().eq(self.registry.links()) {
            true => Ok(()),
            false => Err("the registry knows other links of servers than there are".into()),
        }
    }

    fn audit_counts(&self) -> Result<(), String> {
        let gone = |id: &ConnId| self.neighbours.conn(*id).is_none();
        if let Some(id) = self.neighbours.places().find(gone) {
            return Err(format!("{id:?} is gone and holds a place"));
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
        let (unreleased, untold) = self.registry.unreleased();
        if unreleased != untold {
            return Err(format!("{unreleased} entries have left, {untold} are still to be told"));
        }
        match self.registry.name_without_plugin() {
            Some(id) => Err(format!("{id:?} has a name and no record")),
            None => Ok(()),
        }
    }

    /// The pauses between dials begin anew with each link that comes up.
    fn audit_peers(&self) -> Result<(), String> {
        for id in self.neighbours.links().map(|(_, id)| id).chain(self.neighbours.uplink()) {
            let how = self.neighbours.conn(id).map(|conn| conn.how);
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
        self.switch.lines().values().map(|line| line.grown()).sum()
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
        let conn = self.neighbours.link_to(server).and_then(|id| self.neighbours.conn(id));
        conn.is_some_and(|conn| conn.how == Opened::Accepted)
    }

    /// The connections that there are, with whether they serve a server.
    pub fn connections(&self) -> impl Iterator<Item = (ConnId, bool)> + '_ {
        self.switch
            .lines()
            .keys()
            .map(|id| (*id, self.neighbours.links().any(|(_, serving)| serving == *id)))
    }

    /// The plugins' ends of channels that go over a connection, and were not told of their end.
    pub fn channels_over(&self, id: ConnId) -> Vec<(PluginId, Handle)> {
        let over =
            |end: &End| end.peer.and_then(|peer| self.switch.end(peer)).map(|peer| peer.conn());
        let ends = self.switch.ends().iter().filter(|(_, end)| over(end) == Some(Some(id)));
        let ends = ends.filter(|(_, end)| !end.flags.has(Flag::Ending));
        ends.filter_map(|(end, at)| Some((at.plugin()?, self.switch.handle(end)))).collect()
    }

    /// Deadlines that are set: of links, of redials, of plugins, and of links that serve no pair.
    pub fn timers_set(&self) -> [usize; 4] {
        let mut counts = [0; 4];
        for key in self.timers.keys() {
            counts[match key {
                TimerKey::Link(_) => 0,
                TimerKey::Redial(_) | TimerKey::Restart(_) | TimerKey::Meetings | TimerKey::Log => {
                    1
                }
                TimerKey::Plugin(..) | TimerKey::Calls(_) => 2,
                TimerKey::Useless(_) => 3,
            }] += 1;
        }
        counts
    }
}

/// Each stream of calls has an end of its plugin.
fn audit_call_streams(calls: &Calls, switch: &Switch) -> Result<(), String> {
    let is_there = |(end, plugin): &(EndId, PluginId)| {
        let end = switch.end(*end);
        end.is_some_and(|end| end.flags.has(Flag::Calls) && end.plugin() == Some(*plugin))
    };
    match calls.streams().find(|stream| !is_there(stream)) {
        Some((end, _)) => Err(format!("a stream of calls has no end {end}")),
        None => Ok(()),
    }
}

/// The timers of calls run that should, and no others.
fn audit_call_timers(calls: &Calls, timers: &Timers<TimerKey>) -> Result<(), String> {
    let due: BTreeSet<CallTimer> = calls.timers().collect();
    let set = timers.keys().filter_map(|key| match key {
        TimerKey::Calls(timer) => Some(*timer),
        _ => None,
    });
    let set: BTreeSet<CallTimer> = set.collect();
    match due == set {
        true => Ok(()),
        false => Err(format!("timers run for {set:?}, and calls wait for {due:?}")),
    }
}
