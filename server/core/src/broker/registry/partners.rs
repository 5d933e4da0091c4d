//! Which plugins concern each other, found by name: a change costs as much as what it concerns, not
//! as much as all plugins and links. Nothing here decides anything.

use super::Registry;
use super::plugins::Runs;
use crate::broker::{PluginConfig, PluginId};
use crate::ids::ConnId;
use crate::key::Key;
use crate::name::Name;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;

/// Some things of each key.
#[derive(Debug)]
pub(crate) struct Index<K, V>(BTreeMap<K, Values<V>>);

/// At least one thing. Most keys have one, for which a set would take hundreds of bytes.
#[derive(Debug)]
enum Values<V> {
    One(V),
    Many(BTreeSet<V>),
}

impl<V: Ord> Values<V> {
    fn iter(&self) -> impl Iterator<Item = &V> {
        let (one, many) = match self {
            Values::One(value) => (Some(value), None),
            Values::Many(values) => (None, Some(values)),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    fn has(&self, value: &V) -> bool {
        match self {
            Values::One(only) => only == value,
            Values::Many(values) => values.contains(value),
        }
    }

    fn len(&self) -> usize {
        match self {
            Values::One(_) => 1,
            Values::Many(values) => values.len(),
        }
    }

    fn insert(&mut self, value: V) {
        if self.has(&value) {
            return;
        }
        let mut values = match core::mem::replace(self, Values::Many(BTreeSet::new())) {
            Values::One(only) => [only].into_iter().collect(),
            Values::Many(values) => values,
        };
        values.insert(value);
        *self = Values::Many(values);
    }
}

impl<K, V> Default for Index<K, V> {
    fn default() -> Self {
        Index(BTreeMap::new())
    }
}

impl<K: Ord, V: Ord> Index<K, V> {
    pub(crate) fn insert(&mut self, key: K, value: V) {
        match self.0.get_mut(&key) {
            Some(values) => values.insert(value),
            None => drop(self.0.insert(key, Values::One(value))),
        }
    }

    pub(crate) fn remove(&mut self, key: &K, value: &V) {
        let Some(values) = self.0.get_mut(key) else { return };
        let over = match values {
            Values::One(only) => only == value,
            Values::Many(values) => values.remove(value) && values.is_empty(),
        };
        if over {
            self.0.remove(key);
        }
    }

    pub(crate) fn has(&self, key: &K, value: &V) -> bool {
        self.0.get(key).is_some_and(|values| values.has(value))
    }

    /// Forgets all things of a key, and gives them.
    pub(crate) fn take(&mut self, key: &K) -> BTreeSet<V> {
        match self.0.remove(key) {
            None => BTreeSet::new(),
            Some(Values::One(value)) => [value].into_iter().collect(),
            Some(Values::Many(values)) => values,
        }
    }

    pub(crate) fn of<Q: Ord + ?Sized>(&self, key: &Q) -> impl Iterator<Item = &V>
    where
        K: core::borrow::Borrow<Q>,
    {
        self.0.get(key).into_iter().flat_map(Values::iter)
    }

    pub(crate) fn count(&self, key: &K) -> usize {
        self.0.get(key).map_or(0, Values::len)
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

#[cfg(test)]
impl Partners {
    /// Whether nothing is found by any name.
    pub(super) fn is_empty(&self) -> bool {
        let names = self.wanting.0.len() + self.guests.0.len() + self.paired.0.len();
        names + self.at.0.len() + self.servers.0.len() == 0
    }
}

impl Registry {
    /// The links that a plugin of this server may concern.
    fn links_concerned(&self, config: &PluginConfig) -> BTreeSet<ConnId> {
        let wanted = partners_of(config).flat_map(|name| self.directory.holders(name));
        let wanted = wanted.filter_map(|server| self.link_to.get(&server).copied());
        wanted.chain(self.partners.guests.of(&config.name).copied()).collect()
    }

    /// A plugin of this server, or what it wants, has changed: notes which names connect this
    /// server with others, as far as they concern the plugin.
    pub(super) fn plugins_changed(&mut self, config: &PluginConfig) {
        for id in self.links_concerned(config) {
            self.update_common(id, &config.name);
            for name in partners_of(config) {
                self.update_common(id, name);
            }
            self.changed_links.insert(id);
        }
        self.plugins_changed = true;
    }
}

/// The names that a plugin uses or invites.
fn partners_of(config: &PluginConfig) -> impl Iterator<Item = &Name> {
    config.uses.iter().map(|(name, _)| name).chain(&config.invites)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_each_thing_once_and_is_forgotten_with_the_last_one() {
        let mut index = Index::default();
        for value in [3, 3, 5, 4, 3] {
            index.insert('a', value);
        }
        assert_eq!(index.of(&'a').copied().collect::<BTreeSet<_>>(), BTreeSet::from([3, 4, 5]));
        assert_eq!((index.count(&'a'), index.has(&'a', &4), index.has(&'a', &6)), (3, true, false));
        for (value, left) in [(4, 2), (6, 2), (3, 1), (5, 0)] {
            index.remove(&'a', &value);
            assert_eq!(index.count(&'a'), left, "without {value}");
        }
        index.insert('b', 1);
        index.remove(&'b', &2);
        assert_eq!(index.take(&'b'), BTreeSet::from([1]));
        assert_eq!(index.keys().count(), 0);
    }
}
