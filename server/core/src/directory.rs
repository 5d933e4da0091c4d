//! Which plugins exist, and at which server. It does not know how to reach them, nor who may see
//! them.

use crate::key::Key;
use crate::name::{Name, Version};
use crate::reason::{Code, Reason};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::vec::Vec;

/// One plugin at one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The plugin's name.
    pub name: Name,
    /// Its version.
    pub version: Version,
    /// The key of the server that has it.
    pub server: Key,
}

/// The kind of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// The plugin appeared.
    Appeared,
    /// Its version changed.
    Changed,
    /// The plugin left.
    Left,
}

/// A change of the directory, with the current entry, or the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// To which entry.
    pub entry: Entry,
}

/// Where to look for a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// At this server if it exists here, else at any server.
    Anywhere,
    /// At the server with this key.
    At(Key),
}

/// The plugins of this server and of all servers that are linked to it.
#[derive(Debug, Default)]
pub struct Directory {
    by_name: BTreeMap<Name, BTreeMap<Key, Version>>,
    by_server: BTreeMap<Key, BTreeSet<Name>>,
}

impl Directory {
    /// An empty directory.
    pub fn new() -> Directory {
        Directory::default()
    }

    /// A server has a plugin. `None` if that was known.
    pub fn announce(&mut self, server: Key, name: &Name, version: Version) -> Option<Change> {
        let known = self.by_name.entry(name.clone()).or_default().insert(server, version);
        self.by_server.entry(server).or_default().insert(name.clone());
        let kind = match known {
            None => ChangeKind::Appeared,
            Some(old) if old != version => ChangeKind::Changed,
            Some(_) => return None,
        };
        Some(Change { kind, entry: Entry { name: name.clone(), version, server } })
    }

    /// A server no longer has a plugin. `None` if it was not known to have it.
    pub fn withdraw(&mut self, server: Key, name: &Name) -> Option<Change> {
        let holders = self.by_name.get_mut(name)?;
        let version = holders.remove(&server)?;
        if holders.is_empty() {
            self.by_name.remove(name);
        }
        if let Some(names) = self.by_server.get_mut(&server) {
            names.remove(name);
            if names.is_empty() {
                self.by_server.remove(&server);
            }
        }
        let entry = Entry { name: name.clone(), version, server };
        Some(Change { kind: ChangeKind::Left, entry })
    }

    /// Forgets all plugins of a server.
    pub fn forget(&mut self, server: Key) -> Vec<Change> {
        let names = self.by_server.get(&server).cloned().unwrap_or_default();
        names.iter().filter_map(|name| self.withdraw(server, name)).collect()
    }

    /// How many plugins a server has.
    pub fn count(&self, server: Key) -> usize {
        self.by_server.get(&server).map_or(0, BTreeSet::len)
    }

    /// The plugins of a server.
    pub fn of(&self, server: Key) -> impl Iterator<Item = (&Name, Version)> {
        let names = self.by_server.get(&server).into_iter().flatten();
        names.filter_map(move |name| Some((name, self.version(server, name)?)))
    }

    /// The servers that have a plugin of a name.
    pub fn holders(&self, name: &Name) -> impl Iterator<Item = &Key> {
        self.by_name.get(name).into_iter().flat_map(BTreeMap::keys)
    }

    /// The version of a plugin at a server, if it is known to have one.
    pub fn version(&self, server: Key, name: &Name) -> Option<Version> {
        self.by_name.get(name)?.get(&server).copied()
    }

    /// All entries, in the order of their names.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        self.by_name.iter().flat_map(|(name, holders)| {
            let entry = |(server, version): (&Key, &Version)| Entry {
                name: name.clone(),
                version: *version,
                server: *server,
            };
            holders.iter().map(entry)
        })
    }

    /// The entry that serves `(name, least)`. The one at `home` comes before all others.
    pub fn find(
        &self,
        name: &Name,
        least: Version,
        wanted: Wanted,
        home: Key,
    ) -> Result<Entry, Reason> {
        let unknown =
            || Reason::server(Code::UnknownPlugin, format!("no plugin {name} is known here"));
        let holders = self.by_name.get(name).ok_or_else(unknown)?;
        let asked = |server: &Key| match wanted {
            Wanted::Anywhere => true,
            Wanted::At(key) => key == *server,
        };
        let at_home = holders.get_key_value(&home);
        let candidates = || at_home.into_iter().chain(holders).filter(|(key, _)| asked(key));
        match candidates().find(|(_, version)| **version >= least) {
            Some((server, version)) => {
                Ok(Entry { name: name.clone(), version: *version, server: *server })
            }
            None => Err(match candidates().map(|(_, version)| *version).max() {
                Some(best) => too_low(name, best, least),
                None => unknown(),
            }),
        }
    }
}

/// The refusal of a plugin whose version is `has`, when `least` is needed.
pub(crate) fn too_low(name: &Name, has: Version, least: Version) -> Reason {
    let text = format!("{name} has version {has}, but at least {least} is needed");
    Reason::server(Code::VersionTooLow, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: Key = Key([1; 32]);
    const FAR: Key = Key([2; 32]);

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    #[test]
    fn a_newer_version_serves_and_an_older_one_does_not() {
        let mut directory = Directory::new();
        directory.announce(FAR, &name("foo"), 7);
        let find = |least| directory.find(&name("foo"), least, Wanted::Anywhere, HOME);
        assert_eq!(find(4).map(|entry| entry.server), Ok(FAR));
        assert!(find(8).is_err_and(|reason| reason.is(Code::VersionTooLow)));
        let absent = directory.find(&name("bar"), 0, Wanted::Anywhere, HOME);
        assert!(absent.is_err_and(|reason| reason.is(Code::UnknownPlugin)));
    }

    #[test]
    fn home_comes_first_unless_its_version_is_too_low() {
        let mut directory = Directory::new();
        directory.announce(Key([0; 32]), &name("foo"), 5);
        directory.announce(HOME, &name("foo"), 3);
        let find = |least, wanted| directory.find(&name("foo"), least, wanted, HOME);
        assert_eq!(find(3, Wanted::Anywhere).map(|entry| entry.server), Ok(HOME));
        assert_eq!(find(4, Wanted::Anywhere).map(|entry| entry.server), Ok(Key([0; 32])));
        assert!(find(4, Wanted::At(HOME)).is_err());
    }

    #[test]
    fn changes_are_reported_once_and_a_forgotten_server_leaves_nothing() {
        let mut directory = Directory::new();
        let kind = |change: Option<Change>| change.map(|c| c.kind);
        assert_eq!(kind(directory.announce(FAR, &name("foo"), 1)), Some(ChangeKind::Appeared));
        assert_eq!(kind(directory.announce(FAR, &name("foo"), 1)), None);
        assert_eq!(kind(directory.announce(FAR, &name("foo"), 2)), Some(ChangeKind::Changed));
        assert_eq!(directory.forget(FAR).len(), 1);
        assert_eq!(directory.count(FAR), 0);
        assert_eq!(directory.entries().count(), 0);
    }
}
