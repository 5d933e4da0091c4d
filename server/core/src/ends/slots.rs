//! The places of ends, page by page: no end is ever moved, and a page in which nothing is left
//! gives back its room. It knows nothing of plugins and streams.

use super::{End, Lookup};
use crate::ids::{EndId, Handle};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

/// Places of one page, about 5 KB.
const PAGE: usize = 64;

/// The most ends: their ids fit the tag of a stream, whose largest value means none.
const MOST: usize = u32::MAX as usize - 1;

/// Ends by their ids. Those of the first pages are taken first, so that the last ones empty.
#[derive(Debug)]
pub(super) struct Slots {
    pages: Vec<Page>,
    /// The pages that have a free place.
    roomy: BTreeSet<usize>,
    /// The page that keeps its room though nothing is in it, so that a channel which comes and goes
    /// does not allocate each time.
    spare: Option<usize>,
    /// The generation of the first end at a place of a new page: larger than those of all ends that
    /// there were at places which are no more.
    generation: u32,
}

#[derive(Debug)]
struct Page {
    /// Without room while nothing is in the page.
    slots: Vec<Slot>,
    /// The free place that is taken next.
    free: Option<EndId>,
    live: usize,
    /// The generation of the first end at a place that has no slot.
    generation: u32,
}

#[derive(Debug)]
enum Slot {
    Taken(End),
    Free {
        generation: u32,
        next: Option<EndId>,
    },
    /// All generations that there are have been here, so no handle is ever given twice.
    Spent,
}

// A free place has the size of a used one.
const _: () = assert!(size_of::<Slot>() == size_of::<End>());

impl Default for Slots {
    fn default() -> Self {
        Slots { pages: Vec::new(), roomy: BTreeSet::new(), spare: None, generation: 1 }
    }
}

impl Slots {
    /// The place that is taken next; `None` if the table is full.
    pub(super) fn vacancy(&self) -> Option<EndId> {
        let number = self.roomy.first().copied().unwrap_or(self.pages.len());
        let page = self.pages.get(number);
        if let Some(free) = page.and_then(|page| page.free) {
            return Some(free);
        }
        let index = number * PAGE + page.map_or(0, |page| page.slots.len());
        EndId::at(index).filter(|_| index < MOST)
    }

    /// Puts an end at the place that [`vacancy`](Slots::vacancy) gave.
    pub(super) fn put(&mut self, id: EndId, end: End) {
        let number = id.index() / PAGE;
        if number == self.pages.len() {
            let generation = self.generation;
            self.pages.push(Page { slots: Vec::new(), free: None, live: 0, generation });
            self.roomy.insert(number);
        }
        let Some(page) = self.pages.get_mut(number) else { return };
        page.put(id, end);
        if page.live == 1 && self.spare == Some(number) {
            self.spare = None;
        }
        if page.is_full() {
            self.roomy.remove(&number);
        }
    }

    pub(super) fn take(&mut self, id: EndId) -> Option<End> {
        let number = id.index() / PAGE;
        let page = self.pages.get_mut(number)?;
        let was_full = page.is_full();
        let end = page.take(id)?;
        if was_full && !page.is_full() {
            self.roomy.insert(number);
        }
        if page.live == 0 {
            self.release_but_one(number);
        }
        Some(end)
    }

    /// A page is empty: it is the spare one now, unless there is one before it.
    fn release_but_one(&mut self, number: usize) {
        let Some(spare) = self.spare.replace(number) else { return };
        self.spare = Some(spare.min(number));
        if let Some(page) = self.pages.get_mut(spare.max(number)) {
            page.release();
        }
        self.forget_last();
    }

    /// Forgets the last pages as far as they have no room.
    fn forget_last(&mut self) {
        while let Some(last) = self.pages.pop_if(|last| last.slots.is_empty()) {
            self.generation = self.generation.max(last.generation);
            self.roomy.remove(&self.pages.len());
        }
    }

