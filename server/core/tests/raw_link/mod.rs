//! A connection to a bare broker whose other side the test plays, and turns of that broker's loop.

// A test whose link does not work must not go on, and each uses some of this.
#![allow(clippy::expect_used, dead_code)]

use std::time::Duration;
use trunkline_core::broker::{
    Accept, Broker, ConnId, Effect, Expose, Grants, Opened, Opening, PeerProcess, Permission,
    PluginConfig, PluginId, Security, Settings, Step, Told,
};
use trunkline_core::bymux::{MuxRole, StreamId};
use trunkline_core::control::{Answer, Hello, Message, PROTOCOL, Preface, Role};
use trunkline_core::key::{Key, NETWORK};
use trunkline_core::limits::Limits;
use trunkline_core::link::{Event, Link, NO_TAG};
use trunkline_core::name::Name;
use trunkline_core::reason::Reason;
use trunkline_shs::Identity;

/// The name of a caller that plugins do not answer.
pub(crate) const UNANSWERED: &str = "unanswered";

/// The machine of brokers and their hosts.
pub(crate) const HERE: Key = Key([1; 32]);

/// That of other servers.
const ELSEWHERE: Key = Key([2; 32]);

/// A name.
pub(crate) fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

/// A server without plugins, with which every server may link.
pub(crate) fn server(limits: Limits) -> Broker {
    Broker::new(Settings {
        identity: Identity::from_seed(&[1; 32]),
        network: NETWORK,
        accept: Accept::Anyone,
        name: "ours".into(),
        role: Role::Server,
        machine: HERE,
        software: String::new(),
        limits,
        secret: [1; 32],
        seed: 1,
    })
}

/// A plugin of the broker's process that every server may see, and that may open links.
pub(crate) fn plugin(broker: &mut Broker, of: &str) -> PluginId {
    let config = PluginConfig {
        expose: Expose::Peers,
        allow: [Permission::Links].to_vec(),
        ..PluginConfig::new(name(of), 1)
    };
    let plugin = broker.add_plugin(config).expect("a new name");
    broker.plugin_started(plugin);
    turns(broker, &[]);
    plugin
}

/// What arrived from the broker.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Arrived {
    /// A control message.
    Message(Message),
    /// The broker opened a stream, for this.
    Opened(StreamId, Preface),
    /// A channel was accepted.
    Accepted(u32),
    /// A channel was answered by an invitation.
    Invited(u32),
    /// A channel was refused.
    Refused(u32, Reason),
}

/// One connection.
#[derive(Debug)]
pub(crate) struct RawLink {
    /// Its number at the broker.
    pub(crate) conn: ConnId,
    /// Our side of it.
    pub(crate) link: Link,
    next_tag: u32,
}

impl RawLink {
    /// A connection that the broker accepted, without hello.
    pub(crate) fn connect(broker: &mut Broker, grants: Grants) -> RawLink {
        let how = Opened::Accepted;
        let (address, security) = ("raw".into(), Security::NoAuth);
        let (from, process) = (None, PeerProcess::Foreign);
        let opening = Opening { how, grants, address, security, from, process };
        let conn = broker.connected(opening);
        // What the broker may do is the test's concern, and not what we may.
        let limits = Limits { outbox: 1 << 30, ..Limits::default() };
        let link = Link::new(MuxRole::Dialler, Duration::ZERO, &limits, 0);
        RawLink { conn, link, next_tag: 0 }
    }

    /// A connection on which both sides have said hello.
    pub(crate) fn greeted(broker: &mut Broker, number: u8, role: Role) -> RawLink {
        let mut link = RawLink::connect(broker, Grants::Everything);
        link.greet(broker, number, role);
        link
    }

    /// Says hello, and hears the answer.
    pub(crate) fn greet(&mut self, broker: &mut Broker, number: u8, role: Role) {
        self.send(&Message::Hello(Hello {
            protocol: PROTOCOL,
            role,
            key: Key([number; 32]),
            name: format!("peer-{number}"),
            machine: if role == Role::Host { HERE } else { ELSEWHERE },
            plugins: Vec::new(),
            software: None,
            seen: None,
        }));
        self.exchange(broker);
    }

    /// Says something as soon as there is credit for it.
    ///
    /// # Panics
    ///
    /// When far too much waits.
    pub(crate) fn send(&mut self, message: &Message) {
        self.link.send(message).expect("it fits");
    }

