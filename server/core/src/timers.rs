//! Deadlines: one ordered set for links, redials and plugins.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use core::time::Duration;

/// Deadlines by key. A key has at most one deadline.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    by_time: BTreeSet<(Duration, K)>,
    by_key: BTreeMap<K, Duration>,
}

impl<K: Ord + Copy> Timers<K> {
    pub(crate) fn new() -> Timers<K> {
        Timers { by_time: BTreeSet::new(), by_key: BTreeMap::new() }
    }

    /// Sets the deadline of `key`, replacing an earlier one.
    pub(crate) fn set(&mut self, key: K, at: Duration) {
        self.cancel(key);
        self.by_time.insert((at, key));
        self.by_key.insert(key, at);
    }

    /// Removes the deadline of `key`; returns whether there was one.
    pub(crate) fn cancel(&mut self, key: K) -> bool {
        match self.by_key.remove(&key) {
            Some(at) => self.by_time.remove(&(at, key)),
            None => false,
        }
    }

    /// Removes the deadlines of all keys in a range.
    pub(crate) fn cancel_range(&mut self, keys: RangeInclusive<K>) {
        let known: Vec<K> = self.by_key.range(keys).map(|(key, _)| *key).collect();
        for key in known {
            self.cancel(key);
        }
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// The keys that have a deadline.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.by_key.keys()
    }

    /// Removes and returns the earliest key whose deadline has passed.
    pub(crate) fn pop_due(&mut self, now: Duration) -> Option<K> {
        let (at, key) = *self.by_time.first()?;
        if at > now {
            return None;
        }
        self.cancel(key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_come_in_order_and_once() {
        let second = Duration::from_secs;
        let mut timers = Timers::new();
        timers.set('b', second(2));
        timers.set('a', second(3));
        timers.set('a', second(1));
        assert_eq!(timers.next(), Some(second(1)));
        assert_eq!(timers.pop_due(second(2)), Some('a'));
        assert_eq!(timers.pop_due(second(2)), Some('b'));
        assert_eq!(timers.pop_due(second(9)), None);
        assert!(!timers.cancel('a'));
    }
}
