//! bymux: many byte streams with credit over one byte pipe. What they mean is decided elsewhere.
//!
//! A [`Connection`] is driven by bytes and calls, and never touches a socket:
//!
//! 1. Bytes came: call [`Connection::receive`] until it gives `Ok(None)`. A [`Violation`] ends
//!    the connection.
//! 2. Calls such as [`Connection::write`] put packets in the [`Outbox`].
//! 3. Flush: write [`Outbox::slices`] to the pipe, tell [`Outbox::advance`] how much went out.
//! 4. Then call [`Connection::next_ready`] until it gives `None`, and write on each stream
//!    that it names.
//!
//! The numbers of the rules in comments and in [`Violation::rule`] are those of PROTOCOL.md.

mod codec;
mod connection;
mod outbox;
mod receive;
mod send;
mod stream;
mod streams;
mod violation;

use core::fmt;

pub use codec::{HEADER_MAX, Header, Packet};
pub use connection::Connection;
pub use outbox::{HIGH_WATER, LOW_WATER, Outbox, PAYLOAD_MAX, QUANTUM};
pub use violation::{Level, Violation};

/// Which stream of a connection. Even ids were created by the end that dialled, odd ids by the
/// other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

impl StreamId {
    /// The stream that is there from the start, where the profile says so.
    pub const CONTROL: StreamId = StreamId(0);
}

impl fmt::Display for StreamId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Which end of the connection this is. It decides who creates which ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It dialled, and creates even ids.
    Proactive,
    /// It accepted, and creates odd ids.
    Reactive,
}

impl Role {
    /// The other end's role.
    pub fn peer(self) -> Role {
        match self {
            Role::Proactive => Role::Reactive,
            Role::Reactive => Role::Proactive,
        }
    }

    /// Whether this end may create a stream of this id.
    pub fn creates(self, stream: StreamId) -> bool {
        match self {
            Role::Proactive => stream.0.is_multiple_of(2),
            Role::Reactive => !stream.0.is_multiple_of(2),
        }
    }
}

/// What both ends take for granted before the first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// `Some(bytes)`: stream 0 is active from the start, with so much credit each way.
    pub control_stream: Option<u64>,
    /// Streams that each end may create before it is given global credit.
    pub global_credit: u64,
    /// Bytes that the creator of a stream may write before it is given credit. The other end of the
    /// stream begins with none.
    pub creator_credit: u64,
}

impl Profile {
    /// bymux as its text has it: no stream, no credit. The vectors assume it.
    pub const VANILLA: Profile =
        Profile { control_stream: None, global_credit: 0, creator_credit: 0 };
}

/// What [`Connection::receive`] tells. `tag` is the owner's own number, see
/// [`Connection::set_tag`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The peer created a stream. Its tag is 0.
    Opened {
        /// The new stream.
        stream: StreamId,
    },
    /// Bytes came, at least one. A packet that comes in pieces is told in pieces.
    Write {
        /// On which stream.
        stream: StreamId,
        /// The owner's number.
        tag: u32,
        /// The bytes, borrowed from the input.
        bytes: &'a [u8],
    },
    /// We may write `amount` bytes more; 0 means without an end.
    Credit {
        /// On which stream.
        stream: StreamId,
        /// The owner's number.
        tag: u32,
        /// Bytes.
        amount: u64,
    },
    /// The peer writes no more. Our StopRead is already queued as the answer.
    Close {
        /// On which stream.
        stream: StreamId,
        /// The owner's number.
        tag: u32,
    },
    /// The peer takes no more. Our Close is already queued as the answer: nothing more can be
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
    /// The peer answered a ping, or sent a pong of its own accord.
    Pong {
        /// On which stream.
        stream: StreamId,
        /// The owner's number.
        tag: u32,
    },
    /// Both ends have sent Close and StopRead: the stream is no more. The last event of a stream.
    Gone {
        /// The stream that was.
        stream: StreamId,
        /// The owner's number.
        tag: u32,
    },
    /// We may create so many streams more, at least one.
    GlobalCredit(u64),
    /// The peer pinged the connection; the pong is already queued.
    GlobalPing,
    /// The peer answered a global ping, or sent a pong of its own accord.
    GlobalPong,
    /// The peer creates no more streams.
    GlobalClose,
    /// The peer grants no more streams: we can create none any more.
    GlobalStopRead,
}
