//! The streams of calls between `Calls`, which knows what is said on them, and the switch, which
//! carries their bytes.

use crate::broker::calls::Calls;
use crate::broker::calls::reading::Read;
use crate::broker::calls::streams::{Closed, Listener};
use crate::broker::effect::{Caller, Effects};
use crate::broker::switch::Switch;
use crate::ids::{EndId, PluginId};
use crate::reason::Reason;

/// A stream of calls has come to a plugin of this process.
pub(super) fn accept(
    calls: &mut Calls,
    switch: &mut Switch,
    (callee, end): (PluginId, EndId),
    caller: Caller,
    effects: &mut Effects,
) {
    let conn = switch.conn_behind(end);
    let listener = match conn.is_some_and(|conn| switch.is_foreign(conn)) {
        true => Listener::OtherServer,
        false => Listener::OurServer,
    };
    calls.stream_accepted((callee, end), caller, conn, listener);
    switch.accept_end(callee, end, effects);
}

/// Reads the next message out of bytes that came on a stream; what comes behind a broken rule is
/// not read.
pub(super) fn read(
    calls: &mut Calls,
    switch: &Switch,
    end: EndId,
    input: &mut &[u8],
    effects: &mut Effects,
) -> Read {
    match switch.carries_on(end) {
        true => calls.read(end, input, effects),
        false => Read::All,
    }
}

/// So many bytes that came on a stream were read.
pub(super) fn all_read(
    calls: &mut Calls,
    switch: &mut Switch,
    end: EndId,
    count: usize,
    effects: &mut Effects,
) {
    calls.charge_stream(end, switch.conn_behind(end));
    if switch.carries_on(end) {
        switch.consumed_by(end, count, effects);
    }
}

/// Writes what waits, as far as there is room; `Credit` goes on.
pub(super) fn write(calls: &mut Calls, switch: &mut Switch, end: EndId, effects: &mut Effects) {
    let Some(sender) = calls.sender(end) else { return };
    loop {
        let bytes = sender.bytes();
        let length = bytes.len();
        if length == 0 {
            break;
        }
        // Nobody reads what is written to a stream that is over, or was closed.
        let taken = match switch.carries_on(end) {
            true => switch.write_end(end, bytes, effects).unwrap_or(length),
            false => length,
        };
        sender.advance(taken);
        if taken < length {
            break;
        }
    }
    calls.charge_stream(end, switch.conn_behind(end));
}

/// A stream is not needed, and is closed behind what it has to write.
pub(super) fn close(switch: &mut Switch, end: EndId, effects: &mut Effects) {
    if switch.carries_on(end) {
        switch.close_end(end, effects);
    }
}

/// Ends a stream in both directions.
pub(super) fn abort(switch: &mut Switch, end: EndId, reason: Reason, effects: &mut Effects) {
    if switch.carries_on(end) {
        switch.abort_from(end, reason, effects);
    }
}

/// A stream may be idle.
pub(super) fn look_at_idle(calls: &mut Calls, switch: &Switch, end: EndId) {
    let closed = match switch.is_write_over(end) {
        true => Closed::ByUs,
        false => Closed::No,
    };
    calls.look_at_idle(end, closed);
}
