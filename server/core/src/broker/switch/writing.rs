//! What a connection's socket is given: the outbox as it is, or sealed; and what follows when the
//! socket has taken some of it.

use crate::broker::neighbours::connections::ConnPhase;
use crate::broker::{Broker, ConnId};
use crate::wire::Wire;
use alloc::vec::Vec;

impl Broker {
    /// Notes that a connection may have something to write.
    pub(crate) fn touch(&mut self, id: ConnId) {
        self.conns.touch(id, &mut self.touched);
    }

    /// A connection has more to write than it may in one turn: it goes on in the next.
    pub fn write_later(&mut self, id: ConnId) {
        self.touch(id);
    }

    /// Connections that may have something to write, each once. They replace the contents of
    /// `touched`, whose memory the broker uses next.
    pub fn take_touched(&mut self, touched: &mut Vec<ConnId>) {
        self.tell_news();
        self.settle();
        touched.clear();
        core::mem::swap(&mut self.touched, touched);
        for id in touched {
            if let Some(conn) = self.conns.get_mut(id) {
                conn.touched = false;
            }
        }
    }

    /// What to write to a connection now, in this order; all empty when there is nothing.
    pub fn outgoing(&mut self, id: ConnId) -> [&[u8]; 3] {
        if self.conns.get(&id).is_some_and(|conn| matches!(conn.wire, Wire::Secured(_))) {
            self.seal(id);
        }
        match self.conns.get(&id) {
            Some(conn) => match &conn.wire {
                Wire::Plain => conn.link.outbox().slices(),
                Wire::Secured(secured) => [secured.waiting(), &[], &[]],
            },
            None => [&[], &[], &[]],
        }
    }

    /// Whether nothing is left to write to a connection.
    pub fn is_written(&mut self, id: ConnId) -> bool {
        self.outgoing(id).iter().all(|slice| slice.is_empty())
    }

    /// A connection took so many bytes of [`outgoing`](Broker::outgoing): streams that waited for
    /// room go on. Say it once with 0 when there was nothing, for streams may wait all the same.
    pub fn flushed(&mut self, id: ConnId, count: usize) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.bytes_out += count as u64;
        match &mut conn.wire {
            Wire::Plain => self.drained(id, count),
            Wire::Secured(secured) => {
                secured.advance(count, &mut self.spare);
                if count == 0 {
                    self.drained(id, 0);
                }
            }
        }
    }

    /// Seals what waits, as far as nothing sealed waits; at the end of a link, goodbye behind it.
    #[inline(never)]
    fn seal(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let Wire::Secured(secured) = &mut conn.wire else { return };
        let taken = secured.seal(conn.link.outbox(), &mut self.spare);
        if taken > 0 {
            self.drained(id, taken);
        }
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if conn.phase == ConnPhase::Ending
            && conn.link.outbox().is_empty()
            && let Wire::Secured(secured) = &mut conn.wire
        {
            secured.seal_goodbye();
        }
    }

    /// So many bytes have left a connection's outbox.
    fn drained(&mut self, id: ConnId, count: usize) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.link.mux().outbox_mut().advance(count);
        let Some(mut turns) = conn.link.turns() else { return };
        while turns > 0 {
            let Some(conn) = self.conns.get_mut(&id) else { return };
            // A stream whose turn has not come waits until more is written.
            let Some((_, tag)) = conn.link.next_ready() else { return };
            self.at(tag, Broker::flush_stream);
            turns -= 1;
        }
        if self.conns.get(&id).and_then(|conn| conn.link.turns()).is_some_and(|turns| turns > 0) {
            self.touch(id);
        }
    }
}
