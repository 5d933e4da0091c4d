//! The lines that wait to be written: a bounded number of bytes.

use super::entry::{Count, Entry};
use super::outlet::Outlet;
use super::stderr::{Direct, Sink};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Bytes that wait at most: the lines of some minutes for a reader that is started again, and no
/// more memory than a few connections take.
const BYTES_MAX: usize = 1 << 20;

/// Bytes of the audit that wait at most, beside all others: some 3,000 lines.
const AUDIT_MAX: usize = 1 << 20;

/// How much of the queue a line may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// All of it: lines of this server. Those of the audit have room of their own.
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
}

struct State {
    outlet: Outlet,
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
    audit_bytes: usize,
    /// Lines that were dropped and not yet counted in a line.
    dropped: Count,
    /// The writer has taken entries that it has not written yet.
    writing: bool,
    direct: Option<Direct>,
    buffer: Vec<u8>,
}

impl Queue {
    /// A queue in front of an outlet, and the part of stderr that the writer needs.
    pub(super) fn new(mut sink: Sink, outlet: Outlet) -> (Queue, Sink) {
        let direct = sink.direct.take();
        (Queue::of(State::new(outlet, direct)), sink)
    }

    fn of(state: State) -> Queue {
        let (filled, written) = Default::default();
        Queue { state: Mutex::new(state), filled, written }
    }

    /// Has everything written there from now on.
    pub(super) fn set_outlet(&self, outlet: Outlet) {
        self.lock().outlet = outlet;
    }

    /// Writes an entry if nothing waits and the outlet takes it at once. A process that is killed
    /// right afterwards has then said it. Otherwise the entry waits, or is dropped if it finds no
    /// room.
    pub(super) fn push(&self, entry: Arc<Entry>, share: Share) {
        let mut state = self.lock();
        if state.is_idle() && state.write_at_once(&entry) {
            return;
        }
        if !state.has_room(&entry, share) {
            state.dropped += entry.stands_for;
            return;
        }
        state.add(entry);
        drop(state);
        self.filled.notify_one();
    }

