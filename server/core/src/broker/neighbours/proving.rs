//! How connections prove who they are: who is let in, and what came out of sealed bytes.

use crate::broker::meetings::arrivals::Held;
use crate::broker::neighbours::Neighbours;
use crate::broker::neighbours::connections::{Conn, ConnPhase, first_phase};
use crate::broker::neighbours::peers::Peer;
use crate::broker::{Accept, Broker, ConnId, Effect, Grants, Opened};
use crate::control::Role;
use crate::key::Key;
use crate::limits::Limit;
use crate::reason::{Code, Reason};
use crate::wire::WireEvent;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Connections over unix sockets that are let in beyond the limit, so that the command line can.
const UNIX_RESERVE: usize = 64;

impl Conn {
    fn is_half_open(&self) -> bool {
        let accepted = matches!(self.how, Opened::Accepted | Opened::Direct);
        self.grants != Grants::Everything && self.phase.is_young() && accepted
    }
}

impl Neighbours {
    /// The connections whose peers have still to say who they are.
    pub(crate) fn young(&self) -> impl Iterator<Item = (ConnId, &Conn)> + Clone {
        let young = self.young.iter();
        let conns = young.filter_map(|id| Some((*id, self.conn(*id)?)));
        conns.filter(|(_, conn)| conn.phase.is_young())
    }

    fn half_open(&self) -> impl Iterator<Item = (ConnId, &Conn)> + Clone {
        self.young().filter(|(_, conn)| conn.is_half_open())
    }

    /// The peer that is listed with a key.
    pub(crate) fn listed(&self, key: Key) -> Option<&Peer> {
        let mut known = self.peers_by_key.of(&key).filter_map(|id| self.peers.get(id));
        known.find(|peer| peer.config.key == Some(key))
    }

    /// What the owner of a key may be.
    fn grants_of(&self, key: Key) -> Result<Grants, Reason> {
        match (self.listed(key).map(|peer| peer.config.role), self.accept) {
            (Some(Role::Host), _) => Ok(Grants::Host),
            (Some(_), _) | (None, Accept::Anyone) => Ok(Grants::Server),
            (None, Accept::Listed) => {
                let text = format!("{key} may not link; list it as [[peer]] if it should");
                Err(Reason::server(Code::NotAllowed, text))
            }
        }
    }
}

impl Broker {
    /// Whether one more connection with these grants may be accepted now. If not, it waits in the
    /// listener's queue. Whoever may open our unix sockets is let in although strangers crowd us;
    /// and of strangers, those that have said nothing make room for others.
    pub fn accepts(&self, grants: Grants) -> bool {
        let limits = &self.settings.limits;
        let most = match grants {
            Grants::Everything => limits.links + UNIX_RESERVE,
            Grants::Server | Grants::Host => limits.links,
        };
        let spoken = || self.neighbours.half_open().filter(|(id, _)| self.has_spoken(*id)).count();
        let crowded = || spoken() >= limits.half_open;
        !self.stopping
            && self.switch.lines().len() < most
            && (grants == Grants::Everything || !crowded())
    }

    /// Whether the peer of a half-open connection has said anything that a stranger could not.
    fn has_spoken(&self, id: ConnId) -> bool {
        self.switch.line(id).is_some_and(|line| line.has_spoken())
    }

    /// Who makes room for the next stranger: of those that have proved nothing, where there are as
    /// many as may be, the oldest that has said nothing. What it said may have come unread, so
    /// whoever accepts connections reads it first.
    pub fn first_to_go(&self) -> Option<ConnId> {
        if self.neighbours.half_open().count() < self.settings.limits.half_open {
            return None;
        }
        self.neighbours.half_open().find(|(id, _)| !self.has_spoken(*id)).map(|(id, _)| id)
    }

    /// A connection is about to be added: when it is one too many of those that have proved
    /// nothing, the oldest that has said nothing goes.
    pub(crate) fn make_room(&mut self, new: &Conn) {
        if self.switch.lines().len() + 1 == self.settings.limits.links {
            self.counters.count(Limit::Links);
        }
        let Neighbours { conns, young, .. } = &mut self.neighbours;
        young.retain(|id| conns.get(id).is_some_and(|conn| conn.phase.is_young()));
        if !new.is_half_open()
            || self.neighbours.half_open().count() < self.settings.limits.half_open
        {
            return;
        }
        self.counters.count(Limit::HalfOpen);
        if let Some(id) = self.first_to_go() {
            let text = "it said nothing, and others wait for its place";
            self.cut_off(id, Reason::server(Code::LimitReached, text));
        }
    }

