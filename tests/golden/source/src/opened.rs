//! Channels that the plugin opens, to plugins that give back what they are sent.

use std::collections::BTreeMap;

use trunkline_plugin::prelude::*;

/// All of them.
#[derive(Default)]
pub(crate) struct Opened(BTreeMap<Channel, Asked>);

struct Asked {
    /// The channel of the command.
    by: Channel,
    text: String,
    back: Vec<u8>,
}

impl Opened {
    /// Opens one: `NAME[@SERVER] LEAST TEXT`, and `here` means this server.
    pub(crate) fn begin(&mut self, host: &Host, by: Channel, line: &str) -> Result<(), Reason> {
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        let [name, least, text] = words[..] else {
            return Err(Reason::new("what", "open NAME LEAST TEXT"));
        };
        let (name, server) = name.split_once('@').unwrap_or((name, ""));
        let target = Target::new(name).version(least.parse().unwrap_or(0));
        let target = match server {
            "" => target,
            "here" => target.here(),
            server => target.on_server(server),
        };
        let channel = host.open(&target)?;
        self.0.insert(channel, Asked { by, text: text.to_owned(), back: Vec::new() });
        Ok(())
    }

    pub(crate) fn up(&self, host: &Host, channel: Channel) {
        if let Some(asked) = self.0.get(&channel) {
            let _ = host.write(channel, asked.text.as_bytes());
        }
    }

    /// Whether the channel is one of these; when all is back, it is closed.
    pub(crate) fn heard(&mut self, host: &Host, channel: Channel, bytes: &[u8]) -> bool {
        let Some(asked) = self.0.get_mut(&channel) else { return false };
        asked.back.extend_from_slice(bytes);
        if asked.back.len() == asked.text.len() {
            host.close(channel);
        }
        true
    }

    /// The channel that is told of the end of another one, and what came back over that.
    pub(crate) fn over(&mut self, channel: Channel) -> Option<(Channel, String)> {
        let asked = self.0.remove(&channel)?;
        Some((asked.by, String::from_utf8_lossy(&asked.back).into_owned()))
    }
}
