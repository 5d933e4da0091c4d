//! Which plugins exist, and at which server. It does not know how to reach them, nor who may see
//! them.

mod sorted;
mod table;

pub use table::EntryId;

use crate::key::Key;
use crate::name::{Name, Version};
use crate::reason::{Code, Reason};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::vec::Vec;
use table::{ListId, ListState, Table};

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

/// The plugins of this server and of all servers that are linked to it. A server may be linked to
/// thousands of others, so an entry takes few bytes. Each change of an entry comes
/// with the entry's place.
///
/// An entry that has left keeps its place until it is [released](Directory::release): hosts may
/// have to be told of it.
#[derive(Debug, Default)]
pub struct Directory {
    table: Table,
    /// The entries of each server that are found.
    by_server: BTreeMap<Key, ListId>,
    /// Plugins of servers that are forgotten, which are not found any more.
    leaving: VecDeque<ListId>,
}

/// A change of the directory, and the place of the entry.
#[derive(Debug, PartialEq, Eq)]
pub struct Changed {
    /// The place. Once the entry has left, it is to be [released](Directory::release).
    pub id: EntryId,
    /// The change.
    pub change: Change,
}

impl Directory {
    /// An empty directory.
    pub fn new() -> Directory {
        Directory::default()
    }

    /// A server has a plugin. `None` if that was known. One that is leaving has to be gone before:
    /// [`leaves`](Directory::leaves).
    pub fn announce(&mut self, server: Key, name: &Name, version: Version) -> Option<Changed> {
        let list = match self.by_server.get(&server) {
            Some(list) => *list,
            None => {
                let list = self.table.add_list(server, ListState::Found);
                self.by_server.insert(server, list);
                list
            }
        };
        let (id, kind) = match self.table.at(&server, name.as_str()) {
            None => (self.table.add(list, name, version), ChangeKind::Appeared),
            Some(id) => {
                let known = self.found(id);
                self.list_again(id, list);
                match self.table.set_version(id, version) == version {
                    _ if !known => (id, ChangeKind::Appeared),
                    true => return None,
                    false => (id, ChangeKind::Changed),
                }
            }
        };
        self.changed(id, kind)
    }

    /// An entry that has left, or is leaving, is found again.
    fn list_again(&mut self, id: EntryId, list: ListId) {
        let Some((before, listed)) = self.table.list_of(id).filter(|(before, _)| *before != list)
        else {
            return self.table.put_back(id, list);
        };
        match listed {
            true => self.table.move_to(id, list),
            false => self.table.put_back(id, list),
        }
        self.drop_if_over(before);
    }

    fn changed(&self, id: EntryId, kind: ChangeKind) -> Option<Changed> {
        let (list, _) = self.table.list_of(id)?;
        let (name, server) = (self.table.name(id)?.clone(), self.table.list(list)?.server);
        let entry = Entry { name, version: self.table.version(id), server };
        Some(Changed { id, change: Change { kind, entry } })
    }

    /// A server no longer has a plugin. `None` if it was not known to have it.
    pub fn withdraw(&mut self, server: Key, name: &Name) -> Option<Changed> {
        let id = self.table.at(&server, name.as_str()).filter(|id| self.found(*id))?;
        self.table.take_out(id);
        self.changed(id, ChangeKind::Left)
    }

    /// No host has to be told any more of an entry that has left: its place is free.
    pub fn release(&mut self, id: EntryId) {
        if let Some(list) = self.table.free(id) {
            self.drop_if_over(list);
        }
    }

    /// Forgets a list with which no entry has to do any more, unless it still has to leave.
    fn drop_if_over(&mut self, id: ListId) {
        let Some((server, state)) = self.table.list(id).map(|list| (list.server, list.state))
        else {
            return;
        };
        if state != ListState::Leaving
            && self.table.free_list(id)
            && self.by_server.get(&server) == Some(&id)
        {
            self.by_server.remove(&server);
        }
    }

    /// Forgets all plugins of a server: they are not found any more, and leave one by one.
    pub fn forget(&mut self, server: Key) {
        if let Some(list) = self.by_server.remove(&server) {
            self.leave_later(list);
        }
    }

    fn leave_later(&mut self, id: ListId) {
        if let Some(list) = self.table.list_mut(id) {
            list.state = ListState::Leaving;
            self.leaving.push_back(id);
        }
    }

    /// Forgets the plugins of a server that are not named.
    pub fn forget_all_but(&mut self, server: Key, named: &BTreeSet<&Name>) {
        let Some(list) = self.by_server.get(&server).copied() else { return };
        let is_named = |id: &EntryId| self.table.name(*id).is_some_and(|name| named.contains(name));
        let left: Vec<EntryId> = self.table.of(list).filter(|id| !is_named(id)).collect();
        if left.is_empty() {
            return;
        }
        let leaving = self.table.add_list(server, ListState::Found);
        for id in left {
            self.table.move_to(id, leaving);
        }
        self.leave_later(leaving);
        self.drop_if_over(list);
    }

