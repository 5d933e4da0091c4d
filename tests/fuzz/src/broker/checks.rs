//! What has to hold in a run: the innocent is served, others are not made to pay, and nothing is
//! left of peers that are gone.

use super::super::memory;
use super::node::Node;
use super::plugins::Plugin;
use super::world::World;
use super::{EFFECTS_LEFT, INNOCENT, VICTIM, key, name};
use std::time::Duration;
use trunkline_core::broker::{Broker, Handle, Outcome, PluginId, Target};
use trunkline_core::control::Role;
use trunkline_core::reason::Reason;

/// What the innocent sends to be sent back.
const QUESTION: &[u8] = b"are you still there?";

/// Effects for each byte that a peer says: a name of two bytes is told to each plugin.
const EFFECTS_FOR_A_BYTE: u64 = 12;

/// Effects that a step causes by itself, where a plugin or the time is its cause.
const EFFECTS_FOR_A_STEP: u64 = 512;

/// Bytes that the innocent is told for each byte that a hostile peer says: it hears of each plugin
/// under its server's key, with field numbers and its whole name.
const TOLD_FOR_A_BYTE: u64 = 24;

/// Bytes that the innocent is told for a step: a channel's window, or what it has asked for itself.
const TOLD_FOR_A_STEP: u64 = 200_000;

/// Bytes that are kept for each byte that a hostile peer says.
const KEPT_FOR_A_BYTE: i64 = 256;

/// Bytes that are kept for a step: a plugin's bytes wait for a peer that does not read.
const KEPT_FOR_A_STEP: i64 = 200_000;

/// Longer than anything that is remembered of a peer which is gone: tickets, attempts, calls.
const FORGETS: Duration = Duration::from_secs(90);

impl World {
    /// What hostile peers cause is in proportion to what they say.
    pub(super) fn check_costs(&self) {
        let effects = self.nodes[VICTIM].effects;
        let most = (self.steps + 2) * EFFECTS_FOR_A_STEP + self.said * EFFECTS_FOR_A_BYTE;
        assert!(effects <= most, "{effects} effects of {} bytes", self.said);
        let most = (self.steps + 2) * TOLD_FOR_A_STEP + self.said * TOLD_FOR_A_BYTE;
        assert!(self.told <= most, "the innocent is told {} bytes of {}", self.told, self.said);
        if let Some(kept) = self.kept() {
            let said = self.said as i64 * KEPT_FOR_A_BYTE;
            let most = (self.steps as i64 + 2) * KEPT_FOR_A_STEP + said;
            assert!(kept <= most, "{kept} bytes are kept of {}", self.said);
        }
        assert!(
            self.nodes.len() == 1 || self.link.is_some(),
            "the innocent's link ended: {:?}",
            self.nodes[INNOCENT].broker.status().links
        );
    }

    /// Bytes that are in use since the start, where that is known.
    pub(super) fn kept(&self) -> Option<i64> {
        Some(memory::in_use()? - self.in_use?)
    }

    /// Of these, the bytes that are not room for effects.
    pub(super) fn left(&self) -> Option<i64> {
        let rooms = self.nodes.iter().map(|node| node.broker.room_for_effects() as i64);
        let check = |room| {
            assert!(room <= EFFECTS_LEFT, "a queue of effects keeps {room} bytes");
            room
        };
        Some(self.kept()? - rooms.map(check).sum::<i64>())
    }

    /// The innocent's channel and call are answered as ever.
    pub(super) fn check_innocent(&mut self) {
        if self.nodes.len() == 1 {
            return;
        }
        let Some(probe) = self.nodes[INNOCENT].plugin("probe") else {
            panic!("the innocent's plugin is over");
        };
        if self.nodes[VICTIM].plugin("echo").is_some() {
            self.check_channel(probe);
        }
        if self.nodes[VICTIM].plugin("calls").is_some() {
            self.check_call(probe);
        }
    }

    fn check_channel(&mut self, probe: PluginId) {
        let target = Target { name: name("echo"), least: 0, server: Some(key(VICTIM).to_string()) };
        let node = &mut self.nodes[INNOCENT];
        let handle = node.broker.open(probe, &target);
        let handle = handle.unwrap_or_else(|why| panic!("the innocent opens nothing: {why}"));
        with(node, probe, |plugin, _| {
            plugin.heard.insert(handle, Vec::new());
        });
        let written = node.broker.write(probe, handle, QUESTION);
        assert_eq!(written, Ok(QUESTION.len()), "a new channel has room");
        self.settle();
        let node = &mut self.nodes[INNOCENT];
        let heard = node.plugins.get_mut(&probe).and_then(|plugin| plugin.heard.remove(&handle));
        assert_eq!(heard.as_deref(), Some(QUESTION), "the innocent's channel is served");
        let ended = node.broker.abort(probe, handle, Reason::plugin("mine", "thanks"));
        assert_eq!(ended, Ok(()));
        self.settle();
    }

