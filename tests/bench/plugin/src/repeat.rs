//! A fixed number of round trips to the sink, one after another. The result is logged.

use trunkline_plugin::prelude::*;

use crate::sink::ECHO;

/// Bytes of a message.
const SIZE: usize = 64;

/// The sending side.
pub(crate) struct Repeat {
    /// The channel to the sink, once the sink runs.
    channel: Option<Channel>,
    /// Round trips that are left.
    left: u64,
    /// Bytes of the current message that have been echoed.
    back: usize,
}

impl Repeat {
    pub(crate) fn new(host: &Host, times: u64) -> Repeat {
        let mut repeat = Repeat { channel: None, left: times, back: 0 };
        if host.directory().iter().any(|entry| entry.name == "sink") {
            repeat.begin(host);
        }
        repeat
    }

    pub(crate) fn directory(&mut self, host: &Host, change: &Change) {
        if let Change::Appeared(entry) = change
            && entry.name == "sink"
            && self.channel.is_none()
        {
            self.begin(host);
        }
    }

    fn begin(&mut self, host: &Host) {
        match host.open(&Target::new("sink")) {
            Ok(channel) => self.channel = Some(channel),
            Err(why) => log::error!("not-answered: {why}"),
        }
    }

    pub(crate) fn opened(&self, host: &Host, channel: Channel) {
        let mut first = [7; SIZE + 1];
        first[0] = ECHO;
        say(host, channel, &first);
    }

    pub(crate) fn write(&mut self, host: &Host, channel: Channel, bytes: &[u8]) {
        self.back += bytes.len();
        if self.back < SIZE {
            return;
        }
        self.back = 0;
        self.left = self.left.saturating_sub(1);
        match self.left {
            0 => log::info!("all-answered"),
            _ => say(host, channel, &[7; SIZE]),
        }
    }

    pub(crate) fn ended(&self, why: Option<&Reason>) {
        let why = why.map_or("in order".to_owned(), ToString::to_string);
        log::error!("not-answered: the channel ended: {why}");
    }
}

/// Sends a message. There must be room, because the message before it has been echoed; otherwise an
/// error is logged.
fn say(host: &Host, channel: Channel, bytes: &[u8]) {
    if host.write(channel, bytes) < bytes.len() {
        log::error!("not-answered: a message was not taken whole");
    }
}
