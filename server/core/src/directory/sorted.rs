//! Numbers in an order that only their owner knows, a few bytes for each. It never looks at what
//! they stand for.

use alloc::vec;
use alloc::vec::Vec;

/// Most numbers in one chunk: so many are moved at most when one comes or goes.
const MOST: usize = 512;

/// Sorted numbers, in chunks of which none is empty.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    chunks: Vec<Vec<u32>>,
}

/// A place among the numbers; it means nothing after the next change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    chunk: usize,
    at: usize,
}

impl Sorted {
    /// The place behind all numbers that come before something.
    pub(super) fn place(&self, is_before: impl Fn(u32) -> bool) -> Place {
        let all_before = |chunk: &Vec<u32>| chunk.last().is_some_and(|last| is_before(*last));
        let chunk = self.chunks.partition_point(all_before);
        let at = self.chunks.get(chunk).map_or(0, |c| c.partition_point(|item| is_before(*item)));
        Place { chunk, at }
    }

    /// The number at a place.
    pub(super) fn get(&self, place: Place) -> Option<u32> {
        self.chunks.get(place.chunk)?.get(place.at).copied()
    }

    /// The numbers from a place on.
    pub(super) fn iter_from(&self, place: Place) -> impl Iterator<Item = u32> {
        let first = self.chunks.get(place.chunk).and_then(|chunk| chunk.get(place.at..));
        let others = self.chunks.get(place.chunk + 1..).unwrap_or_default();
        first.into_iter().flatten().chain(others.iter().flatten()).copied()
    }

    /// All numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.chunks.iter().flatten().copied()
    }

    /// Puts a number in at a place that was just looked up.
    pub(super) fn insert(&mut self, place: Place, item: u32) {
        let Place { chunk, at } = self.with_room(place);
        match self.chunks.get_mut(chunk) {
            Some(found) => found.insert(at, item),
            None => self.chunks.push(vec![item]),
        }
    }

    /// The same place, in a chunk that has room for one more, or behind all chunks.
    fn with_room(&mut self, place: Place) -> Place {
        let Place { chunk, at } = self.behind_last(place);
        let full = self.chunks.get_mut(chunk).filter(|found| found.len() >= MOST);
        let Some(found) = full else { return Place { chunk, at } };
        found.shrink_to_fit();
        if at == MOST {
            // What grows at its end leaves full chunks behind.
            return Place { chunk: chunk + 1, at: 0 };
        }
        let rest = found.split_off(MOST / 2);
        self.chunks.insert(chunk + 1, rest);
        match at.checked_sub(MOST / 2) {
            Some(at) => Place { chunk: chunk + 1, at },
            None => Place { chunk, at },
        }
    }

    /// Behind the last chunk is at its end.
    fn behind_last(&self, place: Place) -> Place {
        match self.chunks.last() {
            Some(last) if place.chunk == self.chunks.len() => {
                Place { chunk: place.chunk - 1, at: last.len() }
            }
            _ => place,
        }
    }

    /// Takes out the number at a place.
    pub(super) fn remove(&mut self, place: Place) {
        let Some(chunk) = self.chunks.get_mut(place.chunk) else { return };
        if place.at < chunk.len() {
            chunk.remove(place.at);
        }
        self.merge(place.chunk);
        if let Some(before) = place.chunk.checked_sub(1) {
            self.merge(before);
        }
    }

    /// Joins a chunk that has become small with the next one, so that few numbers take few chunks.
    fn merge(&mut self, chunk: usize) {
        let length = |at: usize| self.chunks.get(at).map_or(MOST, Vec::len);
        if length(chunk) == 0 {
            self.chunks.remove(chunk);
        } else if length(chunk) + length(chunk + 1) <= MOST / 2 {
            let next = self.chunks.remove(chunk + 1);
            self.chunks[chunk].extend(next);
        }
    }

    /// What does not hold of it, for tests.
    #[cfg(test)]
    fn check(&self) {
        assert!(self.chunks.iter().all(|chunk| !chunk.is_empty() && chunk.len() <= MOST));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    fn place(sorted: &Sorted, item: u32) -> Place {
        sorted.place(|other| other < item)
    }

    fn insert(sorted: &mut Sorted, item: u32) {
        let place = place(sorted, item);
        sorted.insert(place, item);
        sorted.check();
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes when interpreted")]
    fn numbers_lie_in_order_however_they_come_and_go() {
        let (mut sorted, mut expected) = (Sorted::default(), BTreeSet::new());
        let mut random = 12345u32;
        for _ in 0..20_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let item = random >> 19;
            let found = place(&sorted, item);
            assert_eq!(sorted.get(found) == Some(item), expected.contains(&item));
            match expected.remove(&item) {
                true => sorted.remove(found),
                false => {
                    sorted.insert(found, item);
                    expected.insert(item);
                }
            }
            sorted.check();
        }
        assert!(sorted.iter().eq(expected.iter().copied()));
        let from = place(&sorted, 4000);
        assert!(sorted.iter_from(from).eq(expected.range(4000..).copied()));
        for item in expected {
            let found = place(&sorted, item);
            sorted.remove(found);
        }
        assert_eq!(sorted.chunks.len(), 0, "nothing is left of it");
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes when interpreted")]
    fn chunks_are_full_behind_numbers_that_come_in_order_and_few_when_most_have_gone() {
        let mut sorted = Sorted::default();
        (0..10 * MOST as u32).for_each(|item| insert(&mut sorted, item));
        assert_eq!(sorted.chunks.len(), 10);
        for item in (0..10 * MOST as u32).filter(|item| item % 64 != 0) {
            let found = place(&sorted, item);
            sorted.remove(found);
            sorted.check();
        }
        assert!(sorted.chunks.len() <= 2, "{} chunks for 80 numbers", sorted.chunks.len());
    }
}
