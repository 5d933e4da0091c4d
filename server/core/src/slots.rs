//! A table whose places are reused and whose handles are not.

use alloc::vec::Vec;

/// Names something in a table. It is never used again after that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// What a handle names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<T> {
    /// Something that is there.
    Live(T),
    /// Something that was there.
    Past,
    /// Nothing that ever was.
    Never,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    item: Option<T>,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }
}

fn place(id: CallId) -> usize {
    (id.0 & u64::from(u32::MAX)) as usize
}

fn generation(id: CallId) -> u32 {
    (id.0 >> 32) as u32
}

impl<T> Slots<T> {
    /// Puts something in. There is room for 2^32 of them, which no memory holds.
    pub(crate) fn add(&mut self, item: T) -> CallId {
        let place = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 1, item: None });
            (self.slots.len() - 1) as u32
        });
        let Some(slot) = self.slots.get_mut(place as usize) else { return CallId(0) };
        slot.item = Some(item);
        CallId(u64::from(slot.generation) << 32 | u64::from(place))
    }

    /// Takes something out.
    pub(crate) fn remove(&mut self, id: CallId) -> Option<T> {
        let slot = self.slots.get_mut(place(id))?;
        let item = slot.item.take_if(|_| slot.generation == generation(id))?;
        slot.generation = slot.generation.wrapping_add(1).max(1);
        self.free.push(place(id) as u32);
        Some(item)
    }

    pub(crate) fn get_mut(&mut self, id: CallId) -> Option<&mut T> {
        let slot =
            self.slots.get_mut(place(id)).filter(|slot| slot.generation == generation(id))?;
        slot.item.as_mut()
    }

    pub(crate) fn get(&self, id: CallId) -> Option<&T> {
        let slot = self.slots.get(place(id)).filter(|slot| slot.generation == generation(id))?;
        slot.item.as_ref()
    }

    /// What a handle that somebody made up, or kept for too long, names.
    pub(crate) fn lookup(&self, id: CallId) -> Found<&T> {
        match (self.get(id), self.slots.get(place(id))) {
            (Some(item), _) => Found::Live(item),
            (None, Some(slot)) if (1..slot.generation).contains(&generation(id)) => Found::Past,
            _ => Found::Never,
        }
    }

    /// Everything, in the order of the places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (CallId, &T)> {
        self.slots.iter().enumerate().filter_map(|(place, slot)| {
            let id = CallId(u64::from(slot.generation) << 32 | place as u64);
            slot.item.as_ref().map(|item| (id, item))
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_names_one_thing_only() {
        let mut slots = Slots::default();
        let first = slots.add('a');
        assert_eq!(slots.lookup(first), Found::Live(&'a'));
        assert_eq!(slots.remove(first), Some('a'));
        assert_eq!((slots.remove(first), slots.lookup(first)), (None, Found::Past));
        let second = slots.add('b');
        assert_ne!(first, second);
        assert_eq!((slots.get(first), slots.get(second)), (None, Some(&'b')));
        assert_eq!(slots.lookup(CallId(7)), Found::Never);
        assert_eq!(slots.iter().collect::<Vec<_>>(), [(second, &'b')]);
    }
}
