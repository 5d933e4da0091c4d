//! The thread that writes waiting lines. It alone may wait for their reader.

use super::entry::Count;
use super::outlet::Tail;
use super::queue::Queue;
use super::stderr::Sink;

/// Lines that are taken at a time.
const LINES: usize = 64;

/// Writes what waits, for the rest of the process's life.
pub(super) fn run(queue: &Queue, sink: &Sink) {
    let (mut buffer, mut tail) = (Vec::new(), Tail::Whole);
    loop {
        let mut lost = Count::default();
        let (entries, outlet) = queue.take(LINES);
        for entry in entries {
            if !outlet.write(&entry, sink, &mut tail, &mut buffer) {
                lost += entry.stands_for;
            }
        }
        queue.done(lost);
    }
}
