//! How connections prove who they are: who is let in, and what came out of sealed bytes.

use super::connections::{Conn, ConnPhase, first_phase};
use super::peers::Peer;
use super::{Event, Neighbours};
use crate::broker::{Accept, ConnId, Grants, Opened};
use crate::control::Role;
use crate::key::Key;
use crate::limits::Limit;
use crate::reason::{Code, Reason};
use alloc::format;

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

    /// Those of them that have proved nothing.
    fn half_open(&self) -> impl Iterator<Item = (ConnId, &Conn)> + Clone {
        self.young().filter(|(_, conn)| conn.is_half_open())
    }

    /// The peer that is listed with a key.
    pub(crate) fn listed(&self, key: Key) -> Option<&Peer> {
        let mut known = self.peers_by_key.of(&key).filter_map(|id| self.peers.get(id));
        known.find(|peer| peer.config.key == Some(key))
    }

    /// What the owner of a key may be.
    pub(crate) fn grants_of(&self, key: Key) -> Result<Grants, Reason> {
        match (self.listed(key).map(|peer| peer.config.role), self.accept) {
            (Some(Role::Host), _) => Ok(Grants::Host),
            (Some(_), _) | (None, Accept::Anyone) => Ok(Grants::Server),
            (None, Accept::Listed) => {
                let text = format!("{key} may not link; list it as [[peer]] if it should");
                Err(Reason::server(Code::NotAllowed, text))
            }
        }
    }

    /// Whether one more connection with these grants may be accepted now. One over our unix sockets
    /// is let in although strangers crowd us; and of strangers, those that have said nothing make
    /// room for others.
    pub(crate) fn accepts(&self, grants: Grants, has_spoken: impl Fn(ConnId) -> bool) -> bool {
        let most = match grants {
            Grants::Everything => self.limits.links + UNIX_RESERVE,
            Grants::Server | Grants::Host => self.limits.links,
        };
        let spoken = || self.half_open().filter(|(id, _)| has_spoken(*id)).count();
        let crowded = || spoken() >= self.limits.half_open;
        !self.stopping && self.conns.len() < most && (grants == Grants::Everything || !crowded())
    }

    /// The half-open connection that makes room for the next stranger, if there are as many as may
    /// be: the oldest that has said nothing.
    pub(crate) fn first_to_go(&self, has_spoken: impl Fn(ConnId) -> bool) -> Option<ConnId> {
        if self.half_open().count() < self.limits.half_open {
            return None;
        }
        self.half_open().find(|(id, _)| !has_spoken(*id)).map(|(id, _)| id)
    }

    /// A connection is about to be added: when it is one too many of those that have proved
    /// nothing, the oldest that has said nothing goes, which is returned.
    pub(super) fn make_room(
        &mut self,
        new: &Conn,
        has_spoken: impl Fn(ConnId) -> bool,
    ) -> Option<ConnId> {
        if self.conns.len() + 1 == self.limits.links {
            self.happens(Event::Reached(Limit::Links));
        }
        let Neighbours { conns, young, .. } = self;
        young.retain(|id| conns.get(id).is_some_and(|conn| conn.phase.is_young()));
        if !new.is_half_open() || self.half_open().count() < self.limits.half_open {
            return None;
        }
        self.happens(Event::Reached(Limit::HalfOpen));
        self.first_to_go(has_spoken)
    }

    /// Whether the peer of a connection has not proved its key.
    pub(crate) fn is_shaking(&self, id: ConnId) -> bool {
        self.conn(id).is_some_and(|conn| conn.phase == ConnPhase::Shaking)
    }

    /// The owner of a key is let in.
    pub(crate) fn is_let_in(&mut self, id: ConnId, key: Key, grants: Grants) {
        if let Some(conn) = self.conn_mut(id) {
            conn.grants = grants;
            conn.proved = Some(key);
            conn.phase = ConnPhase::AwaitsHello;
        }
    }

    /// The process at the other end of a direct connection is let in.
    pub(crate) fn direct_is_let_in(&mut self, id: ConnId, key: Key) {
        if let Some(conn) = self.conn_mut(id) {
            conn.proved = Some(key);
            conn.phase = first_phase(conn.how);
        }
    }

    /// The server or process that we dialled is who it should be, and lets us in; whether that is
    /// all that a connection waited for.
    #[must_use]
    pub(crate) fn is_admitted(&mut self, id: ConnId) -> bool {
        let Some(conn) = self.conn_mut(id) else { return false };
        conn.proved = conn.expected;
        if conn.phase != ConnPhase::Shaking {
            return false;
        }
        conn.phase = first_phase(conn.how);
        conn.is_direct()
    }

    /// Why a connection ends whose peer has said too late who it is, or what it comes for; `None`
    /// if it has said so. A direct one may have presented a ticket that is not known.
    pub(crate) fn too_late(&mut self, id: ConnId, presented: bool) -> Option<Reason> {
        let conn = self.conn(id).filter(|conn| conn.phase.is_young())?;
        let (code, text) = match (presented, conn.is_direct()) {
            (true, _) => (Code::BadTicket, "this ticket was never given, or has expired"),
            (false, true) => (Code::HandshakeTimeout, "no ticket came in time"),
            (false, false) => (Code::HandshakeTimeout, "no hello came in time"),
        };
        self.happens(Event::Reached(Limit::Handshake));
        Some(Reason::server(code, text))
    }

    /// What the end of a connection's transport means, of which `text` says how it came about;
    /// and, of a secured one, whether the peer had said hello, and had said goodbye.
    pub(crate) fn why_lost(&self, id: ConnId, text: &str, sealed: Option<(bool, bool)>) -> Reason {
        let (Some(conn), Some((has_said_hello, is_complete))) = (self.conn(id), sealed) else {
            return Reason::server(Code::TransportLost, text);
        };
        let dialled = conn.how != Opened::Accepted;
        let text = match (conn.phase, dialled, has_said_hello) {
            (ConnPhase::Shaking, true, false) => {
                format!("{text}; it is of another network, or speaks no secret handshake")
            }
            (ConnPhase::Shaking, true, true) => {
                let ours = self.own_key;
                format!("{text}; it has another key, or does not list ours, which is {ours}")
            }
            (ConnPhase::Shaking, false, _) => format!("{text}, before it had proved its key"),
            _ if is_complete => return Reason::server(Code::TransportLost, text),
            _ => {
                let text = format!("the connection was cut, without goodbye: {text}");
                return Reason::server(Code::TransportLost, text);
            }
        };
        Reason::server(Code::HandshakeFailed, text)
    }
}