    /// Opens a stream with a preface, and lets the broker answer it; its tag.
    ///
    /// # Panics
    ///
    /// When the broker allows no more streams.
    pub(crate) fn open(&mut self, preface: &Preface) -> (u32, StreamId) {
        let tag = self.next_tag;
        self.next_tag += 1;
        let stream = self.link.open(tag).expect("the broker allows more streams");
        self.link.mux().write(stream, &preface.frame());
        self.link.mux().credit(stream, 4096.try_into().expect("not zero"));
        (tag, stream)
    }

    /// What the link has to write.
    pub(crate) fn bytes(&mut self) -> Vec<u8> {
        let bytes = self.link.outbox().slices().concat();
        self.link.mux().outbox_mut().advance(bytes.len());
        bytes
    }

    /// Lets the broker hear what was said, without reading what it answers.
    pub(crate) fn flush(&mut self, broker: &mut Broker) {
        loop {
            let bytes = self.bytes();
            if bytes.is_empty() {
                return;
            }
            turns(broker, &[(self.conn, bytes)]);
        }
    }

    /// Both sides hear what the other one says, until there is nothing more; what arrived.
    pub(crate) fn exchange(&mut self, broker: &mut Broker) -> Vec<Arrived> {
        let mut arrived = Vec::new();
        loop {
            let bytes = self.bytes();
            turns(broker, &[(self.conn, bytes)]);
            let said = sent(broker, self.conn);
            self.read(&said, &mut arrived);
            if said.is_empty() && self.link.outbox().is_empty() {
                return arrived;
            }
        }
    }

    fn read(&mut self, mut input: &[u8], arrived: &mut Vec<Arrived>) {
        while let Some(event) =
            self.link.receive(Duration::ZERO, &mut input).expect("the broker keeps the rules")
        {
            match event {
                Event::Message(message) => arrived.push(Arrived::Message(*message)),
                Event::Preface { stream, preface, .. } => {
                    self.link.mux().set_tag(stream, NO_TAG - 1);
                    arrived.push(Arrived::Opened(stream, *preface));
                }
                Event::Answer { tag, answer, .. } => arrived.push(match answer {
                    Answer::Refuse(reason) => Arrived::Refused(tag, reason),
                    Answer::Direct(_) => Arrived::Invited(tag),
                    Answer::Accept(_) => Arrived::Accepted(tag),
                }),
                _ => {}
            }
        }
    }
}

/// What the broker has to write to a connection.
pub(crate) fn sent(broker: &mut Broker, conn: ConnId) -> Vec<u8> {
    let bytes = broker.outgoing(conn).concat();
    broker.flushed(conn, bytes.len());
    bytes
}

/// One turn of the loop, in which connections bring bytes; what it has to do.
pub(crate) fn turn(
    broker: &mut Broker,
    now: Duration,
    brought: &[(ConnId, Vec<u8>)],
) -> Vec<Effect> {
    broker.tick(now);
    let unread = broker.take_unread();
    let mut effects = Vec::new();
    for (conn, bytes) in unread.iter().chain(brought) {
        let mut input = &bytes[..];
        loop {
            effects.extend(std::iter::from_fn(|| broker.next_effect()));
            match broker.receive(*conn, &mut input) {
                Step::Done => break,
                Step::More => {}
                Step::Write { plugin, channel, bytes } => {
                    let count = bytes.len();
                    broker.consumed(plugin, channel, count);
                }
            }
        }
    }
    effects.extend(std::iter::from_fn(|| broker.next_effect()));
    broker.take_touched(&mut Vec::new());
    effects
}

/// Turns at time zero until the broker has nothing left to do. Its plugins accept what they are
/// asked for, and connections that it closes are over.
///
/// # Panics
///
/// When it does not come to rest.
pub(crate) fn turns(broker: &mut Broker, brought: &[(ConnId, Vec<u8>)]) {
    let mut brought = brought.to_vec();
    for _ in 0..100_000 {
        for effect in turn(broker, Duration::ZERO, &std::mem::take(&mut brought)) {
            match effect {
                Effect::Tell(plugin, Told::Open(channel, caller))
                    if caller.name.as_str() != UNANSWERED =>
                {
                    broker.accept(plugin, channel).expect("it asks for an answer");
                }
                Effect::HangUp(id) | Effect::CutOff(id) => broker.disconnected(id, "hung up"),
                _ => {}
            }
        }
        if !broker.has_touched() && broker.effects_waiting() == 0 {
            return;
        }
    }
    panic!("it does not come to rest");
}
