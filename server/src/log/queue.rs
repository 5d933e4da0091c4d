//! The lines that wait to be written: a bounded number of bytes.

use super::entry::{Entry, Format};
use super::stderr::{Direct, Sink};
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Bytes that wait at most: the lines of some minutes for a reader that is started again, and no
/// more memory than a few connections take.
const BYTES_MAX: usize = 1 << 20;

/// How much of the queue a line may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// All of it: lines of this server.
    Own,
    /// Half of it: lines of plugins. They cannot displace those of the server.
    Others,
}

pub(super) struct Queue {
    state: Mutex<State>,
    /// There is a line to be written.
    filled: Condvar,
    /// Everything is written.
    written: Condvar,
    format: Format,
}

#[derive(Default)]
struct State {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Lines that were dropped and not yet counted in a line.
    dropped: u64,
    /// The writer has taken entries that it has not written yet.
    writing: bool,
    direct: Option<Direct>,
    line: String,
}

impl Queue {
    /// A queue in front of stderr, and the part of stderr that the writer needs.
    pub(super) fn new(mut sink: Sink, format: Format) -> (Queue, Sink) {
        let state = State { direct: sink.direct.take(), ..State::default() };
        let (filled, written) = Default::default();
        (Queue { state: Mutex::new(state), filled, written, format }, sink)
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// Writes an entry if nothing waits and stderr takes it at once. A process that is killed right
    /// afterwards has then said it. Otherwise the entry waits, or is dropped if it finds no room.
    pub(super) fn push(&self, entry: Entry, share: Share) {
        let mut state = self.lock();
        if state.is_idle() && state.write_at_once(&entry, self.format) {
            return;
        }
        let most = match share {
            Share::Own => BYTES_MAX,
            Share::Others => BYTES_MAX / 2,
        };
        if state.bytes + entry.cost() > most {
            state.dropped += entry.stands_for;
            return;
        }
        state.bytes += entry.cost();
        state.entries.push_back(entry);
        drop(state);
        self.filled.notify_one();
    }

    /// Waits for entries, and takes some for the writer. How many were dropped is said behind those
    /// that wait, because room has been made.
    pub(super) fn take(&self, most: usize) -> Vec<Entry> {
        let mut state = self.lock();
        while state.entries.is_empty() {
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let count = most.min(state.entries.len());
        let taken: Vec<Entry> = state.entries.drain(..count).collect();
        state.bytes -= taken.iter().map(Entry::cost).sum::<usize>();
        state.writing = true;
        // A notice that cannot be written must not cause another one without end.
        if state.dropped > 0 && taken.iter().any(|entry| !entry.is_notice) {
            let notice = Entry::dropped(std::mem::take(&mut state.dropped));
            state.bytes += notice.cost();
            state.entries.push_back(notice);
        }
        taken
    }

    /// The writer has written what it took, except what stands for `lost` lines.
    pub(super) fn done(&self, lost: u64) {
        let mut state = self.lock();
        state.writing = false;
        state.dropped += lost;
        if state.is_idle() {
            self.written.notify_all();
        }
    }

    /// Waits until everything is written, or until the deadline.
    pub(super) fn wait_until_written(&self, end: Instant) {
        let mut state = self.lock();
        while !state.is_idle() {
            let Some(left) = end.checked_duration_since(Instant::now()) else { return };
            let waited = self.written.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.entries.is_empty() && !self.writing
    }

    fn write_at_once(&mut self, entry: &Entry, format: Format) -> bool {
        let Some(direct) = &self.direct else { return false };
        self.line.clear();
        entry.write(format, &mut self.line);
        direct.write(self.line.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use log::Level;

    fn queue() -> Queue {
        let state = Mutex::new(State::default());
        let (filled, written) = Default::default();
        Queue { state, filled, written, format: Format::Frames }
    }

    fn entry() -> Entry {
        Entry::new(Level::Info, "a", &format_args!("{}", "x".repeat(1000)))
    }

    fn fill(queue: &Queue, share: Share) -> u64 {
        let before = queue.lock().dropped;
        let mut count = 0;
        while queue.lock().dropped == before {
            queue.push(entry(), share);
            count += 1;
        }
        count - 1
    }

    #[test]
    fn a_full_queue_drops_lines_and_says_how_many_when_there_is_room() {
        let queue = queue();
        let taken = fill(&queue, Share::Own);
        (0..41).for_each(|_| queue.push(entry(), Share::Own));
        let mut all = Vec::new();
        while !queue.lock().entries.is_empty() {
            all.extend(queue.take(100));
            queue.done(0);
        }
        let notices: Vec<u64> = all.iter().filter(|e| e.is_notice).map(|e| e.stands_for).collect();
        assert_eq!((notices, all.len() as u64), (vec![42], taken + 1));
        assert!(all.last().is_some_and(|last| last.is_notice), "it stands where lines are missing");
    }

    #[test]
    fn plugins_leave_room_for_the_lines_of_the_server() {
        let queue = queue();
        let others = fill(&queue, Share::Others);
        let own = fill(&queue, Share::Own);
        assert!(own >= others, "{own} after {others}");
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_causes_no_endless_notices() {
        let queue = queue();
        queue.push(entry(), Share::Own);
        for _ in 0..3 {
            let lost = queue.take(10).iter().map(|entry| entry.stands_for).sum();
            queue.done(lost);
            queue.push(entry(), Share::Own);
        }
        let last = queue.take(10);
        queue.done(last.iter().map(|entry| entry.stands_for).sum());
        let notice = queue.take(10);
        assert!(notice.iter().all(|entry| entry.is_notice), "{notice:?}");
        queue.done(notice.iter().map(|entry| entry.stands_for).sum());
        let state = queue.lock();
        assert!(state.entries.is_empty(), "nothing waits, so the writer sleeps");
        assert_eq!(state.dropped, 4, "each line is counted once");
    }
}
