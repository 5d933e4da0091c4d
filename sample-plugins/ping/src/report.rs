//! The report of a finished run: one line in the log, whose form is stable.

use std::fmt;
use std::time::Duration;

use crate::run::Plan;

/// The outcome of a run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Report {
    plan: Plan,
    /// What each round trip took, in nanoseconds, the shortest first.
    times: Vec<u64>,
    bulk_time: Duration,
}

impl Report {
    pub(crate) fn new(plan: Plan, mut times: Vec<u64>, bulk_time: Duration) -> Self {
        times.sort_unstable();
        Self { plan, times, bulk_time }
    }

    /// The given percentile of the round-trip times, in microseconds.
    fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.times.len() * percent).div_ceil(100).max(1);
        let nanos = self.times.get(rank - 1).copied().unwrap_or(0);
        nanos as f64 / 1e3
    }

    /// The throughput there and back, in megabytes per second.
    fn megabytes_per_second(&self) -> f64 {
        match self.bulk_time.as_secs_f64() {
            0.0 => 0.0,
            seconds => self.plan.bulk as f64 / 1e6 / seconds,
        }
    }

    #[cfg(test)]
    pub(crate) fn round_trips(&self) -> &[u64] {
        &self.times
    }

    #[cfg(test)]
    pub(crate) fn bulk_time(&self) -> Duration {
        self.bulk_time
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { size, count, bulk } = self.plan;
        let (p50, p99) = (self.percentile(50), self.percentile(99));
        let (speed, mib) = (self.megabytes_per_second(), bulk >> 20);
        write!(f, "{count} round trips of {size} bytes, p50 {p50:.1} us, p99 {p99:.1} us, ")?;
        write!(f, "{speed:.1} MB/s over {mib} MiB")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(times: Vec<u64>, bulk: u64) -> Report {
        let plan = Plan { size: 64, count: times.len() as u64, bulk };
        Report::new(plan, times, Duration::from_millis(500))
    }

    #[test]
    fn the_line_is_as_it_was_promised() {
        let times = (1..=100).rev().map(|micros| micros * 1000).collect();
        assert_eq!(
            report(times, 64 << 20).to_string(),
            "100 round trips of 64 bytes, p50 50.0 us, p99 99.0 us, 134.2 MB/s over 64 MiB"
        );
    }

    #[test]
    fn one_round_trip_is_all_percentiles() {
        assert_eq!(
            report(vec![1_234], 0).to_string(),
            "1 round trips of 64 bytes, p50 1.2 us, p99 1.2 us, 0.0 MB/s over 0 MiB"
        );
    }
}
