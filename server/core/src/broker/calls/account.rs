//! What streams of calls take up: bytes that wait, on the account of their link, and calls that a
//! callee has to answer, of which each stream leaves a share to others.

use super::Calls;
use crate::broker::{Broker, ConnId, PluginId};
use crate::ids::EndId;
use crate::limits::Limit;
use crate::reason::{Code, Reason};
use alloc::format;

impl Broker {
    /// Of the calls that a callee may have to answer, a stream leaves as many free as it has
    /// itself, so that one caller cannot use them up, however many it makes.
    pub(crate) fn leaves_a_share(&mut self, callee: PluginId, end: EndId) -> Result<(), Reason> {
        let Some(record) = self.registry.plugin(callee) else { return Ok(()) };
        let asked = self.calls.counts(callee).asked;
        let most = self.settings.limits.calls;
        let free = most.saturating_sub(asked);
        let taken = self.calls.streams.get(&end).map_or(0, |stream| stream.numbers.len());
        if taken <= free {
            return Ok(());
        }
        let name = &record.config.name;
        let text =
            format!("{name} has {taken} of these calls to answer, and {free} are for others");
        self.counters.count(Limit::Calls);
        Err(Reason::server(Code::TooManyCalls, text))
    }

    /// What is on the account on which a stream's messages are charged.
    pub(crate) fn charged(&self, end: EndId) -> u64 {
        let conn = self.conn_behind(end);
        let Some(plugin) = self.calls.streams.get(&end).map(|stream| stream.plugin) else {
            return 0;
        };
        self.calls.held(conn, plugin)
    }

    /// The connection over which a plugin's end is joined to another one.
    pub(crate) fn conn_behind(&self, end: EndId) -> Option<ConnId> {
        let peer = self.switch.end(end)?.peer?;
        self.switch.end(peer)?.conn()
    }

    /// Brings the account up to what a stream's messages cost now.
    pub(crate) fn charge_calls(&mut self, end: EndId) {
        let conn = self.conn_behind(end);
        let Some(stream) = self.calls.streams.get_mut(&end) else { return };
        let plugin = stream.plugin;
        let new = (conn, stream.held());
        let old = core::mem::replace(&mut stream.charged, new);
        if old == new {
            return;
        }
        self.calls.release(old, plugin);
        self.calls.charge(new, plugin);
    }
}

impl Calls {
    /// What messages cost that wait on streams of a connection, or of a plugin within this process.
    pub(crate) fn held(&self, conn: Option<ConnId>, plugin: PluginId) -> u64 {
        match conn {
            Some(conn) => self.held_by_conn.get(&conn).copied().unwrap_or(0),
            None => self.counts(plugin).held,
        }
    }

    pub(super) fn charge(&mut self, (conn, amount): (Option<ConnId>, u64), plugin: PluginId) {
        match conn {
            Some(conn) if amount > 0 => *self.held_by_conn.entry(conn).or_default() += amount,
            Some(_) => {}
            None => self.change_counts(plugin, |counts| counts.held += amount),
        }
    }

    pub(super) fn release(&mut self, (conn, amount): (Option<ConnId>, u64), plugin: PluginId) {
        let Some(conn) = conn else {
            self.change_counts(plugin, |counts| counts.held = counts.held.saturating_sub(amount));
            return;
        };
        if let Some(held) = self.held_by_conn.get_mut(&conn) {
            *held = held.saturating_sub(amount);
            if *held == 0 {
                self.held_by_conn.remove(&conn);
            }
        }
    }
}