    /// Forgets all plugins of all servers.
    pub fn forget_all(&mut self) {
        for (_, list) in core::mem::take(&mut self.by_server) {
            self.leave_later(list);
        }
    }

    /// The next plugin that leaves because its server was forgotten.
    pub fn next_leaving(&mut self) -> Option<Changed> {
        loop {
            let list = *self.leaving.front()?;
            if let Some(id) = self.table.first(list) {
                self.table.take_out(id);
                return self.changed(id, ChangeKind::Left);
            }
            self.leaving.pop_front();
            if let Some(list) = self.table.list_mut(list) {
                list.state = ListState::Over;
            }
            self.drop_if_over(list);
        }
    }

    /// Whether plugins of a forgotten server are left.
    pub fn has_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// A plugin of a forgotten server leaves now, if it has not yet.
    pub fn leaves(&mut self, server: Key, name: &Name) -> Option<Changed> {
        let id = self.table.at(&server, name.as_str())?;
        let (list, listed) = self.table.list_of(id)?;
        if !listed || self.table.list(list)?.state != ListState::Leaving {
            return None;
        }
        self.table.take_out(id);
        self.changed(id, ChangeKind::Left)
    }

    /// Whether an entry is that of a plugin which is there and not leaving.
    fn found(&self, id: EntryId) -> bool {
        let list = self.table.list_of(id).filter(|(_, listed)| *listed);
        let list = list.and_then(|(list, _)| self.table.list(list));
        list.is_some_and(|list| list.state == ListState::Found)
    }

    /// How many plugins a server has.
    pub fn count(&self, server: Key) -> usize {
        let list = self.by_server.get(&server).and_then(|list| self.table.list(*list));
        list.map_or(0, |list| list.count as usize)
    }

    /// The servers that have a plugin of a name.
    pub fn holders<'a>(&'a self, name: &'a Name) -> impl Iterator<Item = Key> + 'a {
        self.candidates(name).map(|(_, key)| key)
    }

    fn candidates<'a>(&'a self, name: &'a Name) -> impl Iterator<Item = (EntryId, Key)> + 'a {
        let found = self.table.named(name.as_str()).filter(|id| self.found(*id));
        found.filter_map(|id| Some((id, self.server_of(id)?)))
    }

    fn server_of(&self, id: EntryId) -> Option<Key> {
        let (list, _) = self.table.list_of(id)?;
        self.table.list(list).map(|list| list.server)
    }

    /// The version of a plugin at a server, if it is known to have one.
    pub fn version(&self, server: Key, name: &Name) -> Option<Version> {
        let id = self.table.at(&server, name.as_str()).filter(|id| self.found(*id))?;
        Some(self.table.version(id))
    }

