//! Sending: every call keeps the protocol; a packet that may not be sent is not sent.

use core::num::NonZeroU64;

use super::outbox::Lane;
use super::stream::{Credit, Fact, Stream};
use super::{Connection, Packet, StreamId};

/// The streams.
impl Connection {
    /// Creates a stream. `None` if there is no global credit, or the global level is closed. Our
    /// own ids are never reused.
    pub fn create(&mut self) -> Option<StreamId> {
        if self.ours.closed {
            return None;
        }
        let id = self.next_id?;
        self.creatable = self.creatable.checked_sub(1)?;
        self.next_id = id.0.checked_add(2).map(StreamId);
        self.outbox.push(Lane::Control, Packet::Create(id));
        let (writable, granted) = (self.creator_credit, Credit::finite(0));
        self.streams.insert(Stream::new(id, Lane::Data, writable, granted));
        Some(id)
    }

    /// Queues bytes; returns how many were taken: as many as there is credit and room for. If
    /// credit ran out, continue at `Event::Credit`. If room ran out, continue when
    /// [`Connection::next_ready`] names the stream; nothing is taken before. 0 if the stream has
    /// ended or our Close is sent.
    #[inline]
    pub fn write(&mut self, id: StreamId, bytes: &[u8]) -> usize {
        self.begin_round();
        let Some((place, stream)) = self.streams.find_mut(id) else { return 0 };
        if stream.is(Fact::WeClosed) {
            return 0;
        }
        let lane = stream.lane;
        let within_credit = stream.writable.limit(bytes.len());
        let taken = within_credit.min(stream.room(&self.outbox));
        self.outbox.write(lane, id, &bytes[..taken]);
        let mut begins = stream.charge(taken);
        if taken < within_credit && !stream.is(Fact::Waits) {
            begins |= stream.wait();
            match lane {
                // Control never waits behind data.
                Lane::Control => self.waiting.push_front(id),
                Lane::Data => self.waiting.push_back(id),
            }
        }
        if begins {
            self.begun.push(place);
        }
        taken
    }

    /// In a new round of the outbox, each stream has its turn before it, whichever streams are in
    /// the list by now.
    #[inline]
    fn begin_round(&mut self) {
        if self.round != self.outbox.round() {
            self.round = self.outbox.round();
            for place in self.begun.drain(..) {
                if let Some(stream) = self.streams.at_mut(place) {
                    stream.ends(Fact::HasBegun);
                }
            }
        }
    }

    /// The next stream whose write was cut short for lack of room and may now continue, with its
    /// tag. Streams take turns: each is named once, and waits again behind the others if it is cut
    /// short again.
    pub fn next_ready(&mut self) -> Option<(StreamId, u32)> {
        self.begin_round();
        while let Some(&id) = self.waiting.front() {
            match self.streams.get_mut(id) {
                Some(stream) if stream.is(Fact::Waits) => {
                    if !stream.has_turn(&self.outbox) {
                        return None;
                    }
                    stream.ends(Fact::Waits);
                    self.waiting.pop_front();
                    return Some((id, stream.tag));
                }
                // It ended while it waited.
                _ => self.waiting.pop_front(),
            };
        }
        None
    }

    /// Lets the peer write more bytes; returns how many were granted: less than `amount` only if
    /// the sum would be infinite. 0 if the stream has ended or our StopRead is sent.
    pub fn credit(&mut self, id: StreamId, amount: NonZeroU64) -> u64 {
        let Some(stream) = self.streams.get_mut(id) else { return 0 };
        if stream.is(Fact::WeStopped) {
            return 0;
        }
        let amount = amount.get().min(stream.granted.headroom());
        if amount > 0 {
            stream.granted = Credit::finite(stream.granted.bytes().saturating_add(amount));
            self.outbox.push(Lane::Control, Packet::Credit { stream: id, amount });
        }
        amount
    }

    /// Gives the peer unlimited credit, which cannot be undone. Trunkline never does; it exists
    /// because bymux has it. Has no effect if the stream has ended or our StopRead is sent.
    pub fn credit_infinite(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(id)
            && !stream.is(Fact::WeStopped)
        {
            stream.granted = Credit::INFINITE;
            self.outbox.push(Lane::Control, Packet::Credit { stream: id, amount: 0 });
        }
    }

    /// Ends our writing, behind what is queued. Has no effect if it has ended already.
    pub fn close(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(id)
            && stream.begins(Fact::WeClosed)
        {
            stream.ends(Fact::Waits);
            let lane = stream.lane;
            self.outbox.push(lane, Packet::Close(id));
            self.forget_if_ended(id);
        }
    }

    /// Ends our reading: later bytes are dropped. Has no effect if it has ended already.
    pub fn stop_read(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(id)
            && stream.begins(Fact::WeStopped)
        {
            self.outbox.push(Lane::Control, Packet::StopRead(id));
            self.forget_if_ended(id);
        }
    }

    /// Pings the peer on a stream. Has no effect if both our Close and our StopRead are sent (rule
    /// 20).
    pub fn ping(&mut self, id: StreamId) {
        self.push_unless_ended(id, Packet::Ping(id));
    }

    pub(super) fn pong(&mut self, id: StreamId) {
        self.push_unless_ended(id, Packet::Pong(id));
    }

    fn push_unless_ended(&mut self, id: StreamId, packet: Packet) {
        if self.streams.get(id).is_some_and(|stream| !stream.we_ended()) {
            self.outbox.push(Lane::Control, packet);
        }
    }
}

/// The global level.
impl Connection {
    /// Lets the peer create more streams; returns how many were granted: less than `amount` only if
    /// the sum would pass 2^64-1. 0 if our global StopRead is sent.
    pub fn global_credit(&mut self, amount: NonZeroU64) -> u64 {
        if self.ours.stopped {
            return 0;
        }
        let amount = amount.get().min(u64::MAX - self.granted);
        if amount > 0 {
            self.granted += amount;
            self.outbox.push(Lane::Control, Packet::GlobalCredit(amount));
        }
        amount
    }

    /// Creates no more streams; open streams continue. Has no effect if it was called already.
    pub fn global_close(&mut self) {
        if !self.ours.closed {
            self.ours.closed = true;
            self.outbox.push(Lane::Control, Packet::GlobalClose);
        }
    }

    /// Grants no more streams; those already granted may still be created until the peer's global
    /// Close. Has no effect if it was called already.
    pub fn global_stop_read(&mut self) {
        if !self.ours.stopped {
            self.ours.stopped = true;
            self.outbox.push(Lane::Control, Packet::GlobalStopRead);
        }
    }

    /// Pings the peer. Has no effect if both our global Close and StopRead are sent (rule 20).
    pub fn global_ping(&mut self) {
        self.push_globally_unless_ended(Packet::GlobalPing);
    }

    pub(super) fn global_pong(&mut self) {
        self.push_globally_unless_ended(Packet::GlobalPong);
    }

    fn push_globally_unless_ended(&mut self, packet: Packet) {
        if !self.ours.ended() {
            self.outbox.push(Lane::Control, packet);
        }
    }
}
