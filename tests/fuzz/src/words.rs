//! What a fuzzed peer can say: control messages, prefaces and answers out of a small vocabulary, so
//! that what one says often concerns what another one has.

use crate::Script;
use std::sync::OnceLock;
use trunkline_core::address::{Address, Scope};
use trunkline_core::control::{
    Addresses, Announced, Answer, At, CloseLink, Closing, DirectChannel, Expect, Goodbye, Hello,
    Invitation, Linked, Message, OpenLink, Origin, PROTOCOL, Plugins, Preface, Presented, Purpose,
    Registration, Rejected, Request, Role, Server, SocketName, Ticket, Tried, Unknown, Unlinked,
    Use, Wanted, Withdrawn,
};
use trunkline_core::key::Key;
use trunkline_core::name::Name;
use trunkline_core::reason::{By, Code, Reason};
use trunkline_core::route::Route;
use trunkline_shs::Identity;

/// The plugins of all who take part; each side has some of them.
pub(crate) const NAMES: [&str; 16] = [
    "echo", "sink", "held", "late", "calls", "slow", "joiner", "inviter", "user", "trap", "probe",
    "guest", "x", "child", "nobody", "other",
];

/// The peers that may break rules, by their numbers; see [`identity`].
pub(crate) const HOSTILE: [usize; 4] = [2, 3, 4, 5];

/// What words are made of: decisions, and what can be named by number.
pub(crate) struct Words<'s, 'a> {
    /// The decisions.
    pub(crate) script: &'s mut Script<'a>,
    /// Tickets that a peer has seen.
    pub(crate) tickets: &'s [Ticket],
    /// Streams of this connection.
    pub(crate) streams: &'s [u64],
}

/// The key pair of a process or peer.
///
/// # Panics
/// If there is none with this number.
pub(crate) fn identity(who: usize) -> &'static Identity {
    static ALL: OnceLock<Vec<Identity>> = OnceLock::new();
    &ALL.get_or_init(|| (0..6).map(|who| Identity::from_seed(&[who + 1; 32])).collect())[who]
}

/// The public key of a process or peer.
pub(crate) fn key(who: usize) -> Key {
    Key(*identity(who).public())
}

/// A name of [`NAMES`].
///
/// # Panics
/// When it is no name.
pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap_or_else(|error| panic!("{text} is no name: {error}"))
}

impl Words<'_, '_> {
    /// One of the names.
    pub(crate) fn name(&mut self) -> Name {
        name(self.script.pick(&NAMES))
    }

    fn names(&mut self) -> Vec<Name> {
        (0..self.script.below(5)).map(|_| self.name()).collect()
    }

    /// One of the keys, or one without an owner.
    pub(crate) fn key(&mut self) -> Key {
        match self.script.below(8) {
            who @ 0..6 => key(who),
            other => Key([other as u8; 32]),
        }
    }

    fn maybe<T>(&mut self, thing: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.script.flag().then(|| thing(self))
    }

    /// A version: 0 to 9, and at times any number.
    pub(crate) fn version(&mut self) -> u64 {
        self.script.number()
    }

    /// A stream of this connection, or one that is not.
    pub(crate) fn stream(&mut self) -> u64 {
        match self.script.number() {
            number @ 0..0xe0 if !self.streams.is_empty() => {
                self.streams[number as usize % self.streams.len()]
            }
            number => number,
        }
    }

    /// A ticket that a peer has seen, or one that was never given.
    pub(crate) fn ticket(&mut self) -> Ticket {
        match self.script.byte() {
            seen @ 0..0xf0 if !self.tickets.is_empty() => {
                self.tickets[usize::from(seen) % self.tickets.len()]
            }
            other => Ticket([other; 32]),
        }
    }

    /// One of the routes.
    pub(crate) fn route(&mut self) -> Route {
        self.script.pick(&Route::ALL)
    }

