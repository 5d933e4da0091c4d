//! The ends of channels: one table, in which two ends that are joined name each other.
//!
//! A channel is two ends that are *joined*: what one end is given, the other is told. This module
//! holds the table and each end's accounts. What joining, giving and telling do is in the broker.

mod end;
mod inbox;

pub(crate) use end::{ChannelInfo, End, Owner, Phase};
pub(crate) use inbox::Inbox;

use alloc::vec::Vec;

/// An end's place in the table. It is reused; a [`Handle`] is not.
pub(crate) type EndId = u32;

/// How a plugin names one of its ends. It is never used again after the end is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(pub u64);

impl Handle {
    fn new(generation: u32, id: EndId) -> Handle {
        Handle(u64::from(generation) << 32 | u64::from(id))
    }

    pub(crate) fn id(self) -> EndId {
        (self.0 & u64::from(u32::MAX)) as EndId
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// What a handle names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// An end that is there.
    Live(EndId),
    /// An end that was there.
    Past,
    /// Nothing that ever was.
    Never,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    end: Option<End>,
}

/// All ends of one broker.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    slots: Vec<Slot>,
    free: Vec<EndId>,
}

impl Ends {
    /// How many ends there may be: the ids fit the tag of a stream, whose largest value means none.
    const MOST: usize = u32::MAX as usize - 1;

    /// Puts an end into the table; `None` when it is full.
    pub(crate) fn add(&mut self, end: End) -> Option<EndId> {
        let id = match self.free.pop() {
            Some(id) => id,
            None if self.slots.len() < Ends::MOST => {
                self.slots.push(Slot { generation: 1, end: None });
                (self.slots.len() - 1) as EndId
            }
            None => return None,
        };
        self.slots.get_mut(id as usize)?.end = Some(end);
        Some(id)
    }

    pub(crate) fn remove(&mut self, id: EndId) -> Option<End> {
        let slot = self.slots.get_mut(id as usize)?;
        let end = slot.end.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id);
        if let Some(peer) = end.peer.filter(|peer| *peer != id)
            && let Some(peer) = self.get_mut(peer)
            && peer.peer == Some(id)
        {
            peer.peer = None;
        }
        Some(end)
    }

    pub(crate) fn get(&self, id: EndId) -> Option<&End> {
        self.slots.get(id as usize)?.end.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: EndId) -> Option<&mut End> {
        self.slots.get_mut(id as usize)?.end.as_mut()
    }

    pub(crate) fn handle(&self, id: EndId) -> Handle {
        Handle::new(self.slots.get(id as usize).map_or(0, |slot| slot.generation), id)
    }

    pub(crate) fn lookup(&self, handle: Handle) -> Lookup {
        match self.slots.get(handle.id() as usize) {
            Some(slot) if slot.generation == handle.generation() && slot.end.is_some() => {
                Lookup::Live(handle.id())
            }
            Some(slot) if handle.generation() >= 1 && handle.generation() < slot.generation => {
                Lookup::Past
            }
            _ => Lookup::Never,
        }
    }

    /// The end that a handle names, if it is there.
    pub(crate) fn live(&self, handle: Handle) -> Option<&End> {
        match self.lookup(handle) {
            Lookup::Live(id) => self.get(id),
            Lookup::Past | Lookup::Never => None,
        }
    }

    /// All ends, in the order of the table.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (EndId, &End)> {
        let numbered = self.slots.iter().enumerate();
        numbered.filter_map(|(id, slot)| slot.end.as_ref().map(|end| (id as EndId, end)))
    }

    /// The ends that `choose` picks.
    pub(crate) fn ids_where(&self, choose: impl Fn(&End) -> bool) -> Vec<EndId> {
        self.iter().filter(|(_, end)| choose(end)).map(|(id, _)| id).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.len() == self.free.len()
    }
}
