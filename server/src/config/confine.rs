//! The `[plugin.confine]` tables. Whether the kernel has what they ask for is found out by the
//! process that is confined, see `crate::confine`.

use super::addresses::Context;
use super::file::Kind;
use super::problem::Report;
use super::read::{Table, Text};
use super::{Advertise, Confine, Network, Placement, Writable};
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// Enough for the program itself and its threads, up to the memory of large machines.
const MEMORY_MIB: RangeInclusive<u64> = 64..=1_048_576;
/// A process of more processes than that is no plugin.
const PROCESSES: RangeInclusive<u64> = 1..=4_096;
/// The program itself needs some 25.
const OPEN_FILES: RangeInclusive<u64> = 64..=1_048_576;
/// Of one processor; the largest machines have some hundred.
const CPU_PERCENT: RangeInclusive<u64> = 1..=100_000;

/// The word in `write` for the plugin's data folder.
const DATA: &str = "data";

/// Reads the table of a plugin, if it has one.
pub(super) fn read(
    plugin: &mut Table<'_>,
    context: &Context<'_>,
    kind: Kind,
    placement: Option<Placement>,
    report: &mut Report<'_>,
) -> Option<Confine> {
    let mut table = plugin.table("confine", "[plugin.confine]", report)?;
    refuse_elsewhere(&table, kind, placement, report);
    let line = report.line(table.span());
    let read = table.strings("read", report);
    let read = distinct(read, report, |text, report| path(text, context, report));
    let write = table.strings("write", report);
    let write = distinct(write, report, |text, report| match text.text {
        DATA => Some(Writable::Data),
        _ => path(text, context, report).map(Writable::Path),
    });
    let networks =
        [("none", Network::None), ("loopback", Network::Loopback), ("any", Network::Any)];
    let confine = Confine {
        read,
        write,
        network: table.choice("network", &networks, report).unwrap_or(Network::None),
        memory_mib: table.number("memory-mib", MEMORY_MIB, report),
        processes: table.number("processes", PROCESSES, report).unwrap_or(1),
        open_files: table.number("open-files", OPEN_FILES, report),
        cpu_percent: table.number("cpu-percent", CPU_PERCENT, report),
        user: table.string("user", report).and_then(|text| user(&text, report)),
        best_effort: table.flag("best-effort", report) == Some(true),
        line,
    };
    table.refuse_unknown(report);
    Some(confine)
}

/// A confined plugin makes no unix sockets, and others can reach it only in the network of all.
pub(super) fn refuse_advertise(
    confine: &Confine,
    text: &Text<'_>,
    place: &Advertise,
    report: &mut Report<'_>,
) {
    let why = match (place, confine.network) {
        (Advertise::Net { .. }, Network::Any) => return,
        (Advertise::Net { .. }, Network::None | Network::Loopback) => {
            "nobody can reach this plugin there; remove this, or write `network = \"any\"` in \
             [plugin.confine]"
        }
        (Advertise::Unix, _) => {
            "a confined plugin opens no unix sockets; remove this: its channels go through the \
             server"
        }
    };
    text.reject(report, why);
}

fn refuse_elsewhere(
    table: &Table<'_>,
    kind: Kind,
    placement: Option<Placement>,
    report: &mut Report<'_>,
) {
    let why = match (kind, placement) {
        (Kind::Server, Some(Placement::Process) | None) => return,
        (Kind::Host, _) => "a host's plugins run in the host itself; remove this table",
        (Kind::Server, Some(Placement::Inline | Placement::Thread)) => {
            "only a process of the plugin's own can be confined; remove this table, or add \
             `placement = \"process\"`"
        }
    };
    report.problem(&table.span().clone(), format!("{}: {why}", table.what()));
}

/// What the texts of a list stand for; a text that is there twice is a problem.
fn distinct<T: PartialEq>(
    texts: Vec<Text<'_>>,
    report: &mut Report<'_>,
    read: impl Fn(&Text<'_>, &mut Report<'_>) -> Option<T>,
) -> Vec<T> {
    let mut all = Vec::new();
    for text in texts {
        match read(&text, report) {
            Some(value) if all.contains(&value) => text.reject_duplicate(report),
            value => all.extend(value),
        }
    }
    all
}

/// A file or a folder. It may be missing now: the plugin does not start without it.
fn path(text: &Text<'_>, context: &Context<'_>, report: &mut Report<'_>) -> Option<PathBuf> {
    if text.text.is_empty() {
        text.reject(report, "a file or a folder is needed, such as \"/usr/share/x\"");
        return None;
    }
    Some(context.folder.join(text.text))
}

fn user(text: &Text<'_>, report: &mut Report<'_>) -> Option<String> {
    if text.text.is_empty() || text.text.contains(['\0', ':']) {
        text.reject(report, "not the name of a user; `getent passwd` lists them");
        return None;
    }
    Some(text.text.into())
}
