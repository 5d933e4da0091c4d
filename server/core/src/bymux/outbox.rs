//! Outgoing bytes: control before data, and never inside a data packet.

use alloc::vec::Vec;

use super::codec::EncodedHeader;
use super::{HEADER_MAX, Packet, StreamId};

/// The longest payload of one packet in bytes. Control waits for at most one such packet: on a link
/// of 10 Mbit/s that is 13 ms, while its header of at most 17 bytes costs a tenth of a percent.
pub const PAYLOAD_MAX: usize = 16 * 1024;

/// The most bytes that one stream puts in the outbox in one round. Four packets are enough to
/// amortize a `write(2)`, and the others wait for no more than that.
pub const QUANTUM: usize = 64 * 1024;

/// When less data than this many bytes is left, the next round begins. It is small, because what is
/// in the outbox precedes everything that is written later; the socket holds more.
pub const LOW_WATER: usize = 16 * 1024;

/// No stream adds data when this many bytes of it wait. Four quanta are more than a socket takes at
/// once, and still fit in a processor's cache. A turn that begins below this mark is a whole
/// quantum, because a shortened turn would cheat the same streams in each round. Therefore less
/// than `HIGH_WATER + QUANTUM` of data waits, plus headers and Closes.
pub const HIGH_WATER: usize = 256 * 1024;

/// The two queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Credit, StopRead, pings, the global packets, and all of the control stream.
    Control,
    /// Writes, and each stream's Close, which must not overtake them.
    Data,
}

/// Packets that wait to be sent. The two buffers are reused.
#[derive(Debug, Default)]
pub struct Outbox {
    control: Queue,
    data: Queue,
    /// Bytes at the front of `data` that belong to a packet whose beginning has been sent.
    unfinished: usize,
    /// Incremented by each flush that leaves less than `LOW_WATER` of data.
    round: u64,
}

impl Outbox {
    /// The bytes to send, in this order, for one vectored write. Some slices may be empty.
    pub fn slices(&self) -> [&[u8]; 3] {
        let (unfinished, data) = self.data.bytes().split_at(self.unfinished);
        [unfinished, self.control.bytes(), data]
    }

    /// This many bytes of [`Outbox::slices`] were sent. A larger number counts as all.
    pub fn advance(&mut self, sent: usize) {
        if sent >= self.len() {
            self.advance_all(sent > 0);
            return;
        }
        let unfinished = sent.min(self.unfinished);
        self.unfinished -= unfinished;
        self.data.discard(unfinished);
        let control = (sent - unfinished).min(self.control.len());
        self.control.discard(control);
        self.advance_data(sent - unfinished - control);
        if sent > 0 && self.data.len() < LOW_WATER {
            self.round = self.round.wrapping_add(1);
        }
    }

    /// As mostly, all bytes were sent, or there were `any`.
    fn advance_all(&mut self, any: bool) {
        self.unfinished = 0;
        self.control.clear();
        self.data.clear();
        self.round = self.round.wrapping_add(u64::from(any));
    }

    /// Bytes that wait to be sent.
    pub fn len(&self) -> usize {
        self.control.len() + self.data.len()
    }

    /// Whether nothing waits to be sent. "Wants to write" is derived from this alone.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of control that wait to be sent. Answers to a peer need no credit, so a peer that
    /// pings and never reads makes this grow. The owner closes such a connection at a limit.
    pub fn control_len(&self) -> usize {
        self.control.len()
    }

    pub(super) fn round(&self) -> u64 {
        self.round
    }

    /// Whether a new turn of a stream may begin.
    #[inline]
    pub(super) fn takes_data(&self) -> bool {
        self.data.len() < HIGH_WATER
    }

    /// Bytes that the control stream may add. It has no turns, because it is alone in its lane.
    pub(super) fn control_room(&self) -> usize {
        HIGH_WATER.saturating_sub(self.control.len())
    }

    /// Whether the control stream, after it was cut short, may continue.
    pub(super) fn control_drained(&self) -> bool {
        self.control.len() < LOW_WATER
    }

    /// Appends a packet that has no payload.
    pub(super) fn push(&mut self, lane: Lane, packet: Packet) {
        self.queue(lane).append(&packet.encode(), &[]);
    }

    /// Appends payload as packets of at most `PAYLOAD_MAX`; without payload there is no packet.
    #[inline]
    pub(super) fn write(&mut self, lane: Lane, stream: StreamId, payload: &[u8]) {
        let queue = self.queue(lane);
        for piece in payload.chunks(PAYLOAD_MAX) {
            let packet = Packet::Write { stream, length: piece.len() as u64 };
            queue.append(&packet.encode(), piece);
        }
    }

    fn queue(&mut self, lane: Lane) -> &mut Queue {
        match lane {
            Lane::Control => &mut self.control,
            Lane::Data => &mut self.data,
        }
    }

    /// `sent` bytes of whole packets were sent, except that the last may be cut. The ends of
    /// packets are read from their own headers.
    fn advance_data(&mut self, sent: usize) {
        let all = self.data.len();
        let mut end = if sent == all { all } else { 0 };
        while end < sent {
            end += packet_length(&self.data.bytes()[end..]);
        }
        if sent > 0 {
            self.unfinished = end - sent;
        }
        self.data.discard(sent);
    }
}

/// The length of the packet at the start of bytes that we encoded ourselves, payload included.
fn packet_length(bytes: &[u8]) -> usize {
    match Packet::decode(bytes) {
        Ok(Some((Packet::Write { length, .. }, header))) => header + length as usize,
        Ok(Some((_, header))) => header,
        // Our own packets are whole and defined. To take the rest as one packet would still be
        // safe.
        Ok(None) | Err(_) => bytes.len(),
    }
}

/// A byte queue in one contiguous buffer, so that a flush needs no more slices than there are
/// lanes.
#[derive(Debug, Default)]
struct Queue {
    buffer: Vec<u8>,
    /// Bytes at the front of `buffer` that have been sent.
    sent: usize,
}

impl Queue {
    fn bytes(&self) -> &[u8] {
        &self.buffer[self.sent..]
    }

    fn len(&self) -> usize {
        self.buffer.len() - self.sent
    }

    /// Appends a packet. The header is stored with its surplus bytes, because a store of fixed size
    /// needs no call.
    #[inline]
    fn append(&mut self, header: &EncodedHeader, payload: &[u8]) {
        self.buffer.reserve(HEADER_MAX + payload.len());
        let end = self.buffer.len() + header.len();
        self.buffer.extend_from_slice(header.stored());
        self.buffer.truncate(end);
        self.buffer.extend_from_slice(payload);
    }

    fn clear(&mut self) {
        self.buffer.clear();
        self.sent = 0;
    }

    /// Removes bytes at the front. The rest moves to the front only if it is no longer than what
    /// has been sent before it. So no byte is moved more than once on average, and mostly there is
    /// no rest.
    fn discard(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        self.sent += count;
        let rest = self.len();
        if rest == 0 {
            self.clear();
        } else if rest <= self.sent {
            self.buffer.copy_within(self.sent.., 0);
            self.buffer.truncate(rest);
            self.sent = 0;
        }
    }
}
