//! What is noted of each subject of changes, by its name or by its place. Nothing here decides
//! anything.

use super::changes::Stamp;
use crate::directory::EntryId;
use crate::key::Key;
use crate::name::Name;
use crate::places::Places;
use alloc::collections::BTreeMap;
use core::num::NonZeroU64;
use core::ops::Range;

/// The state of a subject.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    /// The change with which it appeared: listeners before that do not know it.
    born: NonZeroU64,
    /// Its last change.
    pub(super) changed: Stamp,
    /// The change with which it came back, before all listeners were told that it was gone; 0 if
    /// it never did, [`GONE`] if it has not yet.
    back: Stamp,
}

/// No change has this stamp.
const GONE: Stamp = Stamp::MAX;

impl Mark {
    /// A subject appears.
    pub(super) fn new(stamp: Stamp) -> Mark {
        // The first change has the stamp 1.
        let born = NonZeroU64::new(stamp).unwrap_or(NonZeroU64::MIN);
        Mark { born, changed: stamp, back: 0 }
    }

    pub(super) fn born(self) -> Stamp {
        self.born.get()
    }

    pub(super) fn is_present(self) -> bool {
        self.back != GONE
    }

    /// The changes before which listeners knew a subject that was gone since, and is there again.
    pub(super) fn before_it_came_back(self) -> Range<Stamp> {
        self.born()..self.back.max(self.born())
    }

    /// Whether a listener that knows what there was at a stamp knows it from before it was gone.
    pub(super) fn is_back_for(self, knows: Stamp) -> bool {
        self.is_present() && self.back > knows && self.born() <= knows
    }

    /// It is there and has changed, or is there again.
    pub(super) fn set(&mut self, stamp: Stamp) {
        if !self.is_present() {
            self.back = stamp;
        }
        self.changed = stamp;
    }

    /// It is gone.
    pub(super) fn remove(&mut self, stamp: Stamp) {
        (self.changed, self.back) = (stamp, GONE);
    }
}

/// Something that changes, and that has a mark in a table.
pub(crate) trait Subject: Ord + Clone {
    /// The marks of all subjects of its kind.
    type Marks: Marks<Self>;
}

/// Marks of subjects.
pub(crate) trait Marks<K>: Default {
    fn get(&self, subject: &K) -> Option<Mark>;
    fn get_mut(&mut self, subject: &K) -> Option<&mut Mark>;
    fn insert(&mut self, subject: &K, mark: Mark);
    fn remove(&mut self, subject: &K);
}

impl Subject for Name {
    type Marks = BTreeMap<Name, Mark>;
}

impl Subject for Key {
    type Marks = BTreeMap<Key, Mark>;
}

impl Subject for EntryId {
    type Marks = MarksByPlace;
}

impl<K: Ord + Clone> Marks<K> for BTreeMap<K, Mark> {
    fn get(&self, subject: &K) -> Option<Mark> {
        BTreeMap::get(self, subject).copied()
    }

    fn get_mut(&mut self, subject: &K) -> Option<&mut Mark> {
        BTreeMap::get_mut(self, subject)
    }

    fn insert(&mut self, subject: &K, mark: Mark) {
        BTreeMap::insert(self, subject.clone(), mark);
    }

    fn remove(&mut self, subject: &K) {
        BTreeMap::remove(self, subject);
    }
}

/// Marks by places that are low as long as they are few, as those of the directory's entries.
#[derive(Debug, Default)]
pub(crate) struct MarksByPlace(Places<Mark>);

impl Marks<EntryId> for MarksByPlace {
    fn get(&self, subject: &EntryId) -> Option<Mark> {
        self.0.get(subject.index()).copied()
    }

    fn get_mut(&mut self, subject: &EntryId) -> Option<&mut Mark> {
        self.0.get_mut(subject.index())
    }

    fn insert(&mut self, subject: &EntryId, mark: Mark) {
        self.0.insert(subject.index(), mark);
    }

    fn remove(&mut self, subject: &EntryId) {
        self.0.remove(subject.index());
    }
}
