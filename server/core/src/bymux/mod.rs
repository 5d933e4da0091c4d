//! bymux: many byte streams with credit over one byte pipe. It does not interpret the streams.
//!
//! A [`Connection`] is driven by bytes and calls, and never touches a socket:
//!
//! 1. Bytes arrived: call [`Connection::receive`] until it returns `Ok(None)`. A [`Violation`] ends
//!    the connection.
//! 2. Calls such as [`Connection::write`] put packets in the [`Outbox`].
//! 3. Flush: write [`Outbox::slices`] to the pipe, and pass the number of written bytes to
//!    [`Outbox::advance`].
//! 4. Then call [`Connection::next_ready`] until it returns `None`, and write on each stream that
//!    it names.
//!
//! Comments and [`Violation::rule`] use the rule numbers of PROTOCOL.md.

mod codec;
mod connection;
mod outbox;
mod receive;
mod send;
mod stream;
mod streams;
mod violation;

use core::fmt;

pub use codec::{EncodedHeader, HEADER_MAX, Packet};
pub use connection::Connection;
pub use outbox::{HIGH_WATER, LOW_WATER, Outbox, PAYLOAD_MAX, QUANTUM};
pub use violation::{Level, Violation};

/// The id of a stream. Even ids were created by the dialler, odd ids by the acceptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

impl StreamId {
    /// The stream that exists from the start, if the profile says so.
    pub const CONTROL: StreamId = StreamId(0);
}

impl fmt::Display for StreamId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Which end of the connection this is. It decides who creates which ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MuxRole {
    /// It dialled, and creates even ids.
    Dialler,
    /// It accepted, and creates odd ids.
    Acceptor,
}

impl MuxRole {
    /// The other end's role.
    pub fn peer(self) -> MuxRole {
        match self {
            MuxRole::Dialler => MuxRole::Acceptor,
            MuxRole::Acceptor => MuxRole::Dialler,
        }
    }

    /// Whether this end may create a stream of this id.
    pub fn creates(self, stream: StreamId) -> bool {
        match self {
            MuxRole::Dialler => stream.0.is_multiple_of(2),
            MuxRole::Acceptor => !stream.0.is_multiple_of(2),
        }
    }
}

/// What both ends assume before the first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// `Some(bytes)`: stream 0 is active from the start, with this much credit each way.
    pub control_stream: Option<u64>,
    /// Streams that each end may create before it is given global credit.
    pub global_credit: u64,
    /// Bytes that the creator of a stream may write before it receives credit. The other end of the
    /// stream begins with none.
    pub creator_credit: u64,
}

impl Profile {
    /// bymux as its text defines it: no stream, no credit. The vectors assume it.
    pub const VANILLA: Profile =
        Profile { control_stream: None, global_credit: 0, creator_credit: 0 };
}

/// The events of [`Connection::receive`]. `tag` is the owner's own number, see
/// [`Connection::set_tag`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The peer created a stream. Its tag is 0.
    Opened {
        /// The new stream.
        stream: StreamId,
    },
    /// Bytes arrived, at least one. A packet that arrives in pieces is reported in pieces.
    Write {
        /// On which stream.
        stream: StreamId,
        /// The owner's number.
        tag: u32,
        /// The bytes, borrowed from the input.
        bytes: &'a [u8],
    },
    /// We may write `amount` more bytes; 0 means unlimited.
    Credit {
        /// On which stream.
        stream: StreamId,
        /// The owner's number.
        tag: u32,
        /// Bytes.
        amount: u64,
    },
    /// The peer no longer writes. Our StopRead is already queued as the answer.
    Close {
        /// On which stream.
        stream: StreamId,
        /// The owner's number.
        tag: u32,
    },
    /// The peer no longer reads. Our Close is already queued as the answer: nothing more can be
    /// written.
    StopRead {
        /// On which stream.
        stream: StreamId,
        /// The owner's number.
        tag: u32,
    },
    /// The peer pinged; the pong is already queued.
    Ping {
        /// On which stream.
        stream: StreamId,
        /// The owner's number.
        tag: u32,
    },
    /// The peer answered a ping, or sent an unsolicited pong.
    Pong {
        /// On which stream.
        stream: StreamId,
        /// The owner's number.
        tag: u32,
    },
    /// Both ends have sent Close and StopRead: the stream has ended. The last event of a stream.
    Gone {
        /// The stream that ended.
        stream: StreamId,
        /// The owner's number.
        tag: u32,
    },
    /// We may create that many more streams, at least one.
    GlobalCredit(u64),
    /// The peer pinged the connection; the pong is already queued.
    GlobalPing,
    /// The peer answered a global ping, or sent an unsolicited pong.
    GlobalPong,
    /// The peer no longer creates streams.
    GlobalClose,
    /// The peer grants no more streams: we can no longer create any beyond those granted.
    GlobalStopRead,
}
