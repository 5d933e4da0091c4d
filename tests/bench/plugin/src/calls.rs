//! Calls to the sink, one after another.

use std::time::{Duration, Instant};

use trunkline_plugin::prelude::*;

use crate::command::{Command, round_trips};

/// Calls between two readings of the clock, if they return at once. A reading takes as long as a
/// call.
const BATCH: usize = 256;

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// The calls of a measurement.
pub(crate) struct Calls {
    target: Target,
    request: Vec<u8>,
    length: Duration,
    began: Instant,
    asked: Instant,
    count: usize,
    /// Nanoseconds of each call that did not return at once.
    times: Vec<u64>,
}

/// Their results.
type Progress = Result<Option<String>, String>;

impl Calls {
    pub(crate) fn new(command: &Command) -> Self {
        let now = Instant::now();
        Self {
            target: command.target(),
            request: vec![7; command.size],
            length: Duration::from_millis(command.ms),
            began: now,
            asked: now,
            count: 0,
            times: Vec::new(),
        }
    }

    /// Makes calls until the time is over, and then reports, or until a call does not return at
    /// once.
    pub(crate) fn go_on(&mut self, host: &Host) -> Progress {
        while self.began.elapsed() < self.length {
            for _ in 0..BATCH {
                match host.call(&self.target, &self.request, DEADLINE) {
                    Called::Over(outcome) => self.check(outcome.as_deref())?,
                    Called::Pending(_) => return Ok(None),
                }
            }
        }
        let trips = round_trips(self.began.elapsed(), self.count, &mut self.times);
        Ok(Some(format!("{{{trips}}}")))
    }

    /// Handles the answer to a call that did not return at once.
    pub(crate) fn reply(&mut self, host: &Host, outcome: Result<&[u8], &Unanswered>) -> Progress {
        self.check(outcome)?;
        let now = Instant::now();
        self.times.push(now.duration_since(self.asked).as_nanos() as u64);
        self.asked = now;
        self.go_on(host)
    }

    fn check(&mut self, outcome: Result<&[u8], &Unanswered>) -> Result<(), String> {
        let answer = outcome.map_err(ToString::to_string)?;
        self.count += 1;
        match answer.len() == self.request.len() {
            true => Ok(()),
            false => Err("an answer is not as long as its request".to_owned()),
        }
    }
}

/// Makes calls of this size within a server. The reason contains the result.
pub(crate) fn repeat(host: &Host, times: u64, size: usize) -> Reason {
    let sink = Target::new("sink");
    let request = vec![7; size];
    for _ in 0..times {
        match host.call(&sink, &request, DEADLINE) {
            Called::Over(Ok(answer)) if answer.len() == size => {}
            called => return Reason::new("not-answered", format!("a call came to {called:?}")),
        }
    }
    Reason::new("all-answered", format!("{times} calls were answered"))
}
