//! Whose connections hold the places of this process: each server and each host has a share of
//! `links`, so that none can close it to others.

use super::connections::Opened;
use super::{Event, Neighbours};
use crate::broker::ConnId;
use crate::key::Key;
use crate::limits::Limit;
use crate::reason::{Code, Reason};
use crate::shares::Shares;
use alloc::collections::BTreeMap;
use alloc::format;

/// The holder of each place.
#[derive(Debug)]
pub(crate) struct Places {
    shares: Shares<Key>,
    held: BTreeMap<ConnId, Key>,
}

impl Places {
    /// So many places, all of them free.
    pub(crate) fn new(most: usize) -> Places {
        Places { shares: Shares::new(most), held: BTreeMap::new() }
    }

    /// A connection is gone.
    pub(crate) fn release(&mut self, id: ConnId) {
        if let Some(key) = self.held.remove(&id) {
            self.shares.release(key);
        }
    }

    /// The connections that hold a place.
    pub(crate) fn held(&self) -> impl Iterator<Item = ConnId> {
        self.held.keys().copied()
    }
}

impl Neighbours {
    /// It is known to whom a connection belongs, which takes a place for it, or finds that it has
    /// none. One that we dialled or started always has one; of others, none has more than its
    /// share.
    pub(crate) fn take_place(&mut self, id: ConnId, key: Key) -> Result<(), Reason> {
        let Some(how) = self.conn(id).map(|conn| conn.how) else { return Ok(()) };
        let places = &mut self.places;
        if places.held.contains_key(&id) {
            return Ok(());
        }
        match how {
            Opened::Accepted | Opened::Direct if !places.shares.take(key) => {
                self.happens(Event::Reached(Limit::Links));
                let text = format!("{} has as many connections as it may have", key.short());
                return Err(Reason::server(Code::LimitReached, text));
            }
            Opened::Accepted | Opened::Direct => {}
            _ => places.shares.take_always(key),
        }
        places.held.insert(id, key);
        Ok(())
    }
}
