//! Every configurable limit, with its default. None is infinite, and each one is enforced.

use crate::control::MESSAGE_MAX;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// The most that a process holds and waits for. The configuration's `[limits]` sets each of them,
/// except for the two of the heartbeat, which stand in `[server]` or `[host]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Connections whose peer has not sent hello.
    pub half_open: usize,
    /// The longest time of a connection until its hello.
    pub handshake: Duration,
    /// Connections of all kinds.
    pub links: usize,
    /// Open streams of one link, whichever side opened them.
    pub streams: usize,
    /// Open channels of one plugin.
    pub channels: usize,
    /// Calls that one plugin waits for, and as many that it has to answer.
    pub calls: usize,
    /// Bytes of one request, or one answer.
    pub call_size: usize,
    /// Plugins that one peer may announce.
    pub announced: usize,
    /// Names that the plugins of one peer may invite, each counted as often as it is invited.
    pub invited: usize,
    /// Tickets of one process that may be valid at a time. Each takes some 200 bytes.
    pub tickets: usize,
    /// Bytes of a channel that may be on the way to a plugin at first.
    pub window: u64,
    /// The largest window of a channel, in bytes.
    pub window_max: u64,
    /// The most by which all windows of a link together may grow, in bytes.
    pub link_window: u64,
    /// Silence after which a ping is sent.
    pub heartbeat: Duration,
    /// Silence after which a link is dead.
    pub dead_after: Duration,
    /// The pause before the first redial; it doubles with each failure.
    pub redial_min: Duration,
    /// The longest pause before a redial.
    pub redial_max: Duration,
    /// The time after which a link that no pair of plugins uses ends.
    pub nothing_in_common: Duration,
    /// Bytes that may wait for a connection beyond its credit rules.
    pub outbox: usize,
    /// Bytes of one control message.
    pub control_message: usize,
    /// A plugin that blocks its loop for this time is reported.
    pub watchdog: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            half_open: 64,
            handshake: Duration::from_secs(5),
            links: 1024,
            streams: 65_536,
            channels: 262_144,
            calls: 65_536,
            call_size: 16 << 20,
            announced: 4096,
            invited: 4096,
            tickets: 4096,
            window: WINDOW,
            window_max: 16 << 20,
            link_window: 64 << 20,
            heartbeat: Duration::from_secs(10),
            dead_after: Duration::from_secs(30),
            redial_min: Duration::from_millis(250),
            redial_max: Duration::from_secs(30),
            nothing_in_common: Duration::from_secs(5),
            outbox: 1 << 20,
            control_message: MESSAGE_MAX,
            watchdog: Duration::from_secs(5),
        }
    }
}

/// The initial credit of a stream's creator, in bytes. Both ends of a link must agree on it, so it
/// is part of the protocol, and the smallest window that can be configured.
pub const WINDOW: u64 = 64 * 1024;

macro_rules! limits {
    ($($(#[$doc:meta])* $variant:ident = $name:literal: $value:expr;)*) => {
        /// A limit that can be reached. `status` counts how often it was.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Limit { $($(#[$doc])* $variant,)* }

        impl Limit {
            /// All of them, in the order in which `status` shows them.
            pub const ALL: &[Limit] = &[$(Limit::$variant,)*];

            /// The word for it in `status`; durations are in microseconds.
            pub const fn as_str(self) -> &'static str {
                match self { $(Limit::$variant => $name,)* }
            }

            /// Its value.
            pub fn value(self, limits: &Limits) -> u64 {
                let read: fn(&Limits) -> u64 = match self { $(Limit::$variant => $value,)* };
                read(limits)
            }
        }
    };
}

limits! {
    /// Connections whose peer has not sent hello: the oldest silent one was evicted.
    HalfOpen = "half-open": |limits| limits.half_open as u64;
    /// A connection sent no hello in time.
    Handshake = "handshake-us": |limits| microseconds(limits.handshake);
    /// Connections of all kinds: the next one waits.
    Links = "links": |limits| limits.links as u64;
    /// Streams of a link.
    Streams = "streams-per-link": |limits| limits.streams as u64;
    /// Channels of a plugin.
    Channels = "channels-per-plugin": |limits| limits.channels as u64;
    /// Calls that a plugin waits for, or has to answer.
    Calls = "calls-per-plugin": |limits| limits.calls as u64;
    /// A request or an answer was longer.
    CallSize = "call-size": |limits| limits.call_size as u64;
    /// Tickets of a process, of which each server has a share: the servers passed a channel on.
    Tickets = "tickets-per-process": |limits| limits.tickets as u64;
    /// Plugins that a peer announced.
    Announced = "plugins-per-peer": |limits| limits.announced as u64;
    /// Names that the plugins of a peer invited.
    Invited = "invites-per-peer": |limits| limits.invited as u64;
    /// The window of a channel could not grow further.
    Window = "stream-window-max": |limits| limits.window_max;
    /// The windows of a link could not grow further, or no more of its channels could wait for an
    /// answer, or no more bytes of calls could wait.
    LinkWindow = "link-window": |limits| limits.link_window;
    /// A peer did not read its control messages.
    Outbox = "outbox": |limits| limits.outbox as u64;
    /// A peer announced a longer control message.
    ControlMessage = "control-message": |limits| limits.control_message as u64;
}

/// How often each limit was reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters([u64; Limit::ALL.len()]);

impl Counters {
    pub(crate) fn count(&mut self, limit: Limit) {
        self.0[limit as usize] += 1;
    }

    /// How often a limit was reached.
    pub fn reached(&self, limit: Limit) -> u64 {
        self.0[limit as usize]
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
