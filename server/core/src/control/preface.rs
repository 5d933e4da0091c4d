//! The first bytes of a stream: what it is for, and the answer.

use super::codec::{DecodeError, body, frame, open_envelope};
use crate::name::{Name, Version};
use crate::reason::Reason;
use alloc::string::String;
use alloc::vec::Vec;
use minicbor::decode::Error;
use minicbor::{Decode, Encode};

/// A channel's caller: who opened it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Origin {
    /// The calling plugin.
    #[n(1)]
    pub name: Name,
    /// Its version.
    #[n(2)]
    pub version: Version,
}

/// What a stream is for: its creator's first frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preface {
    /// A channel to a plugin of the receiver.
    Channel {
        /// The plugin that is wanted.
        to: Name,
        /// The least version that will do.
        least: Version,
        /// Who wants it.
        from: Origin,
    },
    /// A command of the command line. The reply is the stream's bytes.
    Command {
        /// `status` or `stop`.
        name: String,
    },
    /// A kind that this version of the protocol does not have.
    Other(u64),
}

/// The receiver's first frame on a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The stream's bytes follow.
    Accept,
    /// The stream ends.
    Refuse(Reason),
}

const CHANNEL: u64 = 1;
const COMMAND: u64 = 2;
const ACCEPT: u64 = 1;
const REFUSE: u64 = 2;

#[derive(Encode, Decode)]
#[cbor(map)]
struct WireChannel {
    #[n(1)]
    to: Name,
    #[n(2)]
    least: Version,
    #[n(3)]
    from: Origin,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct WireCommand {
    #[n(1)]
    name: String,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct WireAccept {}

#[derive(Encode, Decode)]
#[cbor(map)]
struct WireRefuse {
    #[n(1)]
    reason: Reason,
}

impl Preface {
    /// The preface as a frame, its length in front.
    pub fn frame(&self) -> Vec<u8> {
        match self.clone() {
            Preface::Channel { to, least, from } => {
                frame(CHANNEL, &WireChannel { to, least, from })
            }
            Preface::Command { name } => frame(COMMAND, &WireCommand { name }),
            Preface::Other(kind) => frame(kind, &WireAccept {}),
        }
    }

    /// Reads the body of a frame.
    pub fn decode(bytes: &[u8]) -> Result<Preface, DecodeError> {
        let (kind, decoder) = open_envelope(bytes)?;
        match kind {
            CHANNEL => {
                let WireChannel { to, least, from } = body(decoder)?;
                Ok(Preface::Channel { to, least, from })
            }
            COMMAND => body(decoder).map(|WireCommand { name }| Preface::Command { name }),
            other => Ok(Preface::Other(other)),
        }
    }
}

impl Answer {
    /// The answer as a frame, its length in front.
    pub fn frame(&self) -> Vec<u8> {
        match self {
            Answer::Accept => frame(ACCEPT, &WireAccept {}),
            Answer::Refuse(reason) => frame(REFUSE, &WireRefuse { reason: reason.clone() }),
        }
    }

    /// Reads the body of a frame.
    pub fn decode(bytes: &[u8]) -> Result<Answer, DecodeError> {
        let (kind, decoder) = open_envelope(bytes)?;
        match kind {
            ACCEPT => body(decoder).map(|WireAccept {}| Answer::Accept),
            REFUSE => body(decoder).map(|WireRefuse { reason }| Answer::Refuse(reason)),
            _ => Err(Error::message("an answer is accept (1) or refuse (2)").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Code;

    #[test]
    fn prefaces_and_answers_are_read_as_they_were_written() {
        let name = |text: &str| text.parse::<Name>().expect("a name");
        let from = Origin { name: name("ping"), version: 3 };
        let prefaces = [
            Preface::Channel { to: name("echo"), least: 4, from },
            Preface::Command { name: "status".into() },
            Preface::Other(77),
        ];
        for preface in prefaces {
            let read = Preface::decode(&preface.frame()[4..]).expect("our own preface");
            assert_eq!(read, preface);
        }
        for answer in [Answer::Accept, Answer::Refuse(Reason::server(Code::Refused, "no"))] {
            let read = Answer::decode(&answer.frame()[4..]).expect("our own answer");
            assert_eq!(read, answer);
        }
    }
}
