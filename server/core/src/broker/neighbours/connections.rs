//! Connections from their opening to their end: hello, events of the link, time-outs, goodbye.

use crate::broker::{
    Broker, ChildId, ConnId, DirectId, LinkChange, PeerId, Security, Step, TimerKey, Told,
};
use crate::bymux::MuxRole;
use crate::control::{Message, Preface, Role};
use crate::ids::EndId;
use crate::key::Key;
use crate::limits::Limit;
use crate::link::{Event, Link};
use crate::log_limiter::{LogKind, LogLimiter, Suppressed};
use crate::reason::{By, Code, Reason};
use crate::turn_budget::UsedInTurn;
use crate::wire::Wire;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::SocketAddr;
use trunkline_shs::keyed_hash;

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

/// The process at the other end of a unix socket, as far as the shell knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PeerProcess {
    /// It is none that this server started, or nobody knows which it is, as over TCP.
    #[default]
    Foreign,
    /// The process of a host that this server started, or a descendant of it.
    OfChild(ChildId),
    /// It ended before anybody could look at it: nobody knows whose it was.
    Ended,
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
    /// The process at its other end.
    pub process: PeerProcess,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnPhase {
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
pub(crate) struct Conn {
    pub(crate) link: Link,
    pub(crate) wire: Wire,
    pub(crate) how: Opened,
    pub(crate) grants: Grants,
    pub(crate) process: PeerProcess,
    pub(crate) address: String,
    /// The key that we dialled, and the one that the peer has proved.
    pub(crate) expected: Option<Key>,
    pub(crate) proved: Option<Key>,
    pub(crate) from: Option<SocketAddr>,
    pub(crate) phase: ConnPhase,
    pub(crate) hello: Option<PeerInfo>,
    pub(crate) touched: bool,
    /// Links of the same server that it has taken the place of, one after the other.
    pub(crate) successions: Successions,
    /// Whether a plugin of ours has to do with one of the peer's, or we keep the link anyway; and
    /// what the peer says of that.
    pub(crate) wanted: Wants,
    /// By how much windows of this link have grown, in bytes.
    pub(crate) grown: u64,
    /// Bytes that plugins consumed while the ping was on its way that is not answered, by their
    /// ends.
    pub(crate) in_round: BTreeMap<EndId, u64>,
    /// Streams of the peer whose preface has not been answered.
    pub(crate) unanswered: usize,
    /// The work that it has caused in this turn, and what it has said that waits for the next one.
    pub(crate) used: UsedInTurn,
    pub(crate) unread: Option<Vec<u8>>,
    /// Log lines that the peer has caused.
    pub(crate) log_limiter: LogLimiter,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

/// Links of one server, dialled by the same side, each of which took the place of one that was up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Successions {
    pub(crate) count: u32,
    pub(crate) warned: bool,
}

/// Which sides have a use for a link.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wants {
    pub(crate) ours: bool,
    pub(crate) theirs: bool,
}

/// What the peer's hello said of it.
#[derive(Debug)]
pub(crate) struct PeerInfo {
    pub(crate) key: Key,
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) machine: Key,
}

impl Conn {
    pub(crate) fn peer_name(&self) -> Option<&str> {
        self.hello.as_ref().map(|hello| hello.name.as_str())
    }

    /// Whether this connection is for one channel between two processes.
    pub(crate) fn is_direct(&self) -> bool {
        matches!(self.how, Opened::DirectDial(_) | Opened::Direct)
    }

    /// Whether the deadline of an incomplete first frame may be the next one. While the connection
    /// is half-open, only the deadline of its handshake counts.
    fn awaits_first_frame(&self) -> bool {
        self.link.has_incomplete_first_frame() && !self.phase.is_young()
    }

    /// Name or address, for logs.
    pub(crate) fn label(&self) -> String {
        match &self.hello {
            Some(peer) => format!("{} ({})", peer.name, peer.key.short()),
            None => self.address.clone(),
        }
    }
}

