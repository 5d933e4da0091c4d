//! Links that plugins ask for: opening and closing them, and where this server can be reached.

use crate::address::{Address, Endpoint, Scope, Transform};
use crate::broker::neighbours::Neighbours;
use crate::broker::neighbours::peers::Keep;
use crate::broker::registry::plugins::Runs;
use crate::broker::{Broker, LinkChange, PeerConfig, PeerId, Permission, PluginId, Rights, Told};
use crate::control::{Message, Role, Server, Unlinked};
use crate::key::Key;
use crate::reason::{Code, Reason};
use crate::shares::leaves_a_share;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

impl Neighbours {
    /// Whether a link is under way already because another plugin wants it; then this one is told
    /// as well what becomes of it.
    fn wants_too(&mut self, plugin: PluginId, key: Key) -> bool {
        // One that was up is over, even if it still drains: of that, nobody will be told.
        let wanted = |id: &PeerId| {
            let peer = self.peers.get(id);
            peer.is_some_and(|peer| !peer.wanted_by.is_empty() && !peer.was_up)
        };
        let id = self.peers_by_key.of(&key).copied().find(wanted);
        let Some(peer) = id.and_then(|id| self.peers.get_mut(&id)) else { return false };
        if !peer.wanted_by.contains(&plugin) {
            peer.wanted_by.push(plugin);
        }
        true
    }

    /// Whether a plugin may wait for one more link, of `most` for all: each has a share of these.
    fn may_want_link(&self, plugin: PluginId, most: usize) -> bool {
        let wanted = self.peers.values().filter_map(|peer| peer.wanted_by.first());
        let mut holders: BTreeMap<PluginId, usize> = BTreeMap::new();
        wanted.for_each(|wants| *holders.entry(*wants).or_default() += 1);
        let free = most.saturating_sub(holders.values().sum());
        let held = holders.get(&plugin).copied().unwrap_or(0);
        leaves_a_share(free, held, holders.len() + usize::from(held == 0))
    }
}

impl Broker {
    pub(crate) fn do_open_link(&mut self, plugin: PluginId, address: &str) -> Result<Key, Reason> {
        self.permit(plugin, Permission::Links)?;
        let bad = |why: String| Reason::server(Code::BadAddress, format!("{address}: {why}"));
        let parsed: Address = address.parse().map_err(|error| bad(format!("{error}")))?;
        let (key, endpoints) = keyed(&parsed).map_err(|why| bad(why.into()))?;
        if key == self.neighbours.home.key {
            return Err(Reason::server(Code::SelfLink, "this is the key of this server"));
        }
        if self.is_host() {
            self.ask_for_link(plugin, address)?;
            return Ok(key);
        }
        if self.neighbours.servers.contains_key(&key) || self.neighbours.wants_too(plugin, key) {
            return Ok(key);
        }
        if !self.neighbours.may_want_link(plugin, self.settings.limits.links) {
            let text = "plugins wait for as many links already as this one may add to";
            return Err(Reason::server(Code::LimitReached, text));
        }
        let (role, keep, rights) = (Role::Server, Keep::WhileUseful, Rights::none());
        let peer = PeerConfig { key: Some(key), name: None, endpoints, role, keep, rights };
        self.add_peer_for([plugin].to_vec(), peer);
        Ok(key)
    }

    pub(crate) fn do_close_link(&mut self, plugin: PluginId, server: Key) -> Result<(), Reason> {
        self.permit(plugin, Permission::Links)?;
        let unknown = || Reason::server(Code::UnknownServer, format!("no link to {server} is up"));
        if self.neighbours.home.links.contains_key(&server) {
            return self.ask_for_end_of_link(plugin, server);
        }
        let id = *self.neighbours.servers.get(&server).ok_or_else(unknown)?;
        let name = self.registry.plugin(plugin).map(|record| record.config.name.clone());
        let by = name.map(|name| format!("the plugin {name} closed it")).unwrap_or_default();
        self.goodbye(id, Reason::server(Code::LinkClosed, by));
        Ok(())
    }

    /// Where this server can be reached, as the shell found out; the best place first.
    pub fn set_addresses(&mut self, addresses: Vec<Endpoint>) {
        self.neighbours.home.addresses = addresses;
    }

    /// The addresses of this server that reach at least so far.
    pub fn addresses(&self, least: Scope) -> impl Iterator<Item = &Endpoint> {
        self.neighbours.addresses(least)
    }

    /// A link that a plugin wanted did not come about, or is over: it is not dialled again.
    pub(crate) fn forget_wanted(&mut self, id: PeerId, reason: Reason) {
        let Some(peer) = self.neighbours.peers.remove(&id) else { return };
        self.neighbours.resting.remove(&id);
        if let Some(key) = peer.key {
            self.neighbours.peers_by_key.remove(&key, &id);
        }
        // Of a link that was up, all plugins have been told.
        if let (Some(server), false) = (peer.config.key, peer.was_up)
            && !self.neighbours.servers.contains_key(&server)
        {
            for plugin in peer.wanted_by {
                self.tell_not_linked(plugin, server, reason.clone());
            }
        }
    }

    /// Tells a plugin that a link which it wanted did not come about.
    pub(crate) fn tell_not_linked(&mut self, plugin: PluginId, server: Key, reason: Reason) {
        let Some(record) = self.registry.plugin(plugin) else { return };
        let name = String::new();
        match record.runs {
            Runs::Here if self.registry.is_live(plugin) => {
                let change = LinkChange { server, name, down: Some(reason) };
                self.tell(plugin, Told::Link(change));
            }
            Runs::Here => {}
            Runs::At(host) => {
                let plugin = Some(record.config.name.clone());
                let server = Server { key: server, name };
                self.send(host, &Message::Unlinked(Unlinked { server, reason, plugin }));
            }
        }
    }

    fn permit(&self, plugin: PluginId, what: Permission) -> Result<(), Reason> {
        match self.registry.plugin(plugin) {
            Some(record) if record.config.allow.contains(&what) => Ok(()),
            _ => {
                let word = what.as_str();
                let text = format!("the configuration does not say `allow = [\"{word}\"]`");
                Err(Reason::server(Code::NotAllowed, text))
            }
        }
    }
}

/// The key that the address of a link names.
pub(crate) fn key_of(address: &str) -> Option<Key> {
    keyed(&address.parse().ok()?).ok().map(|(key, _)| key)
}

/// The one key that an address names, and where it can be dialled.
fn keyed(address: &Address) -> Result<(Key, Vec<Endpoint>), &'static str> {
    let (endpoints, skipped) = address.endpoints();
    let key_of = |endpoint: &Endpoint| match endpoint.transform {
        Transform::Shs(key) => Some(key),
        Transform::NoAuth | Transform::ShsKnownKey => None,
    };
    let keys: Vec<Key> = endpoints.iter().filter_map(key_of).collect();
    match keys.first() {
        _ if endpoints.is_empty() && !skipped.is_empty() => {
            Err("none of its alternates can be dialled; write net:HOST:PORT~shs:KEY")
        }
        Some(key) if keys.len() == endpoints.len() && keys.iter().all(|other| other == key) => {
            Ok((*key, endpoints))
        }
        Some(_) => Err("its alternates name different keys, or none"),
        None => Err("it names no key; write net:HOST:PORT~shs:KEY"),
    }
}
