//! How two ends of a plugin are joined: the ends behind them face each other from then on, without
//! the plugin.

use super::Switch;
use super::ending::nothing_behind;
use crate::broker::effect::Effects;
use crate::broker::misuse::Misuse;
use crate::ends::{ChannelInfo, End, Flag, Lookup, Owner, Phase};
use crate::ids::{EndId, Handle, PluginId};
use alloc::sync::Arc;

impl Switch {
    /// A plugin joins two of its ends.
    pub(crate) fn join(
        &mut self,
        plugin: PluginId,
        a: Handle,
        b: Handle,
        effects: &mut Effects,
    ) -> Result<(), Misuse> {
        let unjoined =
            |id: &EndId| self.ends.get(*id).is_some_and(|end| end.rare().join_to.is_none());
        let ends =
            [self.end_of(plugin, a)?.filter(unjoined), self.end_of(plugin, b)?.filter(unjoined)];
        let [Some(first), Some(second)] = ends else {
            self.mute(a);
            self.mute(b);
            for id in ends.into_iter().flatten() {
                self.end_from_within(id, nothing_behind(), effects);
            }
            return Ok(());
        };
        let (a, b) = (first, second);
        for id in [a, b] {
            if self.ends.get(id).is_none_or(End::is_closed) {
                return Err(Misuse::WriteAfterClose);
            }
        }
        self.join_when(a, b);
        self.join_when(b, a);
        self.splice_if_accepted(plugin, a, effects);
        Ok(())
    }

    fn join_when(&mut self, id: EndId, other: EndId) {
        let other = self.ends.handle(other);
        if let Some(end) = self.ends.get_mut(id) {
            end.change(|rare| rare.join_to = Some(other));
        }
    }

    /// Joins the ends behind two ends of a plugin, unless one of these still waits for the answer.
    pub(crate) fn splice_if_accepted(
        &mut self,
        plugin: PluginId,
        id: EndId,
        effects: &mut Effects,
    ) {
        let Some(other) = self.ends.get(id).and_then(|end| end.rare().join_to) else { return };
        let Lookup::Live(other) = self.ends.lookup(other) else { return };
        // One that waits for its answer may get another route than the one that was asked first.
        let open = |id| self.ends.get(id).is_some_and(|end: &End| end.phase == Phase::Open);
        if open(id) && open(other) {
            self.splice(plugin, id, other, effects);
        }
    }

    /// Takes two ends of a plugin out, and joins the ends behind them. One of these may be gone,
    /// when it was closed in order.
    fn splice(&mut self, plugin: PluginId, a: EndId, b: EndId, effects: &mut Effects) {
        let of = |id| self.ends.get(id).map_or((None, 0), |end: &End| (end.peer, end.allowance));
        let ((x, room_x), (y, room_y)) = (of(a), of(b));
        if x == Some(b) || (x == Some(a) && y == Some(b)) {
            // A ring, with no end behind it.
            self.drop_end(a);
            self.drop_end(b);
            return;
        } else if y == Some(b) {
            self.take_place_of_echo(plugin, a, b, x, room_x, effects);
        } else if x == Some(a) {
            self.take_place_of_echo(plugin, b, a, y, room_y, effects);
        } else {
            self.take_place_of(plugin, a, x, y, room_y, effects);
            if a != b {
                self.take_place_of(plugin, b, y, x, room_x, effects);
            }
        }
        for id in [x, y].into_iter().flatten() {
            self.charge_relayed(id);
            self.tell_room(Some(id), effects);
            self.flush_stream(id, effects);
        }
    }

    /// `source`, which was joined to the plugin's `old`, is joined to `sink` instead, to which the
    /// plugin could write `room` bytes.
    fn take_place_of(
        &mut self,
        plugin: PluginId,
        old: EndId,
        source: Option<EndId>,
        sink: Option<EndId>,
        room: u64,
        effects: &mut Effects,
    ) {
        let info = self.ends.replace_info(old, None);
        let Some(end) = self.ends.get_mut(old) else { return };
        let (waiting, flags) = (end.inbox.take(), end.flags);
        self.drop_end(old);
        match (source, info) {
            (Some(source), info) => self.join_to_sink(plugin, source, sink, info),
            (None, Some(info)) => self.info_ends([plugin].to_vec(), &info),
            (None, None) => {}
        }
        let Some(sink) = sink else { return };
        self.give_bytes(sink, &waiting, effects);
        self.carry_room_over(source, sink, room.saturating_sub(waiting.len() as u64), effects);
        if flags.has(Flag::Closing) || flags.has(Flag::ReadOver) || source.is_none() {
            self.give_close(Some(sink), effects);
        }
        if flags.has(Flag::Stopped) || source.is_none() {
            self.give_stop(Some(sink), effects);
        }
    }

    /// What is behind `old` is joined to itself, because `echo`, to which `old` is joined, is.
    fn take_place_of_echo(
        &mut self,
        plugin: PluginId,
        old: EndId,
        echo: EndId,
        behind: Option<EndId>,
        room: u64,
        effects: &mut Effects,
    ) {
        let waiting = self.ends.get_mut(echo).map(|end| end.inbox.take()).unwrap_or_default();
        self.drop_end(echo);
        if let Some(behind) = behind {
            self.give_bytes(behind, &waiting, effects);
        }
        self.take_place_of(plugin, old, behind, behind, room, effects);
    }

    pub(super) fn give_bytes(&mut self, sink: EndId, bytes: &[u8], effects: &mut Effects) {
        match self.ends.get(sink).map(|end| end.owner()) {
            Some(Owner::Plugin(_)) => self.keep_for_plugin(sink, bytes, effects),
            Some(Owner::Stream(..)) => self.give_to_stream(sink, bytes),
            None => {}
        }
    }

    fn join_to_sink(
        &mut self,
        plugin: PluginId,
        source: EndId,
        sink: Option<EndId>,
        info: Option<Arc<ChannelInfo>>,
    ) {
        let Some(end) = self.ends.get_mut(source) else { return };
        end.peer = sink;
        let (has_info, has_relay) = (end.info.is_some(), end.through().is_some());
        if let Some(info) = info.filter(|_| !has_info) {
            self.ends.replace_info(source, Some(info));
        }
        // Of several relays in a row, the nearest one answers for each end.
        if !has_relay {
            self.ends.set_through(source, plugin);
        }
    }

    /// The source may write what the plugin could. What it may write beyond that cannot be taken
    /// back, and widens the sink's window.
    fn carry_room_over(
        &mut self,
        source: Option<EndId>,
        sink: EndId,
        room: u64,
        effects: &mut Effects,
    ) {
        let Some(id) = source else { return };
        let Some(end) = self.ends.get(id) else { return };
        if self.ends.get(sink).is_none_or(|sink| sink.plugin().is_none()) {
            return;
        }
        self.grant(id, room.saturating_sub(end.allowance), effects);
        let allowance = self.ends.get(id).map_or(0, |end| end.allowance);
        let window = self.window(sink);
        if let Some(end) = self.ends.get_mut(sink) {
            let kept = u64::from(end.owed) + end.inbox.len() as u64;
            let beyond = allowance.saturating_add(kept).saturating_sub(window);
            if beyond > 0 {
                end.change(|rare| rare.widened = rare.widened.saturating_add(beyond));
            }
        }
    }
}
