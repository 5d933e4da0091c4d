//! Every bound of a server, with its default. None is infinite, and none exists only in a document.

use core::time::Duration;

/// What a server holds and waits for at the most. The configuration's `[limits]` sets each of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections whose peer has not said hello.
    pub half_open: usize,
    /// How long a connection may take until its hello.
    pub handshake: Duration,
    /// Connections in all.
    pub links: usize,
    /// Open streams of one link, in each direction of opening.
    pub streams: usize,
    /// Open channels of one plugin.
    pub channels: usize,
    /// Plugins that one peer may announce.
    pub announced: usize,
    /// Bytes that a channel may have on the way to a plugin at first.
    pub window: u64,
    /// What a channel's window may grow to, in bytes.
    pub window_max: u64,
    /// What all windows of a link together may grow to, in bytes.
    pub link_window: u64,
    /// A ping is sent when nothing was heard for so long.
    pub heartbeat: Duration,
    /// A link is dead when nothing was heard for so long.
    pub dead_after: Duration,
    /// The pause before the first redial; it doubles with each failure.
    pub redial_min: Duration,
    /// The longest pause between two dials.
    pub redial_max: Duration,
    /// How long a link is kept whose two sides have no plugin for each other.
    pub nothing_in_common: Duration,
    /// Bytes that may wait for a connection beyond what its credit rules allow.
    pub outbox: usize,
    /// Longest control message, in bytes.
    pub control_message: usize,
    /// How long a plugin may give no sign of life before it counts as stuck.
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
            announced: 4096,
            window: WINDOW,
            window_max: 16 << 20,
            link_window: 64 << 20,
            heartbeat: Duration::from_secs(10),
            dead_after: Duration::from_secs(30),
            redial_min: Duration::from_millis(250),
            redial_max: Duration::from_secs(30),
            nothing_in_common: Duration::from_secs(5),
            outbox: 1 << 20,
            control_message: 65_536,
            watchdog: Duration::from_secs(5),
        }
    }
}

/// The credit with which a stream's creator starts, in bytes. Both ends of a link must agree on it,
/// so it is part of the protocol and the smallest window that can be configured.
pub const WINDOW: u64 = 64 * 1024;