    fn check_call(&mut self, probe: PluginId) {
        let node = &mut self.nodes[INNOCENT];
        node.call(probe, ("calls", Some(key(VICTIM))), QUESTION);
        self.settle();
        let node = &mut self.nodes[INNOCENT];
        let outcome = node.plugins.get_mut(&probe).and_then(|plugin| plugin.outcome.take());
        assert_eq!(outcome, Some(Outcome::Answered(QUESTION.to_vec())), "the innocent's call");
    }

    /// The hostile peers go, then the plugins, then the innocent: nothing is left of any of them.
    pub(super) fn part(&mut self) {
        while !self.peers.is_empty() {
            self.drop_peer(0);
            self.settle();
        }
        for node in &mut self.nodes {
            let (directs, dials) = (std::mem::take(&mut node.directs), node.dials.drain(..));
            dials.for_each(|(peer, _)| node.broker.dial_failed(peer, "no peer is there"));
            for (id, _) in directs {
                node.broker.direct_failed(id, "no peer is there");
            }
            give_up_channels(node);
        }
        self.settle();
        self.wait(FORGETS);
        self.check_forgotten();
        self.check_innocent();
        self.check_parted();
    }

    /// Of the peers nothing is left.
    fn check_forgotten(&mut self) {
        (self.peers, self.tickets) = Default::default();
        let link = self.link;
        for (number, node) in self.nodes.iter().enumerate() {
            let broker = &node.broker;
            let ours = link.map(|link| link[number]);
            let others: Vec<_> = broker.connections().filter(|(id, _)| Some(*id) != ours).collect();
            assert!(others.is_empty(), "connections are left: {others:?}");
            if broker.settings().role == Role::Server {
                let ours = [key(VICTIM), key(INNOCENT)];
                let left = broker.directory().filter(|entry| !ours.contains(&entry.server));
                assert_eq!(left.count(), 0, "plugins of peers are left: {:?}", broker.status());
            }
            let unsettled = broker.unsettled();
            assert_eq!(unsettled, Default::default(), "direct connections are left");
        }
    }

    /// All is closed: no channel, no call and no timer is left.
    fn check_parted(&mut self) {
        for node in &mut self.nodes {
            give_up_channels(node);
        }
        self.settle();
        // Streams of calls without calls close after a while.
        self.wait(FORGETS);
        for node in &mut self.nodes {
            check_no_channels(node);
        }
        for node in &mut self.nodes {
            for plugin in std::mem::take(&mut node.plugins).into_keys() {
                node.broker.plugin_stopped(plugin);
            }
        }
        self.settle();
        if let Some(link) = self.link.take() {
            for (node, id) in self.nodes.iter_mut().zip(link) {
                node.disconnected(id);
            }
        }
        for node in &mut self.nodes {
            let [links, _, plugins, useless] = node.broker.timers_set();
            assert_eq!([links, plugins, useless], [0; 3], "timers are left");
            assert_eq!(node.broker.open_calls(), 0, "calls are left");
            assert_eq!(node.broker.windows_grown(), 0, "the growth of windows is left");
        }
    }
}

fn with<T>(
    node: &mut Node,
    id: PluginId,
    then: impl FnOnce(&mut Plugin, &mut Broker) -> T,
) -> Option<T> {
    node.plugins.get_mut(&id).map(|plugin| then(plugin, &mut node.broker))
}

/// Each plugin gives up what it has, without ending itself.
fn give_up_channels(node: &mut Node) {
    for (id, plugin) in &mut node.plugins {
        let channels: Vec<Handle> = std::mem::take(&mut plugin.channels).into_keys().collect();
        for handle in channels {
            let ended = node.broker.abort(*id, handle, Reason::plugin("mine", "goodbye"));
            assert_eq!(ended, Ok(()), "a plugin may give up what it has");
        }
        for call in std::mem::take(&mut plugin.asked) {
            let refused = node.broker.refuse_call(*id, call, Reason::plugin("mine", "goodbye"));
            assert_eq!(refused, Ok(()), "a plugin may refuse what it is asked");
        }
        for call in plugin.made.iter().copied().collect::<Vec<_>>() {
            let cancelled = node.broker.cancel_call(*id, call);
            assert_eq!(cancelled, Ok(()), "a plugin may give up what it has asked");
        }
    }
}

fn check_no_channels(node: &Node) {
    let broker = &node.broker;
    assert!(broker.has_no_channels(), "channels are left: {:?}", broker.status().channels);
    assert_eq!(broker.open_calls(), 0, "calls are left");
    for plugin in broker.status().plugins {
        assert_eq!(plugin.channels, 0, "channels of {} are counted", plugin.name);
    }
}
