//! Direct connections that are faster than the servers' word that they come. They wait as long as a
//! handshake may take.

use crate::bymux::StreamId;
use crate::control::{Presented, Ticket};
use crate::ids::ConnId;
use crate::key::Key;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Bytes that are kept of a process that waits to be let in: its ticket is a tenth of them.
const KEPT_MAX: usize = 1024;

/// A ticket that a direct connection presents in the first frame of a stream, which had so many
/// bytes.
#[derive(Clone, Debug)]
pub(crate) struct Presenting {
    pub(crate) conn: ConnId,
    pub(crate) stream: StreamId,
    pub(crate) used: u64,
    pub(crate) presented: Presented,
}

/// What a direct connection waits with.
#[derive(Debug)]
enum Waits {
    /// Its process has proved a key that holds no ticket, and has said this since.
    ToBeLetIn { key: Key, kept: Vec<u8> },
    /// It has presented an unknown ticket.
    WithTicket(Presenting),
}

/// Where bytes go that a direct connection brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// It does not wait to be let in: the bytes are read.
    No,
    /// They are kept until it is let in.
    Kept,
    /// They are too many.
    TooMuch,
}

/// The direct connections that wait until the servers tell of them.
#[derive(Debug, Default)]
pub(crate) struct Arrivals(BTreeMap<ConnId, Waits>);

impl Arrivals {
    /// The process at the other end holds no ticket yet.
    pub(crate) fn ask(&mut self, conn: ConnId, key: Key) {
        self.0.insert(conn, Waits::ToBeLetIn { key, kept: Vec::new() });
    }

    /// The ticket that it presents is not known yet.
    pub(crate) fn present(&mut self, presenting: Presenting) {
        self.0.insert(presenting.conn, Waits::WithTicket(presenting));
    }

    /// Keeps what a process says behind its handshake, if it waits to be let in.
    pub(crate) fn hold(&mut self, conn: ConnId, bytes: &[u8]) -> Held {
        match self.0.get_mut(&conn) {
            Some(Waits::ToBeLetIn { kept, .. }) if kept.len() + bytes.len() > KEPT_MAX => {
                Held::TooMuch
            }
            Some(Waits::ToBeLetIn { kept, .. }) => {
                kept.extend_from_slice(bytes);
                Held::Kept
            }
            Some(Waits::WithTicket(_)) | None => Held::No,
        }
    }

    /// Whether a connection has presented a ticket that is not known.
    pub(crate) fn has_presented(&self, conn: ConnId) -> bool {
        matches!(self.0.get(&conn), Some(Waits::WithTicket(_)))
    }

    /// The connections of a process that wait to be let in.
    pub(crate) fn of_process(&self, process: Key) -> Vec<ConnId> {
        let meant =
            |waits: &Waits| matches!(waits, Waits::ToBeLetIn { key, .. } if *key == process);
        self.0.iter().filter(|(_, waits)| meant(waits)).map(|(conn, _)| *conn).collect()
    }

    /// A process is let in: what it has said meanwhile.
    pub(crate) fn let_in(&mut self, conn: ConnId) -> Vec<u8> {
        match self.0.get_mut(&conn) {
            Some(Waits::ToBeLetIn { kept, .. }) => {
                let kept = core::mem::take(kept);
                self.forget(conn);
                kept
            }
            Some(Waits::WithTicket(_)) | None => Vec::new(),
        }
    }

    /// The connection that has presented a ticket, and waits no longer.
    pub(crate) fn take(&mut self, ticket: Ticket) -> Option<Presenting> {
        let meant = |waits: &Waits| match waits {
            Waits::WithTicket(presenting) => presenting.presented.ticket == ticket,
            Waits::ToBeLetIn { .. } => false,
        };
        let conn = *self.0.iter().find(|(_, waits)| meant(waits))?.0;
        match self.0.remove(&conn)? {
            Waits::WithTicket(presenting) => Some(presenting),
            Waits::ToBeLetIn { .. } => None,
        }
    }

    /// A connection has ended.
    pub(crate) fn forget(&mut self, conn: ConnId) {
        self.0.remove(&conn);
    }

    /// All that wait.
    pub(crate) fn conns(&self) -> impl Iterator<Item = ConnId> {
        self.0.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROCESS: Key = Key([1; 32]);

    #[test]
    fn what_a_process_says_is_kept_until_it_is_let_in_and_is_bounded() {
        let mut arrivals = Arrivals::default();
        let conn = ConnId(7);
        assert_eq!(arrivals.hold(conn, b"read"), Held::No);
        arrivals.ask(conn, PROCESS);
        assert_eq!(arrivals.hold(conn, b"ticket"), Held::Kept);
        assert_eq!(arrivals.hold(conn, &[0; KEPT_MAX]), Held::TooMuch);
        assert_eq!(arrivals.of_process(Key([2; 32])), []);
        assert_eq!(arrivals.of_process(PROCESS), [conn]);
        assert_eq!(arrivals.let_in(conn), b"ticket");
        assert_eq!(arrivals.conns().count(), 0);
    }

    #[test]
    fn a_presented_ticket_is_taken_once() {
        let mut arrivals = Arrivals::default();
        let (conn, ticket) = (ConnId(7), Ticket([3; 32]));
        let presented = Presented { ticket, route: crate::route::Route::Unix };
        arrivals.present(Presenting { conn, stream: StreamId(2), used: 40, presented });
        assert_eq!(arrivals.hold(conn, b"more"), Held::No);
        assert!(arrivals.has_presented(conn));
        assert!(arrivals.take(Ticket([4; 32])).is_none());
        assert_eq!(arrivals.take(ticket).map(|taken| taken.conn), Some(conn));
        assert!(arrivals.take(ticket).is_none());
    }
}