    #[inline]
    pub(super) fn get(&self, id: EndId) -> Option<&End> {
        match self.pages.get(id.index() / PAGE)?.slots.get(id.index() % PAGE)? {
            Slot::Taken(end) => Some(end),
            Slot::Free { .. } | Slot::Spent => None,
        }
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: EndId) -> Option<&mut End> {
        match self.pages.get_mut(id.index() / PAGE)?.slots.get_mut(id.index() % PAGE)? {
            Slot::Taken(end) => Some(end),
            Slot::Free { .. } | Slot::Spent => None,
        }
    }

    pub(super) fn lookup(&self, handle: Handle) -> Lookup {
        let Some(id) = handle.id() else { return Lookup::Never };
        let page = self.pages.get(id.index() / PAGE);
        let next = match page.and_then(|page| page.slots.get(id.index() % PAGE)) {
            Some(Slot::Taken(end)) if end.generation == handle.generation() => {
                return Lookup::Live(id);
            }
            Some(Slot::Taken(end)) => end.generation,
            Some(Slot::Free { generation, .. }) => *generation,
            Some(Slot::Spent) => return Lookup::Past,
            None => page.map_or(self.generation, |page| page.generation),
        };
        match (1..next).contains(&handle.generation()) {
            true => Lookup::Past,
            false => Lookup::Never,
        }
    }

    /// All ends, in the order of their ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = (EndId, &End)> {
        let pages = self.pages.iter().enumerate();
        let slots = pages.flat_map(|(number, page)| (number * PAGE..).zip(&page.slots));
        slots.filter_map(|(index, slot)| match slot {
            Slot::Taken(end) => Some((EndId::at(index)?, end)),
            Slot::Free { .. } | Slot::Spent => None,
        })
    }
}

impl Page {
    fn is_full(&self) -> bool {
        self.free.is_none() && self.slots.len() == PAGE
    }

    fn put(&mut self, id: EndId, mut end: End) {
        self.live += 1;
        match self.slots.get_mut(id.index() % PAGE) {
            Some(slot) => {
                if let Slot::Free { generation, next } = *slot {
                    self.free = next;
                    end.generation = generation;
                }
                *slot = Slot::Taken(end);
            }
            None => {
                if self.slots.is_empty() {
                    self.slots.reserve_exact(PAGE);
                }
                end.generation = self.generation;
                self.slots.push(Slot::Taken(end));
            }
        }
    }

    fn take(&mut self, id: EndId) -> Option<End> {
        let slot = self.slots.get_mut(id.index() % PAGE)?;
        let Slot::Taken(end) = slot else { return None };
        let free = end.generation.checked_add(1);
        let left = match free {
            Some(generation) => Slot::Free { generation, next: self.free },
            None => Slot::Spent,
        };
        let Slot::Taken(end) = core::mem::replace(slot, left) else { return None };
        if free.is_some() {
            self.free = Some(id);
        }
        self.live -= 1;
        Some(end)
    }

    /// Gives back the room of a page in which nothing is left, unless a place of it is spent.
    /// Handles of its ends stay past.
    fn release(&mut self) {
        if self.slots.iter().any(|slot| matches!(slot, Slot::Spent)) {
            return;
        }
        for slot in core::mem::take(&mut self.slots) {
            if let Slot::Free { generation, .. } = slot {
                self.generation = self.generation.max(generation);
            }
        }
        self.free = None;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Owner, Phase};
    use super::*;
    use crate::ids::PluginId;

    fn add(slots: &mut Slots) -> Handle {
        let id = slots.vacancy().expect("there is room");
        slots.put(id, End::new(Owner::Plugin(PluginId(1)), Phase::Open));
        Handle::new(slots.get(id).expect("an end").generation, id)
    }

    fn remove(slots: &mut Slots, handle: Handle) {
        let id = handle.id().expect("the handle of an end");
        assert!(slots.take(id).is_some() && slots.take(id).is_none());
    }