impl Broker {
    pub(crate) fn do_connected(&mut self, opening: Opening) -> ConnId {
        let Opening { how, grants, address, security, from, process } = opening;
        let role = match how {
            Opened::Dialled(_) | Opened::Inherited | Opened::DirectDial(_) => MuxRole::Dialler,
            Opened::Accepted | Opened::Child(_) | Opened::Direct => MuxRole::Acceptor,
        };
        let id = self.conns.number();
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
            link: Link::new(role, self.now, &self.settings.limits, self.stream_key(id)),
            wire,
            how,
            grants,
            process,
            address,
            expected,
            proved: None,
            from,
            phase: if proved { first_phase(how) } else { ConnPhase::Shaking },
            hello: None,
            touched: false,
            successions: Successions::default(),
            wanted: Wants::default(),
            grown: 0,
            in_round: BTreeMap::new(),
            unanswered: 0,
            used: UsedInTurn::default(),
            unread: None,
            log_limiter: LogLimiter::default(),
            bytes_in: 0,
            bytes_out: 0,
        };
        self.make_room(&conn);
        self.conns.insert(id, conn);
        self.neighbours.young.insert(id);
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

    /// What scatters the streams of a connection, which its peer must not know.
    fn stream_key(&self, id: ConnId) -> u64 {
        let mut message = *b"streams\0    ";
        message[8..].copy_from_slice(&id.0.to_be_bytes());
        let hash = keyed_hash(&self.settings.secret, &message);
        hash.iter().take(8).fold(0, |key, byte| key << 8 | u64::from(*byte))
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

    /// Takes bytes that a connection brought. Call it until it answers [`Step::Done`]. If they ask
    /// for more work than the connection may cause in a turn, the rest waits for the next turn.
    pub fn receive<'a>(&mut self, id: ConnId, input: &mut &'a [u8]) -> Step<'a> {
        let now = self.now;
        let conn = self.conns.touch(id, &mut self.touched);
        let Some(conn) = conn.filter(|conn| conn.phase != ConnPhase::Ending) else {
            *input = &[];
            return Step::Done;
        };
        if self.turn.is_used_up(&conn.used) {
            self.put_off(id, input);
            return Step::Done;
        }
        let (before, round, mut over) = (input.len(), conn.link.round(), false);
        let event = conn.link.receive(now, input);
        if conn.link.round() != round {
            // With a pong, a ping is due before the peer would have been dead.
            self.timers.set(TimerKey::Link(id), conn.link.deadline());
            over = !conn.link.round().is_measured();
        } else if matches!(event, Ok(None)) && conn.awaits_first_frame() {
            self.timers.set(TimerKey::Link(id), conn.link.deadline());
        }
        if matches!(conn.wire, Wire::Plain) {
            conn.bytes_in += (before - input.len()) as u64;
        }
        if over {
            self.round_is_over(id);
        }
        let step = match event {
            Ok(None) => Step::Done,
            Ok(Some(event)) => self.link_event(id, event),
            Err(fault) => {
                *input = &[];
                self.end_by_fault(id, &fault);
                Step::More
            }
        };
        self.settle();
        step
    }

    fn link_event<'a>(&mut self, id: ConnId, event: Event<'a>) -> Step<'a> {
        match event {
            Event::Write { tag, bytes } => {
                if let Some(end) = EndId::of_tag(tag) {
                    return self.stream_writes(end, bytes);
                }
            }
            Event::Message(message) => {
                self.charge_turn(id, message.names());
                self.message(id, *message);
            }
            Event::Preface { stream, preface, used, rest } => {
                self.charge_turn(id, 0);
                let conn = self.conns.get(&id);
                let (phase, direct) = (conn.map(|c| c.phase), conn.is_some_and(|c| c.is_direct()));
                if let Preface::Direct(presented) = *preface {
                    self.present(id, stream, presented, used, rest);
                } else if direct {
                    let text = "a direct connection carries one channel, and a ticket opens it";
                    self.goodbye(id, Reason::server(Code::ProtocolViolation, text));
                } else if matches!(phase, Some(ConnPhase::AwaitsHello | ConnPhase::AwaitsTicket)) {
                    let text = "a stream was opened before hello";
                    self.goodbye(id, Reason::server(Code::ProtocolViolation, text));
                } else {
                    self.preface(id, stream, *preface, used, rest);
                }
            }
            Event::Answer { tag, answer, used, rest } => {
                self.at(tag, |broker, end| broker.stream_answers(end, answer, used, rest));
            }
            Event::FirstFrameLost { stream, tag } => {
                self.first_frame_lost(id, stream, tag, Limit::LinkWindow);
            }
            Event::Credit { tag } => self.at(tag, Broker::flush_stream),
            Event::Close { tag } => self.at(tag, Broker::stream_closes),
            Event::StopRead { tag } => self.at(tag, Broker::stream_stops),
            Event::Gone { tag } => {
                self.at(tag, Broker::stream_gone);
                self.end_if_drained(id);
            }
        }
        Step::More
    }

    /// Does something at the end that a stream's tag names.
    pub(crate) fn at(&mut self, tag: u32, then: impl FnOnce(&mut Broker, EndId)) {
        if let Some(end) = EndId::of_tag(tag) {
            then(self, end);
        }
    }

    pub(crate) fn arm(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get(&id) {
            self.timers.set(TimerKey::Link(id), conn.link.deadline());
        }
        self.touch(id);
    }

    pub(crate) fn tell_link(&mut self, change: LinkChange) {
        match change.down {
            None => self.registry.add_server(&change.name, change.server),
            Some(_) => self.registry.remove_server(&change.name, change.server),
        }
        self.tell_hosts_link(change.server, &change.name, change.down.as_ref());
        for plugin in self.registry.live_plugins() {
            self.tell(plugin, Told::Link(change.clone()));
        }
    }

    /// The link of a connection, which will be looked at for something to write.
    pub(crate) fn link_of(&mut self, id: ConnId) -> Option<&mut Link> {
        self.conns.touch(id, &mut self.touched).map(|conn| &mut conn.link)
    }

    /// A reason as the peer of a connection may know it: what a plugin says when it fails, with the
    /// place in its source, is not for other servers. A direct connection may lead to one.
    pub(crate) fn discreet(&self, id: ConnId, reason: Reason) -> Reason {
        let Some(conn) = self.conns.get(&id) else { return reason };
        let server = conn.hello.as_ref().is_some_and(|hello| hello.role == Role::Server);
        let foreign = conn.is_direct() || (server && !self.is_host());
        match foreign && reason.by == By::Server && reason.is(Code::PluginFailed) {
            true => Reason::server(Code::PluginFailed, "the log of its server says why"),
            false => reason,
        }
    }

    /// Whether a log line that the peer of a connection causes may be written now.
    pub(crate) fn may_log(&mut self, id: ConnId, kind: LogKind) -> Option<Suppressed> {
        let now = self.now;
        self.conns.get_mut(&id)?.log_limiter.admit(kind, now)
    }

    /// Says something on a link. It never ends the link: a peer that does not read what it is told
    /// is noted, and pays for it when all that is under way is done.
    pub(crate) fn send(&mut self, id: ConnId, message: &Message) {
        if self.faulted.contains_key(&id) {
            return;
        }
        if let Some(Err(fault)) = self.link_of(id).map(|link| link.send(message)) {
            self.faulted.insert(id, fault);
        }
    }

    /// Whether a connection only waits for its outbox to be written.
    pub fn is_ending(&self, id: ConnId) -> bool {
        self.conns.get(&id).is_none_or(|conn| conn.phase == ConnPhase::Ending)
    }
}

impl ConnPhase {
    /// Whether the peer has still to say who it is, or what it comes for.
    pub(crate) fn is_young(self) -> bool {
        matches!(self, ConnPhase::Shaking | ConnPhase::AwaitsHello | ConnPhase::AwaitsTicket)
    }
}

/// What comes first on a connection whose peer has proved its key, as far as that is asked for.
pub(crate) fn first_phase(how: Opened) -> ConnPhase {
    match how {
        Opened::DirectDial(_) => ConnPhase::Up,
        Opened::Direct => ConnPhase::AwaitsTicket,
        _ => ConnPhase::AwaitsHello,
    }
}
