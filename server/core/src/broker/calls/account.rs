//! What streams of calls take up: bytes that wait, on the account of their link, and calls that a
//! callee has to answer, of which each stream leaves a share to others.

use crate::broker::{Broker, ConnId, PluginId};
use crate::ids::EndId;
use crate::limits::Limit;
use crate::reason::{Code, Reason};
use alloc::format;

impl Broker {
    /// Of the calls that a callee may have to answer, a stream leaves as many free as it has
    /// itself, so that one caller cannot use them up, however many it makes.
    pub(crate) fn leaves_a_share(&mut self, callee: PluginId, end: EndId) -> Result<(), Reason> {
        let Some(record) = self.plugins.get(&callee) else { return Ok(()) };
        let most = self.settings.limits.calls;
        let free = most.saturating_sub(record.calls.asked);
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

    /// The account on which messages are charged that wait on a stream.
    pub(crate) fn account(&mut self, conn: Option<ConnId>, plugin: PluginId) -> Option<&mut u64> {
        match conn {
            Some(conn) => self.conns.get_mut(&conn).map(|conn| &mut conn.calls_held),
            None => self.plugins.get_mut(&plugin).map(|record| &mut record.calls.held),
        }
    }

    /// What is on the account on which a stream's messages are charged.
    pub(crate) fn charged(&mut self, end: EndId) -> u64 {
        let conn = self.conn_behind(end);
        let Some(plugin) = self.calls.streams.get(&end).map(|stream| stream.plugin) else {
            return 0;
        };
        self.account(conn, plugin).map_or(0, |account| *account)
    }

    /// The connection over which a plugin's end is joined to another one.
    pub(crate) fn conn_behind(&self, end: EndId) -> Option<ConnId> {
        let peer = self.ends.get(end).and_then(|end| end.peer);
        peer.and_then(|peer| self.ends.get(peer)).and_then(|peer| peer.conn())
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
        if let Some(account) = self.account(old.0, plugin) {
            *account = account.saturating_sub(old.1);
        }
        if let Some(account) = self.account(new.0, plugin) {
            *account += new.1;
        }
    }
}
