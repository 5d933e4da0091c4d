//! Who is told of which plugins: hello, and changes of the directory.

use crate::broker::neighbours::connections::Opened;
use crate::broker::{Broker, ConnId, Expose, LinkChange, PluginConfig, PluginId, Told};
use crate::control::{Announced, Hello, Message, PROTOCOL, Plugins, Role, Withdrawn};
use crate::directory::Change;
use crate::key::Key;
use crate::limits::Limit;
use crate::name::{Name, Version};
use alloc::collections::BTreeSet;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Bytes of the plugins in one message, of whose limit of 64 KiB they leave a third to spare.
const BYTES_PER_MESSAGE: usize = 40 * 1024;

impl Broker {
    /// Says hello. Where the peer is not known yet, plugins that only some keys may see follow
    /// it.
    pub(crate) fn say_hello(&mut self, id: ConnId) {
        let key = self.conns.get(&id).and_then(|conn| conn.proved.or(conn.expected));
        let mut visible = match self.settings.role {
            Role::Host => self.registrations(),
            Role::Server | Role::Command => self.visible(|expose| match expose {
                Expose::Local => false,
                Expose::Peers => true,
                Expose::Keys(keys) => key.is_some_and(|key| keys.contains(&key)),
            }),
        };
        let later = visible.split_off(fitting(&visible));
        let hello = Hello {
            protocol: PROTOCOL,
            role: self.settings.role,
            key: self.key,
            name: self.settings.name.clone(),
            machine: self.settings.machine,
            plugins: visible,
            software: Some(self.settings.software.clone()),
            seen: self.seen(id),
        };
        self.send(id, &Message::Hello(hello));
        self.send_plugins(id, later);
    }

    pub(crate) fn send_plugins(&mut self, id: ConnId, plugins: Vec<Announced>) {
        let mut rest = &plugins[..];
        while !rest.is_empty() {
            let (some, others) = rest.split_at(fitting(rest));
            self.send(id, &Message::Plugins(Plugins { plugins: some.to_vec() }));
            rest = others;
        }
    }

    pub(crate) fn visible(&self, shown: impl Fn(&Expose) -> bool) -> Vec<Announced> {
        let running = self.names.values().filter_map(|id| self.plugins.get(id));
        let running = running.filter(|record| record.state == crate::broker::PluginState::Running);
        let shown = running.filter(|record| shown(&record.config.expose));
        shown.map(|record| announced(&record.config)).collect()
    }

    pub(crate) fn may_see(&self, plugin: PluginId, peer: Key) -> bool {
        self.plugins.get(&plugin).is_some_and(|record| match &record.config.expose {
            Expose::Local => false,
            Expose::Peers => true,
            Expose::Keys(keys) => keys.contains(&peer),
        })
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
        self.servers.insert(key, id);
        let named: BTreeSet<&Name> = plugins.iter().map(|plugin| &plugin.name).collect();
        let left = self.directory.of(key).map(|(name, _)| name);
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
        // Who proved its key was told of them in hello.
        if self.conns.get(&id).is_some_and(|conn| conn.proved.is_none()) {
            let keyed = self.visible(|e| matches!(e, Expose::Keys(keys) if keys.contains(&key)));
            self.send_plugins(id, keyed);
        }
    }

