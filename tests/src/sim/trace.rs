//! The last events of a run, to understand a failure, and counts of the kinds of events.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Lines that are kept.
const KEPT: usize = 120;

/// The last events of a run, and the count of each kind of event.
#[derive(Debug, Default)]
pub struct Trace {
    lines: VecDeque<String>,
    /// Every line is also printed at once.
    prints: bool,
    /// How often each kind of fault or behaviour happened.
    pub seen: BTreeMap<&'static str, u64>,
}

impl Trace {
    /// An empty trace. With `TRACE` in the environment, every line is printed.
    pub fn new() -> Trace {
        Trace { prints: std::env::var_os("TRACE").is_some(), ..Trace::default() }
    }

    /// Keeps a line.
    pub fn note(&mut self, now: Duration, line: std::fmt::Arguments<'_>) {
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        let line = format!("{:>12.6} {line}", now.as_secs_f64());
        if self.prints {
            eprintln!("{line}");
        }
        self.lines.push_back(line);
    }

    /// Counts an event.
    pub fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// The last lines.
    pub fn text(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }
}
