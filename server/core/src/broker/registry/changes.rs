//! What has changed, and who has still to be told: by cursor, not by queue.
//!
//! Each change gives its subject the next stamp, so that the subject moves behind all others.
//! A listener has a cursor: it knows everything up to that stamp. What it has still to be told is
//! the state of the subjects behind its cursor, however often they changed meanwhile. So a flood of
//! changes costs a listener no more than the number of subjects, and a listener that takes its time
//! costs nothing but its cursor.

use super::marks::{Mark, Marks, Subject};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Bound;

/// What a listener is told of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It is there, new or changed.
    Present,
    /// It was gone and is there again: who knew it has not been told that it was gone.
    Again,
    /// It is gone. A listener may be told so of a subject that it did not know.
    Gone,
}

/// A point in the order of changes.
pub(crate) type Stamp = u64;

/// How far a listener has been told.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    told: Stamp,
    /// What there was at this stamp it may know without having been told here.
    knew: Stamp,
}

impl Cursor {
    fn knows(self) -> Stamp {
        self.told.max(self.knew)
    }
}

/// The changes of subjects `K`, and how far listeners `L` have been told of them.
#[derive(Debug)]
pub(crate) struct Changes<K: Subject, L> {
    last: Stamp,
    /// Subjects that are there, and those that are gone while a listener still has to hear so.
    marks: K::Marks,
    order: BTreeMap<Stamp, K>,
    /// The last changes of subjects that are gone.
    gone: BTreeSet<Stamp>,
    /// Subjects that are gone, and of which no listener has still to be told, if that is asked for.
    forgotten: Option<Vec<K>>,
    cursors: BTreeMap<L, Cursor>,
    /// How many listeners know what there was at a stamp.
    at: BTreeMap<Stamp, usize>,
}

impl<K: Subject, L> Default for Changes<K, L> {
    fn default() -> Self {
        let (marks, order, gone, cursors, at) = Default::default();
        Changes { last: 0, marks, order, gone, forgotten: None, cursors, at }
    }
}

impl<K: Subject, L: Ord + Copy> Changes<K, L> {
    /// No changes; of each subject that is forgotten, [`take_forgotten`](Changes::take_forgotten)
    /// has to be asked.
    pub(crate) fn of_places() -> Self {
        Changes { forgotten: Some(Vec::new()), ..Changes::default() }
    }

    /// A subject has appeared or changed.
    pub(crate) fn set(&mut self, subject: &K) {
        self.last += 1;
        let stamp = self.last;
        match self.marks.get_mut(subject) {
            Some(mark) => {
                let before = mark.changed;
                mark.set(stamp);
                self.order.remove(&before);
                self.gone.remove(&before);
            }
            None => self.marks.insert(subject, Mark::new(stamp)),
        }
        self.order.insert(stamp, subject.clone());
    }

    /// A subject is gone. It is remembered only for listeners that know of it.
    pub(crate) fn remove(&mut self, subject: &K) {
        let Some(mark) = self.marks.get_mut(subject).filter(|mark| mark.is_present()) else {
            return;
        };
        self.last += 1;
        self.order.remove(&mark.changed);
        mark.remove(self.last);
        let mark = *mark;
        if self.is_known(mark) {
            self.order.insert(self.last, subject.clone());
            self.gone.insert(self.last);
        } else {
            self.marks.remove(subject);
            self.note_forgotten(subject);
        }
    }

    fn note_forgotten(&mut self, subject: &K) {
        if let Some(forgotten) = &mut self.forgotten {
            forgotten.push(subject.clone());
        }
    }

    /// Whether a listener may know of a subject, and has not been told of its last change.
    fn is_known(&self, mark: Mark) -> bool {
        self.at.range(mark.born()..mark.changed).next().is_some()
    }

    /// Adds a listener that knows nothing.
    pub(crate) fn listen(&mut self, listener: L) {
        self.ignore(listener);
        self.enter(listener, Cursor::default());
    }

    /// Adds a listener that is told everything, and may know some of it.
    pub(crate) fn listen_anew(&mut self, listener: L) {
        self.ignore(listener);
        self.enter(listener, Cursor { told: 0, knew: self.last });
    }

    /// Adds a listener that knows everything.
    pub(crate) fn listen_from_now(&mut self, listener: L) {
        self.ignore(listener);
        self.enter(listener, Cursor { told: self.last, knew: self.last });
    }

    fn enter(&mut self, listener: L, cursor: Cursor) {
        self.cursors.insert(listener, cursor);
        *self.at.entry(cursor.knows()).or_default() += 1;
    }