    /// Opens what a connection brought, where it is sealed: what it says to the link, which has to
    /// be given to [`receive`](Broker::receive). `plain` is a buffer whose contents are replaced.
    pub fn unseal<'a>(
        &mut self,
        id: ConnId,
        bytes: &'a mut [u8],
        plain: &'a mut Vec<u8>,
    ) -> &'a [u8] {
        plain.clear();
        if self.switch.is_plain(id) {
            return bytes;
        }
        self.switch.count_sealed(id, bytes.len());
        self.open_wire(id, bytes, plain);
        self.settle();
        plain
    }

    fn open_wire(&mut self, id: ConnId, bytes: &mut [u8], plain: &mut Vec<u8>) {
        let mut input = bytes;
        if self.holds_back(id, input) {
            return;
        }
        loop {
            match self.switch.open_wire(id, &mut input, plain) {
                Ok(WireEvent::Waiting) => break,
                Ok(WireEvent::Asks(key)) => {
                    self.judge_caller(id, key);
                    if self.holds_back(id, input) {
                        break;
                    }
                }
                Ok(WireEvent::Admitted) => self.is_admitted(id),
                // The end of the transport follows; bytes that do are an error.
                Ok(WireEvent::Goodbye) => {}
                Err(error) => {
                    let phase = self.neighbours.conn(id).map(|conn| conn.phase);
                    let shaking = phase == Some(ConnPhase::Shaking);
                    let code =
                        if shaking { Code::HandshakeFailed } else { Code::ProtocolViolation };
                    self.cut_off(id, Reason::server(code, error.to_string()));
                    break;
                }
            }
        }
    }

    /// The owner of a key wants to link: it is let in, or hears nothing more.
    fn judge_caller(&mut self, id: ConnId, key: Key) {
        if self.neighbours.conn(id).is_some_and(|conn| conn.how == Opened::Direct) {
            self.judge_direct_caller(id, key);
            return;
        }
        match self.neighbours.grants_of(key) {
            Ok(grants) => {
                if self.switch.admit(id)
                    && let Some(conn) = self.neighbours.conn_mut(id)
                {
                    conn.grants = grants;
                    conn.proved = Some(key);
                    conn.phase = ConnPhase::AwaitsHello;
                    self.say_hello(id);
                }
            }
            Err(reason) => self.cut_off(id, reason),
        }
    }

    /// A process wants a direct connection: it is let in if it holds a ticket, and waits otherwise,
    /// because it may be faster than the servers' word that it comes.
    fn judge_direct_caller(&mut self, id: ConnId, key: Key) {
        if self.meetings.holds_ticket(key) {
            self.admit_direct(id, key);
        } else {
            self.meetings.asks(id, key);
        }
    }

    /// Keeps what somebody says behind its handshake who waits to be let in; whether it waits.
    fn holds_back(&mut self, id: ConnId, bytes: &[u8]) -> bool {
        let held = self.meetings.hold(id, bytes);
        if held == Held::TooMuch {
            let text = "too much was said before anything was granted";
            self.cut_off(id, Reason::server(Code::ProtocolViolation, text));
        }
        held != Held::No
    }

    /// Lets a process in that holds a ticket.
    pub(crate) fn admit_direct(&mut self, id: ConnId, key: Key) {
        if self.switch.admit(id)
            && let Some(conn) = self.neighbours.conn_mut(id)
        {
            conn.proved = Some(key);
            conn.phase = first_phase(conn.how);
            let kept = self.meetings.let_in(id);
            if !kept.is_empty() {
                self.effects.push_back(Effect::TakeAgain(id, kept));
            }
        }
        self.switch.touch(id);
    }

    /// The server that we dialled is who it should be, and lets us in.
    fn is_admitted(&mut self, id: ConnId) {
        let Some(conn) = self.neighbours.conn_mut(id) else { return };
        conn.proved = conn.expected;
        if conn.phase == ConnPhase::Shaking {
            conn.phase = first_phase(conn.how);
            if conn.is_direct() {
                self.arm(id);
            }
        }
    }

    /// What the end of a connection's transport means, of which `text` says how it came about.
    pub(crate) fn why_lost(&mut self, id: ConnId, text: &str) -> Reason {
        let sealed = self.switch.sealed_state(id);
        let (Some(conn), Some((has_said_hello, is_complete))) = (self.neighbours.conn(id), sealed)
        else {
            return Reason::server(Code::TransportLost, text);
        };
        let dialled = conn.how != Opened::Accepted;
        let detail: Option<String> = match (conn.phase, dialled, has_said_hello) {
            (ConnPhase::Shaking, true, false) => {
                Some("it is of another network, or speaks no secret handshake".into())
            }
            (ConnPhase::Shaking, true, true) => {
                Some(format!("it has another key, or does not list ours, which is {}", self.key))
            }
            (ConnPhase::Shaking, false, _) => None,
            _ if is_complete => return Reason::server(Code::TransportLost, text),
            _ => {
                let text = format!("the connection was cut, without goodbye: {text}");
                return Reason::server(Code::TransportLost, text);
            }
        };
        let text = match detail {
            Some(detail) => format!("{text}; {detail}"),
            None => format!("{text}, before it had proved its key"),
        };
        Reason::server(Code::HandshakeFailed, text)
    }
}
