//! What a connection's socket is given: the outbox as it is, or sealed; and what follows when the
//! socket has taken some of it.

use super::lines::Line;
use super::{Event, Switch};
use crate::broker::effect::Effects;
use crate::control::Message;
use crate::ids::{ConnId, EndId};
use crate::wire::Wire;
use alloc::vec::Vec;

impl Switch {
    /// Notes that a connection may have something to write.
    pub(crate) fn touch(&mut self, id: ConnId) {
        self.lines.touch(id, &mut self.touched);
    }

    /// Connections that may have something to write.
    pub(crate) fn touched(&self) -> &[ConnId] {
        &self.touched
    }

    /// Takes these connections, each once. They replace the contents of `touched`, whose memory is
    /// used next.
    #[inline(always)]
    pub(crate) fn take_touched(&mut self, touched: &mut Vec<ConnId>) {
        touched.clear();
        core::mem::swap(&mut self.touched, touched);
        for id in touched {
            self.lines.untouch(id);
        }
    }

    /// Says something on a link. It never ends the link: that a peer does not read what it is told
    /// is noted, and its link ends when the transition in progress is done.
    pub(crate) fn send(&mut self, id: ConnId, message: &Message) {
        if let Some(line) = self.lines.touch(id, &mut self.touched)
            && !line.faulted
            && let Err(fault) = line.link.send(message)
        {
            line.faulted = true;
            self.happens(Event::Faulted(id, fault));
        }
    }

    /// Whether a peer reads what it is told so fast that more may be added for others.
    pub(crate) fn takes_more(&self, id: ConnId) -> bool {
        let most = self.limits.outbox / 2;
        let line = self.lines.get(&id);
        line.is_some_and(|line| line.link.control_waiting() <= most && !line.faulted)
    }

    /// Whether a peer reads its control messages, as far as can be seen.
    pub(crate) fn has_control_room(&self, id: ConnId) -> bool {
        let line = self.lines.get(&id);
        line.is_some_and(|line| line.link.control_waiting() == 0 && !line.faulted)
    }

    /// Whether no channel goes over a link, and none is about to.
    pub(crate) fn is_idle(&self, id: ConnId) -> bool {
        self.lines.get(&id).is_some_and(|line| line.link.streams_in_use() == 0)
    }

    /// What to write to a connection now, in this order; all empty when there is nothing.
    #[inline(always)]
    pub(crate) fn outgoing(&mut self, id: ConnId, effects: &mut Effects) -> [&[u8]; 3] {
        if self.lines.get(&id).is_some_and(|line| matches!(line.wire, Wire::Secured(_))) {
            self.seal(id, effects);
        }
        match self.lines.get(&id) {
            Some(line) => match &line.wire {
                Wire::Plain => line.link.outbox().slices(),
                Wire::Secured(secured) => [secured.waiting(), &[], &[]],
            },
            None => [&[], &[], &[]],
        }
    }

    /// A connection took so many bytes of what it was given: streams that waited for room go on.
    #[inline(always)]
    pub(crate) fn flushed(&mut self, id: ConnId, count: usize, effects: &mut Effects) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        line.bytes_out += count as u64;
        let turns = match &mut line.wire {
            Wire::Plain => line.drained(count),
            Wire::Secured(secured) => {
                secured.advance(count, &mut self.spare);
                if count > 0 {
                    return;
                }
                line.drained(0)
            }
        };
        if let Some(turns) = turns {
            self.take_turns(id, turns, effects);
        }
    }

    /// Seals what waits, as far as nothing sealed waits; at the end of a link, goodbye behind it.
    #[inline(never)]
    fn seal(&mut self, id: ConnId, effects: &mut Effects) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        let Wire::Secured(secured) = &mut line.wire else { return };
        let taken = secured.seal(line.link.outbox(), &mut self.spare);
        if taken > 0
            && let Some(turns) = line.drained(taken)
        {
            self.take_turns(id, turns, effects);
        }
        let Some(line) = self.lines.get_mut(&id) else { return };
        if line.ended
            && line.link.outbox().is_empty()
            && let Wire::Secured(secured) = &mut line.wire
        {
            secured.seal_goodbye();
        }
    }

    /// So many streams that waited for room may go on.
    #[inline(never)]
    fn take_turns(&mut self, id: ConnId, mut turns: usize, effects: &mut Effects) {
        while turns > 0 {
            let Some(line) = self.lines.get_mut(&id) else { return };
            // A stream whose turn has not come waits until more is written.
            let Some((_, tag)) = line.link.next_ready() else { return };
            if let Some(end) = EndId::of_tag(tag) {
                self.flush_stream(end, effects);
            }
            turns -= 1;
        }
        if self.lines.get(&id).and_then(|line| line.link.turns()).is_some_and(|turns| turns > 0) {
            self.touch(id);
        }
    }
}

impl Line {
    /// So many bytes have left the outbox: how many streams that waited for room may go on, if any
    /// waits.
    #[inline]
    fn drained(&mut self, count: usize) -> Option<usize> {
        self.link.mux().outbox_mut().advance(count);
        self.link.turns()
    }
}