    /// Forgets a listener, and what was remembered for it alone.
    pub(crate) fn ignore(&mut self, listener: L) {
        let Some(cursor) = self.cursors.remove(&listener) else { return };
        self.leave(cursor);
        let cursor = cursor.told;
        let behind = (Bound::Excluded(cursor), Bound::Unbounded);
        let gone = self.gone.range(behind).filter_map(|stamp| self.order.get(stamp)).cloned();
        for subject in gone.collect::<Vec<K>>() {
            self.forget_if_unknown(&subject);
        }
    }

    fn leave(&mut self, cursor: Cursor) {
        let knows = cursor.knows();
        if let Some(count) = self.at.get_mut(&knows) {
            *count -= 1;
            if *count == 0 {
                self.at.remove(&knows);
            }
        }
    }

    fn advance(&mut self, listener: L, to: Stamp) {
        if let Some(before) = self.cursors.get(&listener).copied() {
            self.enter(listener, Cursor { told: to, ..before });
            self.leave(before);
        }
    }

    /// Forgets a subject that is gone, unless a listener has still to hear so.
    fn forget_if_unknown(&mut self, subject: &K) {
        if let Some(mark) = self.marks.get(subject)
            && !mark.is_present()
            && !self.is_known(mark)
        {
            self.marks.remove(subject);
            self.order.remove(&mark.changed);
            self.gone.remove(&mark.changed);
            self.note_forgotten(subject);
        }
    }

    /// The subjects that were forgotten since this was asked last: they are gone, and each listener
    /// that knew them was told so.
    pub(crate) fn take_forgotten(&mut self) -> Vec<K> {
        self.forgotten.as_mut().map(core::mem::take).unwrap_or_default()
    }

    /// Whether a listener has still to be told something.
    pub(crate) fn is_behind(&self, listener: L) -> bool {
        self.cursors.get(&listener).is_some_and(|cursor| self.order_behind(cursor.told).is_some())
    }

    fn order_behind(&self, cursor: Stamp) -> Option<(Stamp, &K)> {
        let behind = (Bound::Excluded(cursor), Bound::Unbounded);
        self.order.range(behind).next().map(|(stamp, subject)| (*stamp, subject))
    }

    /// The next thing that a listener is told; its cursor moves behind it.
    pub(crate) fn next(&mut self, listener: L) -> Option<(K, News)> {
        loop {
            let cursor = *self.cursors.get(&listener)?;
            let Some((stamp, subject)) = self.order_behind(cursor.told) else {
                // Nothing is left: whatever comes next comes behind this.
                self.advance(listener, self.last);
                return None;
            };
            let subject = subject.clone();
            let mark = self.marks.get(&subject)?;
            self.advance(listener, stamp);
            self.forget_if_unknown(&subject);
            match mark.is_present() {
                true if mark.is_back_for(cursor.knows()) => return Some((subject, News::Again)),
                true => return Some((subject, News::Present)),
                false if mark.born() <= cursor.knows() => return Some((subject, News::Gone)),
                false => {}
            }
        }
    }

    /// Whether a listener may still have to hear that a subject is gone, or was.
    pub(crate) fn remembers(&self, subject: &K) -> bool {
        self.marks.get(subject).is_some_and(|mark| {
            !mark.is_present() || self.at.range(mark.before_it_came_back()).next().is_some()
        })
    }

    /// Subjects that are gone and remembered all the same.
    pub(crate) fn remembered(&self) -> usize {
        self.gone.len()
    }

    /// Those who listen, from one on, and then those before it.
    pub(crate) fn listeners_from(&self, first: L) -> impl Iterator<Item = L> {
        self.cursors.range(first..).chain(self.cursors.range(..first)).map(|(id, _)| *id)
    }

    /// The last change that there was.
    pub(crate) fn last(&self) -> Stamp {
        self.last
    }

    /// Whether a listener has been told of the last change of a subject.
    pub(crate) fn is_told(&self, listener: L, subject: &K) -> bool {
        let told = self.cursors.get(&listener).map_or(0, |cursor| cursor.told);
        self.marks.get(subject).is_none_or(|mark| mark.changed <= told)
    }