    /// Places for which there is room.
    fn room(slots: &Slots) -> usize {
        slots.pages.iter().map(|page| page.slots.capacity()).sum()
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes when interpreted")]
    fn ends_that_are_gone_leave_room_for_one_page_beside_those_that_stay() {
        let mut slots = Slots::default();
        let handles: Vec<Handle> = (0..100 * PAGE).map(|_| add(&mut slots)).collect();
        assert_eq!(room(&slots), 100 * PAGE);
        let (stays, gone) = (handles[50 * PAGE], handles.iter().enumerate());
        for (_, handle) in gone.filter(|(at, _)| *at != 50 * PAGE) {
            remove(&mut slots, *handle);
        }
        assert!(room(&slots) <= 2 * PAGE, "there is room for {} ends", room(&slots));
        assert_eq!(slots.pages.len(), 51, "pages behind the last end are forgotten");
        assert!(matches!(slots.lookup(stays), Lookup::Live(_)));
        assert_eq!(slots.iter().count(), 1);
        remove(&mut slots, stays);
        assert!(room(&slots) <= PAGE, "there is room for {} ends", room(&slots));
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes when interpreted")]
    fn handles_of_ends_that_are_gone_stay_past_when_their_page_is_used_again() {
        let mut slots = Slots::default();
        for _ in 0..3 {
            let handles: Vec<Handle> = (0..5 * PAGE).map(|_| add(&mut slots)).collect();
            handles.iter().for_each(|handle| remove(&mut slots, *handle));
            for handle in &handles {
                assert_eq!(slots.lookup(*handle), Lookup::Past);
            }
            let again: Vec<Handle> = (0..5 * PAGE).map(|_| add(&mut slots)).collect();
            for (past, live) in handles.iter().zip(&again) {
                assert_eq!(slots.lookup(*past), Lookup::Past);
                assert!(matches!(slots.lookup(*live), Lookup::Live(_)));
            }
            again.iter().for_each(|handle| remove(&mut slots, *handle));
        }
        let never = Handle::new(1000, EndId::FIRST);
        assert_eq!(slots.lookup(never), Lookup::Never);
    }

    #[test]
    fn a_place_whose_generations_are_spent_is_never_used_again() {
        let mut slots = Slots::default();
        let ends: Vec<Handle> = (0..PAGE).map(|_| add(&mut slots)).collect();
        for handle in &ends {
            let id = handle.id().expect("the handle of an end");
            slots.get_mut(id).expect("an end").generation = u32::MAX;
        }
        let last = Handle::new(u32::MAX, ends[3].id().expect("the handle of an end"));
        assert!(matches!(slots.lookup(last), Lookup::Live(_)));
        ends.iter().for_each(|handle| remove(&mut slots, *handle));
        assert_eq!([slots.lookup(last), slots.lookup(ends[3])], [Lookup::Past; 2]);
        let next = add(&mut slots);
        assert_eq!(next.id().map(|id| id.index()), Some(PAGE), "the first place of a new page");
        remove(&mut slots, next);
        assert_eq!(slots.lookup(last), Lookup::Past, "its page is kept for its handles");
    }

    #[test]
    fn a_channel_that_comes_and_goes_keeps_its_page() {
        let mut slots = Slots::default();
        let first: Vec<Handle> = (0..PAGE).map(|_| add(&mut slots)).collect();
        let stays = add(&mut slots);
        let comes_and_goes = |slots: &mut Slots| {
            for _ in 0..3 {
                let handle = add(slots);
                assert_eq!(room(slots), 2 * PAGE);
                remove(slots, handle);
                assert_eq!(room(slots), 2 * PAGE, "the next one finds room");
            }
        };
        comes_and_goes(&mut slots);
        // The same where the page is the first one, and all others are in later ones.
        first.iter().for_each(|handle| remove(&mut slots, *handle));
        comes_and_goes(&mut slots);
        assert!(matches!(slots.lookup(stays), Lookup::Live(_)));
    }
}
