//! Ends that carry calls: of them not the plugin is told whose ends they are, but `calls/`.

use super::Switch;
use crate::ends::Flag;
use crate::ids::{ConnId, EndId, Handle};

impl Switch {
    /// Whether an end carries calls, so that its plugin is not told of it.
    pub(crate) fn carries_calls(&self, handle: Handle) -> bool {
        self.ends.live(handle).is_some_and(|end| end.flags.has(Flag::Calls))
    }

    /// Whether more than the last word can come of an end.
    pub(crate) fn carries_on(&self, id: EndId) -> bool {
        self.ends
            .get(id)
            .is_some_and(|end| !end.flags.has(Flag::Ending) && !end.flags.has(Flag::Muted))
    }

    /// Whether new calls may be written to an end.
    pub(crate) fn takes_calls(&self, id: EndId) -> bool {
        self.ends
            .get(id)
            .is_some_and(|end| !end.flags.has(Flag::Ending) && !end.flags.has(Flag::WriteOver))
    }

    /// Whether nothing more can be written to an end.
    pub(crate) fn is_write_over(&self, id: EndId) -> bool {
        self.ends.get(id).is_some_and(|end| end.flags.has(Flag::WriteOver))
    }

    /// Whether the peer of a connection is another server, or may be one.
    pub(crate) fn is_foreign(&self, conn: ConnId) -> bool {
        self.lines.get(&conn).is_some_and(|line| line.foreign)
    }

    /// The connection over which a plugin's end is joined to another one.
    pub(crate) fn conn_behind(&self, end: EndId) -> Option<ConnId> {
        let peer = self.ends.get(end)?.peer?;
        self.ends.get(peer)?.conn()
    }
}
