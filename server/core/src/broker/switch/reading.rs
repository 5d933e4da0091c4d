//! What a connection's socket brings: unsealed, then taken apart by the link, as far as the turn
//! has room for what it asks for. How connections begin and end as far as they carry bytes.

use super::Switch;
use super::lines::Line;
use crate::broker::effect::Effects;
use crate::bymux::{MuxRole, StreamId};
use crate::control::Announced;
use crate::ids::{ConnId, EndId};
use crate::link::{Event as LinkEvent, Fault, Link, NO_TAG, Round};
use crate::reason::Reason;
use crate::wire::{Wire, WireEvent};
use alloc::vec::Vec;
use core::time::Duration;

/// Where a line was before its link took a part of what came.
pub(crate) struct Before {
    unread: usize,
    round: Round,
}

/// A link has to be looked at again.
#[derive(Debug)]
#[must_use]
pub(crate) struct Due {
    /// When, if nothing comes before that.
    pub(crate) at: Duration,
    /// A round trip is over.
    pub(crate) round_is_over: bool,
}

/// A line takes what came in three steps, so that the link's event, which is large, is not moved.
impl Line {
    /// Before [`receive`](Line::receive).
    #[inline]
    pub(crate) fn before(&self, input: &[u8]) -> Before {
        Before { unread: input.len(), round: self.link.round() }
    }

    /// Takes the next part of what came.
    #[inline(always)]
    pub(crate) fn receive<'a>(
        &mut self,
        now: Duration,
        input: &mut &'a [u8],
    ) -> Result<Option<LinkEvent<'a>>, Fault> {
        self.link.receive(now, input)
    }

    /// After it, with what it left: when the link is due, if that has changed.
    #[inline]
    pub(crate) fn after(&mut self, before: Before, input: &[u8], done: bool) -> Option<Due> {
        if matches!(self.wire, Wire::Plain) {
            self.bytes_in += (before.unread - input.len()) as u64;
        }
        let round = self.link.round();
        let changed = round != before.round;
        let is_due = changed || (done && self.link.has_incomplete_first_frame());
        if !is_due {
            return None;
        }
        // With a pong, a ping is due before the peer would have been dead.
        let round_is_over = changed && !round.is_measured();
        Some(Due { at: self.link.deadline(), round_is_over })
    }

    /// Keeps the rest of what the peer says for the next turn. Whether it is the first that is
    /// kept.
    #[cold]
    fn put_off(&mut self, input: &mut &[u8]) -> bool {
        let rest = core::mem::take(input);
        if rest.is_empty() && !self.link.has_messages() {
            return false;
        }
        if let Some(unread) = &mut self.unread {
            unread.extend_from_slice(rest);
            return false;
        }
        self.unread = Some(rest.to_vec());
        true
    }
}

impl Switch {
    /// The number of the next connection, which has to be opened before another one is numbered.
    pub(crate) fn number(&mut self) -> ConnId {
        self.lines.number()
    }

    /// A connection is open. `key` scatters its streams, and its peer must not know it. `foreign`
    /// ones are not told what plugins say when they fail.
    pub(crate) fn open_line(
        &mut self,
        id: ConnId,
        role: MuxRole,
        key: u64,
        wire: Wire,
        foreign: bool,
    ) {
        let link = Link::new(role, self.now, &self.limits, key);
        self.lines.insert(id, Line::new(link, wire, foreign));
        self.touch(id);
    }

