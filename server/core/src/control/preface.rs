//! The first bytes of a stream: its purpose, and the answer.

use super::codec::{DecodeError, body, frame, open_envelope};
use super::fields::{Addresses, SocketName, Ticket};
use crate::key::Key;
use crate::name::{Name, Version};
use crate::reason::Reason;
use crate::route::Route;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use minicbor::decode::Error;
use minicbor::{Decode, Encode};

/// The caller of a channel: the plugin that opened it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Origin {
    /// The calling plugin.
    #[n(1)]
    pub name: Name,
    /// Its version.
    #[n(2)]
    pub version: Version,
    /// Its server, if it is not the sender's own: a server tells its hosts.
    #[n(3)]
    pub server: Option<Key>,
}

impl Origin {
    /// A plugin of the sender's server.
    pub fn new(name: Name, version: Version) -> Origin {
        Origin { name, version, server: None }
    }
}

/// A request for a channel.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Request {
    /// The wanted plugin.
    #[n(1)]
    pub to: Name,
    /// The least version that suffices.
    #[n(2)]
    pub least: Version,
    /// The caller.
    #[n(3)]
    pub from: Origin,
    /// The server where it is wanted: sent by a host to its server.
    #[n(4)]
    pub server: Option<Key>,
    /// The route of the whole path, if it is not `link`: sent by a server to its host.
    #[n(5)]
    pub route: Option<Route>,
    /// Where the caller is, if it does not run inline: sent by a server to another one.
    #[n(6)]
    pub at: Option<At>,
    /// The caller was invited to a direct connection, and wants the same channel through the
    /// servers.
    #[n(7)]
    pub ticket: Option<Ticket>,
    /// The caller accepts no invitation.
    #[n(8)]
    #[cbor(default)]
    pub stays: bool,
    /// The purpose of the channel. The kind of the preface encodes it.
    #[cbor(skip)]
    pub purpose: Purpose,
}

/// The purpose of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// Bytes between the two plugins.
    #[default]
    Channel,
    /// Calls of the caller to the other plugin.
    Calls,
}

impl Request {
    /// A request of an inline plugin of the sender for a plugin of the receiver.
    pub fn new(to: Name, least: Version, from: Origin) -> Request {
        let (server, route, at, ticket) = (None, None, None, None);
        Request {
            to,
            least,
            from,
            server,
            route,
            at,
            ticket,
            stays: false,
            purpose: Purpose::Channel,
        }
    }
}

/// The process in which a plugin runs.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct At {
    /// Its key.
    #[n(1)]
    pub process: Key,
    /// Its machine.
    #[n(2)]
    pub machine: Key,
    /// The address from which its link came.
    #[n(3)]
    pub seen: Option<Addresses>,
}

/// What a caller needs for a direct connection to the process of the wanted plugin.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Invitation {
    /// The ticket to present there.
    #[n(1)]
    pub ticket: Ticket,
    /// The routes to try, in order; the last one goes through the servers.
    #[n(2)]
    pub routes: Vec<Route>,
    /// The key of that process.
    #[n(3)]
    pub process: Key,
    /// Its unix socket.
    #[n(4)]
    pub socket: Option<SocketName>,
    /// Its TCP addresses.
    #[n(5)]
    pub net: Option<Addresses>,
    /// The address from which its own link comes.
    #[n(6)]
    pub seen: Option<Addresses>,
    /// Its port on loopback. Only the caller's own server may send it, because that server is sure
    /// that both processes are on its machine.
    #[n(7)]
    pub loopback: Option<u16>,
}

/// The first frame on a direct connection.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Presented {
    /// The ticket.
    #[n(1)]
    pub ticket: Ticket,
    /// The route of this connection.
    #[n(2)]
    pub route: Route,
}

/// The purpose of a stream: its creator's first frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preface {
    /// A channel to a plugin of the receiver, or a stream of calls to it.
    Channel(Box<Request>),
    /// A command of the command line. The reply is the stream's bytes.
    Command {
        /// `status`, `stop`, or `explain FROM TO`.
        name: String,
    },
    /// The one channel of a direct connection.
    Direct(Presented),
    /// A kind that this version of the protocol does not have.
    Other(u64),
}

