//! What happened last, for whoever has to understand a failure; and what happened at all.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Events that are kept.
const KEPT: usize = 120;

/// The last events of a run, and a count of each kind of thing that happened.
#[derive(Debug, Default)]
pub struct Trace {
    lines: VecDeque<String>,
    /// Every line is printed at once as well.
    aloud: bool,
    /// How often each kind of fault or behaviour happened.
    pub seen: BTreeMap<&'static str, u64>,
}

impl Trace {
    /// An empty trace; with `TRACE` in the environment, it prints everything.
    pub fn new() -> Trace {
        Trace { aloud: std::env::var_os("TRACE").is_some(), ..Trace::default() }
    }

    /// Keeps a line.
    pub fn note(&mut self, now: Duration, line: std::fmt::Arguments<'_>) {
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        let line = format!("{:>12.6} {line}", now.as_secs_f64());
        if self.aloud {
            eprintln!("{line}");
        }
        self.lines.push_back(line);
    }

    /// Counts something that happened.
    pub fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// The last lines.
    pub fn text(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }
}
