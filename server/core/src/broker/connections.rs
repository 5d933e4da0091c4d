//! Connections from their opening to their end: hello, events of the link, time-outs, goodbye.

use super::offers::Offers;
use super::{
    Broker, ChildId, ConnId, DirectId, Effect, LinkChange, PeerId, Security, Step, TimerKey, Told,
};
use crate::bymux::{Role as MuxRole, StreamId};
use crate::control::{Goodbye, Message, Preface, Presented, Role};
use crate::key::Key;
use crate::limits::Limit;
use crate::link::{Event, Fault, Link};
use crate::name::Name;
use crate::reason::{Code, Reason};
use crate::route::Route;
use crate::wire::Wire;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::SocketAddr;

/// How a connection came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// This server dialled a configured peer.
    Dialled(PeerId),
    /// The other side dialled.
    Accepted,
    /// This process was started with it, for its server; when it is gone, so is its reason to be.
    Inherited,
    /// This server started a process with it.
    Child(ChildId),
    /// This process dialled another one directly, for one channel.
    DirectDial(DirectId),
    /// Another process dialled this one directly, for one channel.
    Direct,
}

/// What the other side of a connection may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grants {
    /// A server, a host or the command line: it came over a unix socket that only our user can
    /// open.
    Everything,
    /// A server.
    Server,
    /// A host, whose plugins become this server's.
    Host,
}

/// A connection that has just been opened.
#[derive(Debug)]
pub struct Opening {
    /// Who dialled.
    pub how: Opened,
    /// What the other side may be.
    pub grants: Grants,
    /// The address, for logs and `status`.
    pub address: String,
    /// How its bytes are protected.
    pub security: Security,
    /// The TCP address at its other end.
    pub from: Option<SocketAddr>,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnPhase {
    /// The peer has not proved its key.
    Shaking,
    /// The peer has not said hello.
    AwaitsHello,
    /// The peer of a direct connection has not presented its ticket.
    AwaitsTicket,
    /// Channels may be opened.
    Up,
    /// Another link serves the same server: this one ends with its last stream.
    Draining,
    /// It ends as soon as its outbox is written.
    Ending,
}

#[derive(Debug)]
pub(super) struct Conn {
    pub(super) link: Link,
    pub(super) wire: Wire,
    pub(super) how: Opened,
    pub(super) grants: Grants,
    pub(super) address: String,
    /// The key that we dialled, and the one that the peer has proved.
    pub(super) expected: Option<Key>,
    pub(super) proved: Option<Key>,
    /// The key that wants a direct connection, of which nobody has told us.
    pub(super) asks: Option<Key>,
    /// What it has said since.
    pub(super) kept: Vec<u8>,
    /// A ticket of which nobody has told us, and the stream that presented it.
    pub(super) presented: Option<(StreamId, Presented, u64)>,
    /// Of a direct connection.
    pub(super) route: Route,
    pub(super) from: Option<SocketAddr>,
    pub(super) phase: ConnPhase,
    pub(super) hello: Option<PeerInfo>,
    pub(super) touched: bool,
    /// Whether a plugin of ours has to do with one of the peer's, or we keep the link anyway; and
    /// what the peer says of that.
    pub(super) wanted: Wants,
    /// What the peer's plugins offer to ours.
    pub(super) offers: Offers,
    /// Of a host: its channels that do not pass through us.
    pub(super) directs: Vec<(Name, Name, Key, Route)>,
    /// By how much windows of this link have grown, in bytes.
    pub(super) grown: u64,
    /// Streams of the peer whose preface has not been answered.
    pub(super) unanswered: usize,
    /// What messages of calls cost that wait here for their rest, or for the peer.
    pub(super) calls_held: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
}

/// Which sides have a use for a link.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wants {
    pub(super) ours: bool,
    pub(super) theirs: bool,
}

/// What the peer's hello said of it.
#[derive(Debug)]
pub(super) struct PeerInfo {
    pub(super) key: Key,
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) machine: Key,
}

impl Conn {
    pub(super) fn peer_name(&self) -> Option<&str> {
        self.hello.as_ref().map(|hello| hello.name.as_str())
    }

