//! One run as pure bookkeeping: how much to send, and what the times mean. It sends nothing and has
//! no clock.

use std::time::Duration;

use crate::report::Report;

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Bytes in a message.
    pub(crate) size: u64,
    /// Round trips of a message, one after another.
    pub(crate) count: u64,
    /// Bytes that are sent there and back after them.
    pub(crate) bulk: u64,
}

/// A run that is not finished. Times are those since it began.
#[derive(Debug)]
pub(crate) struct Run {
    plan: Plan,
    sent: u64,
    received: u64,
    /// When the current message was first written.
    asked: Duration,
    /// What each round trip took, in nanoseconds.
    times: Vec<u64>,
    /// When the last round trip ended.
    bulk_since: Duration,
}

/// More came back than was sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMuch;

impl Run {
    pub(crate) fn new(plan: Plan) -> Self {
        let (asked, bulk_since) = Default::default();
        Self { plan, sent: 0, received: 0, asked, times: Vec::new(), bulk_since }
    }

    /// How many bytes may be sent now.
    pub(crate) fn to_send(&self) -> u64 {
        let Plan { size, count, bulk } = self.plan;
        let until = match self.round_trips() < count {
            true => (self.round_trips() + 1) * size,
            false => count * size + bulk,
        };
        until - self.sent
    }

    /// This many bytes are being sent, beginning at `now`.
    pub(crate) fn sent(&mut self, count: u64, now: Duration) {
        if self.round_trips() < self.plan.count && self.sent == self.received {
            self.asked = now;
        }
        self.sent += count;
    }

    /// This many bytes came back. Returns the report after the last byte of the run.
    pub(crate) fn received(
        &mut self,
        count: u64,
        now: Duration,
    ) -> Result<Option<Report>, TooMuch> {
        self.received += count;
        if self.received > self.sent {
            return Err(TooMuch);
        }
        let Plan { size, count, bulk } = self.plan;
        if self.round_trips() < count && self.received == (self.round_trips() + 1) * size {
            let took = now.saturating_sub(self.asked).as_nanos();
            self.times.push(u64::try_from(took).unwrap_or(u64::MAX));
            self.bulk_since = now;
        }
        let over = self.received == count * size + bulk;
        Ok(over.then(|| self.report(now)))
    }

    fn round_trips(&self) -> u64 {
        self.times.len() as u64
    }

    fn report(&mut self, now: Duration) -> Report {
        let bulk_time = now.saturating_sub(self.bulk_since);
        Report::new(self.plan, std::mem::take(&mut self.times), bulk_time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan { size: 10, count: 2, bulk: 100 };

    fn at(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    #[test]
    fn round_trips_are_sequential_and_bulk_is_sent_at_once() {
        let mut run = Run::new(PLAN);
        assert_eq!(run.to_send(), 10);
        run.sent(4, at(0));
        assert_eq!(run.to_send(), 6, "the rest of a message that was not taken whole");
        run.sent(6, at(1));
        assert_eq!(run.to_send(), 0, "the first has to come back before the second goes");
        assert_eq!(run.received(3, at(2)), Ok(None));
        assert_eq!(run.to_send(), 0);
        assert_eq!(run.received(7, at(5)), Ok(None));
        assert_eq!(run.to_send(), 10);
        run.sent(10, at(6));
        assert_eq!(run.received(10, at(9)), Ok(None));
        assert_eq!(run.to_send(), 100);
        run.sent(100, at(9));
        assert_eq!(run.to_send(), 0);
        assert_eq!(run.received(99, at(10)), Ok(None));
        let report = run.received(1, at(19)).unwrap().expect("the run is over");
        assert_eq!(report.round_trips(), [3_000, 5_000], "from the first byte to the last");
        assert_eq!(report.bulk_time(), at(10));
    }

    #[test]
    fn a_run_without_bulk_ends_with_the_last_round_trip() {
        let mut run = Run::new(Plan { size: 1, count: 1, bulk: 0 });
        run.sent(1, at(0));
        assert!(run.received(1, at(1)).unwrap().is_some());
    }

    #[test]
    fn more_bytes_back_than_sent_is_an_error() {
        let mut run = Run::new(PLAN);
        run.sent(5, at(0));
        assert_eq!(run.received(6, at(1)), Err(TooMuch));
    }
}
