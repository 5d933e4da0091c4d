//! The broker: every decision of a server or a host, as a pure state machine.
//!
//! The shell (or the simulator) drives it with five kinds of calls, and performs what it answers:
//!
//! 1. The time is *t*: [`Broker::tick`], first in each turn. [`Broker::deadline`] says when the
//!    next is due.
//! 2. What the last turn had no room for: [`Broker::take_unread`], for [`Broker::receive`]. While
//!    [`Broker::is_behind`], nothing more of a connection is read.
//! 3. Connection *c* opened, brought bytes, or died: [`Broker::connected`], [`Broker::unseal`] and
//!    then [`Broker::receive`], [`Broker::disconnected`]. What was to become one did not:
//!    [`Broker::dial_failed`], [`Broker::direct_failed`], [`Broker::child_ended`]. Before one is
//!    accepted, [`Broker::accepts`] is asked.
//! 4. Plugin *p* said *x*: the methods that take a [`PluginId`].
//! 5. After each of them: perform [`Broker::next_effect`] until as many effects are done as there
//!    were waiting, before [`Broker::receive`] is called again. Then write what
//!    [`Broker::outgoing`] gives for each connection of [`Broker::take_touched`], and call
//!    [`Broker::flushed`].
//!
//! Neither a peer's bytes nor a plugin's misuse can make it panic.

mod calls;
mod effect;
mod entries;
mod flows;
mod meetings;
mod misuse;
mod neighbours;
mod registry;
mod report;
mod switch;

pub use crate::ids::{CallId, ChildId, ConnId, DirectId, Handle, PeerId, PluginId};
pub use crate::log_limiter::LogKind;
pub use crate::rights::{Advertise, Expose, Granted, Names, Permission, Rights};
pub use crate::wire::Security;
pub use calls::{Called, Callee, CalleePlace, Outcome, Returned};
pub use effect::{Caller, Dial, DirectDial, DirectPlace, Effect, LinkChange, Step, Told};
pub use misuse::Misuse;
pub use neighbours::children::{ChildConfig, Placement, Restart};
pub use neighbours::connections::{Grants, Opened, Opening, PeerProcess};
pub use neighbours::peers::{Keep, PeerConfig};
pub use registry::plugins::{Direct, PluginConfig, PluginState, Target};
pub use report::audit::{StreamAccount, Unsettled};
pub use report::explain::{Explanation, Rule, Verdict};
pub use report::status::{
    ChannelStatus, LinkState, LinkStatus, OpenCalls, PluginStatus, Status, Where,
};

use crate::control::Role;
use crate::key::Key;
use crate::limits::{Counters, Limits};
use crate::log_limiter::LogLimiter;
use crate::reason::Reason;
use crate::timers::Timers;
use alloc::string::String;
use alloc::vec::Vec;
use calls::{CallTimer, Calls};
use core::time::Duration;
use effect::Effects;
use flows::call_streams;
use meetings::Meetings;
use neighbours::Neighbours;
use neighbours::peers::Peer;
use registry::Registry;
use report::directs::Directs;
use report::failures::Failures;
use switch::Switch;
use trunkline_shs::{Identity, NetworkId};

/// The servers that may link, beside those that may open our unix sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accept {
    /// The keys of the configured peers.
    Listed,
    /// Every peer that proves some key.
    Anyone,
}

/// The identity of this process, and its limits.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This process's key pair.
    pub identity: Identity,
    /// What all servers of one network know; only those can link over `shs`.
    pub network: NetworkId,
    /// The servers that may link.
    pub accept: Accept,
    /// Its name, for people.
    pub name: String,
    /// Whether it is a server, or a host that runs plugins for one.
    pub role: Role,
    /// Equal for all processes that can reach each other's unix sockets.
    pub machine: Key,
    /// The release of the software, for people.
    pub software: String,
    /// Every bound.
    pub limits: Limits,
    /// Random bytes that no other process knows; tickets are made of them.
    pub secret: [u8; 32],
    /// Any number; it spreads redials, so that servers do not dial in step.
    pub seed: u64,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum TimerKey {
    Link(ConnId),
    Useless(ConnId),
    Redial(PeerId),
    Restart(ChildId),
    Calls(CallTimer),
    Meetings,
    Plugin(PluginId, u64),
}

