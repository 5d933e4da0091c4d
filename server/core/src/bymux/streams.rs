//! The active streams of a connection, found by their ids. Their state is in `stream.rs`.

use super::StreamId;
use super::stream::Stream;
use crate::pages::Pages;
use alloc::vec::Vec;
use hashbrown::HashTable;

/// A place in the table, used or in the list of free ones.
#[derive(Debug)]
enum Place {
    Taken(Stream),
    Free { next: Option<u32> },
}

// A free place has the size of a used one.
const _: () = assert!(size_of::<Place>() == size_of::<Stream>());

impl Place {
    fn stream(&self) -> Option<&Stream> {
        match self {
            Place::Taken(stream) => Some(stream),
            Place::Free { .. } => None,
        }
    }
}

/// Streams by id. The ids are in an index of their own, which costs some ten bytes for each stream.
/// So the streams are stored densely whatever ids the peer chooses.
#[derive(Debug)]
pub(super) struct Streams {
    /// Most connections have few streams, therefore pages are small.
    places: Pages<Place, 16>,
    free: Option<u32>,
    index: HashTable<u32>,
    scatter: Scatter,
}

/// Hashes ids for the index. A peer that does not know the key cannot choose colliding ids, which
/// would make each look-up a search.
#[derive(Clone, Copy, Debug)]
struct Scatter {
    key: u64,
}

impl Scatter {
    /// The fraction of the golden ratio: bits without a pattern, and odd.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

    /// Folds a product of 128 bits, each of which depends on all bits of the id and of the key.
    #[inline]
    fn hash(self, id: StreamId) -> u64 {
        let product = u128::from(id.0 ^ self.key) * u128::from(self.key.rotate_left(32) | 1);
        ((product as u64) ^ (product >> 64) as u64).wrapping_mul(Scatter::SPREAD)
    }
}

impl Streams {
    /// No streams; `key` is any number that the peer does not know.
    pub(super) fn new(key: u64) -> Streams {
        let (places, free, index) = Default::default();
        Streams { places, free, index, scatter: Scatter { key: key ^ Scatter::SPREAD } }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    fn place_of(&self, id: StreamId) -> Option<u32> {
        let is = |place: &u32| self.at(*place).is_some_and(|stream| stream.id == id);
        self.index.find(self.scatter.hash(id), is).copied()
    }

    #[inline]
    fn at(&self, place: u32) -> Option<&Stream> {
        self.places.get(place as usize)?.stream()
    }

    /// The stream at a place, if there is one.
    #[inline]
    pub(super) fn at_mut(&mut self, place: u32) -> Option<&mut Stream> {
        match self.places.get_mut(place as usize) {
            Some(Place::Taken(stream)) => Some(stream),
            _ => None,
        }
    }

    pub(super) fn get(&self, id: StreamId) -> Option<&Stream> {
        self.at(self.place_of(id)?)
    }

    pub(super) fn get_mut(&mut self, id: StreamId) -> Option<&mut Stream> {
        let place = self.place_of(id)?;
        self.at_mut(place)
    }

    /// A stream with its place, which is constant while it is active.
    pub(super) fn find_mut(&mut self, id: StreamId) -> Option<(u32, &mut Stream)> {
        let place = self.place_of(id)?;
        self.at_mut(place).map(|stream| (place, stream))
    }

    /// Adds a stream whose id is not active.
    pub(super) fn insert(&mut self, stream: Stream) {
        let hash = self.scatter.hash(stream.id);
        let place = match self.free {
            Some(place) => place,
            None => self.places.len() as u32,
        };
        match self.places.get_mut(place as usize) {
            Some(free) => {
                if let Place::Free { next } = *free {
                    self.free = next;
                }
                *free = Place::Taken(stream);
            }
            None => self.places.push(Place::Taken(stream)),
        }
        let (places, scatter) = (&self.places, self.scatter);
        self.index.insert_unique(hash, place, |place| match places.get(*place as usize) {
            Some(Place::Taken(stream)) => scatter.hash(stream.id),
            _ => 0,
        });
    }

    pub(super) fn remove(&mut self, id: StreamId) -> Option<Stream> {
        let place = self.place_of(id)?;
        let found = self.index.find_entry(self.scatter.hash(id), |other| *other == place);
        found.ok()?.remove();
        let freed = Place::Free { next: self.free };
        let place_of = self.places.get_mut(place as usize)?;
        self.free = Some(place);
        match core::mem::replace(place_of, freed) {
            Place::Taken(stream) => Some(stream),
            Place::Free { .. } => None,
        }
    }

    /// All streams, by their ids.
    pub(super) fn sorted(&self) -> Vec<&Stream> {
        let mut all: Vec<&Stream> = self.places.iter().filter_map(Place::stream).collect();
        all.sort_unstable_by_key(|stream| stream.id);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::super::outbox::Lane;
    use super::super::stream::Credit;
    use super::*;

    fn stream(id: u64) -> Stream {
        Stream::new(StreamId(id), Lane::Data, Credit::finite(id), Credit::finite(0))
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes when interpreted")]
    fn streams_are_found_by_any_ids_and_their_places_used_again() {
        let mut streams = Streams::new(7);
        let ids: Vec<u64> = (0..500).map(|n| n * 2).chain((0..64).map(|n| 1 << n | 1)).collect();
        for round in 0..3 {
            for id in &ids {
                assert!(streams.get(StreamId(*id)).is_none());
                streams.insert(stream(*id));
            }
            for id in &ids {
                let found = streams.get(StreamId(*id)).map(|stream| stream.writable.bytes());
                assert_eq!(found, Some(*id), "in round {round}");
            }
            assert_eq!((streams.len(), streams.sorted().len()), (ids.len(), ids.len()));
            for id in &ids {
                assert_eq!(streams.remove(StreamId(*id)).map(|stream| stream.id.0), Some(*id));
                assert!(streams.remove(StreamId(*id)).is_none());
            }
        }
        assert_eq!(streams.places.len(), ids.len(), "places were not used again");
    }
}
