//! Whether a link serves a pair of plugins: it ends when no plugin of either side concerns one of
//! the other, and neither side keeps it.

use super::connections::{Conn, ConnPhase};
use super::peers::Keep;
use super::{Event, Neighbours};
use crate::broker::{ConnId, Opened, Peer, TimerKey};
use crate::control::{Message, Wanted};
use crate::key::Key;
use crate::reason::{Code, Reason};

impl Neighbours {
    /// Whether the configuration keeps the link to a server.
    fn keeps_link_to(&self, key: Key) -> bool {
        let kept = |peer: &Peer| {
            let named = peer.config.key == Some(key) || peer.config.key.is_none();
            named && peer.config.keep == Keep::Always
        };
        self.peers_by_key.of(&key).filter_map(|id| self.peers.get(id)).any(kept)
    }

    /// Whether the configuration keeps a link, as far as it is known to which server it leads.
    pub(crate) fn keep_of(&self, conn: &Conn) -> Keep {
        let dialled = match conn.how {
            Opened::Dialled(peer) => self.peer(peer).map(|peer| peer.config.keep),
            _ => None,
        };
        match dialled == Some(Keep::Always)
            || conn.known_key().is_some_and(|key| self.keeps_link_to(key))
        {
            true => Keep::Always,
            false => Keep::WhileUseful,
        }
    }

    /// Judges anew whether this server has a use for a link: whether it has names in common with
    /// the other one, or keeps the link anyway. It returns what the peer has to be told of that. It
    /// costs the same whatever the two servers have.
    #[must_use]
    pub(crate) fn update_need(&mut self, id: ConnId, in_common: bool) -> Option<Message> {
        let key = self.serving(id)?;
        let ours = in_common || self.keeps_link_to(key);
        let wanted = &mut self.conn_mut(id)?.wanted.ours;
        let changed = core::mem::replace(wanted, ours) != ours;
        changed.then_some(Message::Wanted(Wanted { wanted: ours }))
    }

    /// The peer says whether it has a use for the link.
    pub(crate) fn peer_wants(&mut self, id: ConnId, wanted: bool) {
        if let Some(conn) = self.conn_mut(id) {
            conn.wanted.theirs = wanted;
        }
    }

    /// Gives a link that serves no pair some time, after which it ends; `idle` is one without a
    /// channel.
    pub(crate) fn rest_if_useless(&mut self, id: ConnId, idle: bool) {
        let useless = self.is_useless(id, idle);
        let Some(conn) = self.conn_mut(id) else { return };
        let rested = core::mem::replace(&mut conn.rests, useless);
        match (rested, useless) {
            (false, true) => {
                let at = self.now + self.limits.nothing_in_common;
                self.happens(Event::Arm(TimerKey::Useless(id), at));
            }
            (true, false) => self.happens(Event::Disarm(TimerKey::Useless(id))),
            (true, true) | (false, false) => {}
        }
    }

    /// The time of a link that served no pair is over: why it ends, if it still does not serve one.
    pub(crate) fn end_if_useless(&mut self, id: ConnId, idle: bool) -> Option<Reason> {
        self.conn_mut(id)?.rests = false;
        let text = "no plugin of either server has to do with one of the other";
        let useless = self.is_useless(id, idle);
        useless.then(|| Reason::server(Code::NothingInCommon, text))
    }

    fn is_useless(&self, id: ConnId, idle: bool) -> bool {
        let up = self.conn(id).filter(|conn| conn.phase == ConnPhase::Up);
        idle && up.is_some_and(|conn| !conn.wanted.ours && !conn.wanted.theirs)
            && self.serving(id).is_some()
    }
}
