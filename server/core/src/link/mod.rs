//! One link: bymux with our profile, control messages on stream 0, the first frame of each other
//! stream, and heartbeats. It knows nothing about plugins, and decides nothing about them.

mod aborts;
mod control_input;
mod fault;
mod first_frame;
mod heartbeat;

pub use fault::Fault;
pub use heartbeat::Round;

use crate::bymux::{self, Connection, HIGH_WATER, MuxRole, Outbox, Profile, QUANTUM, StreamId};
use crate::control::{Announced, Answer, Closing, MESSAGE_MAX, Message, Preface};
use crate::limits::{Limits, WINDOW};
use crate::reason::{Code, Reason};
use aborts::Aborts;
use alloc::boxed::Box;
use alloc::vec::Vec;
use control_input::{ControlInput, PART};
use core::num::NonZeroU64;
use core::time::Duration;
use first_frame::{AwaitingFirstFrame, Progress};
use heartbeat::{Beat, Heartbeat};

const CONTROL: StreamId = StreamId::CONTROL;

/// Credit of the control stream in each direction: two of the longest messages, so that one can be
/// read while the next is on its way.
const CONTROL_CREDIT: u64 = 2 * (MESSAGE_MAX as u64 + 4);

/// Streams that each side may open at the start.
pub const GLOBAL_CREDIT: u64 = 65_536;

/// The bymux profile of every link; PROTOCOL.md gives the same numbers.
pub const PROFILE: Profile = Profile {
    control_stream: Some(CONTROL_CREDIT),
    global_credit: GLOBAL_CREDIT,
    creator_credit: WINDOW,
};

/// The events in a link's bytes.
#[derive(Debug)]
pub enum Event<'a> {
    /// A control message, or the next part of one with a long list.
    Message(Box<Message>),
    /// The peer opened a stream and sent its preface.
    Preface {
        /// The stream.
        stream: StreamId,
        /// What it is for.
        preface: Box<Preface>,
        /// Bytes of credit that the preface used up.
        used: u64,
        /// The bytes behind it.
        rest: &'a [u8],
    },
    /// The peer answered the preface of a stream that we opened.
    Answer {
        /// The stream's tag.
        tag: u32,
        /// Its answer.
        answer: Answer,
        /// Bytes of credit that the answer used up.
        used: u64,
        /// The bytes behind it.
        rest: &'a [u8],
    },
    /// The first frame of a stream is not awaited any longer, because too many first frames of the
    /// link are incomplete.
    FirstFrameLost {
        /// The stream.
        stream: StreamId,
        /// Its tag, [`NO_TAG`] if the peer opened it.
        tag: u32,
    },
    /// Bytes of a stream.
    Write {
        /// The stream's tag.
        tag: u32,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// There is more credit for a stream.
    Credit {
        /// The stream's tag.
        tag: u32,
    },
    /// The peer no longer writes to a stream.
    Close {
        /// The stream's tag.
        tag: u32,
    },
    /// The peer no longer reads from a stream.
    StopRead {
        /// The stream's tag.
        tag: u32,
    },
    /// A stream has ended in both directions; its tag is free.
    Gone {
        /// The stream's tag.
        tag: u32,
    },
}

/// The tag of a stream without an owner: its preface has not arrived.
pub const NO_TAG: u32 = u32::MAX;

/// One link to a peer.
#[derive(Debug)]
pub struct Link {
    role: MuxRole,
    mux: Connection,
    control: ControlInput,
    /// Control messages that may wait for the peer's credit, and packets without credit (pongs,
    /// grants) that may wait for its socket, in bytes. A peer that lets more accumulate does not
    /// read its link.
    outbox_max: usize,
    /// Credit of the control stream: what the peer still has, and what has to be given back.
    control_left: u64,
    control_owed: u64,
    /// Control messages that wait for the peer's credit.
    control_waiting: Vec<u8>,
    /// Bytes at its front that the multiplexer has taken; the rest moves down when half of them
    /// are, so that a peer that grants byte by byte moves each byte once.
    control_written: usize,
    /// The stream of the last abort in `control_waiting`, and the streams whose aborts follow it.
    aborting: Option<StreamId>,
    to_abort: Aborts,
    awaiting_first_frame: AwaitingFirstFrame,
    heartbeat: Heartbeat,
    /// Streams that the peer may still open, and those to grant again because one has ended.
    streams_left: u64,
    streams_owed: u64,
}