    /// All entries, in the order of their names.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        let found = self.table.iter().filter(|id| self.found(*id));
        found.filter_map(|id| self.entry(id))
    }

    /// The subject of an entry, which may have left: its server and its name.
    pub(crate) fn subject(&self, id: EntryId) -> Option<(Key, Name)> {
        Some((self.server_of(id)?, self.table.name(id)?.clone()))
    }

    fn entry(&self, id: EntryId) -> Option<Entry> {
        let (server, name) = self.subject(id)?;
        Some(Entry { name, version: self.table.version(id), server })
    }

    /// Entries that have left, and whose places are not free.
    pub fn unreleased(&self) -> usize {
        self.table.kept()
    }

    /// The entry that serves `(name, least)`. The one at `home` comes before all others.
    pub fn find(
        &self,
        name: &Name,
        least: Version,
        wanted: Wanted,
        home: Key,
    ) -> Result<Entry, Reason> {
        let only = match wanted {
            Wanted::Anywhere => home,
            Wanted::At(key) => key,
        };
        let first = self.table.at(&only, name.as_str()).filter(|id| self.found(*id));
        let others = self.candidates(name).filter(|_| wanted == Wanted::Anywhere);
        let mut best = None;
        for id in first.into_iter().chain(others.map(|(id, _)| id)) {
            let version = self.table.version(id);
            if version >= least
                && let Some(entry) = self.entry(id)
            {
                return Ok(entry);
            }
            best = best.max(Some(version));
        }
        Err(match best {
            Some(best) => too_low(name, best, least),
            None => Reason::server(Code::UnknownPlugin, format!("no plugin {name} is known here")),
        })
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

    fn kind(changed: Option<Changed>) -> Option<ChangeKind> {
        changed.map(|changed| changed.change.kind)
    }

    #[test]
    fn changes_are_reported_once_and_a_forgotten_server_leaves_nothing() {
        let mut directory = Directory::new();
        assert_eq!(kind(directory.announce(FAR, &name("foo"), 1)), Some(ChangeKind::Appeared));
        assert_eq!(kind(directory.announce(FAR, &name("foo"), 1)), None);
        assert_eq!(kind(directory.announce(FAR, &name("foo"), 2)), Some(ChangeKind::Changed));
        directory.forget(FAR);
        assert_eq!(directory.count(FAR), 0);
        let left = directory.next_leaving().expect("foo leaves");
        assert_eq!(left.change.kind, ChangeKind::Left);
        assert_eq!(directory.next_leaving(), None);
        assert!(!directory.has_leaving());
        assert_eq!(directory.unreleased(), 1, "somebody may have to be told");
        directory.release(left.id);
        assert_eq!((directory.unreleased(), directory.table.iter().count()), (0, 0));
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
        let left = directory.next_leaving().map(|left| left.change.entry.name);
        assert_eq!(left, Some(name("bar")));
        assert_eq!(directory.next_leaving(), None);
        assert_eq!(directory.version(FAR, &name("foo")), Some(2));
        assert_eq!(directory.entries().count(), 1);
    }

    #[test]
    fn an_entry_keeps_its_place_until_it_is_released_and_has_it_again_when_it_comes_back() {
        let mut directory = Directory::new();
        let first = directory.announce(FAR, &name("foo"), 1).expect("it is new").id;
        let left = directory.withdraw(FAR, &name("foo")).expect("it was there");
        assert_eq!((left.id, directory.subject(first)), (first, Some((FAR, name("foo")))));
        assert_eq!(directory.count(FAR), 0);
        let again = directory.announce(FAR, &name("foo"), 1).expect("it is there again");
        assert_eq!((again.id, again.change.kind), (first, ChangeKind::Appeared));
        directory.release(first);
        assert_eq!(directory.version(FAR, &name("foo")), Some(1), "one that is there stays");

        directory.withdraw(FAR, &name("foo"));
        directory.release(first);
        assert_eq!(directory.subject(first), None);
        let other = directory.announce(HOME, &name("bar"), 1).expect("it is new").id;
        assert_eq!(other, first, "the place is used again");
    }

    #[test]
    fn a_server_that_links_anew_keeps_the_plugins_that_it_names() {
        let mut directory = Directory::new();
        for text in ["bar", "foo", "old"] {
            directory.announce(FAR, &name(text), 1);
        }
        let (foo, new) = (name("foo"), name("new"));
        directory.forget_all_but(FAR, &[&foo, &new].into_iter().collect());
        assert_eq!(directory.count(FAR), 1);
        let entries = directory.entries().map(|entry| entry.name);
        assert_eq!(entries.collect::<Vec<_>>(), [foo]);
        let left = core::iter::from_fn(|| directory.next_leaving());
        let mut left: Vec<_> = left.map(|left| (left.change.entry.name, left.id)).collect();
        left.sort();
        left.iter().for_each(|(_, id)| directory.release(*id));
        let names: Vec<_> = left.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, [name("bar"), name("old")]);
        assert_eq!(directory.table.iter().count(), 1);
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes when interpreted")]
    fn whatever_comes_and_goes_the_directory_knows_what_a_plain_map_knows() {
        let (mut directory, mut plain) = (Directory::new(), BTreeMap::new());
        let mut random = 99u32;
        let mut draw = |below: u32| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 16) % below
        };
        for _ in 0..30_000 {
            let server = Key([draw(4) as u8; 32]);
            let name = name(&format!("p{}", draw(40)));
            match draw(100) {
                0 => {
                    directory.forget(server);
                    plain.retain(|(_, at), _| *at != server);
                }
                1..10 => {
                    let left = directory.next_leaving();
                    left.into_iter().for_each(|left| directory.release(left.id));
                }
                10..60 => {
                    let left = directory.leaves(server, &name);
                    left.into_iter().for_each(|left| directory.release(left.id));
                    let version = u64::from(draw(3));
                    let told = kind(directory.announce(server, &name, version));
                    let expected = match plain.insert((name, server), version) {
                        None => Some(ChangeKind::Appeared),
                        Some(before) => (before != version).then_some(ChangeKind::Changed),
                    };
                    assert_eq!(told, expected);
                }
                release => {
                    let left = directory.withdraw(server, &name);
                    assert_eq!(left.is_some(), plain.remove(&(name, server)).is_some());
                    // Some are kept, because a host is never told.
                    let left = left.filter(|_| release < 95);
                    left.into_iter().for_each(|left| directory.release(left.id));
                }
            }
        }
        let known = directory.entries().map(|entry| ((entry.name, entry.server), entry.version));
        assert_eq!(known.collect::<BTreeMap<_, _>>(), plain);
        for n in 0..4 {
            let server = Key([n; 32]);
            let expected = plain.keys().filter(|(_, at)| *at == server).count();
            assert_eq!(directory.count(server), expected);
        }
    }
}
