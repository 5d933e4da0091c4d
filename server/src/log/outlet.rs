//! Where entries go: lines on stderr, or records of the journal.

use super::entry::Entry;
use super::format::Format;
use super::journal::{self, Journal};
use super::stderr::{Direct, Sink};
use std::sync::Arc;

/// Where entries go.
#[derive(Clone, Debug)]
pub(super) enum Outlet {
    Stderr(Format),
    Journal(Arc<Journal>),
}

/// The end of what was written to stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tail {
    /// A complete line.
    #[default]
    Whole,
    /// The beginning of a line that failed in its middle.
    Torn,
}

impl Outlet {
    /// What it is called in the line about lost ones.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Outlet::Stderr(_) => "stderr",
            Outlet::Journal(_) => "journald",
        }
    }

    /// Writes an entry if that is possible without waiting; whether it is written.
    pub(super) fn write_at_once(
        &self,
        entry: &Entry,
        direct: Option<&Direct>,
        buffer: &mut Vec<u8>,
    ) -> bool {
        buffer.clear();
        match (self, direct) {
            (Outlet::Stderr(format), Some(direct)) => {
                format.write(entry, buffer);
                direct.write(buffer)
            }
            (Outlet::Stderr(_), None) => false,
            // The other half of it goes to stderr, which may take long.
            (Outlet::Journal(_), _) if entry.level.is_none() => false,
            (Outlet::Journal(journal), _) => {
                journal::write(entry, buffer);
                journal.send_at_once(buffer)
            }
        }
    }

    /// Writes an entry, and waits as long as that takes; whether it is written. Errors of the
    /// command go to the journal, and to stderr for the caller of the command.
    pub(super) fn write(
        &self,
        entry: &Entry,
        sink: &Sink,
        tail: &mut Tail,
        buffer: &mut Vec<u8>,
    ) -> bool {
        buffer.clear();
        match self {
            Outlet::Stderr(format) => write_line(*format, entry, sink, tail, buffer),
            Outlet::Journal(journal) => {
                if entry.level.is_none() {
                    let plain = Format::Text { coloured: false };
                    write_line(plain, entry, sink, tail, buffer);
                    buffer.clear();
                }
                journal::write(entry, buffer);
                journal.send(buffer)
            }
        }
    }
}

/// Each line is a write of its own: a pipe keeps short ones whole beside other writers.
fn write_line(
    format: Format,
    entry: &Entry,
    sink: &Sink,
    tail: &mut Tail,
    buffer: &mut Vec<u8>,
) -> bool {
    if *tail == Tail::Torn {
        buffer.push(b'\n');
    }
    format.write(entry, buffer);
    match sink.write(buffer) {
        Ok(()) => *tail = Tail::Whole,
        Err(0) => return false,
        Err(_) => {
            *tail = Tail::Torn;
            return false;
        }
    }
    true
}
