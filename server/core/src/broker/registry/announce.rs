//! Who is told of which plugins: hello, and changes of the directory.

use crate::broker::{Broker, ConnId, Expose, PluginRecord};
use crate::control::{Announced, Hello, Message, PROTOCOL};
use crate::key::Key;
use crate::limits::Limit;
use crate::log_limiter::LogKind;
use crate::name::{Name, Version};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

/// Plugins of lost servers that leave in one turn.
const LEAVING_PER_TURN: usize = 256;

impl Broker {
    /// Says hello. Where the peer is not known yet, plugins that only some keys may see follow
    /// it.
    pub(crate) fn say_hello(&mut self, id: ConnId) {
        self.registry.announcements.listen_to_own(id);
        let plugins = self.first_plugins(id);
        let hello = Hello {
            protocol: PROTOCOL,
            role: self.settings.role,
            key: self.key,
            name: self.settings.name.clone(),
            machine: self.settings.machine,
            plugins,
            software: Some(self.settings.software.clone()),
            seen: self.seen(id),
        };
        self.send(id, &Message::Hello(hello));
    }

    /// Who proved its key was told in hello of the plugins that only some keys may see; others are
    /// told of them when they have said who they are.
    pub(crate) fn tell_of_keyed(&mut self, id: ConnId, key: Key) {
        let for_key = |record: &&PluginRecord| match &record.config.expose {
            Expose::Keys(keys) => keys.contains(&key),
            Expose::Local | Expose::Peers => false,
        };
        if self.registry.plugins.values().any(|record| for_key(&record)) {
            self.registry.announcements.listen_to_own_again(id);
        }
    }

    /// A peer announced plugins that appeared or changed.
    pub(crate) fn peer_plugins(&mut self, id: ConnId, plugins: Vec<Announced>) {
        let Some(key) = self.neighbours.serving(id) else { return };
        let limit = self.settings.limits.announced;
        let mut ignored = 0usize;
        for announced in plugins {
            let (name, version) = (announced.name.clone(), announced.version);
            if self.registry.directory.count(key) >= limit
                && self.registry.directory.version(key, &name).is_none()
            {
                ignored += 1;
                continue;
            }
            self.enter(key, &name, version);
            self.offered(id, &announced);
            self.update_common(id, &name);
        }
        self.update_link_need(id);
        if ignored > 0 {
            self.counters.count(Limit::Announced);
            let key = key.short();
            let text = format_args!("{key} announced {ignored} plugins over the limit of {limit}");
            self.log_about(id, LogKind::TooManyPlugins, text);
        }
    }

    /// A peer's plugins left.
    pub(crate) fn peer_withdraws(&mut self, id: ConnId, names: &[Name]) {
        if let Some(key) = self.neighbours.serving(id) {
            self.withdraw_all(key, names);
            self.offers_end(id, names);
            for name in names {
                self.update_common(id, name);
            }
            self.update_link_need(id);
        }
    }

    /// Notes a plugin in the directory.
    pub(crate) fn enter(&mut self, server: Key, name: &Name, version: Version) {
        if let Some(left) = self.registry.directory.leaves(server, name) {
            self.tell_change(&left, Some(left.change.entry.version));
        }
        let before = self.registry.directory.version(server, name);
        if let Some(change) = self.registry.directory.announce(server, name, version) {
            self.tell_change(&change, before);
        }
    }

    pub(crate) fn withdraw_all(&mut self, key: Key, names: &[Name]) {
        for name in names {
            if let Some(left) = self.registry.directory.withdraw(key, name) {
                self.tell_change(&left, Some(left.change.entry.version));
            }
        }
    }

    /// A server is linked no more: its plugins are not found any more, and leave in this turn and
    /// those that follow.
    pub(crate) fn forget_server(&mut self, key: Key) {
        self.registry.directory.forget(key);
        self.let_some_leave();
    }

    /// A server that links anew says which plugins it has; others that it had leave.
    pub(crate) fn forget_all_but(&mut self, key: Key, named: &BTreeSet<&Name>) {
        self.registry.directory.forget_all_but(key, named);
        self.let_some_leave();
    }

    /// Nothing is known any more.
    pub(crate) fn forget_all_servers(&mut self) {
        self.registry.directory.forget_all();
        self.let_some_leave();
    }

    /// Tells of plugins whose servers are linked no more, as many as a turn has room for.
    pub(crate) fn let_some_leave(&mut self) {
        for _ in 0..LEAVING_PER_TURN {
            let Some(left) = self.registry.directory.next_leaving() else { return };
            self.tell_change(&left, Some(left.change.entry.version));
        }
    }

    /// A plugin of this process, or of a host, runs or has changed: who may know is told.
    pub(crate) fn announce_local(&mut self, name: &Name, version: Version) {
        if !self.is_host() {
            self.enter(self.key, name, version);
        }
        self.registry.announcements.set_own(name);
    }

    /// A plugin of this process, or of a host, is gone.
    pub(crate) fn withdraw_local(&mut self, name: &Name) {
        if !self.is_host() {
            self.withdraw_all(self.key, core::slice::from_ref(name));
        }
        self.registry.announcements.remove_own(name);
    }
}
