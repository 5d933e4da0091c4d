//! The streams of calls between `Calls`, which knows what is said on them, and the switch, which
//! carries their bytes. What one has to be done by the other is done at once, so that it is done
//! before the next message is read or the next call ends.

use crate::broker::calls::reading::Read;
use crate::broker::calls::streams::{Closed, Listener};
use crate::broker::calls::{CallTimer, Calls, StreamEvent};
use crate::broker::effect::{Caller, Effects, Told};
use crate::broker::switch::Switch;
use crate::ids::{EndId, Handle, PluginId};
use crate::reason::Reason;

/// What a plugin would be told of a channel, if it did not carry calls.
pub(crate) fn told(
    calls: &mut Calls,
    switch: &mut Switch,
    (plugin, told): (PluginId, Told),
    effects: &mut Effects,
) {
    let Some(end) = told.channel().and_then(Handle::id) else { return };
    match told {
        Told::Open(_, caller) => accept(calls, switch, (plugin, end), caller, effects),
        Told::Opened(_) => calls.stream_is_up(end),
        Told::Credit(_) => write(calls, switch, end, effects),
        Told::Deliver(_) if switch.carries_on(end) => {
            let kept = switch.inbox_of(end);
            bytes(calls, switch, end, &kept, effects);
        }
        // The caller closes when nothing is left to say.
        Told::Close(_) | Told::StopRead(_) => close(switch, end, effects),
        Told::Ended(_, reason) => calls.stream_over(end, reason, effects),
        Told::Deliver(_)
        | Told::Directory(_)
        | Told::Link(_)
        | Told::Timer(_)
        | Told::Call(..)
        | Told::Cancelled(_)
        | Told::Reply(..) => {}
    }
    settle(calls, switch, effects);
}

/// Bytes came on a stream. What comes behind a broken rule is not read.
pub(crate) fn bytes(
    calls: &mut Calls,
    switch: &mut Switch,
    end: EndId,
    bytes: &[u8],
    effects: &mut Effects,
) {
    let mut input = bytes;
    while switch.carries_on(end) {
        let read = calls.read(end, &mut input, effects);
        settle(calls, switch, effects);
        if read != Read::Message {
            break;
        }
    }
    calls.charge_stream(end, switch.conn_behind(end));
    if switch.carries_on(end) {
        switch.consumed_by(end, bytes.len(), effects);
    }
}

/// A plugin of this process is over, and so is all that it had to do with calls.
pub(crate) fn plugin_over(
    calls: &mut Calls,
    switch: &mut Switch,
    plugin: PluginId,
    reason: &Reason,
    effects: &mut Effects,
) {
    for call in calls.plugin_over(plugin, reason) {
        calls.end_call_of(plugin, call, reason, effects);
        settle(calls, switch, effects);
    }
    for end in calls.end_streams_of(plugin) {
        switch.leave_in_order(end, effects);
    }
}

/// The time of a call or a stream is over.
pub(crate) fn time_is_over(
    calls: &mut Calls,
    switch: &Switch,
    timer: CallTimer,
    effects: &mut Effects,
) {
    match timer {
        CallTimer::Deadline(call) => calls.time_is_over(call, effects),
        CallTimer::Idle(end) => {
            let closed = match switch.is_write_over(end) {
                true => Closed::ByUs,
                false => Closed::No,
            };
            calls.look_at_idle(end, closed);
        }
    }
}

/// Does what calls have to be done to their streams.
fn settle(calls: &mut Calls, switch: &mut Switch, effects: &mut Effects) {
    while let Some(event) = calls.next_stream_event() {
        perform(calls, switch, event, effects);
    }
}

/// Does one thing that calls have to be done to a stream.
pub(crate) fn perform(
    calls: &mut Calls,
    switch: &mut Switch,
    event: StreamEvent,
    effects: &mut Effects,
) {
    match event {
        StreamEvent::Write(end) => write(calls, switch, end, effects),
        StreamEvent::Close(end) => close(switch, end, effects),
        StreamEvent::Abort(end, reason) => abort(switch, end, reason, effects),
    }
}

/// A stream of calls has come to a plugin of this process.
fn accept(
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

/// Writes what waits, as far as there is room; `Credit` goes on.
fn write(calls: &mut Calls, switch: &mut Switch, end: EndId, effects: &mut Effects) {
    let Some(sender) = calls.sender(end) else { return };
    loop {
        let bytes = sender.bytes();
        let length = bytes.len();
        if length == 0 {
            break;
        }
        // What is written to a stream that is over, or was closed, is not read.
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
fn close(switch: &mut Switch, end: EndId, effects: &mut Effects) {
    if switch.carries_on(end) {
        switch.close_end(end, effects);
    }
}

/// Ends a stream in both directions.
fn abort(switch: &mut Switch, end: EndId, reason: Reason, effects: &mut Effects) {
    if switch.carries_on(end) {
        switch.abort_from(end, reason, effects);
    }
}
