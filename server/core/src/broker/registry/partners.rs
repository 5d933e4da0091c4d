//! Who has to do with whom, found by name: so a change costs as much as what it concerns, and not
//! as much as all plugins and links. Nothing here decides anything.

use crate::broker::registry::plugins::Runs;
use crate::broker::{Broker, ConnId, PluginConfig, PluginId};
use crate::key::Key;
use crate::name::Name;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;

/// Some things of each key.
#[derive(Debug)]
pub(crate) struct Index<K, V>(BTreeMap<K, BTreeSet<V>>);

impl<K, V> Default for Index<K, V> {
    fn default() -> Self {
        Index(BTreeMap::new())
    }
}

impl<K: Ord, V: Ord> Index<K, V> {
    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.0.entry(key).or_default().insert(value);
    }

    pub(crate) fn remove(&mut self, key: &K, value: &V) {
        if let Some(values) = self.0.get_mut(key) {
            values.remove(value);
            if values.is_empty() {
                self.0.remove(key);
            }
        }
    }

    pub(crate) fn has(&self, key: &K, value: &V) -> bool {
        self.0.get(key).is_some_and(|values| values.contains(value))
    }

    /// Forgets all things of a key, and gives them.
    pub(crate) fn take(&mut self, key: &K) -> BTreeSet<V> {
        self.0.remove(key).unwrap_or_default()
    }

    pub(crate) fn of<Q: Ord + ?Sized>(&self, key: &Q) -> impl Iterator<Item = &V>
    where
        K: core::borrow::Borrow<Q>,
    {
        self.0.get(key).into_iter().flatten()
    }

    pub(crate) fn count(&self, key: &K) -> usize {
        self.0.get(key).map_or(0, BTreeSet::len)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.keys()
    }
}

/// What is looked up of plugins and links.
#[derive(Debug, Default)]
pub(crate) struct Partners {
    /// Our plugins that use or invite a name.
    wanting: Index<Name, PluginId>,
    /// Our plugins that start or run, by their processes.
    pub(crate) at: Index<Runs, PluginId>,
    /// The links over which plugins of a name are invited.
    pub(crate) guests: Index<Name, ConnId>,
    /// The links over which our plugins of a name were connected to those that invite them.
    pub(crate) paired: Index<Name, ConnId>,
    /// The links of hosts.
    pub(crate) hosts: BTreeSet<ConnId>,
    /// The linked servers of a name.
    pub(crate) servers: Index<String, Key>,
}

impl Partners {
    /// One of our plugins may start, or says that it wants others.
    pub(crate) fn insert(&mut self, plugin: PluginId, runs: Runs, config: &PluginConfig) {
        self.at.insert(runs, plugin);
        for name in partners_of(config) {
            self.wanting.insert(name.clone(), plugin);
        }
    }

    /// One of our plugins is over, or wants others than before.
    pub(crate) fn remove(&mut self, plugin: PluginId, runs: Runs, config: &PluginConfig) {
        self.at.remove(&runs, &plugin);
        for name in partners_of(config) {
            self.wanting.remove(name, &plugin);
        }
    }

    /// Our plugins that use or invite a name.
    pub(crate) fn wanting(&self, name: &Name) -> impl Iterator<Item = &PluginId> {
        self.wanting.of(name)
    }
}

impl Broker {
    /// The links that a plugin of this server may have to do with.
    pub(crate) fn links_concerned(&self, config: &PluginConfig) -> BTreeSet<ConnId> {
        let wanted = partners_of(config).flat_map(|name| self.registry.directory.holders(name));
        let wanted = wanted.filter_map(|server| self.neighbours.link_to(*server));
        wanted.chain(self.registry.partners.guests.of(&config.name).copied()).collect()
    }
}

/// The names that a plugin uses or invites.
pub(crate) fn partners_of(config: &PluginConfig) -> impl Iterator<Item = &Name> {
    config.uses.iter().map(|(name, _)| name).chain(&config.invites)
}
