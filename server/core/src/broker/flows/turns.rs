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
        self.switch.take_unread()
    }

    /// Whether a connection has said more than there was room for, so that it is not read.
    pub fn is_behind(&self, id: ConnId) -> bool {
        self.switch.is_behind(id)
    }

    /// As many of a peer's plugins as are dealt with at once; messages bring the others.
    pub(crate) fn first_part(&mut self, id: ConnId, mut plugins: Vec<Announced>) -> Vec<Announced> {
        self.switch.split(id, &mut plugins);
        self.charge_turn(id, plugins.len());
        plugins
    }

    /// Notes that a peer causes work: for a message or a preface, and for each name in it, of which
    /// the plugins of this process are told.
    pub(crate) fn charge_turn(&mut self, id: ConnId, names: usize) {
        let told = self.registry.plugins_at(Runs::Here) / PLUGINS_FOR_A_UNIT;
        let units = match self.neighbours.uplink() == Some(id) {
            true => (1 + names) / UPLINK_NAMES_FOR_A_UNIT,
            false => 1 + names * (1 + told),
        };
        self.switch.charge_turn(id, u32::try_from(units).unwrap_or(u32::MAX));
    }
}
