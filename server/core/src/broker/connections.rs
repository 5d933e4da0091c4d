//! Connections from their opening to their end: hello, events of the link, time-outs, goodbye.

use super::{Broker, ConnId, Effect, LinkChange, PeerId, Step, TimerKey, Told};
use crate::bymux::{Outbox, Role as MuxRole, StreamId};
use crate::control::{Goodbye, Hello, Message, PROTOCOL, Role, Unknown};
use crate::ends::Owner;
use crate::key::Key;
use crate::link::{Event, Link, NO_TAG};
use crate::reason::{Code, Reason};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

/// Connections over unix sockets that are let in beyond the limit, so that the command line can.
const UNIX_RESERVE: usize = 64;

/// How a connection came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// This server dialled a configured peer.
    Dialled(PeerId),
    /// The other side dialled.
    Accepted,
}

/// What the other side of a connection may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grants {
    /// A server or the command line: it came over a unix socket that only our user can open.
    Everything,
    /// A server.
    Server,
}

/// A connection that has just been opened.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Who dialled.
    pub how: Opened,
    /// What the other side may be.
    pub grants: Grants,
    /// The address, for logs and `status`.
    pub address: String,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnPhase {
    /// The peer has not said hello.
    AwaitsHello,
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
    pub(super) opening: Opening,
    pub(super) phase: ConnPhase,
    pub(super) hello: Option<PeerInfo>,
    pub(super) touched: bool,
    /// By how much windows of this link have grown, in bytes.
    pub(super) grown: u64,
    /// Streams of the peer whose preface has not been answered.
    pub(super) unanswered: usize,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
}

/// What the peer's hello said of it.
#[derive(Debug)]
pub(super) struct PeerInfo {
    pub(super) key: Key,
    pub(super) name: String,
    pub(super) role: Role,
}

impl Conn {
    pub(super) fn peer_name(&self) -> Option<&str> {
        self.hello.as_ref().map(|hello| hello.name.as_str())
    }

    /// Name or address, for logs.
    pub(super) fn label(&self) -> String {
        match &self.hello {
            Some(peer) => format!("{} ({})", peer.name, peer.key.short()),
            None => self.opening.address.clone(),
        }
    }

    fn is_half_open(&self) -> bool {
        let from_outside = self.opening.grants == Grants::Server;
        from_outside && self.phase == ConnPhase::AwaitsHello && self.opening.how == Opened::Accepted
    }
}

impl Broker {
    /// Whether one more connection with these grants may be accepted now. If not, it waits in the
    /// listener's queue. Whoever may open our unix sockets is let in although strangers crowd us.
    pub fn accepts(&self, grants: Grants) -> bool {
        let limits = &self.settings.limits;
        let most = match grants {
            Grants::Everything => limits.links + UNIX_RESERVE,
            Grants::Server => limits.links,
        };
        let half_open = || self.conns.values().filter(|conn| conn.is_half_open()).count();
        let crowded = || grants == Grants::Server && half_open() >= limits.half_open;
        !self.stopping && self.conns.len() < most && !crowded()
    }

    /// A connection is open: hello is put in its outbox.
    pub fn connected(&mut self, opening: Opening) -> ConnId {
        let role = match opening.how {
            Opened::Dialled(_) => MuxRole::Proactive,
            Opened::Accepted => MuxRole::Reactive,
        };
        let id = ConnId(self.next_conn);
        self.next_conn += 1;
        if let Opened::Dialled(peer) = opening.how {
            self.peer_connected(peer, id);
        }
        let conn = Conn {
            link: Link::new(role, self.now, &self.settings.limits),
            opening,
            phase: ConnPhase::AwaitsHello,
            hello: None,
            touched: false,
            grown: 0,
            unanswered: 0,
            bytes_in: 0,
            bytes_out: 0,
        };
        self.conns.insert(id, conn);
        self.timers.set(TimerKey::Link(id), self.now + self.settings.limits.handshake);
        self.say_hello(id);
        if self.stopping {
            self.goodbye(id, Reason::server(Code::ServerStopping, "the server is going down"));
        }
        id
    }

