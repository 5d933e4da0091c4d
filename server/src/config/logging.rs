//! The `[log]` table, and the levels of plugins.

use super::problem::Report;
use super::read::Table;
use log::LevelFilter;
use std::path::PathBuf;

/// Where journald listens for its native protocol.
const JOURNALD_SOCKET: &str = "/run/systemd/journal/socket";

/// Longest path of a socket, in bytes.
const PATH_MAX: usize = 107;

/// The values of a level.
const LEVELS: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::Off),
    ("error", LevelFilter::Error),
    ("warn", LevelFilter::Warn),
    ("info", LevelFilter::Info),
    ("debug", LevelFilter::Debug),
    ("trace", LevelFilter::Trace),
];

/// How the log is written. `RUST_LOG` takes the place of the levels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Where it goes.
    pub target: LogTarget,
    /// The least important level that is written, except where a plugin has one of its own.
    pub level: LevelFilter,
}

/// Where the log goes, and in which form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Lines on stderr.
    Stderr(LogFormat),
    /// Records for journald, at this socket.
    Journald(PathBuf),
}

/// The form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig { target: LogTarget::Stderr(LogFormat::Text), level: LevelFilter::Info }
    }
}

/// The values of `target`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Stderr,
    Journald,
}

/// Reads the table.
pub(super) fn read(mut table: Table<'_>, report: &mut Report<'_>) -> LogConfig {
    let format = table.string("format", report);
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let chosen = format.as_ref().and_then(|text| text.choice(&formats, report));
    let targets = [("stderr", Target::Stderr), ("journald", Target::Journald)];
    let target = table.choice("target", &targets, report).unwrap_or(Target::Stderr);
    let level = level(&mut table, "level", report).unwrap_or(LevelFilter::Info);
    let socket = table.string("journald-socket", report);
    if let (Target::Journald, Some(LogFormat::Json), Some(text)) = (target, chosen, &format) {
        let why = "records of the journal have fields, and no format; remove this";
        text.reject(report, why);
    }
    if let (Target::Stderr, Some(text)) = (target, &socket) {
        text.reject(report, "add `target = \"journald\"`, or remove this");
    }
    let path = socket.map_or_else(
        || JOURNALD_SOCKET.to_owned(),
        |text| {
            if !text.text.starts_with('/') || text.text.len() > PATH_MAX {
                text.reject(report, format!("not an absolute path of at most {PATH_MAX} bytes"));
            }
            text.text.to_owned()
        },
    );
    table.refuse_unknown(report);
    let target = match target {
        Target::Stderr => LogTarget::Stderr(chosen.unwrap_or(LogFormat::Text)),
        Target::Journald => LogTarget::Journald(path.into()),
    };
    LogConfig { target, level }
}

/// A level, if the key is there.
pub(super) fn level(
    table: &mut Table<'_>,
    key: &'static str,
    report: &mut Report<'_>,
) -> Option<LevelFilter> {
    table.choice(key, &LEVELS, report)
}

/// How a level is sent to the process of a plugin: as its word.
pub(super) mod level_as_word {
    use log::LevelFilter;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(in crate::config) fn serialize<S: Serializer>(
        level: &Option<LevelFilter>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        level.map(|level| level.as_str()).serialize(to)
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<LevelFilter>, D::Error> {
        let word = Option::<String>::deserialize(from)?;
        word.map(|word| word.parse().map_err(D::Error::custom)).transpose()
    }
}
