//! Registry: which plugins there are, who may see them, and who has been told of them. It knows
//! links by number only, with the server at the other end: it calls no other owner.
//!
//! The direct outcome of a method is its result. What follows from it for other owners is an
//! [`Event`], which the broker hands on before it returns to the shell. What plugins are told
//! goes into the queue of effects, because its order among all effects counts.

pub(crate) mod announce;
mod audit;
pub(crate) mod changes;
pub(crate) mod descriptions;
pub(crate) mod hosts;
pub(crate) mod link_news;
pub(crate) mod marks;
pub(crate) mod news;
mod not_loaded;
pub(crate) mod offers;
pub(crate) mod partners;
pub(crate) mod plugins;
#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod tests;

use crate::broker::{Caller, Expose, PluginState};
use crate::directory::Directory;
use crate::ids::{ConnId, PluginId};
use crate::key::Key;
use crate::limits::{Limit, Limits};
use crate::log_limiter::LogKind;
use crate::name::{Name, Version};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use hosts::Host;
use news::Announcements;
use not_loaded::NotLoaded;
use offers::Offers;
use partners::Partners;
use plugins::{PluginRecord, Runs};

/// The first number of a plugin of a host: half of all numbers.
const FIRST_OF_HOSTS: u32 = 1 << 31;

/// Which plugins there are, which of them may see each other, and which peers know them.
#[derive(Debug)]
pub(crate) struct Registry {
    /// The key of this process, and whether it is a host.
    own_key: Key,
    is_host: bool,
    limits: Limits,
    plugins: BTreeMap<PluginId, PluginRecord>,
    /// The next numbers of plugins here, and of those of hosts, which come and go without end.
    next_here: u32,
    next_of_hosts: u32,
    /// The plugins that start or run, by name.
    names: BTreeMap<Name, PluginId>,
    /// Plugins of lost hosts, which are over and have still to leave.
    lost: VecDeque<PluginId>,
    /// Plugins of the configuration without a record.
    not_loaded: Vec<NotLoaded>,
    partners: Partners,
    hosts: BTreeMap<ConnId, Host>,
    directory: Directory,
    announcements: Announcements,
    /// What the servers at the other ends of links have in common with this one, and the link that
    /// serves each of them.
    in_common: BTreeMap<ConnId, InCommon>,
    link_to: BTreeMap<Key, ConnId>,
    events: VecDeque<Event>,
    /// Links for which `Event::InCommon` is due, and whether `Event::PluginsChanged` is. One plugin
    /// may concern all links, so that each is there once.
    changed_links: BTreeSet<ConnId>,
    plugins_changed: bool,
}

/// What others have to hear of.
#[derive(Debug)]
#[must_use]
pub(crate) enum Event {
    /// A channel has to be opened between two plugins, of which one invites the other.
    Pair(Pair),
    /// Other names than before may connect this server with the one at the end of a link.
    InCommon(ConnId),
    /// The plugins of this server, or what they want, are others than before.
    PluginsChanged,
    /// A limit was reached.
    Reached(Limit),
    /// A line of the log, charged to the peer of a connection.
    Log(ConnId, LogKind, String),
}

/// A plugin of this server, and one of a linked server that invites it or is invited by it.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) link: ConnId,
    pub(crate) plugin: PluginId,
    pub(crate) ours: Name,
    pub(crate) theirs: Caller,
}

/// What connects this server with the one at the other end of the link that serves it.
#[derive(Debug)]
struct InCommon {
    server: Key,
    /// The server's name.
    name: String,
    /// Whether this server accepted the link, or dialled it.
    accepted: bool,
    /// Plugins of the peer that ours use or invite, and plugins of ours that the peer's invite.
    names: BTreeSet<Name>,
    /// What the peer's plugins offer to ours.
    offers: Offers,
}

impl Registry {
    /// No plugins, and no listeners.
    pub(crate) fn new(own_key: Key, is_host: bool, limits: &Limits) -> Registry {
        Registry {
            own_key,
            is_host,
            limits: limits.clone(),
            plugins: BTreeMap::new(),
            next_here: 0,
            next_of_hosts: 0,
            names: BTreeMap::new(),
            lost: VecDeque::new(),
            not_loaded: Vec::new(),
            partners: Partners::default(),
            hosts: BTreeMap::new(),
            directory: Directory::new(),
            announcements: Announcements::default(),
            in_common: BTreeMap::new(),
            link_to: BTreeMap::new(),
            events: VecDeque::new(),
            changed_links: BTreeSet::new(),
            plugins_changed: false,
        }
    }

