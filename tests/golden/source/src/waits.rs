//! Timers, sockets and threads of the plugin's own.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use trunkline_plugin::prelude::*;

use crate::say;

/// Soon, but not at once.
const SOON: Duration = Duration::from_millis(1);

/// What the plugin waits for.
#[derive(Default)]
pub(crate) struct Waits {
    /// Channels that are answered when a timer fires.
    answers: BTreeMap<Timer, Channel>,
    /// A timer that was cancelled, the one that fires, and who is told.
    timers: Option<(Timer, Timer, Channel)>,
    /// Whether the timer that was cancelled fired.
    cancelled_fired: bool,
    watched: Option<(Watch, UnixStream, Channel)>,
    /// The channel that is told of a waker.
    woken: Option<Channel>,
}

impl Waits {
    pub(crate) fn answer(&mut self, host: &Host, channel: Channel) {
        self.answers.insert(host.set_timer(SOON), channel);
    }

    pub(crate) fn time(&mut self, host: &Host, channel: Channel) {
        let cancelled = host.set_timer(SOON);
        host.cancel_timer(cancelled);
        self.timers = Some((cancelled, host.set_timer(SOON * 20), channel));
    }

    /// The channel that is to be answered now, if the timer was for one.
    pub(crate) fn fired(&mut self, host: &Host, timer: Timer) -> Option<Channel> {
        if let Some((cancelled, fires, channel)) = self.timers {
            self.cancelled_fired |= timer == cancelled;
            if timer == fires {
                say(host, channel, &format!("fired, cancelled too: {}", self.cancelled_fired));
            }
        }
        self.answers.remove(&timer)
    }

    pub(crate) fn watch(&mut self, host: &Host, channel: Channel) -> Result<(), Reason> {
        let (ours, mut theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let watch = host.watch(&ours, Interest::READABLE)?;
        theirs.write_all(b"bytes")?;
        self.watched = Some((watch, ours, channel));
        Ok(())
    }

    pub(crate) fn ready(&mut self, host: &Host, watch: Watch, readiness: Readiness) {
        let Some((ours, mut stream, channel)) = self.watched.take() else { return };
        let mut bytes = [0; 16];
        let count = stream.read(&mut bytes).unwrap_or(0);
        let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
        host.unwatch(watch);
        let same = ours == watch;
        say(host, channel, &format!("{text}, same {same}, readable {}", readiness.is_readable()));
    }

    pub(crate) fn wake(&mut self, host: &Host, channel: Channel) {
        self.woken = Some(channel);
        let waker = host.waker();
        std::thread::spawn(move || waker.clone().wake());
    }

    pub(crate) fn woken(&mut self, host: &Host) {
        if let Some(channel) = self.woken.take() {
            say(host, channel, "woken");
        }
    }
}
