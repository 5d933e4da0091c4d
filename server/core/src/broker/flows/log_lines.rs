//! Lines of the log that a peer, a host or a stranger can cause, each charged to its cause.

use crate::broker::{Broker, ConnId};
use crate::log_limiter::{LogKind, LogSource};
use core::fmt::Arguments;

impl Broker {
    /// Logs what a stranger causes before there is a connection, or counts it.
    pub fn log_stranger(&mut self, kind: LogKind, text: Arguments<'_>) {
        self.log(LogSource::Others, kind, text);
    }

    /// Logs what the peer of a connection causes, or counts it.
    pub(crate) fn log_about(&mut self, id: ConnId, kind: LogKind, text: Arguments<'_>) {
        let source = self.neighbours.log_source(id);
        self.log(source, kind, text);
    }

    /// Logs a line, or counts it.
    pub(crate) fn log(&mut self, source: LogSource, kind: LogKind, text: Arguments<'_>) {
        self.log_limiter.line(source, kind, self.now, text);
    }
}
