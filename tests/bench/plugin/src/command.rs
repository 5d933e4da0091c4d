//! The commands for a driver, and its answers.

use std::time::Duration;

use trunkline_plugin::prelude::*;
use trunkline_plugin::serde::Deserialize;

/// One line on the control socket.
#[derive(Debug, Clone, Deserialize)]
#[serde(crate = "trunkline_plugin::serde", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Command {
    pub(crate) what: What,
    /// The sink's name.
    #[serde(default)]
    to: String,
    /// The name of the sink's server, if there are several.
    #[serde(default)]
    server: Option<String>,
    /// Bytes in a message that is echoed.
    #[serde(default)]
    pub(crate) size: usize,
    /// Bytes in each write of a flood.
    #[serde(default)]
    pub(crate) flood_size: usize,
    /// Channels with round trips, one at a time on each.
    #[serde(default)]
    pub(crate) pings: usize,
    /// Channels with a flood, as fast as the sink reads.
    #[serde(default)]
    pub(crate) floods: usize,
    /// How long a run takes, in milliseconds.
    #[serde(default)]
    pub(crate) ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(crate = "trunkline_plugin::serde", rename_all = "kebab-case")]
pub(crate) enum What {
    /// Measure.
    Run,
    /// Call the sink repeatedly, with `size` bytes.
    Call,
    /// Open `pings` idle channels, and keep them.
    Hold,
    /// End the idle channels.
    Release,
    /// Report the number of plugins in the directory.
    Directory,
}

impl Command {
    pub(crate) fn read(line: &str) -> Result<Self, Reason> {
        Config::from_json(line).read()
    }

    pub(crate) fn target(&self) -> Target {
        match &self.server {
            None => Target::new(&*self.to),
            Some(server) => Target::new(&*self.to).on_server(&**server),
        }
    }
}

/// The report of round trips. Some may have been timed one by one, in nanoseconds.
pub(crate) fn round_trips(took: Duration, count: usize, times: &mut [u64]) -> String {
    times.sort_unstable();
    let at = |percent: usize| {
        let place = times.len().saturating_sub(1) * percent / 100;
        times.get(place).copied().unwrap_or_default()
    };
    let (seconds, p50, p99) = (took.as_secs_f64(), at(50), at(99));
    format!("\"seconds\":{seconds},\"round-trips\":{count},\"p50-ns\":{p50},\"p99-ns\":{p99}")
}

/// An answer with one number.
pub(crate) fn count(count: usize) -> String {
    format!("{{\"count\":{count}}}")
}

/// The answer for an error.
pub(crate) fn error(what: &str) -> String {
    let text: String = what.chars().map(|c| if c == '"' || c == '\\' { '\'' } else { c }).collect();
    format!("{{\"error\":\"{text}\"}}")
}