    /// Whether our hello is in its outbox or on its way.
    pub(super) fn has_heard_hello(&self) -> bool {
        match self.phase {
            _ if self.is_direct() => false,
            ConnPhase::Ending | ConnPhase::AwaitsTicket => false,
            ConnPhase::Shaking => self.how != Opened::Accepted,
            ConnPhase::AwaitsHello | ConnPhase::Up | ConnPhase::Draining => true,
        }
    }

    /// Whether this connection is for one channel between two processes.
    pub(super) fn is_direct(&self) -> bool {
        matches!(self.how, Opened::DirectDial(_) | Opened::Direct)
    }

    /// Name or address, for logs.
    pub(super) fn label(&self) -> String {
        match &self.hello {
            Some(peer) => format!("{} ({})", peer.name, peer.key.short()),
            None => self.address.clone(),
        }
    }
}

impl Broker {
    /// A connection is open. Hello is put in its outbox as soon as we may show who we are: at once,
    /// but for one that was accepted over `shs`.
    pub fn connected(&mut self, opening: Opening) -> ConnId {
        let Opening { how, grants, address, security, from } = opening;
        let role = match how {
            Opened::Dialled(_) | Opened::Inherited | Opened::DirectDial(_) => MuxRole::Proactive,
            Opened::Accepted | Opened::Child(_) | Opened::Direct => MuxRole::Reactive,
        };
        let id = ConnId(self.next_conn);
        self.next_conn += 1;
        match how {
            Opened::Dialled(peer) => self.peer_connected(peer, id),
            Opened::Child(child) => self.child_connected(child, id),
            _ => {}
        }
        let expected = match &security {
            Security::Shs { expected, .. } => *expected,
            Security::NoAuth => None,
        };
        let wire = Wire::new(security, &self.settings.identity, &self.settings.network);
        let (wire, failure) = match wire {
            Ok(wire) => (wire, None),
            Err(error) => (Wire::Plain, Some(error.to_string())),
        };
        let proved = wire.is_proved();
        let conn = Conn {
            link: Link::new(role, self.now, &self.settings.limits),
            wire,
            how,
            grants,
            address,
            expected,
            proved: None,
            asks: None,
            kept: Vec::new(),
            presented: None,
            route: Route::Link,
            from,
            phase: if proved { first_phase(how) } else { ConnPhase::Shaking },
            hello: None,
            touched: false,
            wanted: Wants::default(),
            offers: Offers::default(),
            directs: Vec::new(),
            grown: 0,
            unanswered: 0,
            calls_held: 0,
            bytes_in: 0,
            bytes_out: 0,
        };
        self.make_room(&conn);
        self.conns.insert(id, Box::new(conn));
        self.timers.set(TimerKey::Link(id), self.now + self.settings.limits.handshake);
        self.touch(id);
        if let Some(why) = failure {
            self.end_link(id, Reason::server(Code::HandshakeFailed, why));
        } else {
            self.begin_talk(id, how, proved);
        }
        if self.stopping {
            self.goodbye(id, Reason::server(Code::ServerStopping, "the server is going down"));
        }
        id
    }

    /// The first that we say on a connection, as soon as we may show who we are.
    fn begin_talk(&mut self, id: ConnId, how: Opened, proved: bool) {
        match how {
            Opened::DirectDial(direct) => {
                if proved {
                    self.arm(id);
                }
                self.direct_dialled(id, direct);
            }
            Opened::Direct => {}
            Opened::Accepted if !proved => {}
            _ => self.say_hello(id),
        }
    }

