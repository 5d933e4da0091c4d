//! How many channels of each table the plugins of each server have opened, for a table's places are
//! shared out among the servers of the callers.

use crate::ids::{ConnId, PluginId};
use crate::key::Key;
use crate::shares::leaves_a_share;
use alloc::collections::BTreeMap;

/// A table of channels that the plugins of several servers share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Table {
    /// The channels of a plugin.
    Plugin(PluginId),
    /// The streams of a link.
    Link(ConnId),
}

/// The channels of each table, by the servers whose plugins have opened them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Callers(BTreeMap<Table, BTreeMap<Key, usize>>);

impl Callers {
    /// Counts a channel that a plugin of a server has opened, or no longer.
    pub(crate) fn count(&mut self, table: Table, server: Key, change: isize) {
        let callers = self.0.entry(table).or_default();
        let count = callers.entry(server).or_default();
        *count = count.saturating_add_signed(change);
        if *count == 0 {
            callers.remove(&server);
        }
        if callers.is_empty() {
            self.0.remove(&table);
        }
    }

    /// Whether plugins of a server may have one more channel of a table with so many free places.
    pub(crate) fn leave_a_share(&self, table: Table, server: Key, free: usize) -> bool {
        let callers = self.0.get(&table);
        let held = callers.and_then(|callers| callers.get(&server)).copied().unwrap_or(0);
        let holders = callers.map_or(0, BTreeMap::len) + usize::from(held == 0);
        leaves_a_share(free, held, holders)
    }

    /// How many channels of a table plugins of a server have opened.
    #[cfg(test)]
    pub(crate) fn of(&self, table: Table, server: Key) -> usize {
        self.0.get(&table).and_then(|callers| callers.get(&server)).copied().unwrap_or(0)
    }

    /// Whether nothing is counted.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
