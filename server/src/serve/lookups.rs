//! Which names are resolved now, and which wait: each name once, however many dials need it, on a
//! few threads, because the system's resolver blocks. This module starts no threads itself.

use std::collections::{BTreeMap, VecDeque};

/// Threads that resolve names. A resolver that gets no answer holds one for up to 30 s.
const THREADS_MAX: usize = 4;

/// Of these, for names from plugins and other processes: they must not delay those of the
/// configuration.
const FOREIGN_MAX: usize = 2;

/// A name with a port.
pub(super) type NamedPlace = (String, u16);

/// Where a name comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NamedBy {
    /// The configuration.
    Us,
    /// A plugin, or another process.
    Others,
}

/// The look-ups that run, and those that wait.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    /// The dials that need each name.
    wanted: BTreeMap<NamedPlace, Vec<u64>>,
    /// Names that wait for a thread.
    waiting: BTreeMap<NamedBy, VecDeque<NamedPlace>>,
    /// Names that a thread resolves, and where they come from.
    running: BTreeMap<NamedPlace, NamedBy>,
}

impl Lookups {
    /// A dial needs the addresses of a name.
    pub(super) fn want(&mut self, dial: u64, place: NamedPlace, by: NamedBy) {
        let dials = self.wanted.entry(place.clone()).or_default();
        dials.push(dial);
        let first = dials.len() == 1 && !self.running.contains_key(&place);
        if first || (by == NamedBy::Us && self.take_from_others(&place)) {
            self.waiting.entry(by).or_default().push_back(place);
        }
    }

    /// A name of the configuration does not wait among those of other processes, if it does so now.
    fn take_from_others(&mut self, place: &NamedPlace) -> bool {
        let Some(others) = self.waiting.get_mut(&NamedBy::Others) else { return false };
        let found = others.iter().position(|waits| waits == place);
        found.is_some_and(|at| others.remove(at).is_some())
    }

    /// A dial does not need a name any more.
    pub(super) fn give_up(&mut self, dial: u64, place: &NamedPlace) {
        let Some(dials) = self.wanted.get_mut(place) else { return };
        dials.retain(|wants| *wants != dial);
        if dials.is_empty() {
            self.wanted.remove(place);
            for waiting in self.waiting.values_mut() {
                waiting.retain(|waits| waits != place);
            }
        }
    }

    /// The next name for which there is a thread now.
    pub(super) fn next(&mut self) -> Option<NamedPlace> {
        let foreign = self.running.values().filter(|by| **by == NamedBy::Others).count();
        for by in [NamedBy::Us, NamedBy::Others] {
            let full = by == NamedBy::Others && foreign >= FOREIGN_MAX;
            if self.running.len() < THREADS_MAX
                && !full
                && let Some(place) = self.waiting.get_mut(&by).and_then(VecDeque::pop_front)
            {
                self.running.insert(place.clone(), by);
                return Some(place);
            }
        }
        None
    }

    /// A name was resolved. Returns the dials that need it.
    pub(super) fn done(&mut self, place: &NamedPlace) -> Vec<u64> {
        self.running.remove(place);
        self.wanted.remove(place).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(n: usize) -> NamedPlace {
        (format!("host-{n}.example"), 8008)
    }

    fn started(lookups: &mut Lookups) -> Vec<NamedPlace> {
        std::iter::from_fn(|| lookups.next()).collect()
    }

    #[test]
    fn a_name_is_looked_up_once_for_all_dials_that_want_it() {
        let mut lookups = Lookups::default();
        (0..1_000).for_each(|dial| lookups.want(dial, place(1), NamedBy::Us));
        assert_eq!(started(&mut lookups), [place(1)]);
        lookups.want(1_000, place(1), NamedBy::Us);
        assert!(started(&mut lookups).is_empty(), "it is being looked up already");
        assert_eq!(lookups.done(&place(1)).len(), 1_001);
        assert!(lookups.wanted.is_empty() && lookups.running.is_empty());
    }

    #[test]
    fn four_names_at_a_time_are_looked_up_and_the_others_wait() {
        let mut lookups = Lookups::default();
        (0..10).for_each(|n| lookups.want(n as u64, place(n), NamedBy::Us));
        let first: Vec<_> = (0..4).map(place).collect();
        assert_eq!(started(&mut lookups), first);
        lookups.give_up(4, &place(4));
        lookups.done(&place(2));
        assert_eq!(started(&mut lookups), [place(5)], "nobody wants the one before it any more");
    }

    #[test]
    fn names_of_other_processes_leave_threads_to_those_of_the_configuration() {
        let mut lookups = Lookups::default();
        (0..2_000).for_each(|n| lookups.want(n as u64, place(n), NamedBy::Others));
        assert_eq!(started(&mut lookups), [place(0), place(1)]);
        lookups.want(5_000, place(5_000), NamedBy::Us);
        assert_eq!(started(&mut lookups), [place(5_000)]);
        lookups.done(&place(0));
        assert_eq!(started(&mut lookups), [place(2)]);
        lookups.want(5_001, place(1_999), NamedBy::Us);
        assert_eq!(started(&mut lookups), [place(1_999)], "both sides need this one");
        assert_eq!(lookups.done(&place(1_999)), [1_999, 5_001]);
    }

    #[test]
    fn a_name_that_is_given_up_and_wanted_again_meanwhile_is_looked_up_once() {
        let mut lookups = Lookups::default();
        lookups.want(1, place(1), NamedBy::Us);
        assert_eq!(started(&mut lookups), [place(1)]);
        lookups.give_up(1, &place(1));
        lookups.want(2, place(1), NamedBy::Us);
        assert!(started(&mut lookups).is_empty());
        assert_eq!(lookups.done(&place(1)), [2]);
    }
}