    /// A peer announced plugins that appeared or changed.
    pub(crate) fn peer_plugins(&mut self, id: ConnId, plugins: Vec<Announced>) {
        let Some(key) = self.serving(id) else { return };
        let limit = self.settings.limits.announced;
        let mut ignored = 0usize;
        for announced in plugins {
            let (name, version) = (announced.name.clone(), announced.version);
            if self.directory.count(key) >= limit && self.directory.version(key, &name).is_none() {
                ignored += 1;
                continue;
            }
            if let Some(change) = self.directory.announce(key, &name, version) {
                self.tell_change(&change);
            }
            self.offered(id, &announced);
        }
        self.weigh(id);
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
            self.weigh(id);
        }
    }

    pub(crate) fn withdraw_all(&mut self, key: Key, names: &[Name]) {
        for name in names {
            if let Some(change) = self.directory.withdraw(key, name) {
                self.tell_change(&change);
            }
        }
    }

    pub(crate) fn forget_server(&mut self, key: Key) {
        for change in self.directory.forget(key) {
            self.tell_change(&change);
        }
    }

    /// The server for which a connection is the link.
    pub(crate) fn serving(&self, id: ConnId) -> Option<Key> {
        let key = self.conns.get(&id)?.hello.as_ref()?.key;
        (self.servers.get(&key) == Some(&id)).then_some(key)
    }

    /// A plugin of this server runs: everybody who may know is told.
    pub(crate) fn announce_local(&mut self, plugin: PluginId, name: &Name, version: Version) {
        if self.is_host() {
            self.register(plugin);
            return;
        }
        if let Some(change) = self.directory.announce(self.key, name, version) {
            self.tell_change(&change);
        }
        let config = self.plugins.get(&plugin).map(|record| announced(&record.config));
        let plugins = config.into_iter().collect();
        self.tell_peers(plugin, &Message::Plugins(Plugins { plugins }));
    }

    /// A plugin of this server is gone.
    pub(crate) fn withdraw_local(&mut self, plugin: PluginId, name: &Name) {
        if self.is_host() {
            self.unregister(name);
            return;
        }
        let names = [name.clone()].to_vec();
        let withdrawn = Message::Withdrawn(Withdrawn { names, server: None });
        if let Some(change) = self.directory.withdraw(self.key, name) {
            self.tell_change(&change);
            self.tell_peers(plugin, &withdrawn);
        }
    }

    /// Tells every peer that may see the plugin. One whose hello has not come is told as well if
    /// its key does not matter: our own hello to it has been said.
    fn tell_peers(&mut self, plugin: PluginId, message: &Message) {
        let for_all = self.plugins.get(&plugin).is_some_and(|r| r.config.expose == Expose::Peers);
        let may = |conn: &crate::broker::Conn| match (&conn.hello, conn.proved.or(conn.expected)) {
            _ if !conn.has_heard_hello() => false,
            (Some(peer), _) => peer.role == Role::Server && self.may_see(plugin, peer.key),
            (None, Some(key)) => self.may_see(plugin, key),
            (None, None) => for_all,
        };
        let told: Vec<ConnId> =
            self.conns.iter().filter(|(_, conn)| may(conn)).map(|(id, _)| *id).collect();
        for id in told {
            self.send(id, message);
        }
    }

    /// Tells the plugins of this process and all hosts what has changed.
    pub(crate) fn tell_change(&mut self, change: &Change) {
        let shared = Arc::new(change.clone());
        for plugin in self.live_plugins() {
            self.tell(plugin, Told::Directory(shared.clone()));
        }
        self.tell_hosts_change(change);
    }
}

/// A plugin of ours as other servers are told of it, with what it offers.
fn announced(config: &PluginConfig) -> Announced {
    let invites = (!config.invites.is_empty()).then(|| config.invites.clone());
    Announced { invites, ..Announced::new(config.name.clone(), config.version) }
}

/// How many of the plugins fit into one message; one at least.
fn fitting(plugins: &[Announced]) -> usize {
    let mut bytes = 0;
    let fits = |plugin: &&Announced| {
        bytes += weight(plugin);
        bytes <= BYTES_PER_MESSAGE
    };
    plugins.iter().take_while(fits).count().max(plugins.len().min(1))
}

/// About as many bytes as a plugin takes in a message, and no fewer.
fn weight(plugin: &Announced) -> usize {
    /// Version, server, and the numbers of the fields.
    const FIXED: usize = 96;
    const KEY: usize = 34;
    let names = |names: &[Name]| names.iter().map(|name| name.as_str().len() + 2).sum::<usize>();
    let registration = plugin.registration.as_ref().map_or(0, |registration| {
        let uses = registration.uses.iter().map(|used| used.name.as_str().len() + 16);
        let net = registration.net.iter().flat_map(|net| &net.0).map(|a| a.to_string().len() + 3);
        registration.keys.len() * KEY
            + uses.sum::<usize>()
            + names(&registration.invites)
            + net.sum::<usize>()
    });
    let invites = plugin.invites.as_deref().map_or(0, names);
    FIXED + plugin.name.as_str().len() + registration + invites
}
