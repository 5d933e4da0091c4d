//! The control messages of stream 0.

use super::codec::{DecodeError, body, frame, open_envelope};
use super::fields::{Addresses, SocketName, Ticket};
use super::preface::Origin;
use crate::key::Key;
use crate::name::{Name, Version};
use crate::reason::Reason;
use crate::route::Route;
use alloc::string::String;
use alloc::vec::Vec;
use minicbor::{Decode, Encode};

/// The role of a process towards its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Role {
    /// Another server.
    #[n(0)]
    Server,
    /// A process that runs plugins for this server.
    #[n(1)]
    Host,
    /// The command line.
    #[n(2)]
    Command,
}

/// The first message from each side.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Hello {
    /// Version of the protocol; see [`PROTOCOL`](super::PROTOCOL).
    #[n(1)]
    pub protocol: u64,
    /// The role of the sender.
    #[n(2)]
    pub role: Role,
    /// The key of the sender. Proved by `shs`, only a claim over `noauth`.
    #[n(3)]
    pub key: Key,
    /// The sender's name, for people.
    #[n(4)]
    pub name: String,
    /// Equal for all processes that can reach each other's unix sockets.
    #[n(5)]
    pub machine: Key,
    /// The plugins that the receiver may see; more may follow in [`Plugins`] messages.
    #[n(6)]
    pub plugins: Vec<Announced>,
    /// The release of the sender's software, for people.
    #[n(7)]
    pub software: Option<String>,
    /// The address from which the receiver's connection came, if it is valid elsewhere. Not sent
    /// yet.
    #[n(8)]
    pub seen: Option<Addresses>,
}

/// A plugin as it is announced to a peer.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Announced {
    /// The plugin's name.
    #[n(1)]
    pub name: Name,
    /// The plugin's version.
    #[n(2)]
    pub version: Version,
    /// The server of the plugin, if it is not the sender: a server announces all plugins to its
    /// hosts.
    #[n(3)]
    pub server: Option<Key>,
    /// What a host registers for the plugin.
    #[n(4)]
    pub registration: Option<Registration>,
    /// The offer: plugins of these names are to be connected to it, if the receiver has them.
    #[n(5)]
    pub invites: Option<Vec<Name>>,
}

impl Announced {
    /// A plugin of the sender.
    pub fn new(name: Name, version: Version) -> Announced {
        Announced { name, version, server: None, registration: None, invites: None }
    }
}

/// What a host registers for a plugin, besides name and version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Registration {
    /// Whether plugins of every linked server may see it.
    #[n(1)]
    pub peers: bool,
    /// The keys of the servers whose plugins may see it.
    #[n(2)]
    pub keys: Vec<Key>,
    /// The plugins that it opens channels to.
    #[n(3)]
    pub uses: Vec<Use>,
    /// The plugins that should connect to it.
    #[n(4)]
    pub invites: Vec<Name>,
    /// What it may do beyond the default, in the words of the configuration.
    #[n(5)]
    pub allow: Vec<String>,
    /// The unix socket on which its host accepts direct connections.
    #[n(6)]
    pub socket: Option<SocketName>,
    /// The TCP addresses on which its host accepts direct connections.
    #[n(7)]
    pub net: Option<Addresses>,
    /// The port on loopback on which its host accepts direct connections.
    #[n(8)]
    pub loopback: Option<u16>,
}

/// A plugin that is used, and the least version that suffices.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Use {
    /// Its name.
    #[n(1)]
    pub name: Name,
    /// The least version.
    #[n(2)]
    pub least: Version,
}

/// Plugins that appeared, or whose version changed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Plugins {
    /// Each with its new version.
    #[n(1)]
    pub plugins: Vec<Announced>,
}

/// Plugins that left.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Withdrawn {
    /// Their names.
    #[n(1)]
    pub names: Vec<Name>,
    /// The server that had them, if it is not the sender.
    #[n(2)]
    pub server: Option<Key>,
}

/// Why a stream is about to be ended in both directions.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Closing {
    /// The stream's id.
    #[n(1)]
    pub stream: u64,
    /// Why.
    #[n(2)]
    pub reason: Reason,
}

