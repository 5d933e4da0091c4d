//! The entries of the directory: a few dozen bytes for each, found by name and server, or by the
//! server alone. It does not decide when an entry is found.

use super::sorted::{Place, Sorted};
use crate::key::Key;
use crate::name::{Name, Version};
use crate::places::Places;
use alloc::vec::Vec;
use core::cmp::Ordering;

/// An entry's place in the table. It is used again when the entry is freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryId(u32);

impl EntryId {
    /// A number that is small as long as there are few entries.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Some entries of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ListId(u32);

/// No entry.
const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Slot {
    name: Name,
    version: Version,
    list: ListId,
    /// Neighbours in the list.
    next: u32,
    before: u32,
    /// It is in its list: its plugin is there, or leaves.
    listed: bool,
}

/// Whether the entries of a list are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListState {
    /// They are found.
    Found,
    /// Their server is forgotten: they leave one by one.
    Leaving,
    /// None is in it any more.
    Over,
}

#[derive(Debug)]
pub(super) struct List {
    pub(super) server: Key,
    pub(super) state: ListState,
    first: u32,
    /// Entries that are in it, and those that are kept beside.
    pub(super) count: u32,
    kept: u32,
}

/// All entries.
#[derive(Debug)]
pub(super) struct Table {
    slots: Places<Slot>,
    /// Entries that are kept beside their lists.
    kept: usize,
    /// The entries in the order of their names, and then of their servers.
    sorted: Sorted,
    lists: Vec<List>,
    free_lists: Vec<ListId>,
}

impl Default for Table {
    fn default() -> Self {
        let (slots, sorted, lists, free_lists) = Default::default();
        Table { slots, kept: 0, sorted, lists, free_lists }
    }
}

impl Table {
    fn slot(&self, id: EntryId) -> Option<&Slot> {
        self.slots.get(id.0 as usize)
    }

    fn slot_mut(&mut self, id: u32) -> Option<&mut Slot> {
        self.slots.get_mut(id as usize)
    }

    pub(super) fn list(&self, id: ListId) -> Option<&List> {
        self.lists.get(id.0 as usize)
    }

    pub(super) fn list_mut(&mut self, id: ListId) -> Option<&mut List> {
        self.lists.get_mut(id.0 as usize)
    }

    /// How many entries are kept beside their lists.
    pub(super) fn kept(&self) -> usize {
        self.kept
    }

    /// A new list, which is found.
    pub(super) fn add_list(&mut self, server: Key, state: ListState) -> ListId {
        let list = List { server, state, first: NONE, count: 0, kept: 0 };
        match self.free_lists.pop() {
            Some(id) => {
                self.lists[id.0 as usize] = list;
                id
            }
            None => {
                self.lists.push(list);
                ListId(self.lists.len() as u32 - 1)
            }
        }
    }

    /// Frees a list with which no entry has to do any more; whether it was freed.
    pub(super) fn free_list(&mut self, id: ListId) -> bool {
        let over = self.list(id).is_some_and(|list| list.count == 0 && list.kept == 0);
        if over {
            self.free_lists.push(id);
        }
        over
    }

    /// The entry of a name at a server, whatever its list.
    pub(super) fn at(&self, server: &Key, name: &str) -> Option<EntryId> {
        let id = EntryId(self.sorted.get(self.place(server, name))?);
        (self.compare(id.0, server, name) == Ordering::Equal).then_some(id)
    }

    fn place(&self, server: &Key, name: &str) -> Place {
        self.sorted.place(|id| self.compare(id, server, name) == Ordering::Less)
    }

    fn compare(&self, id: u32, server: &Key, name: &str) -> Ordering {
        let Some(slot) = self.slot(EntryId(id)) else { return Ordering::Less };
        let key = || self.list(slot.list).map(|list| &list.server).cmp(&Some(server));
        slot.name.as_str().cmp(name).then_with(key)
    }

