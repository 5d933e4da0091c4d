//! Contenders in groups, and the result of one turn of a contender.

use std::time::Duration;

/// The quantity that a group compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metric {
    /// Seconds for each operation: the median of a turn if operations were timed, otherwise the
    /// mean. Less is better.
    Latency,
    /// Bytes for each second. More is better.
    Rate,
}

/// The result of one turn.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sample {
    /// Round trips, calls or messages.
    pub(crate) operations: f64,
    /// Payload.
    pub(crate) bytes: f64,
    /// Wall time.
    pub(crate) seconds: f64,
    /// Processor time of all processes of the contender.
    pub(crate) cpu: f64,
    /// The median and the 99th percentile of an operation in seconds, if each was timed.
    pub(crate) percentiles: Option<(f64, f64)>,
    /// The smallest and the largest share of one of several channels, as multiples of the fair
    /// share.
    pub(crate) shares: Option<(f64, f64)>,
}

impl Sample {
    /// A number of operations that were not timed one by one.
    pub(crate) fn of(operations: u64, bytes: u64, seconds: f64) -> Sample {
        let (operations, bytes) = (operations as f64, bytes as f64);
        Sample { operations, bytes, seconds, ..Sample::default() }
    }

    /// The number that the group compares.
    pub(crate) fn value(&self, metric: Metric) -> f64 {
        match (metric, self.percentiles) {
            (Metric::Latency, Some((median, _))) => median,
            (Metric::Latency, None) => self.seconds / self.operations,
            (Metric::Rate, _) => self.bytes / self.seconds,
        }
    }
}

/// Runs one turn of this length.
pub(crate) type Turn<'a> = Box<dyn FnMut(Duration) -> Result<Sample, String> + 'a>;

/// One of the alternatives that a group compares.
pub(crate) struct Contender<'a> {
    pub(crate) name: String,
    /// The contender of the same group with which it is compared.
    pub(crate) baseline: Option<String>,
    pub(crate) work: Work<'a>,
}

/// A contender's measurement, or why it cannot be measured.
pub(crate) enum Work<'a> {
    Turn(Turn<'a>),
    /// A requirement is missing, for example a program that is not installed.
    Skipped(String),
}

impl<'a> Contender<'a> {
    /// A contender that is measured.
    pub(crate) fn new(
        name: impl Into<String>,
        turn: impl FnMut(Duration) -> Result<Sample, String> + 'a,
    ) -> Self {
        Self { name: name.into(), baseline: None, work: Work::Turn(Box::new(turn)) }
    }

    /// A contender that cannot be measured here.
    pub(crate) fn skipped(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self { name: name.into(), baseline: None, work: Work::Skipped(why.into()) }
    }

    /// Compares it with another one of its group.
    #[must_use]
    pub(crate) fn against(mut self, baseline: impl Into<String>) -> Self {
        self.baseline = Some(baseline.into());
        self
    }
}

/// Contenders that do the same.
pub(crate) struct Group<'a> {
    /// The key for programs and for the plots. Groups of one plot have the same key.
    pub(crate) key: &'static str,
    pub(crate) title: String,
    pub(crate) metric: Metric,
    /// Its place in a plot: bytes of a message, or channels.
    pub(crate) x: usize,
    pub(crate) contenders: Vec<Contender<'a>>,
}
