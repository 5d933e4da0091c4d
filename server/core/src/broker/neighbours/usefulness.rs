//! Whether a link serves anybody: it ends when no plugin of either side has to do with one of the
//! other, and neither side keeps it.

use crate::broker::neighbours::Neighbours;
use crate::broker::neighbours::connections::ConnPhase;
use crate::broker::neighbours::peers::Keep;
use crate::broker::{Broker, ConnId, TimerKey};
use crate::control::{Message, Wanted};
use crate::key::Key;
use crate::reason::{Code, Reason};

impl Neighbours {
    /// Whether the configuration keeps the link to a server.
    fn keeps_link_to(&self, key: Key) -> bool {
        let kept = |peer: &crate::broker::Peer| {
            let named = peer.config.key == Some(key) || peer.config.key.is_none();
            named && peer.config.keep == Keep::Always
        };
        self.peers_by_key.of(&key).filter_map(|id| self.peers.get(id)).any(kept)
    }
}

impl Broker {
    /// Judges anew whether we have a use for a link, and tells the peer when that has changed. It
    /// costs the same whatever the two servers have.
    pub(crate) fn update_link_need(&mut self, id: ConnId) {
        let Some(key) = self.neighbours.serving(id) else { return };
        let ours = self.registry.have_in_common(id) || self.neighbours.keeps_link_to(key);
        let Some(conn) = self.neighbours.conn_mut(id) else { return };
        if core::mem::replace(&mut conn.wanted.ours, ours) != ours {
            self.send(id, &Message::Wanted(Wanted { wanted: ours }));
        }
        self.rest_if_useless(id);
    }

    /// The peer says whether it has a use for the link.
    pub(crate) fn peer_wants(&mut self, id: ConnId, wanted: bool) {
        if let Some(conn) = self.neighbours.conn_mut(id) {
            conn.wanted.theirs = wanted;
        }
        self.rest_if_useless(id);
    }

    /// Gives a link that serves nobody some time, after which it ends.
    pub(crate) fn rest_if_useless(&mut self, id: ConnId) {
        let timer = TimerKey::Useless(id);
        match self.is_useless(id) {
            true if !self.timers.is_set(&timer) => {
                self.timers.set(timer, self.now + self.settings.limits.nothing_in_common);
            }
            true => {}
            false => {
                self.timers.cancel(timer);
            }
        }
    }

    /// The time of a link that served nobody is over.
    pub(crate) fn end_if_useless(&mut self, id: ConnId) {
        if self.is_useless(id) {
            let text = "no plugin of either server has to do with one of the other";
            self.goodbye(id, Reason::server(Code::NothingInCommon, text));
        }
    }

    fn is_useless(&self, id: ConnId) -> bool {
        let up = self.neighbours.conn(id).filter(|conn| conn.phase == ConnPhase::Up);
        self.neighbours.serving(id).is_some()
            && up.is_some_and(|conn| !conn.wanted.ours && !conn.wanted.theirs)
            && self.switch.line(id).is_some_and(|line| line.link().streams_in_use() == 0)
    }
}
