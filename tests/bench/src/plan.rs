//! The extent of a run: everything, or what fits in a minute.

use std::time::Duration;

/// The parameters of a run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The name of the plan, for messages.
    pub(crate) name: &'static str,
    /// In each round every contender of a group has one turn. There are at least 5, so that a
    /// median is meaningful.
    pub(crate) rounds: usize,
    /// How long a turn takes.
    pub(crate) turn: Duration,
    /// Message sizes of the throughput plot, in bytes.
    pub(crate) sizes: &'static [usize],
    /// Numbers of channels that share a link.
    pub(crate) channels: &'static [usize],
    /// Numbers of idle channels, in increasing order.
    pub(crate) idle: &'static [usize],
    /// Numbers of plugins in a directory, in increasing order.
    pub(crate) plugins: &'static [usize],
    /// Numbers of links, in increasing order.
    pub(crate) links: &'static [usize],
    /// Only groups whose titles contain this are measured, and no single numbers.
    pub(crate) only: Option<String>,
}

/// The size at which one contender's throughput is compared with another's, in bytes: one quantum.
pub(crate) const BULK: usize = 64 * 1024;

impl Plan {
    /// Everything, in a few minutes.
    pub(crate) fn full() -> Plan {
        Plan {
            name: "full",
            rounds: 7,
            turn: Duration::from_millis(250),
            sizes: &[64, 1024, 16 * 1024, BULK, 1024 * 1024],
            channels: &[1, 10, 100, 1000],
            idle: &[1_000, 10_000, 100_000],
            plugins: &[100, 1_000, 10_000],
            links: &[10, 100, 1_000],
            only: None,
        }
    }

    /// What fits in a minute.
    pub(crate) fn quick() -> Plan {
        Plan {
            name: "quick",
            rounds: 5,
            turn: Duration::from_millis(40),
            sizes: &[64, BULK, 1024 * 1024],
            channels: &[1, 100, 1000],
            idle: &[1_000, 10_000],
            plugins: &[100, 1_000],
            links: &[10, 100],
            only: None,
        }
    }
}