    /// Takes bytes that a connection brought. Call it until it answers [`Step::Done`].
    pub fn receive<'a>(&mut self, id: ConnId, input: &mut &'a [u8]) -> Step<'a> {
        let now = self.now;
        let Some(conn) = self.conns.get_mut(&id).filter(|c| c.phase != ConnPhase::Ending) else {
            *input = &[];
            return Step::Done;
        };
        let before = input.len();
        let event = conn.link.receive(now, input);
        conn.bytes_in += (before - input.len()) as u64;
        self.touch(id);
        match event {
            Ok(None) => Step::Done,
            Ok(Some(event)) => self.link_event(id, event),
            Err(fault) => {
                *input = &[];
                self.goodbye(id, fault.reason());
                Step::More
            }
        }
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
                if self.conns.get(&id).is_some_and(|conn| conn.phase == ConnPhase::AwaitsHello) {
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

    fn message(&mut self, id: ConnId, message: Message) {
        let Some(conn) = self.conns.get(&id) else { return };
        match (conn.phase, message) {
            (ConnPhase::Ending, _) => {}
            (_, Message::Goodbye(Goodbye { reason })) => self.end_link(id, reason),
            (ConnPhase::AwaitsHello, Message::Hello(hello)) => self.hello(id, hello),
            (ConnPhase::AwaitsHello, _) => self.violation(id, "the first message was not hello"),
            (_, Message::Hello(_)) => self.violation(id, "hello was said twice"),
            (_, Message::Plugins(message)) => self.peer_plugins(id, message.plugins),
            (_, Message::Withdrawn(message)) => self.peer_withdraws(id, &message.names),
            (_, Message::Closing(closing)) => {
                let stream = StreamId(closing.stream);
                let tag = self.link_of(id).and_then(|link| link.mux().tag(stream));
                let owned = |tag: &u32| {
                    let end = self.ends.get(*tag);
                    end.is_some_and(|end| end.owner == Owner::Stream(id, stream))
                };
                match tag {
                    Some(NO_TAG) => self.ignore(id, stream),
                    Some(tag) if owned(&tag) => self.stream_aborts(tag, closing.reason),
                    _ => {}
                }
            }
            (_, Message::Unknown(Unknown { kind })) => {
                log::debug!("{} does not know message {kind}", conn.label());
            }
            (_, Message::Other(kind)) => self.send(id, &Message::Unknown(Unknown { kind })),
        }
    }

    /// A stream was aborted before it said what it is for.
    fn ignore(&mut self, id: ConnId, stream: StreamId) {
        if let Some(link) = self.link_of(id) {
            link.ignore(stream);
        }
    }

    fn violation(&mut self, id: ConnId, text: &str) {
        self.goodbye(id, Reason::server(Code::ProtocolViolation, text));
    }

    fn hello(&mut self, id: ConnId, hello: Hello) {
        if let Err(reason) = self.judge(id, &hello) {
            self.goodbye(id, reason);
            return;
        }
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.phase = ConnPhase::Up;
        let Hello { key, name, role, plugins, .. } = hello;
        conn.hello = Some(PeerInfo { key, name, role });
        conn.link.ping(self.now);
        self.arm(id);
        if role == Role::Server {
            self.server_linked(id, key, plugins);
        }
    }

    /// Whether a peer that says this hello may stay.
    fn judge(&self, id: ConnId, hello: &Hello) -> Result<(), Reason> {
        let Some(conn) = self.conns.get(&id) else { return Ok(()) };
        let refuse = |code, text: String| Err(Reason::server(code, text));
        if hello.protocol != PROTOCOL {
            let text = format!("we speak version {PROTOCOL}, you speak {}", hello.protocol);
            return refuse(Code::ProtocolVersion, text);
        }
        if hello.name.len() > crate::name::NAME_MAX {
            return refuse(Code::ProtocolViolation, "a server's name is over 64 bytes".to_string());
        }
        match (hello.role, conn.opening.grants) {
            (Role::Server, _) if hello.key == self.settings.key => {
                refuse(Code::SelfLink, "this is the same server".to_string())
            }
            (Role::Server, _) => self.judge_key(conn, hello.key),
            (Role::Command, Grants::Everything) => Ok(()),
            (Role::Command, Grants::Server) => {
                refuse(Code::NotAllowed, "commands are taken over unix sockets only".to_string())
            }
            (Role::Host, _) => refuse(Code::NotAllowed, "this server takes no hosts".to_string()),
        }
    }

    fn judge_key(&self, conn: &Conn, key: Key) -> Result<(), Reason> {
        let Opened::Dialled(peer) = conn.opening.how else { return Ok(()) };
        match self.peers.get(&peer).and_then(|peer| peer.config.key) {
            Some(expected) if expected != key => {
                let text = format!("expected the server {expected}, found {key}");
                Err(Reason::server(Code::NotAllowed, text))
            }
            _ => Ok(()),
        }
    }

    fn end_if_drained(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(&id) else { return };
        if conn.phase == ConnPhase::Draining && conn.link.streams() == 0 {
            let text = "another link serves the same two servers";
            self.goodbye(id, Reason::server(Code::DuplicateLink, text));
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
        if conn.phase == ConnPhase::AwaitsHello {
            let text = "no hello came in time";
            self.goodbye(id, Reason::server(Code::HandshakeTimeout, text));
            return;
        }
        match conn.link.tick(now) {
            Ok(()) => self.arm(id),
            Err(fault) => self.goodbye(id, fault.reason()),
        }
        self.touch(id);
    }

    fn arm(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get(&id) {
            self.timers.set(TimerKey::Link(id), conn.link.deadline());
        }
        self.touch(id);
    }

    /// Says goodbye and ends the link.
    pub(super) fn goodbye(&mut self, id: ConnId, reason: Reason) {
        if self.conns.get(&id).is_some_and(|conn| conn.phase != ConnPhase::Ending) {
            self.send(id, &Message::Goodbye(Goodbye { reason: reason.clone() }));
            self.end_link(id, reason);
        }
    }

    /// The transport of a connection ended or failed; `text` says how. Of one that is ending, it is
    /// the last that the broker hears.
    pub fn disconnected(&mut self, id: ConnId, text: &str) {
        let Some(conn) = self.conns.get(&id) else { return };
        if conn.phase != ConnPhase::Ending {
            self.end_link(id, Reason::server(Code::TransportLost, text));
        }
        self.conns.remove(&id);
    }

    /// Forgets all that went over a link, and asks the shell to hang up.
    fn end_link(&mut self, id: ConnId, reason: Reason) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let was = core::mem::replace(&mut conn.phase, ConnPhase::Ending);
        if was == ConnPhase::Ending {
            return;
        }
        let (label, how) = (conn.label(), conn.opening.how);
        let server = conn.hello.as_ref().filter(|hello| hello.role == Role::Server);
        let server = server.map(|hello| (hello.key, hello.name.clone()));
        let commands = conn.hello.as_ref().is_some_and(|hello| hello.role == Role::Command);
        match commands {
            true => log::debug!("the command line is done: {reason}"),
            false => log::info!("link to {label} ended: {reason}"),
        }
        self.timers.cancel(TimerKey::Link(id));
        self.lose_streams(id, &reason);
        if let Some((key, name)) = server
            && self.servers.get(&key) == Some(&id)
        {
            self.servers.remove(&key);
            self.forget_server(key);
            self.tell_link(LinkChange { server: key, name, down: Some(reason.clone()) });
            self.redial_server(key, &reason);
        }
        if let Opened::Dialled(peer) = how {
            self.peer_disconnected(peer, reason);
        }
        self.effects.push_back(Effect::HangUp(id));
    }

    fn lose_streams(&mut self, id: ConnId, reason: &Reason) {
        let reason = Reason::server(Code::LinkLost, format!("the link ended: {reason}"));
        for end in self.ends.ids_where(|end| end.conn() == Some(id)) {
            let peer = self.drop_end(end);
            self.abort_end(peer, reason.clone());
        }
    }

    pub(super) fn tell_link(&mut self, change: LinkChange) {
        for plugin in self.live_plugins() {
            self.tell(plugin, Told::Link(change.clone()));
        }
    }

    /// The link of a connection, which will be looked at for something to write.
    pub(super) fn link_of(&mut self, id: ConnId) -> Option<&mut Link> {
        self.touch(id);
        self.conns.get_mut(&id).map(|conn| &mut conn.link)
    }

    fn touch(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(&id)
            && !core::mem::replace(&mut conn.touched, true)
        {
            self.touched.push(id);
        }
    }

    pub(super) fn send(&mut self, id: ConnId, message: &Message) {
        let Some(link) = self.link_of(id) else { return };
        if let Err(fault) = link.send(message) {
            self.end_link(id, fault.reason());
        }
    }

    /// A connection has more to write than it may in one turn: it goes on in the next.
    pub fn write_later(&mut self, id: ConnId) {
        self.touch(id);
    }

    /// Connections that may have something to write, each once.
    pub fn take_touched(&mut self) -> Vec<ConnId> {
        let touched = core::mem::take(&mut self.touched);
        for id in &touched {
            if let Some(conn) = self.conns.get_mut(id) {
                conn.touched = false;
            }
        }
        touched
    }

    /// What waits to be written to a connection.
    pub fn outbox(&self, id: ConnId) -> Option<&Outbox> {
        self.conns.get(&id).map(|conn| conn.link.outbox())
    }

    /// So many bytes of a connection's outbox were written: streams that waited for room go on.
    pub fn flushed(&mut self, id: ConnId, count: usize) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.bytes_out += count as u64;
        conn.link.mux().outbox_mut().advance(count);
        let Some(mut turns) = conn.link.turns() else { return };
        while turns > 0 {
            let Some(conn) = self.conns.get_mut(&id) else { return };
            // A stream whose turn has not come waits until more is written.
            let Some((_, tag)) = conn.link.next_ready() else { return };
            self.flush_stream(tag);
            turns -= 1;
        }
        if self.conns.get(&id).and_then(|conn| conn.link.turns()).is_some_and(|turns| turns > 0) {
            self.touch(id);
        }
    }

    /// Whether a connection only waits for its outbox to be written.
    pub fn is_ending(&self, id: ConnId) -> bool {
        self.conns.get(&id).is_none_or(|conn| conn.phase == ConnPhase::Ending)
    }

    /// How long a connection may take until its hello.
    pub fn handshake_timeout(&self) -> Duration {
        self.settings.limits.handshake
    }
}
