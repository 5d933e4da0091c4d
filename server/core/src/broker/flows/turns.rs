//! What peers ask for in one turn of the loop, and what waits for the next one.

use crate::broker::registry::plugins::Runs;
use crate::broker::{Broker, ConnId};
use crate::control::Announced;
use alloc::vec::Vec;

/// Plugins of this process that can be told of a change for as much work as noting it is.
const PLUGINS_FOR_A_UNIT: usize = 8;

/// Names from the server of a host that count as one: the directory of all servers comes over the
/// link on which its channels travel, and must not hold them up.
const UPLINK_NAMES_FOR_A_UNIT: usize = 8;

impl Broker {
    /// Connections that have said more than the last turn had room for, with the rest of it: give
    /// it to [`receive`](Broker::receive), which may keep some of it again.
    pub fn take_unread(&mut self) -> Vec<(ConnId, Vec<u8>)> {
        if self.behind.is_empty() {
            return Vec::new();
        }
        let behind = core::mem::take(&mut self.behind);
        let unread = |id| Some((id, self.conns.get_mut(&id)?.unread.take()?));
        behind.into_iter().filter_map(unread).collect()
    }

    /// Whether a connection has said more than there was room for, so that it is not read.
    pub fn is_behind(&self, id: ConnId) -> bool {
        self.conns.get(&id).is_some_and(|conn| conn.unread.is_some())
    }

    /// Keeps the rest of what a connection says for the next turn.
    #[cold]
    pub(crate) fn put_off(&mut self, id: ConnId, input: &mut &[u8]) {
        let rest = core::mem::take(input);
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if rest.is_empty() && !conn.link.has_messages() {
            return;
        }
        match &mut conn.unread {
            Some(unread) => unread.extend_from_slice(rest),
            None => {
                conn.unread = Some(rest.to_vec());
                self.behind.push(id);
            }
        }
    }

    /// As many of a peer's plugins as are dealt with at once; messages bring the others.
    pub(crate) fn first_part(&mut self, id: ConnId, mut plugins: Vec<Announced>) -> Vec<Announced> {
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.link.split(&mut plugins);
        }
        self.charge_turn(id, plugins.len());
        plugins
    }

    /// Notes that a peer causes work: for a message or a preface, and for each name in it, of which
    /// the plugins of this process are told.
    pub(crate) fn charge_turn(&mut self, id: ConnId, names: usize) {
        let told = self.registry.plugins_at(Runs::Here) / PLUGINS_FOR_A_UNIT;
        let units = match self.uplink() == Some(id) {
            true => (1 + names) / UPLINK_NAMES_FOR_A_UNIT,
            false => 1 + names * (1 + told),
        };
        if let Some(conn) = self.conns.get_mut(&id) {
            self.turn.charge(&mut conn.used, u32::try_from(units).unwrap_or(u32::MAX));
        }
    }
}
