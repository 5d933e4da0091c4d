//! The peers, configured or dialled for a plugin: when to dial, and when to dial again.

use super::{Event, Neighbours};
use crate::address::Endpoint;
use crate::broker::effect::Effects;
use crate::broker::{ConnId, Dial, Effect, PluginId, Rights, TimerKey};
use crate::control::Role;
use crate::ids::PeerId;
use crate::key::Key;
use crate::log_limiter::{LogKind, LogSource};
use crate::reason::{Code, Reason};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

/// What the configuration says of a peer.
#[derive(Clone, Debug)]
pub struct PeerConfig {
    /// Its key; `None` where only its address is known.
    pub key: Option<Key>,
    /// The name by which it is known here, whatever it calls itself, and no other server. It needs
    /// a key.
    pub name: Option<String>,
    /// Where to dial it, the best place first; empty if it dials us.
    pub endpoints: Vec<Endpoint>,
    /// What it may be: a server, or a host.
    pub role: Role,
    /// Whether its link is kept when it serves no pair of plugins.
    pub keep: Keep,
    /// What it may register; of use for a host only.
    pub rights: Rights,
}

/// Whether a link is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Whatever it serves.
    Always,
    /// As long as it serves a pair of plugins.
    WhileUseful,
}

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) config: PeerConfig,
    /// The plugins that wanted the link. Such a peer is dialled once, and forgotten afterwards. A
    /// configured one was wanted by none.
    pub(crate) wanted_by: Vec<PluginId>,
    /// The key that it turned out to have.
    pub(crate) key: Option<Key>,
    /// The name by which it was known when it was linked last.
    last_name: String,
    pub(crate) dialling: bool,
    pub(crate) conn: Option<ConnId>,
    /// A link to it has been up.
    pub(crate) was_up: bool,
    /// Dials since the last hello.
    pub(crate) failures: u32,
    /// Links to it in a row that soon gave way to another one: another server may have our key.
    replaced: u32,
    linked_at: Duration,
    /// Why it is not linked.
    pub(crate) reason: Option<Reason>,
    /// The code of the last failure that the log told of, since the peer was linked.
    logged: Option<String>,
}

impl Peer {
    /// The name that the configuration gives it, or by which it was known when it was linked last.
    pub(crate) fn name(&self) -> Option<&str> {
        let last = Some(self.last_name.as_str()).filter(|name| !name.is_empty());
        self.config.name.as_deref().or(last)
    }

    /// What to call it.
    pub(crate) fn label(&self) -> String {
        if let Some(name) = self.name() {
            return name.into();
        }
        let address = self.config.endpoints.first().map(ToString::to_string);
        let key = || self.key.map_or_else(|| "a peer".into(), |key| key.short());
        address.unwrap_or_else(key)
    }

    /// Whether the log has not told yet that it cannot be linked for a reason of this kind.
    fn is_news(&self, reason: &Reason) -> bool {
        self.logged.as_ref() != Some(&reason.code)
    }

    /// A link to it has ended. Two servers with one key throw each other out: the pause before each
    /// dial grows until a link has lasted for longer than the longest pause.
    fn note_end(&mut self, reason: &Reason, now: Duration, longest: Duration) {
        let lasted = now.saturating_sub(self.linked_at) > longest;
        self.replaced = match reason.is(Code::DuplicateLink) {
            true if !lasted => self.replaced.saturating_add(1),
            true => 1,
            false if lasted => 0,
            false => self.replaced,
        };
    }
}