/// All of a process's state that decides anything.
#[derive(Debug)]
pub struct Broker {
    settings: Settings,
    key: Key,
    neighbours: Neighbours,
    now: Duration,
    switch: Switch,
    registry: Registry,
    meetings: Meetings,
    calls: Calls,
    failures: Failures,
    directs: Directs,
    log_limiter: LogLimiter,
    counters: Counters,
    timers: Timers<TimerKey>,
    effects: Effects,
    stopping: bool,
}

impl Broker {
    /// A broker without plugins, connections and peers, at time zero.
    pub fn new(settings: Settings) -> Broker {
        let key = Key(*settings.identity.public());
        Broker {
            key,
            neighbours: Neighbours::new(&settings),
            meetings: Meetings::new(&settings),
            switch: Switch::new(&settings.limits),
            calls: Calls::new(&settings.limits),
            registry: Registry::new(key, settings.role == Role::Host, &settings.limits),
            settings,
            now: Duration::ZERO,
            failures: Failures::default(),
            directs: Directs::default(),
            log_limiter: LogLimiter::default(),
            counters: Counters::default(),
            timers: Timers::new(),
            effects: Effects::default(),
            stopping: false,
        }
    }

    /// The key of this process: the server's, or a host's own.
    pub fn key(&self) -> Key {
        self.key
    }

    /// The key and the name of the server that this process belongs to.
    pub fn home(&self) -> (Key, &str) {
        (self.neighbours.home_key(), self.neighbours.home_name())
    }

    /// The identity of this process, and its limits.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn do_tick(&mut self, now: Duration) {
        self.now = self.now.max(now);
        self.effects.release_room();
        self.switch.begin_turn(self.now);
        self.neighbours.begin_turn(self.now);
        self.meetings.begin_turn(self.now);
        self.calls.begin_turn(self.now);
        if self.log_limiter.deadline().is_some_and(|at| at <= self.now) {
            self.log_limiter.catch_up(self.now);
        }
        while let Some(key) = self.timers.pop_due(self.now) {
            match key {
                TimerKey::Link(conn) => self.link_timer(conn),
                TimerKey::Useless(conn) => self.end_if_useless(conn),
                TimerKey::Redial(peer) => self.neighbours.dial(peer, &mut self.effects),
                TimerKey::Restart(child) => self.restart_child(child),
                TimerKey::Calls(timer) => {
                    let effects = &mut self.effects;
                    call_streams::time_is_over(&mut self.calls, &self.switch, timer, effects);
                }
                TimerKey::Meetings => self.meetings.tick(),
                TimerKey::Plugin(plugin, timer) => self.tell(plugin, Told::Timer(timer)),
            }
            self.settle();
        }
    }

    /// When [`tick`](Broker::tick) has something to do.
    pub fn deadline(&self) -> Option<Duration> {
        self.timers.next().into_iter().chain(self.log_limiter.deadline()).min()
    }

    /// Whether nothing of any channel is left, as must be when all plugins and links are gone.
    pub fn has_no_channels(&self) -> bool {
        self.switch.ends().is_empty()
    }

    /// How many effects are waiting.
    pub fn effects_waiting(&self) -> usize {
        self.effects.len()
    }

    /// Whether there is work left for another turn: a connection may have something to write, or
    /// has said more than this turn had room for.
    pub fn has_touched(&self) -> bool {
        self.switch.has_work() || self.registry.has_news()
    }

    /// The servers that are linked to the one that this process belongs to, with their names.
    pub fn servers(&self) -> impl Iterator<Item = (Key, &str)> {
        self.neighbours.linked_servers()
    }

    pub(crate) fn do_stop(&mut self, reason: &Reason) {
        self.stopping = true;
        self.calls.stop();
        self.neighbours.stop();
        for conn in self.switch.lines().keys().copied().collect::<Vec<_>>() {
            self.goodbye(conn, reason.clone());
        }
        // What their ends say is logged before nothing more can be.
        self.settle();
        self.log_limiter.catch_up(Duration::MAX);
    }

    fn tell(&mut self, plugin: PluginId, told: Told) {
        self.effects.tell(plugin, told);
    }
}
