//! Lines of the log that a peer, a host or a stranger can cause, each charged to whoever does.

use crate::broker::neighbours::connections::Opened;
use crate::broker::{Broker, ConnId, TimerKey};
use crate::log_limiter::{LogKind, LogSource};
use core::fmt::Arguments;

impl Broker {
    /// Logs what a stranger causes before there is a connection, or counts it.
    pub fn log_stranger(&mut self, kind: LogKind, text: Arguments<'_>) {
        self.log(LogSource::Others, kind, text);
    }

    /// Logs what the peer of a connection causes, or counts it.
    pub(crate) fn log_about(&mut self, id: ConnId, kind: LogKind, text: Arguments<'_>) {
        let source = self.log_source(id);
        self.log(source, kind, text);
    }

    /// Logs a line, or counts it.
    pub(crate) fn log(&mut self, source: LogSource, kind: LogKind, text: Arguments<'_>) {
        self.log_limiter.line(source, kind, self.now, text);
        self.arm_log();
    }

    /// Logs the latest of what was suppressed.
    pub(crate) fn catch_up_log(&mut self) {
        self.log_limiter.catch_up(self.now);
        self.arm_log();
    }

    fn arm_log(&mut self) {
        match self.log_limiter.deadline() {
            Some(at) if self.timers.is_set(&TimerKey::Log) && at > self.now => {}
            Some(at) => self.timers.set(TimerKey::Log, at),
            None => {}
        }
    }

    fn log_source(&self, id: ConnId) -> LogSource {
        let Some(conn) = self.neighbours.conn(id) else { return LogSource::Others };
        let key = conn.hello.as_ref().map(|hello| hello.key).or(conn.proved);
        match (conn.how, key) {
            (Opened::Child(child), _) => LogSource::Child(child),
            (Opened::Dialled(peer), _) if self.neighbours.is_configured(peer) => {
                LogSource::Peer(peer)
            }
            (_, Some(key)) => {
                let listed = self.neighbours.configured(key);
                listed.map_or(LogSource::Key(key), LogSource::Peer)
            }
            (_, None) => conn.from.map_or(LogSource::Others, |from| LogSource::Address(from.ip())),
        }
    }
}
