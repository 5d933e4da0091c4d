//! Credit that plugins give back, by themselves or by having taken what they were told.

use super::{Event, Switch};
use crate::broker::effect::Effects;
use crate::broker::misuse::Misuse;
use crate::ends::{End, Flag, Owner};
use crate::ids::{ConnId, EndId, Handle, PluginId};
use crate::limits::{Limit, WINDOW};

/// Credit is given back at the latest when so many bytes are owed: a plugin that gives credit
/// itself may let others write more than any window has.
const OWED_MAX: u64 = 1 << 30;

impl Switch {
    #[inline(always)]
    pub(crate) fn consumed(
        &mut self,
        plugin: PluginId,
        handle: Handle,
        count: usize,
        effects: &mut Effects,
    ) {
        if let Ok(Some(id)) = self.end_of(plugin, handle) {
            self.consumed_by(id, count, effects);
        }
    }

    pub(crate) fn consumed_by(&mut self, id: EndId, count: usize, effects: &mut Effects) {
        let Some(end) = self.ends.get_mut(id) else { return };
        let source = end.peer.filter(|_| !end.flags.has(Flag::Manual));
        if source.is_some() {
            end.owe(count as u64);
        }
        let owed = u64::from(end.owed);
        let (waits, closing) = (!end.inbox.is_empty(), end.flags.has(Flag::Closing));
        if let Some(source) = source
            && let Some(writer) = self.ends.get(source)
        {
            let left = writer.allowance.min(OWED_MAX);
            if let Some(conn) = writer.conn() {
                self.count_round(conn, id, count as u64);
            }
            // At least what the other end still has: so a channel costs two credits per window, not
            // one per packet.
            if owed > 0 && owed >= left {
                self.give_back(id, source, effects);
            }
        }
        if waits {
            self.deliver_later(id, effects);
        } else if closing {
            self.advance_close(id, effects);
        }
    }

    /// A plugin gives credit for its end itself from now on.
    pub(crate) fn hold(&mut self, plugin: PluginId, handle: Handle) -> Result<(), Misuse> {
        if let Some(id) = self.end_of(plugin, handle)?
            && let Some(end) = self.ends.get_mut(id)
        {
            end.flags.set(Flag::Manual);
        }
        Ok(())
    }

    pub(crate) fn credit(
        &mut self,
        plugin: PluginId,
        handle: Handle,
        amount: u64,
        effects: &mut Effects,
    ) -> Result<(), Misuse> {
        let Some(id) = self.end_of(plugin, handle)? else { return Ok(()) };
        let Some(source) = self.ends.get(id).and_then(|end| end.peer) else { return Ok(()) };
        let Some(end) = self.ends.get(source) else { return Ok(()) };
        match end.allowance.checked_add(amount) {
            Some(sum) if sum < u64::MAX => self.grant(source, amount, effects),
            _ => return Err(Misuse::CreditOverflow),
        }
        Ok(())
    }

    /// Gives back what was consumed.
    fn give_back(&mut self, id: EndId, source: EndId, effects: &mut Effects) {
        let more = self.growth(id, source);
        let Some(end) = self.ends.get_mut(id) else { return };
        if more > 0 {
            end.change(|rare| {
                rare.widened += more;
                rare.grown += more;
            });
        }
        let amount = u64::from(core::mem::take(&mut end.owed)) + more;
        self.grant(source, amount, effects);
    }

    /// Counts what a plugin consumed while a ping was on its way. The pong waits for the peer's
    /// loop as data does, so a round trip under load is what a window has to last for.
    fn count_round(&mut self, conn: ConnId, id: EndId, count: u64) {
        if let Some(line) = self.lines.get_mut(&conn)
            && line.link.round().is_measured()
        {
            *line.in_round.entry(id).or_default() += count;
        }
    }

    /// A round trip is over: notes whose windows were short for it.
    pub(crate) fn round_is_over(&mut self, conn: ConnId) {
        let Some(line) = self.lines.get_mut(&conn) else { return };
        for (id, count) in core::mem::take(&mut line.in_round) {
            let short = count >= self.window(id) / 2;
            if let Some(end) = self.ends.get_mut(id).filter(|_| short) {
                end.flags.set(Flag::ShortWindow);
            }
        }
    }

