//! The `[limits]` table: every number that bounds what a peer may cost the server.

use super::problem::Report;
use super::read::Table;
use std::ops::RangeInclusive;
use std::time::Duration;
use trunkline_core::limits::{Limits, WINDOW};

/// A million of anything is a slip of the fingers, not a wish.
const COUNT: RangeInclusive<u64> = 1..=1_000_000;
/// In bytes: the protocol starts with the least; over 1 GiB is no limit.
const WINDOWS: RangeInclusive<u64> = WINDOW..=(1 << 30);
/// Nobody is helped by a pause of more than an hour.
const MILLISECONDS: RangeInclusive<u64> = 1..=3_600_000;

/// Reads the table over the given limits.
pub(super) fn read(mut table: Table<'_>, limits: &mut Limits, report: &mut Report<'_>) {
    count(&mut table, "half-open", &mut limits.half_open, report);
    milliseconds(&mut table, "handshake-ms", &mut limits.handshake, report);
    count(&mut table, "links", &mut limits.links, report);
    count(&mut table, "streams-per-link", &mut limits.streams, report);
    count(&mut table, "channels-per-plugin", &mut limits.channels, report);
    count(&mut table, "plugins-per-peer", &mut limits.announced, report);
    bytes(&mut table, "stream-window", &mut limits.window, report);
    bytes(&mut table, "stream-window-max", &mut limits.window_max, report);
    bytes(&mut table, "link-window", &mut limits.link_window, report);
    milliseconds(&mut table, "redial-ms", &mut limits.redial_min, report);
    milliseconds(&mut table, "redial-max-ms", &mut limits.redial_max, report);
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

/// A length of time in milliseconds.
pub(super) fn milliseconds(
    table: &mut Table<'_>,
    key: &'static str,
    limit: &mut Duration,
    report: &mut Report<'_>,
) {
    if let Some(number) = table.number(key, MILLISECONDS, report) {
        *limit = Duration::from_millis(number);
    }
}

fn count(table: &mut Table<'_>, key: &'static str, limit: &mut usize, report: &mut Report<'_>) {
    let number = table.number(key, COUNT, report);
    *limit = number.and_then(|number| usize::try_from(number).ok()).unwrap_or(*limit);
}

fn bytes(table: &mut Table<'_>, key: &'static str, limit: &mut u64, report: &mut Report<'_>) {
    *limit = table.number(key, WINDOWS, report).unwrap_or(*limit);
}
