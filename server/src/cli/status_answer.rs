//! A server's answer to `status`, as far as the command line reads it. Fields that a server of an
//! earlier release does not send have a default; unknown fields of a later one are skipped.

use crate::confine::Report;
use serde::Deserialize;

/// A status. Counts are bytes, durations are microseconds.
#[derive(Deserialize)]
pub(super) struct Status {
    /// The version of the form; absent before version 2.
    pub(super) schema: Option<u64>,
    pub(super) server: Server,
    pub(super) plugins: Vec<Plugin>,
    pub(super) links: Vec<Link>,
    pub(super) channels: Vec<Channel>,
}

#[derive(Deserialize)]
pub(super) struct Server {
    pub(super) name: String,
    pub(super) key: String,
    pub(super) addresses: Vec<String>,
    pub(super) uptime_us: u64,
    pub(super) version: String,
}

#[derive(Deserialize)]
pub(super) struct Plugin {
    pub(super) name: String,
    pub(super) version: u64,
    pub(super) state: String,
    pub(super) reason: Option<String>,
    pub(super) placement: String,
    pub(super) server: String,
    pub(super) channels: u64,
    pub(super) calls_made: Option<u64>,
    pub(super) calls_to_answer: Option<u64>,
    /// A server of an earlier release does not say so.
    pub(super) confined: Option<Report>,
}

#[derive(Deserialize)]
pub(super) struct Link {
    pub(super) peer: String,
    pub(super) name: String,
    pub(super) role: String,
    pub(super) address: String,
    pub(super) state: String,
    pub(super) streams: u64,
    /// A server of an earlier release does not say so.
    pub(super) plugins: Option<u64>,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) rtt_us: Option<u64>,
    /// Whether the configuration keeps the link; from version 2 on.
    #[serde(default)]
    pub(super) keep: bool,
    pub(super) reason: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Channel {
    pub(super) id: u64,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) route: String,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
}