    /// The peer is of another server, and is not told what plugins say when they fail.
    pub(crate) fn mark_foreign(&mut self, id: ConnId) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.foreign = true;
        }
    }

    /// Nothing more is read from a connection, which is over when its outbox is written.
    pub(crate) fn end_line(&mut self, id: ConnId) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.ended = true;
        }
    }

    /// Whether a connection only waits for its outbox to be written.
    #[inline]
    pub(crate) fn is_ending(&self, id: ConnId) -> bool {
        self.lines.get(&id).is_none_or(|line| line.ended)
    }

    /// Whether the peer of a connection has said anything that a stranger could not.
    pub(crate) fn has_spoken(&self, id: ConnId) -> bool {
        self.lines.get(&id).is_some_and(Line::has_spoken)
    }

    /// A connection is gone.
    pub(crate) fn close_line(&mut self, id: ConnId) {
        self.lines.remove(&id);
    }

    /// The line of a connection that brought bytes, which takes them with [`Line::receive`], and
    /// the time. `None` if nothing more is read from it, or if the bytes ask for more work than it
    /// may cause in a turn: then the rest waits for the next one.
    #[inline]
    pub(crate) fn readable(
        &mut self,
        id: ConnId,
        input: &mut &[u8],
    ) -> Option<(&mut Line, Duration)> {
        let line = self.lines.touch(id, &mut self.touched);
        let Some(line) = line.filter(|line| !line.ended) else {
            *input = &[];
            return None;
        };
        if self.turn.is_used_up(&line.used) {
            if line.put_off(input) {
                self.behind.push(id);
            }
            return None;
        }
        Some((line, self.now))
    }

    /// Connections that have said more than the last turn had room for, with the rest of it.
    pub(crate) fn take_unread(&mut self) -> Vec<(ConnId, Vec<u8>)> {
        if self.behind.is_empty() {
            return Vec::new();
        }
        let behind = core::mem::take(&mut self.behind);
        let unread = |id| Some((id, self.lines.get_mut(&id)?.unread.take()?));
        behind.into_iter().filter_map(unread).collect()
    }

    /// Whether a connection has said more than there was room for, so that it is not read.
    pub(crate) fn is_behind(&self, id: ConnId) -> bool {
        self.lines.get(&id).is_some_and(|line| line.unread.is_some())
    }

    /// Whether any connection may have something to write, or has said more than there was room
    /// for.
    pub(crate) fn has_work(&self) -> bool {
        !self.touched.is_empty() || !self.behind.is_empty()
    }

    /// Notes that what a connection said causes so much work.
    pub(crate) fn charge_turn(&mut self, id: ConnId, units: u32) {
        if let Some(line) = self.lines.get_mut(&id) {
            self.turn.charge(&mut line.used, units);
        }
    }

    /// Leaves only the first part of a list that a message brought; messages bring the others.
    pub(crate) fn split(&mut self, id: ConnId, plugins: &mut Vec<Announced>) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.link.split(plugins);
        }
    }

    /// Whether what a connection brings is not sealed.
    pub(crate) fn is_plain(&self, id: ConnId) -> bool {
        self.lines.get(&id).is_some_and(|line| matches!(line.wire, Wire::Plain))
    }

    /// Sealed bytes came on a connection.
    pub(crate) fn count_sealed(&mut self, id: ConnId, count: usize) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.bytes_in += count as u64;
        }
        self.touch(id);
    }

    /// Opens what a connection brought, up to what the neighbours have to decide. A refused peer
    /// that goes on asking is ignored.
    pub(crate) fn open_wire(
        &mut self,
        id: ConnId,
        input: &mut &mut [u8],
        plain: &mut Vec<u8>,
    ) -> Result<WireEvent, trunkline_shs::Error> {
        match self.lines.get_mut(&id).filter(|line| !line.ended).map(|line| &mut line.wire) {
            Some(Wire::Secured(secured)) => secured.open(input, plain),
            Some(Wire::Plain) | None => Ok(WireEvent::Waiting),
        }
    }

    /// Lets the peer of a connection in; whether it waited for that.
    pub(crate) fn admit(&mut self, id: ConnId) -> bool {
        match self.lines.get_mut(&id).map(|line| &mut line.wire) {
            Some(Wire::Secured(secured)) => {
                secured.admit();
                true
            }
            Some(Wire::Plain) | None => false,
        }
    }

    /// Whether the peer of a connection can be told anything.
    pub(crate) fn can_seal(&mut self, id: ConnId) -> bool {
        self.lines.get_mut(&id).is_some_and(|line| line.wire.can_seal())
    }

    /// Whether the peer of a sealed connection has said hello in its handshake, and whether it has
    /// ended its stream; `None` if it is not sealed.
    pub(crate) fn sealed_state(&mut self, id: ConnId) -> Option<(bool, bool)> {
        match self.lines.get_mut(&id).map(|line| &mut line.wire)? {
            Wire::Secured(secured) => Some((secured.has_said_hello(), secured.is_complete())),
            Wire::Plain => None,
        }
    }

    /// When a link has to be looked at again.
    pub(crate) fn deadline(&self, id: ConnId) -> Option<Duration> {
        self.lines.get(&id).map(|line| line.link.deadline())
    }

    /// Does what a link's deadline asks for.
    pub(crate) fn tick_line(&mut self, id: ConnId) -> Result<(), Fault> {
        let now = self.now;
        let Some(line) = self.lines.get_mut(&id) else { return Ok(()) };
        let beat = line.link.tick(now, line.bytes_in + line.bytes_out);
        line.tries_socket = line.link.round().is_measured();
        beat
    }

    /// Whether the socket of a connection has to be tried although it was full.
    pub(crate) fn tries_socket(&mut self, id: ConnId) -> bool {
        let line = self.lines.get_mut(&id);
        line.is_some_and(|line| core::mem::take(&mut line.tries_socket))
    }

    /// The peer of a connection may be silent: the connection tells when the peer ends.
    pub(crate) fn allow_silence(&mut self, id: ConnId) {
        if let Some(link) = self.link_of(id) {
            link.allow_silence();
        }
    }

    /// Asks the peer of a link whether it is there.
    pub(crate) fn ping(&mut self, id: ConnId) {
        let now = self.now;
        if let Some(link) = self.link_of(id) {
            link.ping(now);
        }
    }

    /// The next stream of a link whose first frame took too long, with its tag.
    pub(crate) fn overdue_first_frame(&mut self, id: ConnId) -> Option<(StreamId, u32)> {
        let now = self.now;
        self.lines.get_mut(&id).and_then(|line| line.link.next_overdue(now))
    }

    /// Ends a stream that has no end, with a reason.
    pub(crate) fn abort_nameless(&mut self, id: ConnId, stream: StreamId, reason: Reason) {
        if let Some(link) = self.link_of(id) {
            link.abort(stream, reason);
        }
    }

    /// A peer says why it ends a stream in both directions.
    pub(crate) fn peer_aborts(
        &mut self,
        id: ConnId,
        stream: StreamId,
        reason: Reason,
        effects: &mut Effects,
    ) {
        let Some(link) = self.link_of(id) else { return };
        match link.mux().tag(stream) {
            // It was aborted before it said what it is for.
            Some(NO_TAG) => link.ignore(stream),
            Some(tag) => {
                let owner = crate::ends::Owner::Stream(id, stream);
                if let Some(end) = EndId::of_tag(tag)
                    && self.ends.get(end).map(|end| end.owner()) == Some(owner)
                {
                    self.stream_aborts(end, reason, effects);
                }
            }
            None => {}
        }
    }
}
