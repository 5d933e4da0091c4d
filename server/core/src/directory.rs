//! Which plugins exist, and at which server. It does not know how to reach them, nor who may see
//! them.

use crate::key::Key;
use crate::name::{Name, Version};
use crate::reason::{Code, Reason};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;

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
    /// Plugins of servers that are forgotten, which are not found any more. They are taken out of
    /// `by_name` one by one.
    leaving: VecDeque<(Key, BTreeSet<Name>)>,
}

impl Directory {
    /// An empty directory.
    pub fn new() -> Directory {
        Directory::default()
    }

    /// A server has a plugin. `None` if that was known. One that is leaving has to be gone before:
    /// [`leaves`](Directory::leaves).
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
        let names = self.by_server.get_mut(&server)?;
        if !names.remove(name) {
            return None;
        }
        if names.is_empty() {
            self.by_server.remove(&server);
        }
        self.take_out(server, name)
    }

    fn take_out(&mut self, server: Key, name: &Name) -> Option<Change> {
        let holders = self.by_name.get_mut(name)?;
        let version = holders.remove(&server)?;
        if holders.is_empty() {
            self.by_name.remove(name);
        }
        let entry = Entry { name: name.clone(), version, server };
        Some(Change { kind: ChangeKind::Left, entry })
    }

    /// Forgets all plugins of a server: they are not found any more, and leave one by one.
    pub fn forget(&mut self, server: Key) {
        let names = self.by_server.remove(&server).unwrap_or_default();
        self.leave_later(server, names);
    }

    /// Forgets the plugins of a server that are not named.
    pub fn forget_all_but(&mut self, server: Key, named: &BTreeSet<&Name>) {
        let Some(names) = self.by_server.get_mut(&server) else { return };
        let (kept, left) =
            core::mem::take(names).into_iter().partition(|name| named.contains(name));
        *names = kept;
        if names.is_empty() {
            self.by_server.remove(&server);
        }
        self.leave_later(server, left);
    }

    /// Forgets all plugins of all servers.
    pub fn forget_all(&mut self) {
        for (server, names) in core::mem::take(&mut self.by_server) {
            self.leave_later(server, names);
        }
    }

    fn leave_later(&mut self, server: Key, names: BTreeSet<Name>) {
        if !names.is_empty() {
            self.leaving.push_back((server, names));
        }
    }

    /// The next plugin that leaves because its server was forgotten.
    pub fn next_leaving(&mut self) -> Option<Change> {
        loop {
            let (server, names) = self.leaving.front_mut()?;
            let (server, name) = (*server, names.pop_first());
            match name {
                Some(name) => {
                    if let Some(change) = self.take_out(server, &name) {
                        return Some(change);
                    }
                }
                None => drop(self.leaving.pop_front()),
            }
        }
    }

    /// Whether plugins of a forgotten server are left.
    pub fn has_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// A plugin of a forgotten server leaves now, if it has not yet.
    pub fn leaves(&mut self, server: Key, name: &Name) -> Option<Change> {
        let mut of_server = self.leaving.iter_mut().filter(|(leaving, _)| *leaving == server);
        of_server.any(|(_, names)| names.remove(name)).then(|| self.take_out(server, name))?
    }

    /// Whether a server has a plugin that is not leaving.
    fn has(&self, server: &Key, name: &Name) -> bool {
        self.leaving.is_empty()
            || self.by_server.get(server).is_some_and(|names| names.contains(name))
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
    pub fn holders<'a>(&'a self, name: &'a Name) -> impl Iterator<Item = &'a Key> {
        let holders = self.by_name.get(name).into_iter().flat_map(BTreeMap::keys);
        holders.filter(|server| self.has(server, name))
    }

    /// The version of a plugin at a server, if it is known to have one.
    pub fn version(&self, server: Key, name: &Name) -> Option<Version> {
        let version = self.by_name.get(name)?.get(&server).copied()?;
        self.has(&server, name).then_some(version)
    }

    /// All entries, in the order of their names.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        self.by_name.iter().flat_map(|(name, holders)| {
            let entry = |(server, version): (&Key, &Version)| Entry {
                name: name.clone(),
                version: *version,
                server: *server,
            };
            holders.iter().filter(|(server, _)| self.has(server, name)).map(entry)
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
        let all = || at_home.into_iter().chain(holders);
        let candidates = || all().filter(|(key, _)| asked(key) && self.has(key, name));
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
        directory.forget(FAR);
        assert_eq!(directory.count(FAR), 0);
        assert_eq!(kind(directory.next_leaving()), Some(ChangeKind::Left));
        assert_eq!(directory.next_leaving(), None);
        assert!(!directory.has_leaving());
    }

    #[test]
    fn plugins_of_a_forgotten_server_are_not_found_while_they_leave() {
        let mut directory = Directory::new();
        for text in ["bar", "foo"] {
            directory.announce(FAR, &name(text), 1);
        }
        directory.forget(FAR);
        assert_eq!(directory.entries().count(), 0);
        assert_eq!(directory.version(FAR, &name("foo")), None);
        assert_eq!(directory.holders(&name("foo")).count(), 0);
        let found = directory.find(&name("foo"), 0, Wanted::Anywhere, HOME);
        assert!(found.is_err_and(|reason| reason.is(Code::UnknownPlugin)));
        assert_eq!(directory.withdraw(FAR, &name("foo")), None, "it is not there");

        // Its server is there again before it has left.
        assert!(directory.leaves(FAR, &name("foo")).is_some());
        assert_eq!(directory.leaves(FAR, &name("foo")), None);
        directory.announce(FAR, &name("foo"), 2);
        let left = directory.next_leaving().map(|change| change.entry.name);
        assert_eq!(left, Some(name("bar")));
        assert_eq!(directory.next_leaving(), None);
        assert_eq!(directory.version(FAR, &name("foo")), Some(2));
        assert_eq!(directory.entries().count(), 1);
    }
}
