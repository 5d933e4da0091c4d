//! bymux packets as bytes: one header byte and at most two integers. It knows no stream.

use super::{StreamId, Violation};

/// The longest header in bytes: the header byte and two integers of 8 bytes.
pub const HEADER_MAX: usize = 1 + 8 + 8;

/// The first four bits of each packet: three of type, and the global bit.
mod kind {
    pub(super) const CREDIT: u8 = 0b0000;
    pub(super) const GLOBAL_CREDIT: u8 = 0b0001;
    pub(super) const WRITE: u8 = 0b0010;
    pub(super) const CREATE: u8 = 0b0011;
    pub(super) const PING: u8 = 0b0100;
    pub(super) const GLOBAL_PING: u8 = 0b0101;
    pub(super) const PONG: u8 = 0b0110;
    pub(super) const GLOBAL_PONG: u8 = 0b0111;
    pub(super) const CLOSE: u8 = 0b1000;
    pub(super) const GLOBAL_CLOSE: u8 = 0b1001;
    pub(super) const STOP_READ: u8 = 0b1010;
    pub(super) const GLOBAL_STOP_READ: u8 = 0b1011;
}

/// A packet without its payload: the content of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet {
    /// The sender accepts `amount` more bytes; 0 means unlimited.
    Credit {
        /// On which stream.
        stream: StreamId,
        /// Bytes.
        amount: u64,
    },
    /// `length` bytes of payload follow.
    Write {
        /// On which stream.
        stream: StreamId,
        /// Bytes.
        length: u64,
    },
    /// A request for a pong.
    Ping(StreamId),
    /// The answer to a ping.
    Pong(StreamId),
    /// The sender no longer writes.
    Close(StreamId),
    /// The sender no longer reads, and gives no more credit.
    StopRead(StreamId),
    /// The sender accepts that many more new streams.
    GlobalCredit(u64),
    /// The sender creates a stream.
    Create(StreamId),
    /// A request for a global pong.
    GlobalPing,
    /// The answer to a global ping.
    GlobalPong,
    /// The sender no longer creates streams.
    GlobalClose,
    /// The sender accepts no more new streams, and gives no more global credit.
    GlobalStopRead,
}

impl Packet {
    /// Reads the header at the start of `bytes`: the packet and the header's length in bytes, or
    /// `None` if bytes are missing. A type that bymux does not define is an error already at the
    /// first byte.
    #[inline(always)]
    pub fn decode(bytes: &[u8]) -> Result<Option<(Packet, usize)>, Violation> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        let (id_width, amount_width) = widths(first)?;
        let length = 1 + id_width + amount_width;
        let Some(integers) = bytes.get(1..length) else { return Ok(None) };
        let (id, amount) = integers.split_at(id_width);
        let (stream, amount) = (StreamId(integer(id)), integer(amount));
        let packet = match first >> 4 {
            kind::CREDIT => Packet::Credit { stream, amount },
            kind::GLOBAL_CREDIT => Packet::GlobalCredit(amount),
            kind::WRITE => Packet::Write { stream, length: amount },
            // The new id stands where the other packets have their amount.
            kind::CREATE => Packet::Create(StreamId(amount)),
            kind::PING => Packet::Ping(stream),
            kind::GLOBAL_PING => Packet::GlobalPing,
            kind::PONG => Packet::Pong(stream),
            kind::GLOBAL_PONG => Packet::GlobalPong,
            kind::CLOSE => Packet::Close(stream),
            kind::GLOBAL_CLOSE => Packet::GlobalClose,
            kind::STOP_READ => Packet::StopRead(stream),
            kind::GLOBAL_STOP_READ => Packet::GlobalStopRead,
            _ => return Err(Violation::UndefinedType { first }),
        };
        Ok(Some((packet, length)))
    }

    /// The packet's header, with each integer in its shortest form and unused bits 0.
    #[inline]
    pub fn encode(self) -> EncodedHeader {
        match self {
            Packet::Credit { stream, amount } => {
                EncodedHeader::of_two(kind::CREDIT, stream, amount)
            }
            Packet::GlobalCredit(amount) => EncodedHeader::of_amount(kind::GLOBAL_CREDIT, amount),
            Packet::Write { stream, length } => EncodedHeader::of_two(kind::WRITE, stream, length),
            Packet::Create(stream) => EncodedHeader::of_amount(kind::CREATE, stream.0),
            Packet::Ping(stream) => EncodedHeader::of_stream(kind::PING, stream),
            Packet::GlobalPing => EncodedHeader::new(kind::GLOBAL_PING),
            Packet::Pong(stream) => EncodedHeader::of_stream(kind::PONG, stream),
            Packet::GlobalPong => EncodedHeader::new(kind::GLOBAL_PONG),
            Packet::Close(stream) => EncodedHeader::of_stream(kind::CLOSE, stream),
            Packet::GlobalClose => EncodedHeader::new(kind::GLOBAL_CLOSE),
            Packet::StopRead(stream) => EncodedHeader::of_stream(kind::STOP_READ, stream),
            Packet::GlobalStopRead => EncodedHeader::new(kind::GLOBAL_STOP_READ),
        }
    }
}

