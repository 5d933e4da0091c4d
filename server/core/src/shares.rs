//! A table that several holders share: each may have its share of what the others leave, so that
//! none can fill it, and a new holder finds room.

use alloc::collections::BTreeMap;

/// The places of a table, by who holds them.
#[derive(Debug)]
pub(crate) struct Shares<K> {
    most: usize,
    taken: usize,
    holders: BTreeMap<K, usize>,
}

impl<K: Ord + Copy> Shares<K> {
    /// A table with this many places, all of them free.
    pub(crate) fn new(most: usize) -> Shares<K> {
        Shares { most, taken: 0, holders: BTreeMap::new() }
    }

    /// Takes a place for a holder, unless it has its share: of the places that are free or its own,
    /// one part in as many as there are holders, and never more than half. A holder without one
    /// gets one as long as one is free.
    pub(crate) fn take(&mut self, who: K) -> bool {
        let held = self.holders.get(&who).copied().unwrap_or(0);
        let holders = self.holders.len() + usize::from(held == 0);
        if !leaves_a_share(self.most.saturating_sub(self.taken), held, holders) {
            return false;
        }
        self.take_always(who);
        true
    }

    /// Takes a place for a holder that is never refused one, even if none is free.
    pub(crate) fn take_always(&mut self, who: K) {
        self.taken += 1;
        *self.holders.entry(who).or_default() += 1;
    }

    /// Frees a place of a holder.
    pub(crate) fn release(&mut self, who: K) {
        if let Some(held) = self.holders.get_mut(&who) {
            *held -= 1;
            self.taken -= 1;
            if *held == 0 {
                self.holders.remove(&who);
            }
        }
    }

    /// Whether all places are free.
    pub(crate) fn is_empty(&self) -> bool {
        self.taken == 0
    }
}

/// Whether a holder may take one more place, of so many that are free, where it has some already
/// and is one of so many holders.
pub(crate) fn leaves_a_share(free: usize, held: usize, holders: usize) -> bool {
    free > 0 && held < ((free + held) / holders.max(2)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(shares: &mut Shares<u8>, who: u8) -> usize {
        (0..10_000).filter(|_| shares.take(who)).count()
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes when interpreted")]
    fn one_holder_has_half_and_the_next_one_finds_room() {
        let mut shares = Shares::new(4096);
        assert_eq!(fill(&mut shares, 0), 2048);
        let mut before = 2048;
        for who in 1..20 {
            let taken = fill(&mut shares, who);
            assert!(taken > 0, "holder {who} found no room");
            assert!(taken <= before, "holder {who} has {taken}, the one before it {before}");
            before = taken;
        }
        assert!(!shares.take(0), "the first has more than its share by now");
    }

    #[test]
    fn as_many_holders_as_there_are_places_get_one_each() {
        let mut shares = Shares::new(100);
        assert_eq!((0..=200).filter(|who| shares.take(*who)).count(), 100);
        assert!(!shares.take(7), "one each");
        shares.release(7);
        assert!(shares.take(201));
    }

    #[test]
    fn places_that_are_never_refused_count_as_taken() {
        let mut shares = Shares::new(8);
        (0..6).for_each(|_| shares.take_always(1));
        assert_eq!(fill(&mut shares, 2), 1, "half of what is left");
        (0..6).for_each(|_| shares.take_always(1));
        assert!(!shares.take(3), "none is left");
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let mut shares = Shares::new(8);
        assert_eq!((fill(&mut shares, 1), fill(&mut shares, 2)), (4, 2));
        (0..4).for_each(|_| shares.release(1));
        shares.release(1);
        assert_eq!(fill(&mut shares, 2), 2, "half of all, with the two that it has");
        (0..4).for_each(|_| shares.release(2));
        assert!(shares.is_empty());
    }
}
