//! What must always hold inside a broker, checked for tests; nothing here decides anything.

use crate::broker::calls::{CallTimer, Calls};
use crate::broker::neighbours::connections::{ConnPhase, Opened};
use crate::broker::{Broker, ConnId, Neighbours, PluginId, Registry, Switch, TimerKey};
use crate::bymux::StreamId;
use crate::ends::Flag;
use crate::ids::{EndId, Handle};
use crate::key::Key;
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

    /// The bytes that the queue of effects keeps for later turns.
    pub fn room_for_effects(&self) -> usize {
        self.effects.room()
    }

    /// How the bytes of a channel travel, as far as the plugin's end knows.
    pub fn route(&self, channel: Handle) -> Option<Route> {
        let id = self.switch.live(channel)?;
        self.switch.end(id)?.info.as_ref().map(|info| info.route)
    }

    /// The accounts of all streams of a connection, by their ids.
    pub fn stream_accounts(&self, id: ConnId) -> Vec<StreamAccount> {
        self.switch.stream_accounts(id)
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
        self.registry.audit()?;
        audit_owners(&self.registry, &self.neighbours, &self.switch)?;
        self.calls.audit(&self.effects)?;
        audit_call_streams(&self.calls, &self.switch)?;
        audit_call_timers(&self.calls, &self.timers)?;
        audit_peers(&self.neighbours)
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
        self.switch.channels_over(id)
    }

    /// Deadlines that are set: of links, of redials, of plugins, and of links that serve no pair.
    pub fn timers_set(&self) -> [usize; 4] {
        let mut counts = [0; 4];
        for key in self.timers.keys() {
            counts[match key {
                TimerKey::Link(_) => 0,
                TimerKey::Redial(_) | TimerKey::Restart(_) | TimerKey::Meetings => 1,
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

/// Ends belong to plugins that live, and each owner knows the same connections.
fn audit_owners(
    registry: &Registry,
    neighbours: &Neighbours,
    switch: &Switch,
) -> Result<(), String> {
    let plugins = switch.ends().iter().filter_map(|(_, end)| end.plugin());
    if let Some(plugin) = plugins.into_iter().find(|plugin| !registry.is_live(*plugin)) {
        return Err(format!("an end belongs to {plugin:?}, which is over"));
    }
    for (id, conn) in neighbours.conns() {
        let ending = conn.phase == ConnPhase::Ending;
        if switch.line(id).is_none() || switch.is_ending(id) != ending {
            return Err(format!("{id:?} is {:?}, the switch knows other", conn.phase));
        }
    }
    if neighbours.conns().count() != switch.lines().len() {
        return Err("the switch carries a connection that nobody knows".into());
    }
    let hosts = neighbours.conns().filter(|(_, conn)| conn.is_host());
    let hosts = hosts.filter(|(_, conn)| conn.phase != ConnPhase::Ending).map(|(id, _)| id);
    match neighbours.links().eq(registry.links()) && hosts.eq(registry.hosts()) {
        true => Ok(()),
        false => Err("the registry knows other links than there are".into()),
    }
}

/// Places are held by connections that there are, and the pauses between dials begin anew with each
/// link that comes up.
fn audit_peers(neighbours: &Neighbours) -> Result<(), String> {
    if let Some(id) = neighbours.places().find(|id| neighbours.conn(*id).is_none()) {
        return Err(format!("{id:?} is gone and holds a place"));
    }
    for id in neighbours.links().map(|(_, id)| id).chain(neighbours.uplink()) {
        let how = neighbours.conn(id).map(|conn| conn.how);
        if let Some(Opened::Dialled(peer)) = how
            && let Some(failures) = neighbours.peer(peer).map(|peer| peer.failures)
            && failures > 0
        {
            return Err(format!("{peer:?} is linked, {failures} failures are counted"));
        }
    }
    Ok(())
}
