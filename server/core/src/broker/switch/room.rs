//! Whether there is room for one more channel: of a plugin, of the plugins of a server to it, of a
//! host's link, or of a link.

use super::{Event, Switch};
use crate::ends::Table;
use crate::ids::{ConnId, PluginId};
use crate::key::Key;
use crate::limits::{Limit, WINDOW};
use crate::reason::{Code, Reason};
use alloc::format;

impl Switch {
    /// How many channels a plugin may have.
    pub(crate) fn channels_max(&self) -> usize {
        self.limits.channels
    }

    /// Whether a plugin has as many channels as it may have, which is counted.
    pub(crate) fn is_full(&mut self, plugin: PluginId) -> bool {
        let full = self.ends.count_of(plugin) >= self.limits.channels;
        if full {
            self.happens(Event::Reached(Limit::Channels));
        }
        full
    }

    /// Whether the plugins of a server may have one more channel to a plugin. If not, that is
    /// counted.
    pub(crate) fn has_share(&mut self, plugin: PluginId, caller: Key) -> bool {
        let free = self.limits.channels.saturating_sub(self.ends.count_of(plugin));
        let has = self.ends.callers().leave_a_share(Table::Plugin(plugin), caller, free);
        if !has {
            self.happens(Event::Reached(Limit::Channels));
        }
        has
    }

    /// Whether plugins of a server may have one more stream of a host's link, which they share with
    /// those of other servers.
    pub(crate) fn has_stream_for(&mut self, host: ConnId, caller: Key) -> Result<(), Reason> {
        let used = self.lines.get(&host).map_or(0, |line| line.link.streams());
        let free = self.limits.streams.saturating_sub(used);
        if self.ends.callers().leave_a_share(Table::Link(host), caller, free) {
            return Ok(());
        }
        self.happens(Event::Reached(Limit::Streams));
        let text = "plugins of that server have as many channels to its host as they may have";
        Err(Reason::server(Code::LimitReached, text))
    }

    /// Whether a peer may have one more stream. What it sends before a plugin has answered is kept
    /// here, so as many may wait for an answer as have room in the window of a link.
    pub(crate) fn link_has_room(&mut self, conn: ConnId) -> Result<(), Reason> {
        let limits = &self.limits;
        let Some(line) = self.lines.get(&conn) else { return Ok(()) };
        let unanswered = (limits.link_window / WINDOW) as usize;
        let (limit, text) = if line.link().streams() > limits.streams {
            (Limit::Streams, format!("at most {} streams share a link", limits.streams))
        } else if line.unanswered() > unanswered {
            let text = format!("at most {unanswered} channels of a link may wait for an answer");
            (Limit::LinkWindow, text)
        } else {
            return Ok(());
        };
        self.happens(Event::Reached(limit));
        Err(Reason::server(Code::LimitReached, text))
    }
}
