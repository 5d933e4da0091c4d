//! The stderr of a process, collected line by line while it runs.

use super::PATIENCE;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The lines of one process so far.
#[derive(Clone, Debug)]
pub struct Log(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    grown: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<String>,
    ended: bool,
    /// Nothing more is read for now.
    stopped: bool,
}

impl Log {
    /// Collects on a thread of its own, which ends with the process.
    pub fn collect(source: impl Read + Send + 'static) -> Log {
        let log = Log(Arc::default());
        let shared = log.0.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(source).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                shared.wait_while_stopped();
                shared.change(|state| state.lines.push(line));
            }
            shared.change(|state| state.ended = true);
        });
        log
    }

    /// Stops reading, so that the pipe becomes full.
    pub fn stop_reading(&self) {
        self.0.change(|state| state.stopped = true);
    }

    /// Reads again.
    pub fn read_on(&self) {
        self.0.change(|state| state.stopped = false);
    }

    /// How many lines there are: a position in the log, from which [`Log::since`] reads.
    #[must_use]
    pub fn mark(&self) -> usize {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).lines.len()
    }

    /// The lines behind a position.
    #[must_use]
    pub fn since(&self, mark: usize) -> Vec<String> {
        let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.lines.get(mark..).unwrap_or_default().to_vec()
    }

    /// All lines as one text.
    #[must_use]
    pub fn text(&self) -> String {
        self.since(0).join("\n")
    }

    /// Waits for a line behind a position that contains a text.
    ///
    /// # Panics
    ///
    /// When the line does not arrive in time, or the process ends without it.
    pub fn wait_for(&self, mark: usize, text: &str) -> String {
        self.find(mark, text).unwrap_or_else(|why| panic!("no line with {text:?}: {why}"))
    }

    /// As [`Log::wait_for`], with an error that contains the log.
    ///
    /// # Errors
    ///
    /// When the line does not come in time, or the process ends without it.
    pub fn find(&self, mark: usize, text: &str) -> Result<String, String> {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = mark;
        loop {
            let mut new = state.lines.get(next..).unwrap_or_default().iter();
            if let Some(line) = new.find(|line| line.contains(text)) {
                return Ok(line.clone());
            }
            next = next.max(state.lines.len());
            let left = deadline.saturating_duration_since(Instant::now());
            if state.ended || left.is_zero() {
                let what = if state.ended { "the process ended" } else { "it did not arrive" };
                return Err(format!("{what}; the log is\n{}", state.lines.join("\n")));
            }
            let waited = self.0.grown.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until there are more lines than `seen`, but not longer than `most`.
    pub(super) fn wait_for_more(&self, seen: usize, most: Duration) {
        let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let nothing_new = |state: &mut State| state.lines.len() == seen && !state.ended;
        drop(self.0.grown.wait_timeout_while(state, most, nothing_new));
    }

    /// Waits until the process has closed its stderr, so that all lines are there.
    pub fn wait_for_end(&self) {
        let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.0.grown.wait_timeout_while(state, PATIENCE, |state| !state.ended));
    }
}

impl Shared {
    fn wait_while_stopped(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.grown.wait_while(state, |state| state.stopped));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.grown.notify_all();
    }
}