    /// Whether a listener has been told of everything up to a change.
    pub(crate) fn has_heard(&self, listener: L, change: Stamp) -> bool {
        self.cursors.get(&listener).is_none_or(|cursor| cursor.told >= change)
            || !self.is_behind(listener)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Subject for char {
        type Marks = BTreeMap<char, Mark>;
    }

    fn told(changes: &mut Changes<char, u8>, listener: u8) -> Vec<(char, News)> {
        core::iter::from_fn(|| changes.next(listener)).collect()
    }

    #[test]
    fn what_a_listener_has_still_to_be_told_of_a_subject_is_known() {
        let mut changes = Changes::default();
        changes.listen(1);
        changes.set(&'a');
        changes.set(&'b');
        assert!(!changes.is_told(1, &'a'));
        assert!(changes.is_told(1, &'c'), "nothing was ever said of it");
        changes.next(1);
        assert!(changes.is_told(1, &'a') && !changes.is_told(1, &'b'));
        changes.next(1);
        changes.set(&'a');
        assert!(!changes.is_told(1, &'a') && changes.is_told(1, &'b'));
    }

    #[test]
    fn a_listener_is_told_the_last_state_once_however_often_it_changed() {
        let mut changes = Changes::default();
        changes.listen(1);
        for _ in 0..1000 {
            changes.set(&'a');
            changes.set(&'b');
        }
        assert_eq!(told(&mut changes, 1), [('a', News::Present), ('b', News::Present)]);
        assert!(!changes.is_behind(1));
        changes.set(&'a');
        changes.remove(&'b');
        assert_eq!(told(&mut changes, 1), [('a', News::Present), ('b', News::Gone)]);
        assert_eq!(changes.remembered(), 0, "everybody has heard that b is gone");
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes when interpreted")]
    fn what_came_and_went_unheard_is_not_remembered() {
        let mut changes = Changes::default();
        changes.listen(1);
        for subject in ('a'..='z').cycle().take(10_000) {
            changes.set(&subject);
            changes.remove(&subject);
        }
        assert_eq!(changes.remembered(), 0);
        assert_eq!(told(&mut changes, 1), []);
    }

    #[test]
    fn a_slow_listener_is_owed_only_what_it_was_told() {
        let mut changes = Changes::default();
        changes.set(&'a');
        changes.listen(1);
        changes.listen(2);
        assert_eq!(told(&mut changes, 1), [('a', News::Present)]);
        assert_eq!(told(&mut changes, 2), [('a', News::Present)]);
        for subject in 'b'..='z' {
            changes.set(&subject);
            assert_eq!(told(&mut changes, 2), [(subject, News::Present)]);
            changes.remove(&subject);
            assert_eq!(told(&mut changes, 2), [(subject, News::Gone)]);
        }
        changes.remove(&'a');
        assert_eq!(changes.remembered(), 1, "listener 1 still takes a to be there");
        assert_eq!(told(&mut changes, 1), [('a', News::Gone)]);
        assert_eq!(changes.remembered(), 1, "listener 2 has not heard it");
        changes.ignore(2);
        changes.ignore(1);
        assert_eq!(changes.remembered(), 0);
    }

    #[test]
    fn a_subject_is_forgotten_when_the_last_listener_has_heard_that_it_is_gone() {
        let mut changes = Changes::of_places();
        changes.set(&'a');
        changes.remove(&'a');
        assert_eq!(changes.take_forgotten(), ['a'], "nobody listens");
        changes.set(&'a');
        for listener in [1, 2, 3] {
            changes.listen(listener);
            changes.next(listener);
        }
        changes.remove(&'a');
        assert_eq!(told(&mut changes, 1), [('a', News::Gone)]);
        assert_eq!(told(&mut changes, 2), [('a', News::Gone)]);
        assert_eq!(changes.take_forgotten(), []);
        changes.ignore(3);
        assert_eq!(changes.take_forgotten(), ['a']);
        assert_eq!(changes.take_forgotten(), [], "once");
    }

    #[test]
    fn what_comes_back_is_told_as_such_to_those_who_knew_it() {
        let mut changes = Changes::default();
        changes.set(&'a');
        changes.listen(1);
        changes.next(1);
        changes.remove(&'a');
        changes.listen(2);
        changes.set(&'a');
        assert_eq!(told(&mut changes, 1), [('a', News::Again)]);
        assert_eq!(told(&mut changes, 2), [('a', News::Present)]);
        changes.remove(&'a');
        assert_eq!(told(&mut changes, 1), [('a', News::Gone)]);
        changes.set(&'a');
        changes.remove(&'a');
        assert_eq!(told(&mut changes, 2), [('a', News::Gone)]);
    }

    #[test]
    fn what_comes_back_and_then_changes_is_still_told_as_back_and_only_once() {
        let mut changes = Changes::default();
        changes.set(&'a');
        changes.listen(1);
        changes.next(1);
        changes.remove(&'a');
        changes.set(&'a');
        changes.set(&'a');
        assert_eq!(told(&mut changes, 1), [('a', News::Again)]);
        changes.set(&'a');
        assert_eq!(told(&mut changes, 1), [('a', News::Present)]);
    }
}
