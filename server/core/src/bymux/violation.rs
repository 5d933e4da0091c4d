//! The ways in which a peer can break bymux, each with its rule. The reader closes the connection.

use core::fmt;

use super::StreamId;

/// Where a rule was broken. The global level has the same rules as a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The level on which streams are created.
    Global,
    /// One stream.
    Stream(StreamId),
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Level::Global => formatter.write_str("the global level"),
            Level::Stream(stream) => write!(formatter, "stream {stream}"),
        }
    }
}

/// The peer broke a rule of bymux, which ends the whole connection at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Rule 1: type 110 or 111.
    UndefinedType {
        /// The packet's first byte.
        first: u8,
    },
    /// Rule 4: a packet for a stream that is not active.
    InactiveStream(StreamId),
    /// Rule 5: credit beyond 2^64-1.
    CreditOverflow(Level),
    /// Rule 5: nonzero credit on a stream whose credit is infinite.
    CreditOnInfinite(StreamId),
    /// Rule 6: a Write that is longer than the credit given.
    WriteBeyondCredit {
        /// On which stream.
        stream: StreamId,
        /// Bytes that the Write announced.
        length: u64,
        /// Bytes that the peer could still write.
        credit: u64,
    },
    /// Rule 7, or 10 for the creation of a stream: a Write after Close.
    WriteAfterClose(Level),
    /// Rule 7 or 10: a second Close.
    SecondClose(Level),
    /// Rule 8 or 10: a Credit after StopRead.
    CreditAfterStopRead(Level),
    /// Rule 8 or 10: a second StopRead.
    SecondStopRead(Level),
    /// Rule 9 or 10: a Ping or Pong after both Close and StopRead.
    PingAfterEnd(Level),
    /// Rule 11: the created stream's id is active.
    IdInUse(StreamId),
    /// Rule 11: a stream was created without global credit.
    CreatedWithoutCredit(StreamId),
    /// Rule 11: the created stream's id belongs to our end.
    WrongParity(StreamId),
    /// Rule 12: the transport ended in the middle of a packet.
    EndedInPacket,
    /// Rule 12: the transport ended with open streams.
    EndedWithStreams {
        /// How many, the control stream not counted.
        open: usize,
    },
}

impl Violation {
    /// The number of the broken rule, as PROTOCOL.md counts them.
    pub fn rule(&self) -> u8 {
        use Violation::*;
        match self {
            UndefinedType { .. } => 1,
            InactiveStream(_) => 4,
            CreditOverflow(_) | CreditOnInfinite(_) => 5,
            WriteBeyondCredit { .. } => 6,
            WriteAfterClose(Level::Stream(_)) | SecondClose(Level::Stream(_)) => 7,
            CreditAfterStopRead(Level::Stream(_)) | SecondStopRead(Level::Stream(_)) => 8,
            PingAfterEnd(Level::Stream(_)) => 9,
            WriteAfterClose(Level::Global)
            | SecondClose(Level::Global)
            | CreditAfterStopRead(Level::Global)
            | SecondStopRead(Level::Global)
            | PingAfterEnd(Level::Global) => 10,
            IdInUse(_) | CreatedWithoutCredit(_) | WrongParity(_) => 11,
            EndedInPacket | EndedWithStreams { .. } => 12,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Violation::*;
        match self {
            UndefinedType { first } => {
                write!(f, "packet of undefined type, first byte {first:#04x}")
            }
            InactiveStream(stream) => write!(f, "packet for stream {stream}, which is not active"),
            CreditOverflow(level) => write!(f, "credit beyond 2^64-1 on {level}"),
            CreditOnInfinite(stream) => {
                write!(f, "credit on stream {stream}, whose credit is infinite")
            }
            WriteBeyondCredit { stream, length, credit } => {
                write!(f, "write of {length} bytes on stream {stream}, whose credit is {credit}")
            }
            WriteAfterClose(Level::Global) => f.write_str("stream created after global close"),
            WriteAfterClose(level) => write!(f, "write after close on {level}"),
            SecondClose(level) => write!(f, "second close on {level}"),
            CreditAfterStopRead(level) => write!(f, "credit after stop-read on {level}"),
            SecondStopRead(level) => write!(f, "second stop-read on {level}"),
            PingAfterEnd(level) => write!(f, "ping or pong after close and stop-read on {level}"),
            IdInUse(stream) => write!(f, "stream {stream} created while it is active"),
            CreatedWithoutCredit(stream) => {
                write!(f, "stream {stream} created without global credit")
            }
            WrongParity(stream) => {
                write!(f, "stream {stream} created by the wrong end: the dialler creates even ids")
            }
            EndedInPacket => f.write_str("transport ended in the middle of a packet"),
            EndedWithStreams { open } => write!(f, "transport ended with {open} open streams"),
        }?;
        write!(f, " (bymux rule {})", self.rule())
    }
}

impl core::error::Error for Violation {}
