//! How connections end: why one does with its last stream, and what is forgotten of one that is
//! over.

use super::Neighbours;
use super::children::host_lost;
use super::connections::ConnPhase;
use crate::broker::effect::Effects;
use crate::broker::{ConnId, Effect, LinkChange, Opened, PeerId};
use crate::control::Role;
use crate::key::Key;
use crate::reason::{Code, Reason};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// A connection that is over.
#[derive(Debug)]
#[must_use]
pub(crate) struct Over {
    /// Its peer's name or address, for logs.
    pub(crate) label: String,
    /// What it was.
    pub(crate) was: Was,
    /// The links that are over with it, which plugins are told.
    pub(crate) links: Vec<LinkChange>,
}

/// What a connection was that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Was {
    /// It carried one channel between two processes.
    Direct,
    /// The command line was at its other end.
    Command,
    /// A host of this server was at its other end.
    Host,
    /// It was this host's link to its server.
    Uplink,
    /// It was the link that served another server.
    Serving(Key),
    /// It was dialled to a peer of the configuration, and ended before it was a link.
    NeverLinked(PeerId),
    /// None of these: it was half-open, or another link serves the server.
    Other,
}

impl Over {
    /// Why the channels are over that went over the connection.
    pub(crate) fn lost(&self, reason: &Reason) -> Reason {
        match self.was {
            Was::Host => host_lost(reason),
            _ => Reason::server(Code::LinkLost, format!("the link ended: {reason}")),
        }
    }
}

impl Neighbours {
    /// Why a connection ends with its last stream, if it is one that does.
    pub(crate) fn why_drained(&self, id: ConnId) -> Option<Reason> {
        let conn = self.conn(id)?;
        if conn.phase == ConnPhase::Draining {
            let text = "another link serves the same two servers";
            return Some(Reason::server(Code::DuplicateLink, text));
        }
        let over = || Reason::server(Code::ChannelOver, "the channel is over");
        conn.is_direct().then(over)
    }

    /// A connection ends: it serves no server from now on. `None` if it was over already.
    pub(crate) fn link_over(&mut self, id: ConnId, reason: &Reason) -> Option<Over> {
        let conn = self.conn_mut(id)?;
        let before = core::mem::replace(&mut conn.phase, ConnPhase::Ending);
        if before == ConnPhase::Ending {
            return None;
        }
        self.rest_if_useless(id, false);
        let (was, label) = (self.what_was(id, before), self.conn(id)?.label());
        let links = match was {
            Was::Uplink => self.uplink_lost().into_iter().collect(),
            Was::Serving(key) => {
                self.servers.remove(&key);
                let name = self.conn(id).and_then(|conn| conn.peer_name()).unwrap_or_default();
                Vec::from([(key, String::from(name))])
            }
            Was::Direct | Was::Command | Was::Host => Vec::new(),
            Was::NeverLinked(_) | Was::Other => Vec::new(),
        };
        let down = |(server, name)| LinkChange { server, name, down: Some(reason.clone()) };
        Some(Over { label, was, links: links.into_iter().map(down).collect() })
    }

    fn what_was(&self, id: ConnId, before: ConnPhase) -> Was {
        match self.conn(id) {
            Some(conn) if conn.is_direct() => Was::Direct,
            Some(conn) if conn.role() == Some(Role::Command) => Was::Command,
            Some(conn) if conn.is_host() => Was::Host,
            Some(_) if self.uplink() == Some(id) => Was::Uplink,
            Some(conn) => match (self.serving(id), conn.how) {
                (Some(key), _) => Was::Serving(key),
                (None, Opened::Dialled(peer)) if before.is_young() && self.seeks(peer) => {
                    Was::NeverLinked(peer)
                }
                (None, _) => Was::Other,
            },
            None => Was::Other,
        }
    }

    /// All that a connection carried is forgotten: the peer that was lost is dialled again, and a
    /// host ends that was started with it.
    pub(crate) fn dial_after(
        &mut self,
        id: ConnId,
        was: Was,
        reason: Reason,
        effects: &mut Effects,
    ) {
        if let Was::Serving(key) = was {
            self.redial_server(key, &reason);
        }
        match self.conn(id).map(|conn| conn.how) {
            Some(Opened::Dialled(peer)) => self.peer_disconnected(peer, reason),
            Some(Opened::Inherited) => effects.push_back(Effect::Orphaned),
            Some(Opened::Child(child)) => self.child_unlinked(child, reason, effects),
            Some(Opened::Accepted | Opened::DirectDial(_) | Opened::Direct) | None => {}
        }
    }

    /// The transport of a connection is closed.
    pub(crate) fn conn_gone(&mut self, id: ConnId) {
        self.places.release(id);
        self.conns.remove(&id);
    }
}
