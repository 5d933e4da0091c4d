//! What servers, hosts and plugins of this process say of plugins: how it comes into the directory,
//! and how it leaves. Each change is noted for those who have to be told.

use super::{Event, Registry};
use crate::broker::Effect;
use crate::broker::effect::Effects;
use crate::control::{Announced, Rejected, Withdrawn};
use crate::ids::ConnId;
use crate::key::Key;
use crate::limits::Limit;
use crate::log_limiter::LogKind;
use crate::name::{Name, Version};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

/// Plugins of lost servers that leave in one turn.
const LEAVING_PER_TURN: usize = 256;

impl Registry {
    /// A linked server announced plugins that appeared or changed.
    pub(crate) fn peer_plugins(
        &mut self,
        id: ConnId,
        plugins: Vec<Announced>,
        effects: &mut Effects,
    ) {
        let Some(key) = self.served_by(id) else { return };
        let limit = self.limits.announced;
        let mut ignored = 0usize;
        for announced in plugins {
            let name = &announced.name;
            if self.directory.count(key) >= limit && self.directory.version(key, name).is_none() {
                ignored += 1;
                continue;
            }
            self.enter(key, name, announced.version, effects);
            self.offered(id, &announced);
            self.update_common(id, name);
        }
        self.changed_links.insert(id);
        if ignored > 0 {
            self.happens(Event::Reached(Limit::Announced));
            let key = key.short();
            let text = format!("{key} announced {ignored} plugins over the limit of {limit}");
            self.happens(Event::Log(id, LogKind::TooManyPlugins, text));
        }
    }

    /// A linked server's plugins left.
    pub(crate) fn peer_withdraws(&mut self, id: ConnId, names: &[Name], effects: &mut Effects) {
        let Some(key) = self.served_by(id) else { return };
        self.withdraw_all(key, names, effects);
        self.offers_end(id, names);
        for name in names {
            self.update_common(id, name);
        }
        self.changed_links.insert(id);
    }

    /// The server of this host announced plugins: its own, and those of servers that are linked to
    /// it.
    pub(crate) fn home_plugins(
        &mut self,
        home: Key,
        plugins: Vec<Announced>,
        effects: &mut Effects,
    ) {
        for Announced { name, version, server, .. } in plugins {
            self.enter(server.unwrap_or(home), &name, version, effects);
        }
    }

    /// The server of this host says that plugins left.
    pub(crate) fn home_withdraws(&mut self, home: Key, told: &Withdrawn, effects: &mut Effects) {
        self.withdraw_all(told.server.unwrap_or(home), &told.names, effects);
    }

    /// The server of this host does not take a plugin.
    pub(crate) fn rejected(&self, rejected: Rejected, effects: &mut Effects) {
        if let Some(plugin) = self.running(&rejected.name) {
            effects.push_back(Effect::Reject(plugin, rejected.reason));
        }
    }

    /// Notes a plugin in the directory.
    pub(crate) fn enter(
        &mut self,
        server: Key,
        name: &Name,
        version: Version,
        effects: &mut Effects,
    ) {
        if let Some(left) = self.directory.leaves(server, name) {
            self.note_change(&left, Some(left.change.entry.version), effects);
        }
        let before = self.directory.version(server, name);
        if let Some(change) = self.directory.announce(server, name, version) {
            self.note_change(&change, before, effects);
        }
    }

    /// Plugins of a server are gone.
    pub(crate) fn withdraw_all(&mut self, server: Key, names: &[Name], effects: &mut Effects) {
        for name in names {
            if let Some(left) = self.directory.withdraw(server, name) {
                self.note_change(&left, Some(left.change.entry.version), effects);
            }
        }
    }

    /// A server is linked no more: its plugins are not found any more, and leave in this turn and
    /// those that follow.
    pub(crate) fn forget_server(&mut self, key: Key, effects: &mut Effects) {
        self.directory.forget(key);
        self.let_some_leave(effects);
    }

    /// A server that links anew says which plugins it has; others that it had leave.
    pub(crate) fn forget_all_but(
        &mut self,
        key: Key,
        named: &BTreeSet<&Name>,
        effects: &mut Effects,
    ) {
        self.directory.forget_all_but(key, named);
        self.let_some_leave(effects);
    }

    /// Nothing is known any more.
    pub(crate) fn forget_all_servers(&mut self, effects: &mut Effects) {
        self.directory.forget_all();
        self.let_some_leave(effects);
    }

    /// Lets plugins leave whose servers are linked no more, as many as a turn has room for.
    pub(crate) fn let_some_leave(&mut self, effects: &mut Effects) {
        for _ in 0..LEAVING_PER_TURN {
            let Some(left) = self.directory.next_leaving() else { return };
            self.note_change(&left, Some(left.change.entry.version), effects);
        }
    }

    /// A plugin of this process, or of a host, runs or has changed: who may know is told.
    pub(crate) fn announce_local(&mut self, name: &Name, version: Version, effects: &mut Effects) {
        if !self.is_host {
            self.enter(self.own_key, name, version, effects);
        }
        self.announcements.set_own(name);
    }

    /// A plugin of this process, or of a host, is gone.
    pub(crate) fn withdraw_local(&mut self, name: &Name, effects: &mut Effects) {
        if !self.is_host {
            self.withdraw_all(self.own_key, core::slice::from_ref(name), effects);
        }
        self.announcements.remove_own(name);
    }
}