    /// The entries of a name, in the order of their servers.
    pub(super) fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = EntryId> + 'a {
        let first = self.place(&Key([0; 32]), name);
        let ids = self.sorted.iter_from(first).map(EntryId);
        ids.take_while(move |id| self.name(*id).is_some_and(|own| own.as_str() == name))
    }

    /// All entries, in the order of their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = EntryId> {
        self.sorted.iter().map(EntryId)
    }

    pub(super) fn name(&self, id: EntryId) -> Option<&Name> {
        self.slot(id).map(|slot| &slot.name)
    }

    pub(super) fn version(&self, id: EntryId) -> Version {
        self.slot(id).map_or(0, |slot| slot.version)
    }

    /// Changes a version, and gives the one that there was.
    pub(super) fn set_version(&mut self, id: EntryId, version: Version) -> Version {
        self.slot_mut(id.0).map_or(0, |slot| core::mem::replace(&mut slot.version, version))
    }

    /// The list of an entry, with whether it is in it or kept beside.
    pub(super) fn list_of(&self, id: EntryId) -> Option<(ListId, bool)> {
        self.slot(id).map(|slot| (slot.list, slot.listed))
    }

    /// The first entry of a list.
    pub(super) fn first(&self, list: ListId) -> Option<EntryId> {
        self.list(list).filter(|list| list.first != NONE).map(|list| EntryId(list.first))
    }

    /// The entries of a list.
    pub(super) fn of(&self, list: ListId) -> impl Iterator<Item = EntryId> {
        let next = |id: &EntryId| {
            self.slot(*id).filter(|slot| slot.next != NONE).map(|slot| EntryId(slot.next))
        };
        core::iter::successors(self.first(list), next)
    }

    /// Adds an entry to a list.
    pub(super) fn add(&mut self, list: ListId, name: &Name, version: Version) -> EntryId {
        let server = self.list(list).map_or(Key([0; 32]), |list| list.server);
        let place = self.place(&server, name.as_str());
        let (name, listed) = (name.clone(), false);
        let at = self.slots.vacancy();
        self.slots.insert(at, Slot { name, version, list, next: NONE, before: NONE, listed });
        let id = at as u32;
        self.sorted.insert(place, id);
        self.link(id, list);
        EntryId(id)
    }

    /// Puts an entry that is kept beside its list into a list of the same server.
    pub(super) fn put_back(&mut self, id: EntryId, list: ListId) {
        if let Some((before, false)) = self.list_of(id) {
            self.keep_less(before);
            self.link(id.0, list);
        }
    }

    /// Takes an entry out of its list, and keeps it beside that.
    pub(super) fn take_out(&mut self, id: EntryId) {
        if let Some((list, true)) = self.list_of(id) {
            self.unlink(id.0, list);
            self.kept += 1;
            if let Some(list) = self.list_mut(list) {
                list.kept += 1;
            }
        }
    }

    fn keep_less(&mut self, list: ListId) {
        self.kept -= 1;
        if let Some(list) = self.list_mut(list) {
            list.kept -= 1;
        }
    }

    /// Moves an entry from its list into another one of the same server.
    pub(super) fn move_to(&mut self, id: EntryId, list: ListId) {
        if let Some((before, true)) = self.list_of(id) {
            self.unlink(id.0, before);
            self.link(id.0, list);
        }
    }

    /// Frees an entry that is kept beside its list, and gives that list.
    pub(super) fn free(&mut self, id: EntryId) -> Option<ListId> {
        let (list, listed) = self.list_of(id)?;
        if listed {
            return None;
        }
        let server = self.list(list)?.server;
        let place = self.place(&server, self.name(id)?.as_str());
        self.sorted.remove(place);
        self.slots.remove(id.index());
        self.keep_less(list);
        Some(list)
    }

    fn link(&mut self, id: u32, list: ListId) {
        let first = self.list_mut(list).map_or(NONE, |list| {
            list.count += 1;
            core::mem::replace(&mut list.first, id)
        });
        if let Some(slot) = self.slot_mut(id) {
            (slot.list, slot.next, slot.before, slot.listed) = (list, first, NONE, true);
        }
        if let Some(next) = self.slot_mut(first) {
            next.before = id;
        }
    }

    fn unlink(&mut self, id: u32, list: ListId) {
        let Some(slot) = self.slot_mut(id) else { return };
        slot.listed = false;
        let (next, before) = (slot.next, slot.before);
        if let Some(next) = self.slot_mut(next) {
            next.before = before;
        }
        match self.slot_mut(before) {
            Some(before) => before.next = next,
            None => {
                if let Some(list) = self.list_mut(list) {
                    list.first = next;
                }
            }
        }
        if let Some(list) = self.list_mut(list) {
            list.count -= 1;
        }
    }
}