    fn text(&mut self) -> String {
        let length = self.script.below(9);
        String::from_utf8_lossy(self.script.bytes(length)).into_owned()
    }

    /// A reason, of a server or a plugin.
    pub(crate) fn reason(&mut self) -> Reason {
        let by = if self.script.flag() { By::Plugin } else { By::Server };
        let code = match self.script.below(32) {
            own @ 30.. => ["mine", ""][own - 30].to_string(),
            code => Code::ALL[code % Code::ALL.len()].as_str().to_string(),
        };
        Reason { by, ..Reason::plugin(&code, &self.text()) }
    }

    /// Addresses of other machines.
    pub(crate) fn addresses(&mut self) -> Addresses {
        let last = self.script.below(4);
        let text = format!("net:10.9.0.{last}:8008~shs;net:[2001:db8::{last}]:7~shs");
        let address = text.parse::<Address>().ok();
        let shared = address.and_then(|address| address.shareable(Scope::Local));
        Addresses(shared.into_iter().collect())
    }

    fn socket(&mut self) -> SocketName {
        SocketName::new([self.script.byte(); 16])
    }

    fn registration(&mut self) -> Registration {
        Registration {
            peers: self.script.flag(),
            keys: (0..self.script.below(3)).map(|_| self.key()).collect(),
            uses: (0..self.script.below(3))
                .map(|_| Use { name: self.name(), least: self.version() })
                .collect(),
            invites: self.names(),
            allow: self.maybe(|_| "links".to_string()).into_iter().collect(),
            socket: self.maybe(Self::socket),
            net: self.maybe(Self::addresses),
            loopback: self.maybe(|words| words.script.number() as u16),
        }
    }

    /// A plugin as a peer tells of it.
    pub(crate) fn announced(&mut self) -> Announced {
        let (name, version) = (self.name(), self.version());
        let what = self.script.byte();
        Announced {
            server: (what & 3 == 3).then(|| self.key()),
            registration: (what & 4 != 0).then(|| self.registration()),
            invites: (what & 8 != 0).then(|| self.names()),
            ..Announced::new(name, version)
        }
    }

    fn all_announced(&mut self) -> Vec<Announced> {
        (0..self.script.below(8)).map(|_| self.announced()).collect()
    }

    fn server(&mut self) -> Server {
        Server { key: self.key(), name: self.text() }
    }

    /// The plugin that opens a channel.
    pub(crate) fn origin(&mut self) -> Origin {
        Origin { name: self.name(), version: self.version(), server: self.maybe(Self::key) }
    }

    /// The first message of a peer that has this key and role.
    pub(crate) fn hello(&mut self, key: Key, role: Role) -> Hello {
        let protocol = match self.script.byte() {
            0xff => self.script.number(),
            _ => PROTOCOL,
        };
        Hello {
            protocol,
            role,
            key,
            name: self.text(),
            machine: Key([self.script.byte() & 1; 32]),
            plugins: self.all_announced(),
            software: self.maybe(Self::text),
            seen: self.maybe(Self::addresses),
        }
    }

    /// What can be said on stream 0, but for hello, which is the first and last of its kind.
    pub(crate) fn message(&mut self) -> Message {
        match self.script.below(16) {
            0 => Message::Plugins(Plugins { plugins: self.all_announced() }),
            1 => {
                Message::Withdrawn(Withdrawn { names: self.names(), server: self.maybe(Self::key) })
            }
            2 => Message::Closing(Closing { stream: self.stream(), reason: self.reason() }),
            3 => Message::Goodbye(Goodbye { reason: self.reason() }),
            4 => Message::Unknown(Unknown { kind: self.script.number() }),
            5 => Message::Wanted(Wanted { wanted: self.script.flag() }),
            6 => Message::Linked(Linked {
                servers: (0..self.script.below(4)).map(|_| self.server()).collect(),
                addresses: self.maybe(Self::addresses),
            }),
            7 => Message::Unlinked(Unlinked {
                server: self.server(),
                reason: self.reason(),
                plugin: self.maybe(Self::name),
            }),
            8 => Message::OpenLink(OpenLink { plugin: self.name(), address: self.dialled() }),
            9 => Message::CloseLink(CloseLink { plugin: self.name(), server: self.hostile_key() }),
            10 => Message::Rejected(Rejected { name: self.name(), reason: self.reason() }),
            11 => Message::Expect(self.expect()),
            12 => Message::Tried(self.tried()),
            13 => Message::DirectChannel(self.direct()),
            _ => Message::Other(16 + self.script.number() % (u64::MAX - 16)),
        }
    }

