//! The thread that writes waiting lines to stderr. It alone may wait for the reader.

use super::queue::Queue;
use super::stderr::Sink;

/// Lines that are taken at a time.
const LINES: usize = 64;

/// Writes what waits, for the rest of the process's life.
pub(super) fn run(queue: &Queue, sink: &Sink) {
    let mut line = String::new();
    // The last bytes written are those of a line that failed in its middle.
    let mut torn = false;
    loop {
        let mut lost = 0;
        for entry in queue.take(LINES) {
            line.clear();
            if torn {
                line.push('\n');
            }
            entry.write(queue.format(), &mut line);
            // Each line is a write of its own: a pipe keeps short ones whole beside other writers.
            match sink.write(line.as_bytes()) {
                Ok(()) => torn = false,
                Err(written) => {
                    torn |= written > 0;
                    lost += entry.stands_for;
                }
            }
        }
        queue.done(lost);
    }
}
