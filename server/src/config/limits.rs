//! The `[limits]` table: bounds of what peers and plugins may cost a process.

use super::problem::Report;
use super::read::Table;
use std::ops::RangeInclusive;
use std::time::Duration;
use trunkline_core::limits::{Limits, WINDOW};
use trunkline_core::link::GLOBAL_CREDIT;

/// More than a million of anything is taken for a typing error.
const COUNT: RangeInclusive<u64> = 1..=1_000_000;
/// Each side may have as many open as its initial global credit allows.
const STREAMS: RangeInclusive<u64> = 1..=2 * GLOBAL_CREDIT;
/// In bytes. The least is the protocol's initial window; more than 1 GiB would be no limit.
const WINDOWS: RangeInclusive<u64> = WINDOW..=(1 << 30);
/// In bytes. The longest control message must fit; more than 1 GiB would be no limit.
const OUTBOX: RangeInclusive<u64> = 65_536..=(1 << 30);
/// In bytes. The least is one piece of a message; more than 1 GiB would be no limit.
const CALL_SIZE: RangeInclusive<u64> = 16_384..=(1 << 30);
/// In bytes. The least is what the protocol allows every peer to send.
const CONTROL_MESSAGE: RangeInclusive<u64> = 65_536..=1_048_576;
/// A pause of more than an hour is of no use.
const MILLISECONDS: RangeInclusive<u64> = 1..=3_600_000;

/// Replaces the given limits by those in the table.
pub(super) fn read(mut table: Table<'_>, limits: &mut Limits, report: &mut Report<'_>) {
    size(&mut table, "half-open", COUNT, &mut limits.half_open, report);
    milliseconds(&mut table, "handshake-ms", &mut limits.handshake, report);
    size(&mut table, "links", COUNT, &mut limits.links, report);
    size(&mut table, "streams-per-link", STREAMS, &mut limits.streams, report);
    size(&mut table, "channels-per-plugin", COUNT, &mut limits.channels, report);
    size(&mut table, "calls-per-plugin", COUNT, &mut limits.calls, report);
    size(&mut table, "call-size", CALL_SIZE, &mut limits.call_size, report);
    size(&mut table, "plugins-per-peer", COUNT, &mut limits.announced, report);
    size(&mut table, "invites-per-peer", COUNT, &mut limits.invited, report);
    size(&mut table, "tickets-per-process", COUNT, &mut limits.tickets, report);
    bytes(&mut table, "stream-window", &mut limits.window, report);
    bytes(&mut table, "stream-window-max", &mut limits.window_max, report);
    bytes(&mut table, "link-window", &mut limits.link_window, report);
    milliseconds(&mut table, "redial-ms", &mut limits.redial_min, report);
    milliseconds(&mut table, "redial-max-ms", &mut limits.redial_max, report);
    milliseconds(&mut table, "nothing-in-common-ms", &mut limits.nothing_in_common, report);
    size(&mut table, "outbox", OUTBOX, &mut limits.outbox, report);
    size(&mut table, "control-message", CONTROL_MESSAGE, &mut limits.control_message, report);
    milliseconds(&mut table, "watchdog-ms", &mut limits.watchdog, report);
    let windows = [limits.window, limits.window_max, limits.link_window];
    if !windows.is_sorted() {
        let [start, max, link] = windows;
        let rule = "`stream-window` <= `stream-window-max` <= `link-window` must hold";
        report.problem(table.span(), format!("[limits]: {rule}; these are {start}, {max}, {link}"));
    }
    if limits.redial_min > limits.redial_max {
        let message = "[limits]: `redial-max-ms` must not be less than `redial-ms`";
        report.problem(table.span(), message.into());
    }
    table.refuse_unknown(report);
}

/// The default limits, with the heartbeat of `[server]` or `[host]`.
pub(super) fn pauses(table: &mut Table<'_>, report: &mut Report<'_>) -> Limits {
    let mut limits = Limits::default();
    milliseconds(table, "heartbeat-ms", &mut limits.heartbeat, report);
    milliseconds(table, "dead-after-ms", &mut limits.dead_after, report);
    if limits.dead_after <= limits.heartbeat {
        let what = table.what();
        let (dead_after, heartbeat) = (limits.dead_after.as_millis(), limits.heartbeat.as_millis());
        let message = format!(
            "{what}: `dead-after-ms` must be more than `heartbeat-ms`; these are {dead_after} and \
             {heartbeat}"
        );
        report.problem(table.span(), message);
    }
    limits
}

fn milliseconds(
    table: &mut Table<'_>,
    key: &'static str,
    limit: &mut Duration,
    report: &mut Report<'_>,
) {
    if let Some(number) = table.number(key, MILLISECONDS, report) {
        *limit = Duration::from_millis(number);
    }
}

fn size(
    table: &mut Table<'_>,
    key: &'static str,
    range: RangeInclusive<u64>,
    limit: &mut usize,
    report: &mut Report<'_>,
) {
    let number = table.number(key, range, report);
    *limit = number.and_then(|number| usize::try_from(number).ok()).unwrap_or(*limit);
}

fn bytes(table: &mut Table<'_>, key: &'static str, limit: &mut u64, report: &mut Report<'_>) {
    *limit = table.number(key, WINDOWS, report).unwrap_or(*limit);
}