impl Link {
    /// A link over an open connection. `key` is any number that the peer cannot know.
    pub fn new(role: MuxRole, now: Duration, limits: &Limits, key: u64) -> Link {
        Link {
            role,
            mux: Connection::new(role, PROFILE, key),
            control: ControlInput::new(limits.control_message),
            outbox_max: limits.outbox,
            control_left: CONTROL_CREDIT,
            control_owed: 0,
            control_waiting: Vec::new(),
            control_written: 0,
            aborting: None,
            to_abort: Aborts::new(limits.outbox),
            awaiting_first_frame: AwaitingFirstFrame::new(role, limits),
            heartbeat: Heartbeat::new(now, limits.heartbeat, limits.dead_after),
            streams_left: GLOBAL_CREDIT,
            streams_owed: 0,
        }
    }

    /// The next event in `input`, which is advanced; `None` when it is used up. There may be
    /// events when it is empty already: messages that came together.
    pub fn receive<'a>(
        &mut self,
        now: Duration,
        input: &mut &'a [u8],
    ) -> Result<Option<Event<'a>>, Fault> {
        if !input.is_empty() {
            self.heartbeat.heard(now);
        }
        while self.control.is_pending() {
            if let Some(message) = self.control.next()? {
                return Ok(Some(Event::Message(Box::new(message))));
            }
        }
        while let Some(event) = self.mux.receive(input)? {
            if let Some(event) = self.translate(now, event)? {
                return Ok(Some(event));
            }
        }
        // Control messages within the peer's credit are no sign that it does not read.
        match self.mux.outbox().control_len() > self.outbox_max + CONTROL_CREDIT as usize {
            true => Err(Fault::ControlNotRead),
            false => Ok(None),
        }
    }

    /// Whether there are messages that [`receive`](Link::receive) has not brought yet, though their
    /// bytes were taken.
    pub fn has_messages(&self) -> bool {
        self.control.is_pending()
    }

    /// Leaves only the first part of a list that a message brought; messages bring the rest, before
    /// anything else.
    pub fn split(&mut self, plugins: &mut Vec<Announced>) {
        if plugins.len() > PART {
            self.control.bring_later(plugins.split_off(PART));
        }
    }

    fn translate<'a>(
        &mut self,
        now: Duration,
        event: bymux::Event<'a>,
    ) -> Result<Option<Event<'a>>, Fault> {
        Ok(match event {
            bymux::Event::Write { stream, bytes, .. } if stream == CONTROL => {
                return self.control_bytes(bytes);
            }
            bymux::Event::Write { stream, tag, bytes }
                if self.awaiting_first_frame.holds(stream) =>
            {
                return self.first_frame(now, stream, tag, bytes);
            }
            bymux::Event::Write { tag, .. } if tag == NO_TAG => None,
            bymux::Event::Write { tag, bytes, .. } => Some(Event::Write { tag, bytes }),
            bymux::Event::Credit { stream, .. } if stream == CONTROL => {
                self.pump_control();
                None
            }
            bymux::Event::Credit { tag, .. } => owned(tag, Event::Credit { tag }),
            bymux::Event::Close { stream, .. } | bymux::Event::StopRead { stream, .. }
                if stream == CONTROL =>
            {
                return Err(Fault::ControlClosed);
            }
            bymux::Event::Close { stream, tag } => self.closed(stream, tag),
            bymux::Event::StopRead { stream, tag } if tag == NO_TAG => {
                self.ignore(stream);
                None
            }
            bymux::Event::StopRead { tag, .. } => Some(Event::StopRead { tag }),
            bymux::Event::Opened { stream } => {
                self.opened(stream);
                None
            }
            bymux::Event::Gone { stream, tag } => {
                self.stream_ended(stream);
                Some(Event::Gone { tag })
            }
            bymux::Event::GlobalPong => {
                self.heartbeat.pong(now);
                None
            }
            _ => None,
        })
    }

    fn control_bytes<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<Event<'a>>, Fault> {
        self.control_credit(bytes.len() as u64);
        Ok(self.control.take(bytes)?.map(|message| Event::Message(Box::new(message))))
    }

    /// Gives credit back for control bytes once the amount is at least what the peer has.
    fn control_credit(&mut self, used: u64) {
        self.control_owed += used;
        self.control_left = self.control_left.saturating_sub(used);
        if self.control_owed >= self.control_left
            && let Some(amount) = NonZeroU64::new(core::mem::take(&mut self.control_owed))
        {
            self.control_left += self.mux.credit(CONTROL, amount);
        }
    }

    fn first_frame<'a>(
        &mut self,
        now: Duration,
        stream: StreamId,
        tag: u32,
        bytes: &'a [u8],
    ) -> Result<Option<Event<'a>>, Fault> {
        let mut rest = bytes;
        let (frame, used) = match self.awaiting_first_frame.read(now, stream, &mut rest)? {
            Progress::Complete(frame, used) => (frame, used),
            Progress::Incomplete => return Ok(None),
            Progress::TooMany => {
                self.awaiting_first_frame.give_up(stream);
                return Ok(Some(Event::FirstFrameLost { stream, tag }));
            }
        };
        Ok(Some(match tag {
            NO_TAG => {
                let preface = Box::new(Preface::decode(frame.as_slice())?);
                Event::Preface { stream, preface, used, rest }
            }
            _ => Event::Answer { tag, answer: Answer::decode(frame.as_slice())?, used, rest },
        }))
    }

    /// Whether a first frame is incomplete. Its deadline may be the next one of the link.
    pub fn has_incomplete_first_frame(&self) -> bool {
        self.awaiting_first_frame.deadline().is_some()
    }

    /// Stops waiting for a first frame whose deadline has passed. Returns its stream and the
    /// stream's tag.
    pub fn next_overdue(&mut self, now: Duration) -> Option<(StreamId, u32)> {
        let stream = self.awaiting_first_frame.next_overdue(now)?;
        self.awaiting_first_frame.give_up(stream);
        Some((stream, self.mux.tag(stream).unwrap_or(NO_TAG)))
    }

    fn opened(&mut self, stream: StreamId) {
        self.streams_left = self.streams_left.saturating_sub(1);
        self.mux.set_tag(stream, NO_TAG);
        self.awaiting_first_frame.add(stream);
    }

    /// A stream that ends before its preface has no effect; one that ends before its answer is
    /// refused.
    fn closed<'a>(&mut self, stream: StreamId, tag: u32) -> Option<Event<'a>> {
        if tag == NO_TAG {
            self.ignore(stream);
            return None;
        }
        if self.awaits_answer(stream) {
            self.awaiting_first_frame.remove(stream);
            let reason =
                Reason::server(Code::Refused, "the channel was closed before it was answered");
            return Some(Event::Answer { tag, answer: Answer::Refuse(reason), used: 0, rest: &[] });
        }
        Some(Event::Close { tag })
    }

    /// Closes a stream whose preface has not arrived.
    pub fn ignore(&mut self, stream: StreamId) {
        self.awaiting_first_frame.give_up(stream);
        self.mux.close(stream);
        self.mux.stop_read(stream);
    }

    /// Whether a stream that we opened has no answer yet.
    pub fn awaits_answer(&self, stream: StreamId) -> bool {
        self.role.creates(stream) && self.awaiting_first_frame.holds(stream)
    }

    /// Lets the peer open another stream for each of its own that has ended, in batches.
    fn stream_ended(&mut self, stream: StreamId) {
        self.awaiting_first_frame.remove(stream);
        if self.role.creates(stream) {
            return;
        }
        self.streams_owed += 1;
        if self.streams_owed >= self.streams_left
            && let Some(amount) = NonZeroU64::new(core::mem::take(&mut self.streams_owed))
        {
            self.streams_left += self.mux.global_credit(amount);
        }
    }

    /// Queues a control message.
    pub fn send(&mut self, message: &Message) -> Result<(), Fault> {
        self.control_waiting.extend_from_slice(&message.frame());
        self.pump_control();
        match self.control_waiting() > self.outbox_max {
            true => Err(Fault::ControlNotRead),
            false => Ok(()),
        }
    }

    /// Bytes of control messages that wait for the peer's credit.
    pub fn control_waiting(&self) -> usize {
        self.control_waiting.len() - self.control_written
    }

    /// Ends a stream in both directions, with a reason. The stream ends behind the reason, so that
    /// the peer cannot take it for an orderly end.
    pub fn abort(&mut self, stream: StreamId, reason: Reason) {
        self.to_abort.push(stream, reason);
        self.pump_control();
    }

    fn pump_control(&mut self) {
        loop {
            let waiting = &self.control_waiting[self.control_written..];
            self.control_written += self.mux.write(CONTROL, waiting);
            if 2 * self.control_written >= self.control_waiting.len() {
                self.control_waiting.drain(..self.control_written);
                self.control_written = 0;
            }
            if !self.control_waiting.is_empty() {
                return;
            }
            if let Some(stream) = self.aborting.take() {
                self.mux.close(stream);
                self.mux.stop_read(stream);
            }
            let Some((stream, reason)) = self.to_abort.pop() else { return };
            let closing = Message::Closing(Closing { stream: stream.0, reason });
            self.control_waiting = closing.frame();
            self.aborting = Some(stream);
        }
    }

    /// Opens a stream, whose first frame the caller writes next; `None` if the peer allows no more.
    pub fn open(&mut self, tag: u32) -> Option<StreamId> {
        let stream = self.mux.create()?;
        self.mux.set_tag(stream, tag);
        self.awaiting_first_frame.add(stream);
        Some(stream)
    }

    /// The multiplexer, for operations on single streams.
    pub fn mux(&mut self) -> &mut Connection {
        &mut self.mux
    }

    /// How many streams that waited for room may continue now: as many as fit with a whole quantum
    /// each, because they write later. `None` if no stream waits for its turn.
    pub fn turns(&self) -> Option<usize> {
        if !self.mux.has_waiting() {
            return None;
        }
        let data = self.outbox().len() - self.outbox().control_len();
        Some(HIGH_WATER.saturating_sub(data) / QUANTUM)
    }

    /// The next stream that waited for room and may continue, without the control stream.
    pub fn next_ready(&mut self) -> Option<(StreamId, u32)> {
        loop {
            match self.mux.next_ready()? {
                (CONTROL, _) => self.pump_control(),
                ready => return Some(ready),
            }
        }
    }

    /// The multiplexer, read-only.
    pub fn mux_ref(&self) -> &Connection {
        &self.mux
    }

    /// The multiplexer's outbox.
    pub fn outbox(&self) -> &Outbox {
        self.mux.outbox()
    }

    /// Open streams, without the control stream.
    pub fn streams(&self) -> usize {
        self.mux.streams()
    }

    /// Streams that are open for some purpose: a stream of the peer is not counted before its
    /// preface is complete, so that a peer cannot keep a link by opening streams for nothing.
    pub fn streams_in_use(&self) -> usize {
        self.streams().saturating_sub(self.awaiting_first_frame.without_preface())
    }

    /// The last measured round-trip time.
    pub fn rtt(&self) -> Option<Duration> {
        self.heartbeat.rtt()
    }

    /// Sends a ping to measure the round-trip time.
    pub fn ping(&mut self, now: Duration) {
        self.heartbeat.ping_sent(now);
        self.mux.global_ping();
    }

    /// Sends a ping unless one is unanswered.
    pub fn measure(&mut self, now: Duration) {
        if !self.heartbeat.round().is_measured() {
            self.ping(now);
        }
    }

    /// The current round-trip period.
    pub fn round(&self) -> Round {
        self.heartbeat.round()
    }

    /// The peer's silence does not end this link: its connection tells at once when the peer ends.
    pub fn allow_silence(&mut self) {
        self.heartbeat.allow_silence();
    }

    /// Acts on the current time. `flowed` counts all bytes that the socket has brought or taken.
    pub fn tick(&mut self, now: Duration, flowed: u64) -> Result<(), Fault> {
        match self.heartbeat.tick(now, flowed) {
            Beat::Nothing => Ok(()),
            Beat::Ping => {
                self.ping(now);
                Ok(())
            }
            Beat::Dead => Err(Fault::Silent),
        }
    }

    /// When [`tick`](Link::tick) or [`next_overdue`](Link::next_overdue) has to be called next.
    pub fn deadline(&self) -> Duration {
        let heartbeat = self.heartbeat.deadline();
        self.awaiting_first_frame.deadline().map_or(heartbeat, |late| late.min(heartbeat))
    }
}

/// The event, unless its stream has no owner.
fn owned(tag: u32, event: Event<'_>) -> Option<Event<'_>> {
    (tag != NO_TAG).then_some(event)
}
