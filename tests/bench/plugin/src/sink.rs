//! The other end of a driver's channels: it counts, or gives back what it is sent.

use std::collections::HashMap;

use trunkline_plugin::prelude::*;

/// The first byte of a channel on which all is given back.
pub(crate) const ECHO: u8 = b'e';
/// The first byte of a channel whose bytes are counted, this one too; their number is told, as 8
/// bytes, when the channel is closed.
pub(crate) const COUNT: u8 = b'c';

/// What channels are for that have said so. An idle one costs the sink nothing.
#[derive(Default)]
pub(crate) struct Sink {
    channels: HashMap<Channel, Use>,
}

enum Use {
    Echo,
    /// So many bytes have come.
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
            // Nothing was written before on this channel, so that 8 bytes have room.
            let _ = host.write(channel, &count.to_le_bytes());
        }
    }

    pub(crate) fn ended(&mut self, channel: Channel) {
        self.channels.remove(&channel);
    }
}

/// A driver waits for each message, so that there is room for it; if not, that is told.
fn echo(host: &Host, channel: Channel, bytes: &[u8]) {
    if host.write(channel, bytes) < bytes.len() {
        host.abort(channel, Reason::new("no-room", "the echo of a message was not taken whole"));
    }
}
