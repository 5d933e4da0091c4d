//! Receiving: each packet is checked against the rules, answered where due, and returned as an
//! event.

use super::connection::Payload;
use super::outbox::Lane;
use super::stream::{Credit, CreditError, Fact, Stream};
use super::{Connection, Event, Level, Packet, StreamId, Violation};

impl Connection {
    /// The next event in `input`, whose used part is removed; `Ok(None)` when everything is used
    /// up. Only a header that is cut at the end of the input is copied.
    ///
    /// # Errors
    /// The peer broke a rule. From then on it gives the same error; cut the connection.
    #[inline]
    pub fn receive<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Event<'a>>, Violation> {
        if let Some(violation) = self.violation {
            return Err(violation);
        }
        let event = self.next_event(input);
        if let Err(violation) = event {
            self.violation = Some(violation);
        }
        event
    }

    fn next_event<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Event<'a>>, Violation> {
        if let Some((stream, tag)) = self.gone.pop_front() {
            return Ok(Some(Event::Gone { stream, tag }));
        }
        while !input.is_empty() {
            let event = if self.payload.left > 0 {
                self.continue_payload(input)
            } else if let Some(packet) = self.decoder.next(input)? {
                self.take(packet, input)?
            } else {
                None
            };
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    /// Handles one packet; `input` holds what follows its header.
    fn take<'a>(
        &mut self,
        packet: Packet,
        input: &mut &'a [u8],
    ) -> Result<Option<Event<'a>>, Violation> {
        match packet {
            Packet::Write { stream, length } => self.take_write(stream, length, input),
            Packet::Credit { stream, amount } => self.take_credit(stream, amount).map(Some),
            Packet::Close(stream) => self.take_close(stream).map(Some),
            Packet::StopRead(stream) => self.take_stop_read(stream).map(Some),
            Packet::Ping(stream) => self.take_ping(stream).map(Some),
            Packet::Pong(stream) => self.take_pong(stream).map(Some),
            Packet::Create(stream) => self.take_create(stream).map(Some),
            Packet::GlobalCredit(amount) => self.take_global_credit(amount),
            Packet::GlobalClose => self.take_global_close().map(Some),
            Packet::GlobalStopRead => self.take_global_stop_read().map(Some),
            Packet::GlobalPing => self.take_global_ping().map(Some),
            Packet::GlobalPong => self.take_global_pong().map(Some),
        }
    }

    fn active(&mut self, id: StreamId) -> Result<&mut Stream, Violation> {
        self.streams.get_mut(id).ok_or(Violation::InactiveStream(id))
    }

    fn take_write<'a>(
        &mut self,
        id: StreamId,
        length: u64,
        input: &mut &'a [u8],
    ) -> Result<Option<Event<'a>>, Violation> {
        let stream = self.active(id)?;
        if stream.is(Fact::TheyClosed) {
            return Err(Violation::WriteAfterClose(Level::Stream(id)));
        }
        let credit = stream.granted.bytes();
        let beyond = Violation::WriteBeyondCredit { stream: id, length, credit };
        stream.granted = stream.granted.spend(length).ok_or(beyond)?;
        let tag = stream.reader();
        self.payload = Payload { stream: id, left: length };
        Ok(self.take_payload(tag, input))
    }

    /// The stream is looked up again, because its owner may have set its tag or ended its reading
    /// meanwhile.
    fn continue_payload<'a>(&mut self, input: &mut &'a [u8]) -> Option<Event<'a>> {
        let tag = self.streams.get(self.payload.stream).and_then(Stream::reader);
        self.take_payload(tag, input)
    }

    /// Takes the available part of the payload. Without a reader it is dropped (rule 22).
    fn take_payload<'a>(&mut self, reader: Option<u32>, input: &mut &'a [u8]) -> Option<Event<'a>> {
        let there = usize::try_from(self.payload.left).unwrap_or(usize::MAX).min(input.len());
        let (bytes, rest) = input.split_at(there);
        *input = rest;
        self.payload.left -= there as u64;
        match reader {
            Some(tag) if there > 0 => {
                Some(Event::Write { stream: self.payload.stream, tag, bytes })
            }
            _ => None,
        }
    }

    /// After our Close, credit may arrive until the peer's StopRead, and has no effect (rule 23).
    fn take_credit(&mut self, id: StreamId, amount: u64) -> Result<Event<'static>, Violation> {
        let stream = self.active(id)?;
        if stream.is(Fact::TheyStopped) {
            return Err(Violation::CreditAfterStopRead(Level::Stream(id)));
        }
        stream.writable = stream.writable.add(amount).map_err(|error| match error {
            CreditError::Overflow => Violation::CreditOverflow(Level::Stream(id)),
            CreditError::OnInfinite => Violation::CreditOnInfinite(id),
        })?;
        Ok(Event::Credit { stream: id, tag: stream.tag, amount })
    }

    fn take_close(&mut self, id: StreamId) -> Result<Event<'static>, Violation> {
        let stream = self.active(id)?;
        if !stream.begins(Fact::TheyClosed) {
            return Err(Violation::SecondClose(Level::Stream(id)));
        }
        let tag = stream.tag;
        self.stop_read(id);
        self.forget_if_ended(id);
        Ok(Event::Close { stream: id, tag })
    }

    fn take_stop_read(&mut self, id: StreamId) -> Result<Event<'static>, Violation> {
        let stream = self.active(id)?;
        if !stream.begins(Fact::TheyStopped) {
            return Err(Violation::SecondStopRead(Level::Stream(id)));
        }
        let tag = stream.tag;
        self.close(id);
        self.forget_if_ended(id);
        Ok(Event::StopRead { stream: id, tag })
    }

    fn take_ping(&mut self, id: StreamId) -> Result<Event<'static>, Violation> {
        let tag = self.check_ping_or_pong(id)?;
        self.pong(id);
        Ok(Event::Ping { stream: id, tag })
    }

    fn take_pong(&mut self, id: StreamId) -> Result<Event<'static>, Violation> {
        let tag = self.check_ping_or_pong(id)?;
        Ok(Event::Pong { stream: id, tag })
    }

    /// Rule 9. We answer Close and StopRead at once, so a stream on which the peer has sent both no
    /// longer exists. The rule is checked here anyway, in case answers are ever delayed.
    fn check_ping_or_pong(&mut self, id: StreamId) -> Result<u32, Violation> {
        let stream = self.active(id)?;
        if stream.they_ended() {
            return Err(Violation::PingAfterEnd(Level::Stream(id)));
        }
        Ok(stream.tag)
    }

    fn take_create(&mut self, id: StreamId) -> Result<Event<'static>, Violation> {
        if self.theirs.closed {
            return Err(Violation::WriteAfterClose(Level::Global));
        }
        if !self.role.peer().creates(id) {
            return Err(Violation::WrongParity(id));
        }
        if self.streams.get(id).is_some() {
            return Err(Violation::IdInUse(id));
        }
        self.granted = self.granted.checked_sub(1).ok_or(Violation::CreatedWithoutCredit(id))?;
        let (writable, granted) = (Credit::finite(0), self.creator_credit);
        self.streams.insert(Stream::new(id, Lane::Data, writable, granted));
        Ok(Event::Opened { stream: id })
    }

    /// An amount of 0 has no meaning, and is ignored (rule 17).
    fn take_global_credit(&mut self, amount: u64) -> Result<Option<Event<'static>>, Violation> {
        if self.theirs.stopped {
            return Err(Violation::CreditAfterStopRead(Level::Global));
        }
        let sum = self.creatable.checked_add(amount);
        self.creatable = sum.ok_or(Violation::CreditOverflow(Level::Global))?;
        Ok((amount > 0).then_some(Event::GlobalCredit(amount)))
    }

    fn take_global_close(&mut self) -> Result<Event<'static>, Violation> {
        if self.theirs.closed {
            return Err(Violation::SecondClose(Level::Global));
        }
        self.theirs.closed = true;
        self.global_stop_read();
        Ok(Event::GlobalClose)
    }

    fn take_global_stop_read(&mut self) -> Result<Event<'static>, Violation> {
        if self.theirs.stopped {
            return Err(Violation::SecondStopRead(Level::Global));
        }
        self.theirs.stopped = true;
        self.global_close();
        Ok(Event::GlobalStopRead)
    }

    fn take_global_ping(&mut self) -> Result<Event<'static>, Violation> {
        self.check_global_ping_or_pong()?;
        self.global_pong();
        Ok(Event::GlobalPing)
    }

    fn take_global_pong(&mut self) -> Result<Event<'static>, Violation> {
        self.check_global_ping_or_pong()?;
        Ok(Event::GlobalPong)
    }

    fn check_global_ping_or_pong(&self) -> Result<(), Violation> {
        if self.theirs.ended() {
            return Err(Violation::PingAfterEnd(Level::Global));
        }
        Ok(())
    }
}