    /// The address of a link that is wanted.
    pub(crate) fn dialled(&mut self) -> String {
        match self.script.byte() {
            0xff => self.text(),
            last => format!("net:10.8.0.{last}:8008~shs:{}", self.key()),
        }
    }

    /// The key of a link that is to end. A host may really end links, so this is never the
    /// innocent's.
    pub(crate) fn hostile_key(&mut self) -> Key {
        key(self.script.pick(&HOSTILE))
    }

    fn expect(&mut self) -> Expect {
        Expect {
            ticket: self.ticket(),
            to: self.name(),
            from: self.origin(),
            process: self.key(),
            punch: self.maybe(Self::addresses),
            calls: self.script.flag(),
        }
    }

    fn tried(&mut self) -> Tried {
        Tried {
            from: self.name(),
            to: self.name(),
            server: self.key(),
            route: self.route(),
            reason: self.reason(),
        }
    }

    fn direct(&mut self) -> DirectChannel {
        DirectChannel {
            from: self.name(),
            to: self.name(),
            server: self.key(),
            route: self.route(),
            ended: self.script.flag(),
        }
    }

    /// A channel that is wanted.
    pub(crate) fn request(&mut self) -> Request {
        let (to, from) = (self.name(), self.origin());
        let what = self.script.byte();
        let on = |bit: u8| what & 1 << bit != 0;
        let machine = Key([what >> 7; 32]);
        Request {
            least: if on(0) { self.version() } else { 0 },
            server: on(1).then(|| self.key()),
            route: on(2).then(|| self.route()),
            at: on(3).then(|| At {
                process: self.key(),
                machine,
                seen: self.maybe(Self::addresses),
            }),
            ticket: on(4).then(|| self.ticket()),
            stays: on(5),
            purpose: if on(6) { Purpose::Calls } else { Purpose::Channel },
            ..Request::new(to, 0, from)
        }
    }

    /// What a stream is for.
    pub(crate) fn preface(&mut self) -> Preface {
        match self.script.below(16) {
            0 => Preface::Command { name: self.command() },
            1 => Preface::Direct(Presented { ticket: self.ticket(), route: self.route() }),
            2 => Preface::Other(5 + self.script.number() % (u64::MAX - 5)),
            _ => Preface::channel(self.request()),
        }
    }

    fn command(&mut self) -> String {
        match self.script.below(4) {
            0 => "status".into(),
            1 => format!("explain {} {}", self.name(), self.name()),
            2 => format!("explain {}@{} {}", self.name(), self.key(), self.name()),
            _ => self.text(),
        }
    }

    /// The answer to a stream's preface.
    pub(crate) fn answer(&mut self) -> Answer {
        match self.script.below(8) {
            0 => Answer::Refuse(self.reason()),
            1 | 2 => Answer::Direct(Box::new(self.invitation())),
            3 => Answer::Accept(Some(self.route())),
            _ => Answer::Accept(None),
        }
    }

    fn invitation(&mut self) -> Invitation {
        Invitation {
            ticket: self.ticket(),
            routes: (0..self.script.below(5)).map(|_| self.route()).collect(),
            process: self.key(),
            socket: self.maybe(Self::socket),
            net: self.maybe(Self::addresses),
            seen: self.maybe(Self::addresses),
            loopback: self.maybe(|words| words.script.number() as u16),
        }
    }
}
