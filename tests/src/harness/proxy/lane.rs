//! One direction of one connection: bytes that wait until they are due, and the faults among them.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// How many bytes may wait: enough for bulk over a delayed link, but so few that a sender notices a
/// receiver that does not read.
const WAITING_MAX: usize = 4 * 1024 * 1024;

/// Bytes in the order in which they came, each with the time at which it is to arrive.
#[derive(Debug, Default)]
pub(super) struct Lane {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Empty bytes are the end of the direction.
    waiting: VecDeque<(Instant, Vec<u8>)>,
    /// Their sum.
    bytes: usize,
    cut: bool,
}

impl Lane {
    /// Adds bytes after waiting for room; no bytes mean the end. Returns `false` if the lane is cut
    /// and takes none.
    pub(super) fn push(&self, due: Instant, bytes: Vec<u8>) -> bool {
        let state = self.lock();
        let full = |state: &mut State| !state.cut && state.bytes >= WAITING_MAX;
        let waited = self.changed.wait_while(state, full);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if state.cut {
            return false;
        }
        state.bytes += bytes.len();
        state.waiting.push_back((due, bytes));
        self.changed.notify_all();
        true
    }

    /// Waits until bytes are due, and returns them; `None` at the end.
    pub(super) fn next(&self) -> Option<Vec<u8>> {
        let mut state = self.lock();
        while !state.cut {
            let Some((due, _)) = state.waiting.front() else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let (_, bytes) = state.waiting.pop_front()?;
                state.bytes -= bytes.len();
                self.changed.notify_all();
                return (!bytes.is_empty()).then_some(bytes);
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        None
    }

    /// Cuts the lane: nothing is delivered any more, not even what waits.
    pub(super) fn cut(&self) {
        self.lock().cut = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The faults of one direction of one connection, by offsets into what the sender sends.
#[derive(Debug, Default)]
pub(super) struct Faults {
    flips: Vec<u64>,
    /// The faults, each with its bytes that have arrived so far.
    replays: Vec<(Range<u64>, Vec<u8>)>,
    /// How many bytes have arrived.
    offset: u64,
}

impl Faults {
    pub(super) fn flip(&mut self, at: u64) {
        self.flips.push(at);
    }

    pub(super) fn replay(&mut self, range: Range<u64>) {
        self.replays.push((range, Vec::new()));
    }

    /// Passes bytes: returns what is delivered instead of them, and how many faults were applied.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> (Vec<u8>, usize) {
        let mut out = Vec::with_capacity(bytes.len());
        let mut done = 0;
        for byte in bytes {
            let flips = self.flips.iter().filter(|at| **at == self.offset).count();
            let byte = if flips == 0 { *byte } else { byte ^ 1 };
            out.push(byte);
            done += flips;
            for (range, held) in &mut self.replays {
                if range.contains(&self.offset) {
                    held.push(byte);
                }
                if range.end == self.offset + 1 {
                    out.append(held);
                    done += 1;
                }
            }
            self.offset += 1;
        }
        (out, done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_where_they_should_be_however_the_bytes_come() {
        for split in 0..=6 {
            let mut faults = Faults::default();
            faults.flip(4);
            faults.replay(1..3);
            let (before, after) = b"abcdef".split_at(split);
            let (mut out, done) = faults.pass(before);
            let (more, done_later) = faults.pass(after);
            out.extend(more);
            assert_eq!(out, b"abcbcddf", "split at {split}");
            assert_eq!(done + done_later, 2, "split at {split}");
        }
    }
}
