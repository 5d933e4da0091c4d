//! Which of its links serves a server, and which of two stays.

use super::connections::{Conn, ConnPhase};
use super::{Event, Neighbours};
use crate::broker::{ConnId, Opened};
use crate::key::Key;
use crate::log_limiter::LogKind;
use alloc::format;
use alloc::string::String;

/// A server that loses its link and dials again does so once; this often, there are two.
const SUCCESSIONS: u32 = 3;

/// The decision about a connection to a server that has said hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum ServerLink {
    /// The server has a better link: this one ends with its last channel.
    Loses,
    /// It serves the server, in place of another one.
    Replaces(ConnId),
    /// It is the only one, and serves the server.
    First,
}

impl Neighbours {
    /// A server said hello. Of two links to one server, the one that is dialled by the lower key
    /// stays; of two that the same side dialled, the newer one, for the older one must be dead.
    pub(crate) fn server_linked(&mut self, id: ConnId, key: Key) -> ServerLink {
        self.dialled_is(id, key);
        let Some(old) = self.link_to(key) else {
            self.servers.insert(key, id);
            return ServerLink::First;
        };
        if self.dialler(id, key) > self.dialler(old, key) {
            return ServerLink::Loses;
        }
        if let Some([one, other]) = self.note_succession(old, id) {
            let text = format!(
                "two servers use the key {key}, one at {one}, one at {other}: give one of them a \
                 key of its own"
            );
            self.happens(Event::Line(self.log_source(id), LogKind::SharedKey, text));
        }
        self.servers.insert(key, id);
        ServerLink::Replaces(old)
    }

    /// The peer at the other end of a connection is known by its key now, if we dialled it.
    pub(super) fn dialled_is(&mut self, id: ConnId, key: Key) {
        if let Some(Opened::Dialled(peer)) = self.conn(id).map(|conn| conn.how) {
            self.peer_found(peer, key);
        }
    }

    /// Of the two servers at the ends of a link, the one that dialled it.
    fn dialler(&self, id: ConnId, peer: Key) -> Key {
        match self.conn(id) {
            Some(conn) if conn.how == Opened::Accepted => peer,
            _ => self.own_key,
        }
    }

    /// A link has lost against another one to the same server: it ends with its last stream.
    pub(crate) fn drain(&mut self, id: ConnId) {
        if let Some(conn) = self.conn_mut(id) {
            conn.phase = ConnPhase::Draining;
        }
    }

    /// The server for which a connection is the link.
    pub(crate) fn serving(&self, id: ConnId) -> Option<Key> {
        let key = self.conn(id)?.hello.as_ref()?.key;
        (self.servers.get(&key) == Some(&id)).then_some(key)
    }

    /// A link takes the place of one that is up, and that the same side had dialled. Once, the
    /// other server may have lost it; again and again, or from two machines, there are two servers.
    /// It returns the addresses of the two, the first time.
    fn note_succession(&mut self, old: ConnId, new: ConnId) -> Option<[String; 2]> {
        let (before, conn) = (self.conn(old)?, self.conn(new)?);
        let machine = |conn: &Conn| conn.hello.as_ref().map(|peer| peer.machine);
        let two = machine(before) != machine(conn);
        let same_side = before.how == conn.how;
        let mut successions = before.successions;
        successions.count = successions.count.saturating_add(u32::from(same_side));
        let shared = same_side && (two || successions.count >= SUCCESSIONS) && !successions.warned;
        successions.warned |= shared;
        let addresses = [before.address.clone(), conn.address.clone()];
        self.conn_mut(new)?.successions = successions;
        shared.then_some(addresses)
    }
}