    /// Takes bytes that a connection brought. Call it until it answers [`Step::Done`].
    pub fn receive<'a>(&mut self, id: ConnId, input: &mut &'a [u8]) -> Step<'a> {
        let now = self.now;
        let Some(conn) = self.conns.get_mut(&id).filter(|c| c.phase != ConnPhase::Ending) else {
            *input = &[];
            return Step::Done;
        };
        let (before, round) = (input.len(), conn.link.round());
        let event = conn.link.receive(now, input);
        if conn.link.round() != round {
            // With a pong, a ping is due before the peer would have been dead.
            self.timers.set(TimerKey::Link(id), conn.link.deadline());
        }
        if matches!(conn.wire, Wire::Plain) {
            conn.bytes_in += (before - input.len()) as u64;
        }
        self.touch(id);
        match event {
            Ok(None) => Step::Done,
            Ok(Some(event)) => self.link_event(id, event),
            Err(fault) => {
                *input = &[];
                self.end_by_fault(id, &fault);
                Step::More
            }
        }
    }

    /// Ends a link whose peer broke a rule.
    fn end_by_fault(&mut self, id: ConnId, fault: &Fault) {
        match fault {
            Fault::TooLong(_) => self.counters.count(Limit::ControlMessage),
            Fault::ControlNotRead => self.counters.count(Limit::Outbox),
            _ => {}
        }
        self.goodbye(id, fault.reason());
    }

    fn link_event<'a>(&mut self, id: ConnId, event: Event<'a>) -> Step<'a> {
        match event {
            Event::Write { tag, bytes } => return self.stream_writes(tag, bytes),
            Event::Messages(messages) => {
                for message in messages {
                    self.message(id, message);
                }
            }
            Event::Preface { stream, preface, used, rest } => {
                let conn = self.conns.get(&id);
                let (phase, direct) = (conn.map(|c| c.phase), conn.is_some_and(|c| c.is_direct()));
                if let Preface::Direct(presented) = preface {
                    self.present(id, stream, presented, used, rest);
                } else if direct {
                    let text = "a direct connection carries one channel, and a ticket opens it";
                    self.goodbye(id, Reason::server(Code::ProtocolViolation, text));
                } else if matches!(phase, Some(ConnPhase::AwaitsHello | ConnPhase::AwaitsTicket)) {
                    let text = "a stream was opened before hello";
                    self.goodbye(id, Reason::server(Code::ProtocolViolation, text));
                } else {
                    self.preface(id, stream, preface, used, rest);
                }
            }
            Event::Answer { tag, answer, used, rest } => {
                self.stream_answers(tag, answer, used, rest);
            }
            Event::Credit { tag } => self.flush_stream(tag),
            Event::Close { tag } => self.stream_closes(tag),
            Event::StopRead { tag } => self.stream_stops(tag),
            Event::Gone { tag } => {
                self.stream_gone(tag);
                self.end_if_drained(id);
            }
        }
        Step::More
    }

    fn end_if_drained(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(&id) else { return };
        if conn.phase == ConnPhase::Draining && conn.link.streams() == 0 {
            let text = "another link serves the same two servers";
            self.goodbye(id, Reason::server(Code::DuplicateLink, text));
        } else if conn.link.streams() == 0 && conn.is_direct() {
            self.goodbye(id, Reason::server(Code::ChannelOver, "the channel is over"));
        } else if conn.link.streams() == 0 {
            self.rest_if_useless(id);
        }
    }

    /// A link lost against another one to the same server: it ends with its last stream.
    pub(super) fn drain(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.phase = ConnPhase::Draining;
        }
        self.end_if_drained(id);
    }

    pub(super) fn link_timer(&mut self, id: ConnId) {
        let now = self.now;
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if conn.phase.is_young() {
            let (code, text) = match (&conn.presented, conn.is_direct()) {
                (Some(_), _) => (Code::BadTicket, "this ticket was never given, or has expired"),
                (None, true) => (Code::HandshakeTimeout, "no ticket came in time"),
                (None, false) => (Code::HandshakeTimeout, "no hello came in time"),
            };
            self.counters.count(Limit::Handshake);
            self.goodbye(id, Reason::server(code, text));
            return;
        }
        match conn.link.tick(now) {
            Ok(()) => self.arm(id),
            Err(fault) => self.end_by_fault(id, &fault),
        }
        self.touch(id);
    }

    pub(super) fn arm(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get(&id) {
            self.timers.set(TimerKey::Link(id), conn.link.deadline());
        }
        self.touch(id);
    }

    /// Says goodbye and ends the link. Who has not proved its key is told nothing.
    pub(super) fn goodbye(&mut self, id: ConnId, reason: Reason) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if conn.phase == ConnPhase::Shaking && !conn.wire.can_seal() {
            self.cut_off(id, reason);
        } else if conn.phase != ConnPhase::Ending {
            self.send(id, &Message::Goodbye(Goodbye { reason: reason.clone() }));
            self.end_link(id, reason);
        }
    }

    /// The transport of a connection ended or failed; `text` says how. Of one that is ending, it is
    /// the last that the broker hears.
    pub fn disconnected(&mut self, id: ConnId, text: &str) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if conn.phase != ConnPhase::Ending {
            let reason = self.why_lost(id, text);
            self.end_link(id, reason);
        }
        self.conns.remove(&id);
    }

    /// Forgets all that went over a link, and asks the shell to hang up.
    pub(super) fn end_link(&mut self, id: ConnId, reason: Reason) {
        if self.forget_link(id, reason) {
            self.effects.push_back(Effect::HangUp(id));
        }
    }

    /// As [`end_link`](Self::end_link), but without another byte.
    pub(super) fn cut_off(&mut self, id: ConnId, reason: Reason) {
        if self.forget_link(id, reason) {
            self.effects.push_back(Effect::CutOff(id));
        }
    }

    /// Forgets all that went over a link; whether it was not forgotten already.
    fn forget_link(&mut self, id: ConnId, reason: Reason) -> bool {
        let Some(conn) = self.conns.get_mut(&id) else { return false };
        let was = core::mem::replace(&mut conn.phase, ConnPhase::Ending);
        if was == ConnPhase::Ending {
            return false;
        }
        let (label, how) = (conn.label(), conn.how);
        let is_host = self.settings.role == Role::Host;
        let server = conn.hello.as_ref().filter(|hello| hello.role == Role::Server && !is_host);
        let server = server.map(|hello| (hello.key, hello.name.clone()));
        let host = conn.hello.as_ref().is_some_and(|hello| hello.role == Role::Host);
        let commands = conn.hello.as_ref().is_some_and(|hello| hello.role == Role::Command);
        match (commands, conn.is_direct()) {
            (true, _) => log::debug!("the command line is done: {reason}"),
            (_, true) => log::debug!("direct connection {label} ended: {reason}"),
            _ => log::info!("link to {label} ended: {reason}"),
        }
        self.timers.cancel(TimerKey::Link(id));
        self.timers.cancel(TimerKey::Useless(id));
        self.lose_streams(id, &reason);
        if host {
            self.host_lost(id, &reason);
        }
        if self.uplink() == Some(id) {
            self.uplink_lost(&reason);
        }
        if let Some((key, name)) = server
            && self.servers.get(&key) == Some(&id)
        {
            self.servers.remove(&key);
            self.forget_server(key);
            self.tell_link(LinkChange { server: key, name, down: Some(reason.clone()) });
            self.redial_server(key, &reason);
        }
        match how {
            Opened::Dialled(peer) => self.peer_disconnected(peer, reason),
            Opened::Inherited => self.effects.push_back(Effect::Orphaned),
            Opened::Child(child) => self.child_unlinked(child, reason),
            Opened::Accepted | Opened::DirectDial(_) | Opened::Direct => {}
        }
        true
    }

    pub(super) fn tell_link(&mut self, change: LinkChange) {
        self.tell_hosts_link(change.server, &change.name, change.down.as_ref());
        for plugin in self.live_plugins() {
            self.tell(plugin, Told::Link(change.clone()));
        }
    }

    /// The link of a connection, which will be looked at for something to write.
    pub(super) fn link_of(&mut self, id: ConnId) -> Option<&mut Link> {
        self.touch(id);
        self.conns.get_mut(&id).map(|conn| &mut conn.link)
    }

    pub(super) fn send(&mut self, id: ConnId, message: &Message) {
        let Some(link) = self.link_of(id) else { return };
        if let Err(fault) = link.send(message) {
            self.end_link(id, fault.reason());
        }
    }

    /// Whether a connection only waits for its outbox to be written.
    pub fn is_ending(&self, id: ConnId) -> bool {
        self.conns.get(&id).is_none_or(|conn| conn.phase == ConnPhase::Ending)
    }
}

impl ConnPhase {
    /// Whether the peer has still to say who it is, or what it comes for.
    pub(super) fn is_young(self) -> bool {
        matches!(self, ConnPhase::Shaking | ConnPhase::AwaitsHello | ConnPhase::AwaitsTicket)
    }
}

/// What comes first on a connection whose peer has proved its key, as far as that is asked for.
pub(super) fn first_phase(how: Opened) -> ConnPhase {
    match how {
        Opened::DirectDial(_) => ConnPhase::Up,
        Opened::Direct => ConnPhase::AwaitsTicket,
        _ => ConnPhase::AwaitsHello,
    }
}