/// The receiver's first frame on a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The stream's bytes follow. The route, if it is not `link`.
    Accept(Option<Route>),
    /// The stream ends; a direct connection replaces it.
    Direct(Box<Invitation>),
    /// The stream ends.
    Refuse(Reason),
}

const CHANNEL: u64 = 1;
const COMMAND: u64 = 2;
const PRESENTED: u64 = 3;
const CALLS: u64 = 4;
const ACCEPT: u64 = 1;
const REFUSE: u64 = 2;
const DIRECT: u64 = 3;

#[derive(Encode, Decode)]
#[cbor(map)]
struct WireCommand {
    #[n(1)]
    name: String,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct WireAccept {
    #[n(1)]
    route: Option<Route>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct WireRefuse {
    #[n(1)]
    reason: Reason,
}

impl Preface {
    /// A stream for a channel.
    pub fn channel(request: Request) -> Preface {
        Preface::Channel(Box::new(request))
    }

    /// The preface as a frame, with its length in front.
    pub fn frame(&self) -> Vec<u8> {
        match self {
            Preface::Channel(request) => match request.purpose {
                Purpose::Channel => frame(CHANNEL, &**request),
                Purpose::Calls => frame(CALLS, &**request),
            },
            Preface::Command { name } => frame(COMMAND, &WireCommand { name: name.clone() }),
            Preface::Direct(presented) => frame(PRESENTED, presented),
            Preface::Other(kind) => frame(*kind, &WireAccept { route: None }),
        }
    }

    /// Reads the body of a frame.
    pub fn decode(bytes: &[u8]) -> Result<Preface, DecodeError> {
        let (kind, decoder) = open_envelope(bytes)?;
        match kind {
            CHANNEL => body(decoder).map(|request| Preface::Channel(Box::new(request))),
            CALLS => body(decoder)
                .map(|request| Preface::channel(Request { purpose: Purpose::Calls, ..request })),
            PRESENTED => body(decoder).map(Preface::Direct),
            COMMAND => body(decoder).map(|WireCommand { name }| Preface::Command { name }),
            other => Ok(Preface::Other(other)),
        }
    }
}

impl Answer {
    /// Accepts a channel with this route.
    pub fn accept(route: Option<Route>) -> Answer {
        Answer::Accept(route.filter(|route| *route != Route::Link))
    }

    /// The answer as a frame, with its length in front.
    pub fn frame(&self) -> Vec<u8> {
        match self {
            Answer::Accept(route) => frame(ACCEPT, &WireAccept { route: *route }),
            Answer::Direct(invitation) => frame(DIRECT, &**invitation),
            Answer::Refuse(reason) => frame(REFUSE, &WireRefuse { reason: reason.clone() }),
        }
    }

    /// Reads the body of a frame.
    pub fn decode(bytes: &[u8]) -> Result<Answer, DecodeError> {
        let (kind, decoder) = open_envelope(bytes)?;
        match kind {
            ACCEPT => body(decoder).map(|WireAccept { route }| Answer::Accept(route)),
            DIRECT => body(decoder).map(|invitation| Answer::Direct(Box::new(invitation))),
            REFUSE => body(decoder).map(|WireRefuse { reason }| Answer::Refuse(reason)),
            _ => Err(Error::message("an answer is accept (1), refuse (2) or direct (3)").into()),
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
        let from = Origin { name: name("ping"), version: 3, server: None };
        let prefaces = [
            Preface::Channel(Box::new(Request {
                to: name("echo"),
                least: 4,
                from,
                server: Some(Key([9; 32])),
                route: Some(Route::Relay),
                at: Some(At { process: Key([1; 32]), machine: Key([2; 32]), seen: None }),
                ticket: Some(Ticket([4; 32])),
                stays: true,
                purpose: Purpose::Calls,
            })),
            Preface::Command { name: "status".into() },
            Preface::Direct(Presented { ticket: Ticket([5; 32]), route: Route::Unix }),
            Preface::Other(77),
        ];
        for preface in prefaces {
            let read = Preface::decode(&preface.frame()[4..]).expect("our own preface");
            assert_eq!(read, preface);
        }
        let accept = Answer::Accept(Some(Route::Unix));
        for answer in
            [Answer::Accept(None), accept, Answer::Refuse(Reason::server(Code::Refused, "no"))]
        {
            let read = Answer::decode(&answer.frame()[4..]).expect("our own answer");
            assert_eq!(read, answer);
        }
    }
}
