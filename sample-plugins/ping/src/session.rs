//! One channel to the measured plugin, with its current run.

use std::time::{Duration, Instant};

use trunkline_plugin::{Channel, Host, Key, Reason};

use crate::pattern::{Mismatch, Pattern};
use crate::report::Report;
use crate::run::{Plan, Run, TooMuch};

/// A channel to the plugin on one server.
pub(crate) struct Session {
    channel: Channel,
    pub(crate) server: Key,
    /// Its name in the log: `echo@beta`.
    pub(crate) title: String,
    /// The plugin appeared again before this channel ended: a new channel follows it.
    pub(crate) again: bool,
    run: Option<(Run, Instant)>,
    /// How many bytes were sent in total, and how many came back.
    sent: u64,
    received: u64,
}

impl Session {
    pub(crate) fn new(channel: Channel, server: Key, title: String) -> Self {
        Self { channel, server, title, again: false, run: None, sent: 0, received: 0 }
    }

    /// Begins a run.
    pub(crate) fn begin(&mut self, host: &Host, plan: Plan, pattern: &Pattern) {
        self.run = Some((Run::new(plan), Instant::now()));
        self.send(host, pattern);
    }

    /// How long ago the run began.
    pub(crate) fn age(&self) -> Duration {
        self.run.as_ref().map_or(Duration::ZERO, |(_, began)| began.elapsed())
    }

    /// Writes as much as may be sent and is taken.
    pub(crate) fn send(&mut self, host: &Host, pattern: &Pattern) {
        let Some((run, began)) = &mut self.run else { return };
        while run.to_send() > 0 {
            let piece = pattern.piece(self.sent, run.to_send());
            let now = began.elapsed();
            let taken = host.write(self.channel, piece);
            run.sent(taken as u64, now);
            self.sent += taken as u64;
            if taken < piece.len() {
                // The rest is written when there is room again.
                return;
            }
        }
    }

    /// Checks received bytes.
    ///
    /// # Errors
    ///
    /// `bad-echo`: a byte is wrong, or was never sent.
    pub(crate) fn receive(
        &mut self,
        bytes: &[u8],
        pattern: &Pattern,
    ) -> Result<Option<Report>, Reason> {
        pattern.check(self.received, bytes).map_err(|wrong| wrong_byte(&wrong))?;
        self.received += bytes.len() as u64;
        let Some((run, began)) = &mut self.run else { return Err(too_much()) };
        run.received(bytes.len() as u64, began.elapsed()).map_err(|TooMuch| too_much())
    }
}

fn wrong_byte(wrong: &Mismatch) -> Reason {
    let Mismatch { at, expected, found } = wrong;
    let text = format!("byte {at} came back as {found} instead of {expected}");
    Reason::new("bad-echo", text)
}

fn too_much() -> Reason {
    Reason::new("bad-echo", "more came back than was sent")
}
