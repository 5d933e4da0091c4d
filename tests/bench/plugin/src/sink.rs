//! The other end of a driver's channels: it counts bytes, or echoes them.

use std::collections::HashMap;

use trunkline_plugin::prelude::*;

/// The first byte of a channel whose bytes are echoed.
pub(crate) const ECHO: u8 = b'e';
/// The first byte of a channel whose bytes are counted, including this one. The count is sent as 8
/// bytes when the channel is closed.
pub(crate) const COUNT: u8 = b'c';

/// The purpose of each channel that has sent a byte. An idle channel takes no memory here.
#[derive(Default)]
pub(crate) struct Sink {
    channels: HashMap<Channel, Use>,
}

enum Use {
    Echo,
    /// The number of bytes so far.
    Count(u64),
}

impl Sink {
    pub(crate) fn write(&mut self, host: &Host, channel: Channel, bytes: &[u8]) {
        match self.channels.get_mut(&channel) {
            Some(Use::Count(count)) => *count += bytes.len() as u64,
            Some(Use::Echo) => echo(host, channel, bytes),
            None => self.begin(host, channel, bytes),
        }
    }

    fn begin(&mut self, host: &Host, channel: Channel, bytes: &[u8]) {
        let (usage, rest) = match bytes {
            [ECHO, rest @ ..] => (Use::Echo, rest),
            [COUNT, ..] => (Use::Count(bytes.len() as u64), &[][..]),
            _ => {
                let why = Reason::new("bad-use", "the first byte says what a channel is for");
                return host.abort(channel, why);
            }
        };
        self.channels.insert(channel, usage);
        if !rest.is_empty() {
            echo(host, channel, rest);
        }
    }

    pub(crate) fn close(&mut self, host: &Host, channel: Channel) {
        if let Some(Use::Count(count)) = self.channels.remove(&channel) {
            // There is room for 8 bytes, because nothing has been written on this channel.
            let _ = host.write(channel, &count.to_le_bytes());
        }
    }

    pub(crate) fn ended(&mut self, channel: Channel) {
        self.channels.remove(&channel);
    }
}

/// Echoes bytes. There must be room, because a driver waits for each message; otherwise an error is
/// logged.
fn echo(host: &Host, channel: Channel, bytes: &[u8]) {
    if host.write(channel, bytes) < bytes.len() {
        host.abort(channel, Reason::new("no-room", "the echo of a message was not taken whole"));
    }
}