    /// Bytes that may be on the way to a plugin's end: what it owes, and what the other end may
    /// write.
    pub(crate) fn window(&self, id: EndId) -> u64 {
        let widened = self.ends.get(id).map_or(0, |end| end.rare().widened);
        self.limits.window.saturating_add(widened)
    }

    /// How much a window grows: it doubles when half of it was used up in one round trip, for then
    /// it, and not the path, is what holds the channel back.
    fn growth(&mut self, id: EndId, source: EndId) -> u64 {
        let limits = &self.limits;
        let (most, link_most) = (limits.window_max, limits.link_window);
        let Some(Owner::Stream(conn, _)) = self.ends.get(source).map(|source| source.owner())
        else {
            return 0;
        };
        let (now, window) = (self.now, self.window(id));
        if let Some(link) = self.link_of(conn) {
            link.measure(now);
        }
        let Some(line) = self.lines.get_mut(&conn) else { return 0 };
        let Some(end) = self.ends.get_mut(id) else { return 0 };
        let short = end.flags.clear(Flag::ShortWindow);
        let more = most.saturating_sub(window).min(window);
        let beyond_link = line.grown.saturating_add(more) > link_most;
        if !short {
            return 0;
        } else if more == 0 || beyond_link {
            let limit = if beyond_link { Limit::LinkWindow } else { Limit::Window };
            self.happens(Event::Reached(limit));
            return 0;
        }
        line.grown += more;
        more
    }

    /// How much more may wait for a relayed stream than `held` bytes, of `more` bytes for which its
    /// peer has given credit. What is beyond the first window is charged to the link of the stream:
    /// it waits here when that peer does not read what it has let us write.
    pub(super) fn relayed_growth(
        &mut self,
        conn: ConnId,
        sink: EndId,
        held: u64,
        more: u64,
    ) -> u64 {
        let Some(line) = self.lines.get_mut(&conn) else { return 0 };
        let Some(end) = self.ends.get_mut(sink) else { return 0 };
        let (before, wanted) = (end.rare().grown, (held + more).saturating_sub(WINDOW));
        let others = line.grown.saturating_sub(before);
        // No stream takes more than half of what the others leave, as in all tables with shares.
        let free = self.limits.link_window.saturating_sub(others);
        let grown = wanted.min(before.max(free / 2));
        line.grown = others + grown;
        if grown != before {
            end.change(|rare| rare.grown = grown);
        }
        if grown < wanted && grown != before {
            self.happens(Event::Reached(Limit::LinkWindow));
        }
        more.saturating_sub(wanted - grown)
    }

    /// A stream is relayed from now on: what its source may still write waits here as well.
    pub(super) fn charge_relayed(&mut self, sink: EndId) {
        let Some(end) = self.ends.get(sink) else { return };
        let source = end.peer.and_then(|peer| self.ends.get(peer));
        let (Some(conn), Some(source)) = (end.conn(), source) else { return };
        if source.conn().is_some() {
            let held = end.inbox.len() as u64 + source.allowance;
            self.relayed_growth(conn, sink, held, 0);
        }
    }

    /// The link that an end's growth is charged to: that of a relayed stream itself, and for a
    /// plugin's end the one that its bytes come from.
    pub(super) fn grows_on(&self, id: EndId, source: EndId) -> Option<ConnId> {
        let conn = |id| self.ends.get(id).and_then(|end: &End| end.conn());
        conn(id).or_else(|| conn(source))
    }

    /// Takes the growth of an end's window off the account of its link.
    pub(crate) fn forget_growth(&mut self, id: EndId, source: EndId) {
        let conn = self.grows_on(id, source);
        let Some(end) = self.ends.get_mut(id) else { return };
        let grown = end.rare().grown;
        if grown > 0 {
            end.change(|rare| rare.grown = 0);
        }
        if let Some(line) = conn.and_then(|conn| self.lines.get_mut(&conn)) {
            line.grown = line.grown.saturating_sub(grown);
            line.in_round.remove(&id);
        }
    }
}