impl Neighbours {
    pub(crate) fn peer_connected(&mut self, id: PeerId, conn: ConnId) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.dialling = false;
            peer.conn = Some(conn);
        }
    }

    /// A dialled peer said who it is, so that it is not dialled while another link serves it.
    pub(crate) fn peer_found(&mut self, id: PeerId, key: Key) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if let Some(before) = peer.key.replace(key) {
            self.peers_by_key.remove(&before, &id);
        }
        self.peers_by_key.insert(key, id);
    }

    /// The peers that have, or turned out to have, a key.
    pub(crate) fn peers_of(&self, key: Key) -> Vec<PeerId> {
        self.peers_by_key.of(&key).copied().collect()
    }

    /// Adds a peer, of the configuration or for plugins, and dials it if its address is known.
    pub(crate) fn add_peer(
        &mut self,
        wanted_by: Vec<PluginId>,
        config: PeerConfig,
        effects: &mut Effects,
    ) -> PeerId {
        let id = PeerId(self.next_peer);
        self.next_peer += 1;
        let key = config.key;
        if let (Some(name), Some(key)) = (&config.name, key) {
            self.bind_name(name, key);
        }
        let peer = Peer {
            config,
            wanted_by,
            key,
            last_name: String::new(),
            dialling: false,
            conn: None,
            was_up: false,
            failures: 0,
            replaced: 0,
            linked_at: Duration::ZERO,
            reason: None,
            logged: None,
        };
        self.peers.insert(id, peer);
        if let Some(key) = key {
            self.peers_by_key.insert(key, id);
        }
        self.dial(id, effects);
        id
    }

    /// Dials a peer, unless it is linked, or is not to be dialled now.
    pub(crate) fn dial(&mut self, id: PeerId, effects: &mut Effects) {
        let resting = self.resting.contains(&id);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let linked = peer.key.is_some_and(|key| self.servers.contains_key(&key));
        if self.stopping || linked || peer.dialling || peer.conn.is_some() || resting {
            return;
        }
        let endpoints = peer.config.endpoints.clone();
        if !endpoints.is_empty() {
            peer.dialling = true;
            let for_plugins = !peer.wanted_by.is_empty();
            effects.push_back(Effect::Dial(Dial { peer: id, endpoints, for_plugins }));
        }
    }

    /// No address of a peer could be reached.
    pub(crate) fn dial_failed(&mut self, id: PeerId, text: &str) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.dialling = false;
        if !peer.wanted_by.is_empty() {
            self.forget_wanted(id, &Reason::server(Code::TransportLost, text));
            return;
        }
        let reason = Reason::server(Code::TransportLost, text);
        let other = peer.logged.is_some() && peer.is_news(&reason);
        peer.reason = Some(reason);
        if peer.failures == 0 || other {
            peer.logged = Some(Code::TransportLost.as_str().into());
            let text = format!("cannot reach a peer: {text}; dialling again until it answers");
            self.happens(Event::Line(LogSource::Peer(id), LogKind::Unreachable, text));
        }
        self.redial(id);
    }

    /// Whether a peer of the configuration is dialled until it is linked.
    pub(crate) fn seeks(&self, id: PeerId) -> bool {
        !self.stopping && self.is_configured(id)
    }

    /// A peer was reached, and is not linked nevertheless: whether the log has not told that yet.
    #[must_use]
    pub(crate) fn note_never_linked(&mut self, id: PeerId, reason: &Reason) -> bool {
        let Some(peer) = self.peers.get_mut(&id) else { return false };
        let is_news = peer.is_news(reason);
        peer.logged = Some(reason.code.clone());
        is_news
    }

    /// A server is linked, by a connection of either side.
    pub(crate) fn peer_linked(&mut self, key: Key) {
        let conn = self.link_to(key).and_then(|id| self.conn(id));
        let name = String::from(conn.and_then(|conn| conn.peer_name()).unwrap_or_default());
        for id in self.peers_of(key) {
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.failures = 0;
                peer.linked_at = self.now;
                peer.reason = None;
                peer.logged = None;
                peer.was_up = true;
                peer.last_name.clone_from(&name);
            }
            self.resting.remove(&id);
            self.happens(Event::Disarm(TimerKey::Redial(id)));
        }
    }

    /// The connection that was dialled to a peer has ended.
    pub(crate) fn peer_disconnected(&mut self, id: PeerId, reason: Reason) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.conn = None;
        if !peer.wanted_by.is_empty() {
            self.forget_wanted(id, &reason);
            return;
        }
        if rests(&reason) {
            self.resting.insert(id);
        }
        peer.note_end(&reason, self.now, self.limits.redial_max);
        peer.reason = Some(reason);
        self.redial(id);
    }

    /// The link to a server has ended: the peers that have its address are dialled again.
    pub(crate) fn redial_server(&mut self, key: Key, reason: &Reason) {
        for id in self.peers_of(key) {
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.reason = Some(reason.clone());
                if rests(reason) {
                    self.resting.insert(id);
                }
            }
            self.redial(id);
        }
    }

    /// The plugins of this server are others now: peers that had nothing in common with them may
    /// have by now.
    pub(crate) fn wake_peers(&mut self, effects: &mut Effects) {
        for id in core::mem::take(&mut self.resting) {
            self.dial(id, effects);
        }
    }

    fn redial(&mut self, id: PeerId) {
        let random = self.next_random();
        let (least, most) = (self.limits.redial_min, self.limits.redial_max);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let waits = peer.dialling || peer.conn.is_some() || peer.config.endpoints.is_empty();
        if self.stopping || waits || self.resting.contains(&id) || !peer.wanted_by.is_empty() {
            return;
        }
        let pause = pause(peer.failures.max(peer.replaced), least, most, random);
        peer.failures = peer.failures.saturating_add(1);
        self.happens(Event::Arm(TimerKey::Redial(id), self.now + pause));
    }
}

/// Whether a link that ended so is not to be dialled again until something changes.
fn rests(reason: &Reason) -> bool {
    reason.is(Code::NothingInCommon) || reason.is(Code::LinkClosed)
}

/// The pause before a redial: it doubles with each failure, and a random half of it is left away,
/// so that servers which lost each other at the same moment do not dial in step.
pub(crate) fn pause(failures: u32, least: Duration, most: Duration, random: u64) -> Duration {
    let doubled = least.saturating_mul(1u32.checked_shl(failures).unwrap_or(u32::MAX));
    let half = doubled.min(most) / 2;
    let spread = u64::try_from(half.as_micros()).unwrap_or(u64::MAX).max(1);
    half + Duration::from_micros(random % spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_the_least_to_the_most() {
        let (least, most) = (Duration::from_millis(250), Duration::from_secs(30));
        for failures in [0, 1, 5, 7, 40, u32::MAX] {
            let full = least.saturating_mul(1 << failures.min(10)).min(most);
            for random in [0, 1, u64::MAX] {
                let pause = pause(failures, least, most, random);
                assert!(pause >= full / 2 && pause <= full, "{pause:?} after {failures} failures");
            }
        }
    }
}