    /// Waits for entries, and takes some for the writer. How many were dropped is said behind those
    /// that wait, because room has been made.
    pub(super) fn take(&self, most: usize) -> (Vec<Arc<Entry>>, Outlet) {
        let mut state = self.lock();
        while state.entries.is_empty() {
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let count = most.min(state.entries.len());
        let taken: Vec<Arc<Entry>> = state.entries.drain(..count).collect();
        for entry in &taken {
            *state.bytes_of(entry) -= entry.cost();
        }
        state.writing = true;
        // A notice that cannot be written must not cause another one without end.
        if state.dropped.lines > 0 && taken.iter().any(|entry| !entry.is_notice) {
            let dropped = std::mem::take(&mut state.dropped);
            let notice = Entry::dropped(dropped, state.outlet.name());
            state.add(Arc::new(notice));
        }
        (taken, state.outlet.clone())
    }

    /// The writer has written what it took, except what stands for `lost` lines.
    pub(super) fn done(&self, lost: Count) {
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
    fn new(outlet: Outlet, direct: Option<Direct>) -> State {
        let (entries, bytes, audit_bytes, dropped, buffer) = Default::default();
        State { outlet, entries, bytes, audit_bytes, dropped, writing: false, direct, buffer }
    }

    fn is_idle(&self) -> bool {
        self.entries.is_empty() && !self.writing
    }

    fn write_at_once(&mut self, entry: &Entry) -> bool {
        self.outlet.write_at_once(entry, self.direct.as_ref(), &mut self.buffer)
    }

    fn has_room(&mut self, entry: &Entry, share: Share) -> bool {
        let most = match share {
            _ if entry.is_audit() => AUDIT_MAX,
            Share::Own => BYTES_MAX,
            Share::Others => BYTES_MAX / 2,
        };
        *self.bytes_of(entry) + entry.cost() <= most
    }

    fn add(&mut self, entry: Arc<Entry>) {
        *self.bytes_of(&entry) += entry.cost();
        self.entries.push_back(entry);
    }

    /// The account of an entry.
    fn bytes_of(&mut self, entry: &Entry) -> &mut usize {
        match entry.is_audit() {
            true => &mut self.audit_bytes,
            false => &mut self.bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::Format;
    use super::*;
    use log::Level;
    use trunkline_core::audit;

    fn queue() -> Queue {
        Queue::of(State::new(Outlet::Stderr(Format::Frames), None))
    }

    fn entry_of(target: &str) -> Arc<Entry> {
        Arc::new(Entry::new(Level::Info, target, &format_args!("{}", "x".repeat(1000))))
    }

    fn entry() -> Arc<Entry> {
        entry_of("a")
    }

    fn lines(lines: u64) -> Count {
        Count { lines, audit: 0 }
    }

    fn lost(entries: &[Arc<Entry>]) -> Count {
        let mut lost = Count::default();
        entries.iter().for_each(|entry| lost += entry.stands_for);
        lost
    }

    fn fill(queue: &Queue, target: &str, share: Share) -> u64 {
        let before = queue.lock().dropped;
        let mut count = 0;
        while queue.lock().dropped == before {
            queue.push(entry_of(target), share);
            count += 1;
        }
        count - 1
    }

    #[test]
    fn a_full_queue_drops_lines_and_says_how_many_when_there_is_room() {
        let queue = queue();
        let taken = fill(&queue, "a", Share::Own);
        (0..41).for_each(|_| queue.push(entry(), Share::Own));
        let mut all = Vec::new();
        while !queue.lock().entries.is_empty() {
            all.extend(queue.take(100).0);
            queue.done(Count::default());
        }
        let notices: Vec<_> = all.iter().filter(|e| e.is_notice).map(|e| e.stands_for).collect();
        assert_eq!((notices, all.len() as u64), (vec![lines(42)], taken + 1));
        assert!(all.last().is_some_and(|last| last.is_notice), "it stands where lines are missing");
    }

    #[test]
    fn plugins_leave_room_for_the_lines_of_the_server() {
        let queue = queue();
        let others = fill(&queue, "plugin::a", Share::Others);
        let own = fill(&queue, "a", Share::Own);
        assert!(own >= others, "{own} after {others}");
    }

    #[test]
    fn the_audit_has_room_although_the_queue_is_full() {
        let queue = queue();
        fill(&queue, "plugin::a", Share::Others);
        fill(&queue, "a", Share::Own);
        let before = queue.lock().dropped;
        (0..900).for_each(|_| queue.push(entry_of(audit::TARGET), Share::Own));
        assert_eq!(queue.lock().dropped, before, "no line of the audit is dropped");
        let mut audited = 0;
        while !queue.lock().entries.is_empty() {
            audited += queue.take(100).0.iter().filter(|entry| entry.is_audit()).count();
            queue.done(Count::default());
        }
        let state = queue.lock();
        assert_eq!((audited, state.bytes, state.audit_bytes), (900, 0, 0));
    }

    #[test]
    fn even_the_audit_is_bounded_and_lines_that_it_loses_are_counted_apart() {
        let queue = queue();
        fill(&queue, audit::TARGET, Share::Own);
        queue.push(entry_of(audit::TARGET), Share::Own);
        queue.push(entry(), Share::Own);
        let _ = queue.take(10);
        queue.done(Count::default());
        let notice =
            queue.lock().entries.back().map(|entry| (entry.stands_for, entry.text.clone()));
        let (count, text) = notice.unwrap();
        assert_eq!(count, Count { lines: 2, audit: 2 });
        assert!(text.starts_with("2 log lines were dropped, 2 of them of the audit, "), "{text}");
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_causes_no_endless_notices() {
        let queue = queue();
        queue.push(entry(), Share::Own);
        for _ in 0..3 {
            let taken = queue.take(10).0;
            queue.done(lost(&taken));
            queue.push(entry(), Share::Own);
        }
        let last = queue.take(10).0;
        queue.done(lost(&last));
        let notice = queue.take(10).0;
        assert!(notice.iter().all(|entry| entry.is_notice), "{notice:?}");
        queue.done(lost(&notice));
        let state = queue.lock();
        assert!(state.entries.is_empty(), "nothing waits, so the writer sleeps");
        assert_eq!(state.dropped, lines(4), "each line is counted once");
    }
}