/// The last message of a link.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Goodbye {
    /// Why the link ends.
    #[n(1)]
    pub reason: Reason,
}

/// The answer to a message whose kind the receiver does not know.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Unknown {
    /// The kind that is not known.
    #[n(1)]
    pub kind: u64,
}

/// Whether the sender has a use for the link.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Wanted {
    /// It has: a plugin of the sender uses or invites one of the receiver, or the sender keeps the
    /// link.
    #[n(1)]
    pub wanted: bool,
}

/// Servers that are linked to the sender, told to its hosts. The first one of a link says that the
/// host's directory is complete.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Linked {
    /// The servers, with their names.
    #[n(1)]
    pub servers: Vec<Server>,
    /// Where the sender can be reached.
    #[n(2)]
    pub addresses: Option<Addresses>,
}

/// A server: its key and its name.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Server {
    /// Its key.
    #[n(1)]
    pub key: Key,
    /// Its name.
    #[n(2)]
    pub name: String,
}

/// A link of the sender ended, or one that a plugin of the receiver wanted could not be made.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Unlinked {
    /// The server at its other end.
    #[n(1)]
    pub server: Server,
    /// Why.
    #[n(2)]
    pub reason: Reason,
    /// Only this plugin is notified: it wanted the link.
    #[n(3)]
    pub plugin: Option<Name>,
}

/// A plugin of the sending host wants a link.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct OpenLink {
    /// The plugin.
    #[n(1)]
    pub plugin: Name,
    /// The address, with the key that is expected there.
    #[n(2)]
    pub address: String,
}

/// A plugin of the sending host ends a link.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct CloseLink {
    /// The plugin.
    #[n(1)]
    pub plugin: Name,
    /// The server at its other end.
    #[n(2)]
    pub server: Key,
}

/// The sender does not accept a plugin that the receiving host has announced.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Rejected {
    /// The plugin.
    #[n(1)]
    pub name: Name,
    /// Why.
    #[n(2)]
    pub reason: Reason,
}

/// A direct connection to the receiving host will present this ticket.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Expect {
    /// The ticket.
    #[n(1)]
    pub ticket: Ticket,
    /// The plugin that is wanted.
    #[n(2)]
    pub to: Name,
    /// The caller.
    #[n(3)]
    pub from: Origin,
    /// The key of the caller's process.
    #[n(4)]
    pub process: Key,
    /// Where to dial the caller at the same time, through the routers between the two.
    #[n(5)]
    pub punch: Option<Addresses>,
    /// The connection carries calls.
    #[n(6)]
    #[cbor(default)]
    pub calls: bool,
}

/// A channel of a plugin of the sending host failed, or one of its routes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Tried {
    /// The plugin that opened it.
    #[n(1)]
    pub from: Name,
    /// The plugin that it was opened to.
    #[n(2)]
    pub to: Name,
    /// The server of that plugin.
    #[n(3)]
    pub server: Key,
    /// The route.
    #[n(4)]
    pub route: Route,
    /// Why it failed.
    #[n(5)]
    pub reason: Reason,
}

/// A channel of a plugin of the sending host has its own connection, or has ended.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct DirectChannel {
    /// The plugin that opened it.
    #[n(1)]
    pub from: Name,
    /// The plugin that it was opened to.
    #[n(2)]
    pub to: Name,
    /// The server of that plugin.
    #[n(3)]
    pub server: Key,
    /// The route.
    #[n(4)]
    pub route: Route,
    /// It has ended.
    #[n(5)]
    pub ended: bool,
}

