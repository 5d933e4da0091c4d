//! Links that plugins ask for: opening and closing them, and where this server can be reached.

use super::peers::Keep;
use super::{Event, Neighbours};
use crate::address::{Address, Endpoint, Scope, Transform, suggestion};
use crate::broker::effect::Effects;
use crate::broker::{PeerConfig, PeerId, Permission, PluginConfig, PluginId, Rights};
use crate::control::Role;
use crate::key::Key;
use crate::name::Name;
use crate::reason::{Code, Reason};
use crate::shares::leaves_a_share;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

impl Neighbours {
    /// Whether a link is being made already because another plugin wants it; then this one is told
    /// the outcome as well.
    fn wants_too(&mut self, plugin: PluginId, key: Key) -> bool {
        // One that was up is over, even if it still drains: no plugin will be told of that.
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

    /// The server that the address of a link names, and where it can be dialled.
    pub(crate) fn linkable(&self, address: &str) -> Result<(Key, Vec<Endpoint>), Reason> {
        let bad = |why: String| Reason::server(Code::BadAddress, format!("{address}: {why}"));
        let parsed: Address =
            address.parse().map_err(|error| bad(format!("{error}{}", suggestion(address))))?;
        let (key, endpoints) = keyed(&parsed).map_err(|why| bad(why.into()))?;
        match key == self.home.key {
            true => Err(Reason::server(Code::SelfLink, "this is the key of this server")),
            false => Ok((key, endpoints)),
        }
    }

    /// A plugin wants a link, which is dialled unless it is up, or being made already.
    pub(crate) fn want_link(
        &mut self,
        plugin: PluginId,
        (key, endpoints): (Key, Vec<Endpoint>),
        effects: &mut Effects,
    ) -> Result<(), Reason> {
        if self.servers.contains_key(&key) || self.wants_too(plugin, key) {
            return Ok(());
        }
        if !self.may_want_link(plugin, self.limits.links) {
            let text = "plugins wait for as many links already as this one may add to";
            return Err(Reason::server(Code::LimitReached, text));
        }
        let (role, keep, rights) = (Role::Server, Keep::WhileUseful, Rights::none());
        let peer = PeerConfig { key: Some(key), name: None, endpoints, role, keep, rights };
        self.add_peer([plugin].to_vec(), peer, effects);
        Ok(())
    }

    /// Where this server can be reached, as the shell found out; the best place first.
    pub(crate) fn set_addresses(&mut self, addresses: Vec<Endpoint>) {
        self.home.addresses = addresses;
    }

    /// The addresses of this server that reach at least so far.
    pub(crate) fn addresses(&self, least: Scope) -> impl Iterator<Item = &Endpoint> {
        self.home.addresses.iter().filter(move |endpoint| endpoint.scope() >= least)
    }

    /// A link that plugins wanted did not come about, or is over: it is not dialled again.
    pub(super) fn forget_wanted(&mut self, id: PeerId, reason: &Reason) {
        let Some(peer) = self.peers.remove(&id) else { return };
        self.resting.remove(&id);
        if let Some(key) = peer.key {
            self.peers_by_key.remove(&key, &id);
        }
        // Of a link that was up, all plugins have been told.
        if let (Some(server), false) = (peer.config.key, peer.was_up)
            && !self.servers.contains_key(&server)
        {
            for plugin in peer.wanted_by {
                self.happens(Event::NotLinked { plugin, server, reason: reason.clone() });
            }
        }
    }
}

/// Whether the configuration lets a plugin open and close links: the plugin's name.
pub(crate) fn may_link(config: Option<&PluginConfig>) -> Result<&Name, Reason> {
    let what = Permission::Links;
    match config.filter(|config| config.allow.contains(&what)) {
        Some(config) => Ok(&config.name),
        None => {
            let text = format!("the configuration does not say `allow = [\"{}\"]`", what.as_str());
            Err(Reason::server(Code::NotAllowed, text))
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
