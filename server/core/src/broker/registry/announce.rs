//! Who is told of which plugins: hello, and changes of the directory.

use crate::broker::neighbours::connections::Opened;
use crate::broker::{Broker, Conn, ConnId, Expose, LinkChange, PluginRecord};
use crate::control::{Announced, Hello, Message, PROTOCOL, Plugins};
use crate::key::Key;
use crate::limits::Limit;
use crate::name::{Name, Version};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

/// A server that loses its link and dials again does so once; this often, there are two.
const SUCCESSIONS: u32 = 3;

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

    /// A server said hello. Of two links to one server, the one that is dialled by the lower key
    /// stays; of two that the same side dialled, the newer one, for the older one must be dead.
    pub(crate) fn server_linked(&mut self, id: ConnId, key: Key, plugins: Vec<Announced>) {
        let dialler = |broker: &Broker, id: &ConnId| match broker.conns.get(id) {
            Some(conn) if conn.how == Opened::Accepted => key,
            _ => broker.key,
        };
        if let Some(Opened::Dialled(peer)) = self.conns.get(&id).map(|conn| conn.how) {
            self.peer_found(peer, key);
        }
        let old = self.servers.get(&key).copied();
        if let Some(old) = old
            && dialler(self, &id) > dialler(self, &old)
        {
            self.drain(id);
            return;
        }
        if let Some(old) = old {
            self.note_succession(old, id, key);
        }
        self.servers.insert(key, id);
        let named: BTreeSet<&Name> = plugins.iter().map(|plugin| &plugin.name).collect();
        let left = self.registry.directory.of(key).map(|(name, _)| name);
        let left: Vec<Name> = left.filter(|name| !named.contains(name)).cloned().collect();
        self.withdraw_all(key, &left);
        if let Some(old) = old {
            self.drain(old);
        } else {
            let name = self.conns.get(&id).and_then(|conn| conn.peer_name()).unwrap_or_default();
            log::info!("link to {name} ({}) is up", key.short());
            let name = name.into();
            self.tell_link(LinkChange { server: key, name, down: None });
        }
        self.peer_linked(key);
        self.peer_plugins(id, plugins);
        if self.conns.get(&id).is_some_and(|conn| conn.proved.is_none()) {
            self.tell_of_keyed(id, key);
        }
    }

    /// A link takes the place of one that is up, and that the same side had dialled. Once, the other
    /// server may have lost it; again and again, or from two machines, there are two servers.
    fn note_succession(&mut self, old: ConnId, new: ConnId, key: Key) {
        let (Some(before), Some(conn)) = (self.conns.get(&old), self.conns.get(&new)) else {
            return;
        };
        let machine = |conn: &Conn| conn.hello.as_ref().map(|peer| peer.machine);
        let two = machine(before) != machine(conn);
        let same_side = before.how == conn.how;
        let mut successions = before.successions;
        successions.count = successions.count.saturating_add(u32::from(same_side));
        if same_side && (two || successions.count >= SUCCESSIONS) && !successions.warned {
            successions.warned = true;
            log::warn!(
                "two servers use the key {key}, one at {}, one at {}: give one of them a key of \
                 its own",
                before.address,
                conn.address
            );
        }
        if let Some(conn) = self.conns.get_mut(&new) {
            conn.successions = successions;
        }
    }

    /// Who proved its key was told in hello of the plugins that only some keys may see; others are
    /// told of them when they have said who they are.
    fn tell_of_keyed(&mut self, id: ConnId, key: Key) {
        let for_key = |record: &&PluginRecord| match &record.config.expose {
            Expose::Keys(keys) => keys.contains(&key),
            Expose::Local | Expose::Peers => false,
        };
        let names =
            self.registry.plugins.values().filter(for_key).map(|record| record.config.name.clone());
        for name in names.collect::<Vec<_>>() {
            if let Some(plugin) = self.own_for(id, &name) {
                self.send(id, &Message::Plugins(Plugins { plugins: [plugin].to_vec() }));
            }
        }
    }

    /// A peer announced plugins that appeared or changed.
    pub(crate) fn peer_plugins(&mut self, id: ConnId, plugins: Vec<Announced>) {
        let Some(key) = self.serving(id) else { return };
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
            log::warn!("{} announced {ignored} plugins over the limit of {limit}", key.short());
        }
    }

    /// A peer's plugins left.
    pub(crate) fn peer_withdraws(&mut self, id: ConnId, names: &[Name]) {
        if let Some(key) = self.serving(id) {
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
        let before = self.registry.directory.version(server, name);
        if let Some(change) = self.registry.directory.announce(server, name, version) {
            self.tell_change(&change, before);
        }
    }

    pub(crate) fn withdraw_all(&mut self, key: Key, names: &[Name]) {
        for name in names {
            if let Some(change) = self.registry.directory.withdraw(key, name) {
                self.tell_change(&change, Some(change.entry.version));
            }
        }
    }

    pub(crate) fn forget_server(&mut self, key: Key) {
        for change in self.registry.directory.forget(key) {
            self.tell_change(&change, Some(change.entry.version));
        }
    }

    /// The server for which a connection is the link.
    pub(crate) fn serving(&self, id: ConnId) -> Option<Key> {
        let key = self.conns.get(&id)?.hello.as_ref()?.key;
        (self.servers.get(&key) == Some(&id)).then_some(key)
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