    /// Whether no event is queued.
    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        self.events.is_empty() & self.changed_links.is_empty() & !self.plugins_changed
    }

    /// The next thing that others have to hear of.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        let link = self.changed_links.pop_first();
        link.map(Event::InCommon)
            .or_else(|| core::mem::take(&mut self.plugins_changed).then_some(Event::PluginsChanged))
    }

    fn happens(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// A plugin of this server, also one that is over.
    #[inline]
    pub(crate) fn plugin(&self, id: PluginId) -> Option<&PluginRecord> {
        self.plugins.get(&id)
    }

    /// All plugins of this server, those that are over among them.
    pub(crate) fn plugins(&self) -> impl Iterator<Item = (PluginId, &PluginRecord)> {
        self.plugins.iter().map(|(id, record)| (*id, record))
    }

    /// As [`plugins`](Registry::plugins), without those of lost hosts that have still to leave.
    pub(crate) fn plugins_there(&self) -> impl Iterator<Item = (PluginId, &PluginRecord)> {
        self.plugins().filter(|(id, record)| record.runs == Runs::Here || self.is_live(*id))
    }

    /// The plugin that starts or runs under a name.
    pub(crate) fn named(&self, name: &str) -> Option<PluginId> {
        self.names.get(name).copied()
    }

    /// Whether a plugin starts or runs under a name.
    pub(crate) fn has_name(&self, name: &Name) -> bool {
        self.names.contains_key(name)
    }

    /// The plugins of all servers that are known here.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// What the plugin is doing.
    pub(crate) fn plugin_state(&self, plugin: PluginId) -> Option<&PluginState> {
        self.plugins.get(&plugin).map(|record| &record.state)
    }

    /// Whether the plugin may still be told anything.
    pub(crate) fn is_live(&self, plugin: PluginId) -> bool {
        let state = self.plugin_state(plugin);
        matches!(state, Some(PluginState::Starting | PluginState::Running))
    }

    /// The plugin of this server that runs under a name.
    pub(crate) fn running(&self, name: &Name) -> Option<PluginId> {
        let id = self.names.get(name)?;
        (self.plugin_state(*id) == Some(&PluginState::Running)).then_some(*id)
    }

    /// Whether the servers with a key may see a plugin.
    pub(crate) fn may_see(&self, plugin: PluginId, peer: Key) -> bool {
        self.plugins.get(&plugin).is_some_and(|record| match &record.config.expose {
            Expose::Local => false,
            Expose::Peers => true,
            Expose::Keys(keys) => keys.contains(&peer),
        })
    }

    /// The plugins of this process that start or run.
    pub(crate) fn live_plugins(&self) -> Vec<PluginId> {
        self.partners.at.of(&Runs::Here).copied().collect()
    }

    /// The plugins of a host that start or run.
    pub(crate) fn plugins_of(&self, host: ConnId) -> Vec<PluginId> {
        self.partners.at.of(&Runs::At(host)).copied().collect()
    }

    /// How many plugins start or run in a process.
    pub(crate) fn plugins_at(&self, process: Runs) -> usize {
        self.partners.at.count(&process)
    }

    /// The number of a new plugin. Those here lie close together, for tables by number.
    fn number(&mut self, runs: Runs) -> PluginId {
        loop {
            let (next, first) = match runs {
                Runs::Here => (&mut self.next_here, 0),
                Runs::At(_) => (&mut self.next_of_hosts, FIRST_OF_HOSTS),
            };
            let number = first | *next;
            *next = next.wrapping_add(1);
            if !self.plugins.contains_key(&PluginId(number)) {
                return PluginId(number);
            }
        }
    }

    /// Whether a plugin of this server uses or invites a plugin of that name and version.
    pub(crate) fn is_wanted(&self, name: &Name, version: Version) -> bool {
        let live = self.partners.wanting(name).filter(|id| self.is_live(**id));
        let mut wanting = live.filter_map(|id| self.plugin(*id));
        wanting.any(|record| {
            let mut uses = record.config.uses.iter();
            uses.any(|(used, least)| used == name && version >= *least)
                || record.config.invites.contains(name)
        })
    }

    /// A host asks for more of a plugin than it is granted. Whether it is the first time.
    #[must_use]
    pub(crate) fn note_asks_too_much(&mut self, plugin: PluginId) -> bool {
        let record = self.plugins.get_mut(&plugin);
        record.is_some_and(|record| !core::mem::replace(&mut record.asks_too_much, true))
    }

    /// A link serves a server now, and no other one does.
    pub(crate) fn link_serves(&mut self, conn: ConnId, server: Key, name: &str, accepted: bool) {
        if let Some(older) = self.link_to.get(&server).copied() {
            self.rename_server(older, server, name);
            self.link_serves_no_more(older);
        }
        let (name, names, offers) = (name.into(), BTreeSet::new(), Offers::default());
        self.in_common.insert(conn, InCommon { server, name, accepted, names, offers });
        self.link_to.insert(server, conn);
    }

    /// A server that is linked says another name in a newer link: it is found by that one.
    fn rename_server(&mut self, older: ConnId, server: Key, name: &str) {
        let Some(before) = self.in_common.get(&older).map(|common| &common.name) else { return };
        let servers = &mut self.partners.servers;
        if before != name && servers.has(before, &server) {
            servers.remove(before, &server);
            servers.insert(name.into(), server);
        }
    }

    /// The server that a link serves.
    pub(crate) fn served_by(&self, conn: ConnId) -> Option<Key> {
        self.in_common.get(&conn).map(|common| common.server)
    }

    /// The links that serve servers.
    pub(crate) fn links(&self) -> impl Iterator<Item = (Key, ConnId)> {
        self.link_to.iter().map(|(server, conn)| (*server, *conn))
    }

    /// How many plugins are known because of a connection: those of a linked server, or of a host.
    pub(crate) fn plugins_over(&self, id: ConnId) -> usize {
        match self.served_by(id) {
            Some(server) => self.directory.count(server),
            None => self.plugins_at(Runs::At(id)),
        }
    }

    /// Whether this process runs plugins for a server, and is none.
    pub(crate) fn is_of_host(&self) -> bool {
        self.is_host
    }

    /// Whether any name connects this server with the one at the other end of a link.
    pub(crate) fn have_in_common(&self, conn: ConnId) -> bool {
        self.in_common.get(&conn).is_some_and(|common| !common.names.is_empty())
    }

    /// The names that a plugin of a linked server invites.
    pub(crate) fn invited_by(&self, server: Key, plugin: &Name) -> &[Name] {
        let common = self.link_to.get(&server).and_then(|conn| self.in_common.get(conn));
        common.map_or(&[], |common| common.offers.invited_by(plugin))
    }

    /// Notes whether a name still connects this server with the one at the end of a link.
    fn update_common(&mut self, conn: ConnId, name: &Name) {
        let Some(server) = self.served_by(conn) else { return };
        let version = self.directory.version(server, name);
        let wanted = version.is_some_and(|version| self.is_wanted(name, version));
        let here = self.has_name(name);
        let Some(common) = self.in_common.get_mut(&conn) else { return };
        match wanted || (here && common.offers.invites(name)) {
            true => common.names.insert(name.clone()),
            false => common.names.remove(name),
        };
    }

    /// A connection is told nothing any more.
    pub(crate) fn ignore(&mut self, conn: ConnId) {
        self.announcements.ignore(conn);
        self.release_entries();
    }

    /// Whether plugins of lost hosts and servers have still to leave.
    pub(crate) fn has_leaving(&self) -> bool {
        self.directory.has_leaving() || !self.lost.is_empty()
    }

    /// Whether a listener may have to be told something now.
    pub(crate) fn has_news(&self) -> bool {
        self.announcements.is_due() || self.has_leaving()
    }

    /// Plugins that are gone, and of which some listener has still to be told so.
    pub(crate) fn remembered(&self) -> usize {
        self.announcements.remembered()
    }

    /// The links of hosts.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = ConnId> {
        self.hosts.keys().copied()
    }
}
