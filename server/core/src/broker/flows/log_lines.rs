//! Lines of the log that a peer, a host or a stranger can cause, each charged to its cause; and the
//! records of the audit.

use crate::audit::{self, Dialler, Event, Linked};
use crate::broker::neighbours::connections::Conn;
use crate::broker::{Broker, ConnId, Opened};
use crate::control::Role;
use crate::key::Key;
use crate::log_limiter::{LogKind, LogSource};
use crate::reason::Reason;
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

    /// Notes the process that made a connection over a unix socket, for the audit. The shell calls
    /// this right after the connection has opened.
    pub fn dialled_by(&mut self, id: ConnId, dialler: Dialler) {
        self.neighbours.dialled_by(id, dialler);
    }

    /// A link is up.
    pub(crate) fn audit_link_up(&self, id: ConnId) {
        if let Some(linked) = self.neighbours.conn(id).and_then(linked) {
            audit::record(Event::LinkUp(linked));
        }
    }

    /// A connection is over, which may have been a link.
    pub(crate) fn audit_link_down(&self, id: ConnId, reason: &Reason) {
        if let Some(linked) = self.neighbours.conn(id).and_then(linked) {
            audit::record(Event::LinkDown(linked, reason));
        }
    }

    /// A peer may not link, with a key that it has proved or claims.
    pub(crate) fn audit_refused(&self, id: ConnId, key: Key, reason: &Reason) {
        if let Some(Conn { address, dialler: by, .. }) = self.neighbours.conn(id) {
            audit::record(Event::Refused { key, address, by: *by, reason });
        }
    }

    /// The command line asks for something.
    pub(crate) fn audit_command(&self, id: ConnId, name: &str) {
        let by = self.neighbours.conn(id).and_then(|conn| conn.dialler);
        audit::record(Event::Command { name, by });
    }
}

/// The other side of a link, as far as the audit needs it. The server of a host that it started is
/// left out, because it cannot be another one.
fn linked(conn: &Conn) -> Option<Linked<'_>> {
    let peer = conn.hello.as_ref().filter(|peer| peer.role != Role::Command)?;
    let (key, role, name, address) = (peer.key, peer.role, peer.name.as_str(), &conn.address);
    let linked = Linked { key, role, name, address, by: conn.dialler };
    (conn.how != Opened::Inherited).then_some(linked)
}
