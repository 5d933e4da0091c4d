//! Credit that plugins give back, by themselves or by having taken what they were told.

use super::{Broker, Misuse, PluginId};
use crate::ends::{EndId, Handle, Owner};
use crate::limits::Limit;

impl Broker {
    /// A plugin has returned from being told `count` bytes. Unless it gives credit itself, they are
    /// consumed, and the other end may write as many more.
    pub fn consumed(&mut self, plugin: PluginId, handle: Handle, count: usize) {
        let Ok(Some(id)) = self.end_of(plugin, handle) else { return };
        let Some(end) = self.ends.get_mut(id) else { return };
        if !end.flags.manual {
            end.owed = end.owed.saturating_add(count as u64);
            self.count_round(id, count as u64);
            self.give_back(id);
        }
        self.deliver_later(id);
        self.advance_close(id);
    }

    /// A plugin gives credit for its end itself from now on.
    pub fn hold(&mut self, plugin: PluginId, handle: Handle) -> Result<(), Misuse> {
        if let Some(id) = self.end_of(plugin, handle)?
            && let Some(end) = self.ends.get_mut(id)
        {
            end.flags.manual = true;
        }
        Ok(())
    }

    /// A plugin lets the other end write more.
    pub fn credit(&mut self, plugin: PluginId, handle: Handle, amount: u64) -> Result<(), Misuse> {
        let Some(id) = self.end_of(plugin, handle)? else { return Ok(()) };
        let Some(source) = self.ends.get(id).and_then(|end| end.peer) else { return Ok(()) };
        let Some(end) = self.ends.get(source) else { return Ok(()) };
        match end.allowance.checked_add(amount) {
            Some(sum) if sum < u64::MAX => self.grant(source, amount),
            _ => return Err(Misuse::CreditOverflow),
        }
        Ok(())
    }

    /// Gives back what was consumed, when it is at least what the other end still has: so a channel
    /// costs two credits per window, not one per packet.
    fn give_back(&mut self, id: EndId) {
        let Some(end) = self.ends.get(id) else { return };
        let Some(source) = end.peer else { return };
        let left = self.ends.get(source).map_or(0, |source| source.allowance);
        if end.owed == 0 || end.owed < left {
            return;
        }
        let more = self.growth(id, source);
        let Some(end) = self.ends.get_mut(id) else { return };
        end.window += more;
        end.grown += more;
        let amount = core::mem::take(&mut end.owed) + more;
        self.grant(source, amount);
    }

    /// Counts what a plugin consumed while a ping was on its way. The pong waits for the peer's
    /// loop as data does, so a round trip under load is what a window has to last for.
    fn count_round(&mut self, id: EndId, count: u64) {
        let Some(end) = self.ends.get(id) else { return };
        let source = end.peer.and_then(|source| self.ends.get(source));
        let Some(conn) = source.and_then(|source| source.conn()) else { return };
        let Some(round) = self.conns.get(&conn).map(|conn| conn.link.round()) else { return };
        let Some(end) = self.ends.get_mut(id) else { return };
        if end.round != round {
            end.flags.short_window |= end.round.is_measured() && end.in_round >= end.window / 2;
            end.in_round = 0;
            end.round = round;
        }
        end.in_round += count;
    }

    /// How much a window grows: it doubles when half of it was used up in one round trip, for then
    /// it, and not the path, is what holds the channel back.
    fn growth(&mut self, id: EndId, source: EndId) -> u64 {
        let limits = &self.settings.limits;
        let (most, link_most) = (limits.window_max, limits.link_window);
        let Some(Owner::Stream(conn, _)) = self.ends.get(source).map(|source| source.owner) else {
            return 0;
        };
        let now = self.now;
        if let Some(link) = self.link_of(conn) {
            link.measure(now);
        }
        let Some(conn) = self.conns.get_mut(&conn) else { return 0 };
        let Some(end) = self.ends.get_mut(id) else { return 0 };
        let short = core::mem::take(&mut end.flags.short_window);
        let more = most.saturating_sub(end.window).min(end.window);
        let beyond_link = conn.grown.saturating_add(more) > link_most;
        if !short {
            return 0;
        } else if more == 0 || beyond_link {
            let limit = if beyond_link { Limit::LinkWindow } else { Limit::Window };
            self.counters.count(limit);
            return 0;
        }
        conn.grown += more;
        more
    }

    /// Takes the growth of an end's window off the account of the link that its bytes come from.
    pub(super) fn forget_growth(&mut self, id: EndId, source: EndId) {
        let conn = self.ends.get(source).and_then(|source| source.conn());
        let Some(end) = self.ends.get_mut(id) else { return };
        let grown = core::mem::take(&mut end.grown);
        if let Some(conn) = conn.and_then(|conn| self.conns.get_mut(&conn)) {
            conn.grown = conn.grown.saturating_sub(grown);
        }
    }
}
