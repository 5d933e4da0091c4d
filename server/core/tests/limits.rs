//! Walks the table of limits in PROTOCOL.md: the defaults are those of the code, and each row is
//! tried with two peers, of which one takes as much as it can and the other still gets its own.

#![allow(clippy::expect_used)] // Helpers of tests may panic as well.

mod raw_link;
#[path = "limits/rows.rs"]
mod rows;

use rows::{ROWS, Tried};
use std::collections::BTreeMap;
use std::time::Duration;
use trunkline_core::limits::{Limits, WINDOW};

/// A row of one of the tables with a key.
#[derive(Debug)]
struct Row {
    what: String,
    key: String,
    default: String,
    charged_to: String,
    share: String,
}

fn document(path: &str) -> String {
    let path = format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The rows of the limits' tables that have keys, and those of the table without.
fn rows() -> (Vec<Row>, Vec<String>) {
    let text = document("PROTOCOL.md");
    let (_, text) = text.split_once("\n## 14. Limits").expect("the section is there");
    let (text, _) = text.split_once("\n### What a peer may cost").expect("it has an end");
    let (keyed, fixed) = text.split_once("\n### Fixed").expect("there are fixed ones");
    let cells = |line: &str| -> Vec<String> {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_string()).collect()
    };
    let table = |text: &str| -> Vec<Vec<String>> {
        let lines = text.lines().filter(|line| line.starts_with('|') && !line.starts_with("|--"));
        lines.map(cells).filter(|cells| cells[0] != "what").collect()
    };
    let row = |cells: Vec<String>| {
        let [what, key, default, charged_to, share, ..] = &cells[..] else {
            panic!("too few cells: {cells:?}")
        };
        let [what, key, default, charged_to, share] =
            [what, key, default, charged_to, share].map(Clone::clone);
        Row { what, key, default, charged_to, share }
    };
    let keyed = table(keyed).into_iter().map(row).collect();
    (keyed, table(fixed).into_iter().map(|cells| cells[0].clone()).collect())
}

/// What a default says, in bytes, milliseconds or pieces.
fn number(text: &str) -> u64 {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let number: u64 = digits.parse().unwrap_or_else(|_| panic!("no number in {text:?}"));
    match text.contains("MiB") {
        true => number << 20,
        false => number,
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("it is short")
}

#[test]
fn each_default_in_the_table_is_that_of_the_code() {
    let limits = Limits::default();
    let known: BTreeMap<&str, u64> = [
        ("half-open", limits.half_open as u64),
        ("handshake-ms", milliseconds(limits.handshake)),
        ("links", limits.links as u64),
        ("heartbeat-ms", milliseconds(limits.heartbeat)),
        ("dead-after-ms", milliseconds(limits.dead_after)),
        ("redial-ms", milliseconds(limits.redial_min)),
        ("redial-max-ms", milliseconds(limits.redial_max)),
        ("nothing-in-common-ms", milliseconds(limits.nothing_in_common)),
        ("outbox", limits.outbox as u64),
        ("control-message", limits.control_message as u64),
        ("streams-per-link", limits.streams as u64),
        ("channels-per-plugin", limits.channels as u64),
        ("stream-window", limits.window),
        ("stream-window-max", limits.window_max),
        ("link-window", limits.link_window),
        ("plugins-per-peer", limits.announced as u64),
        ("invites-per-peer", limits.invited as u64),
        ("tickets-per-process", limits.tickets as u64),
        ("calls-per-plugin", limits.calls as u64),
        ("call-size", limits.call_size as u64),
        ("watchdog-ms", milliseconds(limits.watchdog)),
    ]
    .into();
    for row in rows().0 {
        let expected = match row.key.as_str() {
            "`link-window` / 64 KiB" => limits.link_window / WINDOW,
            // The reserve of unix sockets, which `rows.rs` fills.
            "`links`" if row.default == "64 more" => 64,
            key => known[key.trim_matches('`')],
        };
        assert_eq!(number(&row.default), expected, "{row:?}");
        assert!(!row.charged_to.is_empty() && !row.share.is_empty(), "{row:?}");
    }
}

#[test]
fn each_row_of_the_table_leaves_others_their_own() {
    let (keyed, fixed) = rows();
    assert!(keyed.len() >= 30 && fixed.len() >= 9, "the tables are not found");
    let mut drivers: BTreeMap<&str, &Tried> = ROWS.iter().map(|(what, how)| (*what, how)).collect();
    for what in keyed.iter().map(|row| &row.what).chain(&fixed) {
        let driver = drivers.remove(what.as_str());
        match driver.unwrap_or_else(|| panic!("no driver tries {what:?}; add one to rows.rs")) {
            Tried::Here(driver) => {
                println!("{what}");
                driver();
            }
            Tried::By(file, function) => {
                let text = document(file);
                assert!(text.contains(&format!("fn {function}()")), "{file} has no {function}");
            }
        }
    }
    assert!(drivers.is_empty(), "no row is tried by {:?}", drivers.keys());
}
