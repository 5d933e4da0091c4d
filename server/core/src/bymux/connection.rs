//! One end of a bymux connection: its state and its queries. Receiving is in `receive.rs`, sending
//! in `send.rs`.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::codec::Decoder;
use super::outbox::{Lane, Outbox};
use super::stream::{Credit, EndFacts, Fact, Stream};
use super::streams::Streams;
use super::{MuxRole, Profile, StreamId, Violation};

/// One end of a bymux connection. It calls no one: bytes and calls go in, events and bytes come
/// out.
#[derive(Debug)]
pub struct Connection {
    pub(super) role: MuxRole,
    pub(super) creator_credit: Credit,
    /// Which of Close and StopRead we have sent on the global level.
    pub(super) ours: EndFacts,
    /// Which of Close and StopRead the peer has sent on the global level.
    pub(super) theirs: EndFacts,
    /// Streams that we may still create.
    pub(super) creatable: u64,
    /// Streams that the peer may still create.
    pub(super) granted: u64,
    /// The id of the next stream that we create; `None` when all are used up.
    pub(super) next_id: Option<StreamId>,
    pub(super) streams: Streams,
    /// The places of streams that have begun their turn in the outbox's round of this number.
    pub(super) begun: Vec<u32>,
    pub(super) round: u64,
    /// Streams that have ended, with their tags, and were not reported yet.
    pub(super) gone: VecDeque<(StreamId, u32)>,
    /// Streams whose write was cut short for lack of room. Some may no longer be waiting.
    pub(super) waiting: VecDeque<StreamId>,
    pub(super) outbox: Outbox,
    pub(super) decoder: Decoder,
    pub(super) payload: Payload,
    /// The peer's first violation. Nothing is received after it.
    pub(super) violation: Option<Violation>,
}

/// The rest of a Write packet that has not arrived yet. While it is not empty its stream is active,
/// because the peer cannot send Close within its own packet.
#[derive(Debug)]
pub(super) struct Payload {
    pub(super) stream: StreamId,
    /// Bytes.
    pub(super) left: u64,
}

impl Connection {
    /// An end when the transport is up. `key` is any number that the peer cannot know: it scatters
    /// the streams in their table, so that no choice of ids makes look-ups slow.
    pub fn new(role: MuxRole, profile: Profile, key: u64) -> Connection {
        let mut streams = Streams::new(key);
        if let Some(bytes) = profile.control_stream {
            let credit = Credit::finite(bytes);
            streams.insert(Stream::new(StreamId::CONTROL, Lane::Control, credit, credit));
        }
        let first = match (role, profile.control_stream) {
            (MuxRole::Dialler, None) => 0,
            (MuxRole::Acceptor, _) => 1,
            (MuxRole::Dialler, Some(_)) => 2,
        };
        Connection {
            role,
            creator_credit: Credit::finite(profile.creator_credit),
            ours: EndFacts::default(),
            theirs: EndFacts::default(),
            creatable: profile.global_credit,
            granted: profile.global_credit,
            next_id: Some(StreamId(first)),
            streams,
            begun: Vec::new(),
            round: 0,
            gone: VecDeque::new(),
            waiting: VecDeque::new(),
            outbox: Outbox::default(),
            decoder: Decoder::default(),
            payload: Payload { stream: StreamId::CONTROL, left: 0 },
            violation: None,
        }
    }

    /// The bytes that wait to be sent.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// The bytes that wait to be sent, to remove them once they are sent.
    pub fn outbox_mut(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// Whether a stream may be waiting for its turn; see [`Connection::next_ready`].
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Open streams, the control stream not counted.
    pub fn streams(&self) -> usize {
        let control = self.streams.get(StreamId::CONTROL);
        self.streams.len() - usize::from(control.is_some_and(|s| s.lane == Lane::Control))
    }

    /// The open streams with their tags, by id, without the control stream.
    pub fn open(&self) -> impl Iterator<Item = (StreamId, u32)> {
        let data = self.streams.sorted().into_iter().filter(|stream| stream.lane == Lane::Data);
        data.map(|stream| (stream.id, stream.tag))
    }

    /// Bytes that we may still write on a stream: `u64::MAX` if unlimited, and 0 if the stream has
    /// ended or our Close is sent.
    pub fn writable(&self, id: StreamId) -> u64 {
        match self.streams.get(id) {
            Some(stream) if !stream.is(Fact::WeClosed) => stream.writable.bytes(),
            _ => 0,
        }
    }

    /// Bytes that the peer may still write on a stream: rule 18 compares new credit with it. 0 if
    /// the stream has ended or the peer's Close has arrived.
    pub fn granted(&self, id: StreamId) -> u64 {
        match self.streams.get(id) {
            Some(stream) if !stream.is(Fact::TheyClosed) => stream.granted.bytes(),
            _ => 0,
        }
    }

    /// Streams that we may still create.
    pub fn creatable(&self) -> u64 {
        if self.ours.closed { 0 } else { self.creatable }
    }

    /// Sets the owner's number of a stream, which each of its events returns, so that the owner
    /// needs no map from ids. Has no effect if the stream has ended.
    pub fn set_tag(&mut self, id: StreamId, tag: u32) {
        if let Some(stream) = self.streams.get_mut(id) {
            stream.tag = tag;
        }
    }

    /// The owner's number of a stream, 0 until it is set; `None` if the stream has ended.
    pub fn tag(&self, id: StreamId) -> Option<u32> {
        self.streams.get(id).map(|stream| stream.tag)
    }

    /// Streams that have ended, with their tags, and were not reported yet.
    pub fn untold(&self) -> impl Iterator<Item = (StreamId, u32)> + '_ {
        self.gone.iter().copied()
    }

    /// The next stream that has ended, with its tag. [`Connection::receive`] reports the same as an
    /// event; this is for streams that ended by a call of our own, when no bytes arrive.
    pub fn next_gone(&mut self) -> Option<(StreamId, u32)> {
        self.gone.pop_front()
    }

    /// Whether the transport may end now: not inside a packet, and not with open streams (rule 12).
    pub fn end_of_transport(&self) -> Result<(), Violation> {
        if self.decoder.in_header() || self.payload.left > 0 {
            return Err(Violation::EndedInPacket);
        }
        match self.streams() {
            0 => Ok(()),
            open => Err(Violation::EndedWithStreams { open }),
        }
    }

    /// Forgets a stream when all four facts are true (rule 25), and keeps its end to be reported.
    pub(super) fn forget_if_ended(&mut self, id: StreamId) {
        let ended = |stream: &Stream| stream.we_ended() && stream.they_ended();
        if self.streams.get(id).is_some_and(ended)
            && let Some(stream) = self.streams.remove(id)
        {
            self.gone.push_back((id, stream.tag));
        }
    }
}