/// The bytes of the id and of the second integer that follow a header byte.
fn widths(first: u8) -> Result<(usize, usize), Violation> {
    let id = 1 << (first >> 2 & 0b11);
    let amount = 1 << (first & 0b11);
    match first >> 4 {
        kind::CREDIT | kind::WRITE => Ok((id, amount)),
        kind::GLOBAL_CREDIT | kind::CREATE => Ok((0, amount)),
        kind::PING | kind::PONG | kind::CLOSE | kind::STOP_READ => Ok((id, 0)),
        kind::GLOBAL_PING | kind::GLOBAL_PONG | kind::GLOBAL_CLOSE | kind::GLOBAL_STOP_READ => {
            Ok((0, 0))
        }
        _ => Err(Violation::UndefinedType { first }),
    }
}

/// A big-endian integer of one of the widths that there are; 0 if it is absent.
#[inline(always)]
fn integer(bytes: &[u8]) -> u64 {
    match *bytes {
        [a] => u64::from(a),
        [a, b] => u64::from(u16::from_be_bytes([a, b])),
        [a, b, c, d] => u64::from(u32::from_be_bytes([a, b, c, d])),
        [a, b, c, d, e, f, g, h] => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
        _ => 0,
    }
}

/// An encoded header.
#[derive(Clone, Copy, Debug)]
pub struct EncodedHeader {
    bytes: [u8; HEADER_MAX],
    length: usize,
}

impl EncodedHeader {
    /// The header as it is sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Its length in bytes.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// The header with surplus bytes behind it.
    pub(super) fn stored(&self) -> &[u8; HEADER_MAX] {
        &self.bytes
    }

    fn new(kind: u8) -> EncodedHeader {
        let mut header = EncodedHeader { bytes: [0; HEADER_MAX], length: 1 };
        header.bytes[0] = kind << 4;
        header
    }

    fn of_stream(kind: u8, stream: StreamId) -> EncodedHeader {
        let mut header = EncodedHeader::new(kind);
        header.bytes[0] |= header.append(stream.0) << 2;
        header
    }

    fn of_amount(kind: u8, amount: u64) -> EncodedHeader {
        let mut header = EncodedHeader::new(kind);
        header.bytes[0] |= header.append(amount);
        header
    }

    fn of_two(kind: u8, stream: StreamId, amount: u64) -> EncodedHeader {
        let mut header = EncodedHeader::of_stream(kind, stream);
        header.bytes[0] |= header.append(amount);
        header
    }

    /// Appends an integer in its shortest form; returns its width code. All eight bytes are stored,
    /// because a store of fixed size is one instruction; surplus bytes stay beyond `length`.
    fn append(&mut self, integer: u64) -> u8 {
        let code = width_code(integer);
        let width = 1 << code;
        let aligned = integer << (64 - 8 * width);
        self.bytes[self.length..self.length + 8].copy_from_slice(&aligned.to_be_bytes());
        self.length += width;
        code
    }
}

/// The smallest code w for which 2^w bytes hold the integer.
fn width_code(integer: u64) -> u8 {
    match integer {
        0..=0xff => 0,
        0x100..=0xffff => 1,
        0x1_0000..=0xffff_ffff => 2,
        _ => 3,
    }
}

/// Finds headers in input that may end anywhere. Only a header that is cut is kept.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    kept: [u8; HEADER_MAX],
    filled: usize,
}

impl Decoder {
    /// The next packet, its header removed from the front of `input`; `None` if all input is used
    /// up first.
    #[inline]
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Packet>, Violation> {
        if self.filled == 0
            && let Some((packet, length)) = Packet::decode(input)?
        {
            *input = &input[length..];
            return Ok(Some(packet));
        }
        self.complete(input)
    }

    /// Whether a part of a header is kept.
    pub(super) fn in_header(&self) -> bool {
        self.filled > 0
    }

    /// Byte by byte, because it is rare and short. A header is complete at `HEADER_MAX` bytes at
    /// the latest, so `kept` cannot overflow.
    #[cold]
    fn complete(&mut self, input: &mut &[u8]) -> Result<Option<Packet>, Violation> {
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            self.kept[self.filled] = byte;
            self.filled += 1;
            if let Some((packet, _)) = Packet::decode(&self.kept[..self.filled])? {
                self.filled = 0;
                return Ok(Some(packet));
            }
        }
        Ok(None)
    }
}