macro_rules! messages {
    ($($(#[$doc:meta])* $kind:literal $variant:ident,)*) => {
        /// A control message. Its kind is the first number of its envelope.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Message {
            $($(#[$doc])* $variant($variant),)*
            /// A kind that this version of the protocol does not have.
            Other(u64),
        }

        impl Message {
            /// The message as a frame, with its length in front.
            pub fn frame(&self) -> Vec<u8> {
                match self {
                    $(Message::$variant(inner) => frame($kind, inner),)*
                    Message::Other(kind) => frame(*kind, &Plugins { plugins: Vec::new() }),
                }
            }

            /// Reads the body of a frame.
            pub fn decode(bytes: &[u8]) -> Result<Message, DecodeError> {
                let (kind, decoder) = open_envelope(bytes)?;
                match kind {
                    $($kind => body(decoder).map(Message::$variant),)*
                    other => Ok(Message::Other(other)),
                }
            }
        }
    };
}

impl Message {
    /// How many plugins the message tells of.
    pub fn names(&self) -> usize {
        match self {
            Message::Plugins(told) => told.plugins.len(),
            Message::Withdrawn(told) => told.names.len(),
            Message::Linked(told) => told.servers.len(),
            _ => 0,
        }
    }
}

messages! {
    /// The first message from each side.
    1 Hello,
    /// Plugins that appeared or changed.
    2 Plugins,
    /// Plugins that left.
    3 Withdrawn,
    /// Why a stream ends.
    4 Closing,
    /// Why the link ends.
    5 Goodbye,
    /// A message of unknown kind was refused.
    6 Unknown,
    /// Whether the sender has a use for the link; it has none before it says so.
    7 Wanted,
    /// Servers that are linked to the sender, told to its hosts.
    8 Linked,
    /// A link ended or could not be made, told to hosts.
    9 Unlinked,
    /// A plugin of a host wants a link.
    10 OpenLink,
    /// A plugin of a host ends a link.
    11 CloseLink,
    /// A plugin that a host announced is not accepted.
    12 Rejected,
    /// A direct connection is expected, told to hosts.
    13 Expect,
    /// A route or channel of a host's plugin failed.
    14 Tried,
    /// A host's plugin has a channel that does not pass through its server.
    15 DirectChannel,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{FrameReader, MESSAGE_MAX};
    use crate::reason::Code;
    use alloc::vec;

    fn all() -> Vec<Message> {
        let echo = Announced::new("echo".parse().expect("a name"), u64::MAX);
        let reason = Reason::server(Code::Silent, "nothing for 30 s");
        vec![
            Message::Hello(Hello {
                protocol: 1,
                role: Role::Server,
                key: Key([7; 32]),
                name: "alpha".into(),
                machine: Key([8; 32]),
                plugins: vec![echo.clone()],
                software: None,
                seen: None,
            }),
            Message::Plugins(Plugins { plugins: vec![echo.clone()] }),
            Message::Withdrawn(Withdrawn { names: vec![echo.name], server: None }),
            Message::Closing(Closing { stream: 300, reason: reason.clone() }),
            Message::Goodbye(Goodbye { reason: Reason::plugin("mine", "é") }),
            Message::Unknown(Unknown { kind: 99 }),
            Message::Wanted(Wanted { wanted: true }),
        ]
    }

    #[test]
    fn every_message_is_read_as_it_was_written() {
        for message in all() {
            let frame = message.frame();
            let mut input = &frame[..];
            let body = FrameReader::new(MESSAGE_MAX).read(&mut input).expect("short enough");
            let body = body.expect("a whole frame");
            assert_eq!(Message::decode(body.as_slice()).expect("our own message"), message);
        }
    }

    #[test]
    fn a_message_cut_short_is_an_error_and_never_a_panic() {
        for message in all() {
            let frame = message.frame();
            for end in 0..frame.len() - 4 {
                let cut = Message::decode(&frame[4..4 + end]);
                assert!(cut.is_err(), "{message:?} cut at {end} was taken");
            }
        }
    }

    #[test]
    fn unknown_fields_are_skipped_and_unknown_kinds_reported() {
        // [6, {1: 99, 77: "new"}]
        let newer = [0x82, 6, 0xa2, 1, 0x18, 99, 0x18, 77, 0x63, b'n', b'e', b'w'];
        let message = Message::decode(&newer).expect("a newer message");
        assert_eq!(message, Message::Unknown(Unknown { kind: 99 }));
        assert_eq!(Message::decode(&[0x82, 0x18, 40, 0xa0]).expect("a map"), Message::Other(40));
    }
}
