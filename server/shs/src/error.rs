//! Possible errors, named by the rule that was broken. The type says whose fault it is.

use core::fmt;

/// The peer broke a rule, has the wrong key, or its bytes were changed in transit. The connection
/// has to be closed without another byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Message 1 or 2 was not made with our network id, or was changed in transit.
    Network,
    /// The peer's ephemeral or long-term key makes a shared secret that everyone knows.
    LowOrder,
    /// The peer's long-term key is not a usable ed25519 key.
    PeerKey,
    /// Message 3 cannot be opened: it was made for another server, or was changed in transit.
    Hello,
    /// Message 3 is not signed by the key that it names.
    HelloSignature,
    /// Message 4 cannot be opened: the acceptor has another key, or it was changed in transit.
    Answer,
    /// Message 4 is not signed by the acceptor.
    AnswerSignature,
    /// The header of a frame cannot be opened: it was changed, repeated, or is out of order.
    Header,
    /// The body of a frame does not have the tag that its header names.
    Body,
    /// The header claims a body of this length, which is over [`BODY_MAX`](crate::BODY_MAX).
    BodyTooLong(u16),
    /// There are bytes after goodbye.
    AfterGoodbye,
    /// The transport ended without goodbye, so data may be missing.
    Truncated,
}

/// The caller asked for something that the protocol does not allow at this point. Nothing was
/// changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misuse {
    /// [`Handshake::admit`](crate::Handshake::admit) while no peer waits for an answer.
    NoPeerWaits,
    /// A body has to have 1 to 4,096 bytes.
    BodyLength(usize),
    /// The buffer for a frame has this many bytes, which is too few for header and body.
    Room(usize),
    /// Goodbye was sent already.
    AfterGoodbye,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Error::Network => {
                "the peer belongs to another network, or does not speak Secret Handshake"
            }
            Error::LowOrder => {
                "the peer's key is of low order, so the shared secret would be known"
            }
            Error::PeerKey => "the peer's key is not a usable ed25519 key",
            Error::Hello => "message 3 cannot be opened: it was made for a server with another key",
            Error::HelloSignature => "message 3 is not signed by the key that it names",
            Error::Answer => "message 4 cannot be opened: the server has another key",
            Error::AnswerSignature => "message 4 is not signed by the server's key",
            Error::Header => "a frame's header is forged, repeated or out of order",
            Error::Body => "a frame's body is forged",
            Error::AfterGoodbye => "there are bytes after goodbye",
            Error::Truncated => "the connection ended without goodbye",
            Error::BodyTooLong(length) => {
                return write!(f, "a frame's body of {length} bytes is over the limit of 4096");
            }
        };
        f.write_str(text)
    }
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misuse::NoPeerWaits => f.write_str("no peer waits to be admitted"),
            Misuse::BodyLength(length) => {
                write!(f, "a body of {length} bytes is not between 1 and 4096 long; split it")
            }
            Misuse::Room(length) => {
                write!(f, "{length} bytes are too few for a frame; give 34 more than the body has")
            }
            Misuse::AfterGoodbye => f.write_str("nothing can be sent after goodbye"),
        }
    }
}

impl core::error::Error for Error {}
impl core::error::Error for Misuse {}
