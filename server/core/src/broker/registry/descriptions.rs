//! A plugin as messages describe it: to a linked server, to a host, and by a host to its server.
//! They show no more than the other side may see, and take no more than one plugin may ask for.

use super::Registry;
use super::plugins::{Direct, PARTNERS_MAX, PluginConfig, Runs};
use crate::control::{Addresses, Announced, Registration, Use};
use crate::ids::PluginId;
use crate::key::Key;
use crate::name::Name;
use crate::rights::{Expose, KEYS_MAX, Permission};
use alloc::string::ToString;
use alloc::vec::Vec;

impl Registry {
    /// A plugin here as a peer is told of it, if it may see it.
    pub(super) fn own_for(&self, name: &Name, peer: Option<Key>) -> Option<Announced> {
        let plugin = self.running(name)?;
        if self.is_host {
            return self.registration(plugin);
        }
        let config = &self.plugins.get(&plugin)?.config;
        let shown = match &config.expose {
            Expose::Local => false,
            Expose::Peers => true,
            Expose::Keys(keys) => peer.is_some_and(|key| keys.contains(&key)),
        };
        let invites = (!config.invites.is_empty()).then(|| config.invites.clone());
        let announced = Announced::new(config.name.clone(), config.version);
        shown.then_some(Announced { invites, ..announced })
    }

    /// An entry of the directory as a host is told of it.
    pub(super) fn entry_for_host(&self, server: Key, name: &Name) -> Option<Announced> {
        let version = self.directory.version(server, name)?;
        let server = (server != self.own_key).then_some(server);
        Some(Announced { server, ..Announced::new(name.clone(), version) })
    }

    /// What a host asks its server to know of a plugin.
    fn registration(&self, plugin: PluginId) -> Option<Announced> {
        let record = self.plugin(plugin).filter(|record| record.runs == Runs::Here)?;
        let config = &record.config;
        let uses = config.uses.iter();
        let registration = Registration {
            peers: config.expose == Expose::Peers,
            keys: match &config.expose {
                Expose::Keys(keys) => keys.clone(),
                Expose::Local | Expose::Peers => Vec::new(),
            },
            uses: uses.map(|(name, least)| Use { name: name.clone(), least: *least }).collect(),
            invites: config.invites.clone(),
            allow: config.allow.iter().map(|what| what.as_str().to_string()).collect(),
            socket: record.direct.socket.clone(),
            net: Some(Addresses(record.direct.net.clone())),
            loopback: record.direct.loopback,
        };
        let announced = Announced::new(config.name.clone(), config.version);
        Some(Announced { registration: Some(registration), ..announced })
    }
}

/// A host's plugin, as its host describes it.
pub(crate) fn registered(announced: Announced) -> (PluginConfig, Direct) {
    let Announced { name, version, registration, .. } = announced;
    let Registration { peers, mut keys, mut uses, mut invites, allow, socket, net, loopback } =
        registration.unwrap_or_default();
    keys.truncate(KEYS_MAX);
    uses.truncate(PARTNERS_MAX);
    invites.truncate(PARTNERS_MAX);
    let says = |what: &Permission| allow.iter().any(|word| word == what.as_str());
    let config = PluginConfig {
        name,
        version,
        expose: match (peers, keys.is_empty()) {
            (true, _) => Expose::Peers,
            (false, true) => Expose::Local,
            (false, false) => Expose::Keys(keys),
        },
        uses: uses.into_iter().map(|used| (used.name, used.least)).collect(),
        invites,
        allow: Permission::ALL.into_iter().filter(|what| says(what)).collect(),
    };
    (config, Direct { socket, net: net.unwrap_or_default().0, loopback })
}

/// Version, server, and the numbers of the fields, in bytes.
pub(super) const FIXED: usize = 96;

/// About as many bytes as a plugin takes in a message, and no fewer.
pub(super) fn weight(plugin: &Announced) -> usize {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Use;
    use alloc::format;
    use alloc::vec;

    #[test]
    fn a_registration_is_kept_as_far_as_its_lists_may_be_long() {
        let name = |n: usize| format!("n{n}").parse::<Name>().expect("a name");
        let registration = Registration {
            keys: vec![Key([1; 32]); 1_800],
            uses: (0..1_000).map(|n| Use { name: name(n), least: 1 }).collect(),
            invites: (0..1_000).map(name).collect(),
            allow: vec!["links".to_string(); 9_000],
            ..Registration::default()
        };
        let announced = Announced::new(name(0), 1);
        let (config, _) = registered(Announced { registration: Some(registration), ..announced });
        let Expose::Keys(keys) = config.expose else { panic!("{:?}", config.expose) };
        let kept = [keys.len(), config.uses.len(), config.invites.len(), config.allow.len()];
        assert_eq!(kept, [64, 64, 64, 1]);
    }
}
