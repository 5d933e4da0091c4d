//! How what one end is given becomes what the other is told: closing, stopping, ending, splicing.

use crate::broker::{Broker, Misuse, PluginId, Told};
use crate::ends::{ChannelInfo, End, Flag, Lookup, Owner, Phase};
use crate::ids::{EndId, Handle};
use crate::reason::{Code, Reason};
use alloc::sync::Arc;

impl Broker {
    /// The other end writes no more.
    pub(crate) fn give_close(&mut self, id: Option<EndId>) {
        let Some(id) = id else { return };
        match self.ends.get(id).map(|end| end.owner()) {
            Some(Owner::Stream(..)) => self.close_stream(id),
            Some(Owner::Plugin(_)) => {
                if let Some(end) = self.ends.get_mut(id) {
                    end.flags.set(Flag::Closing);
                }
                self.advance_close(id);
            }
            None => {}
        }
    }

    /// Tells a plugin that the other end writes no more, behind the last byte.
    pub(crate) fn advance_close(&mut self, id: EndId) {
        let Some(end) = self.ends.get_mut(id) else { return };
        let Some(plugin) = end.plugin() else { return };
        let due = end.flags.has(Flag::Closing) && end.is_up() && end.inbox.is_empty();
        if due && !end.flags.has(Flag::ReadOver) && !end.flags.has(Flag::Delivering) {
            end.flags.set(Flag::ReadOver);
            self.tell(plugin, Told::Close(self.ends.handle(id)));
            self.finish(id);
        }
    }

    /// The other end reads no more.
    pub(crate) fn give_stop(&mut self, id: Option<EndId>) {
        let Some(id) = id else { return };
        let Some(end) = self.ends.get_mut(id) else { return };
        match end.owner() {
            Owner::Stream(..) => self.stop_stream(id),
            Owner::Plugin(plugin) => {
                // A channel that is not up yet is told when it is.
                let news = end.flags.set(Flag::WriteOver);
                if news {
                    end.flags.set(Flag::Stopped);
                }
                if news && end.is_up() {
                    self.tell(plugin, Told::StopRead(self.ends.handle(id)));
                }
                self.finish(id);
            }
        }
    }

    /// Says the last word about a plugin's end that is over in both directions.
    pub(crate) fn finish(&mut self, id: EndId) {
        let Some(end) = self.ends.get(id) else { return };
        // Before the answer, the last word is the answer.
        if end.is_up() && end.flags.has(Flag::WriteOver) && end.flags.has(Flag::ReadOver) {
            self.end_plugin_end(id, None);
        }
    }

    /// Says the last word about a plugin's end. The end is dropped when it has been said.
    pub(crate) fn end_plugin_end(&mut self, id: EndId, reason: Option<Reason>) {
        let Some(end) = self.ends.get_mut(id) else { return };
        let Some(plugin) = end.plugin() else { return };
        if end.flags.set(Flag::Ending) {
            let info = end.info.clone().filter(|_| end.phase == Phase::Asking);
            if let (Some(info), Some(reason)) = (info, &reason) {
                self.note_failure(&info, info.route, reason.clone());
            }
            let Some(end) = self.ends.get_mut(id) else { return };
            end.inbox.clear();
            end.take_early();
            self.tell(plugin, Told::Ended(self.ends.handle(id), reason.clone()));
            self.break_join(id, reason);
            self.drop_attempts(id);
        }
    }

    /// An end that waits to be joined to another one that is over is over as well.
    pub(crate) fn break_join(&mut self, id: EndId, reason: Option<Reason>) {
        let Some(end) = self.ends.get_mut(id) else { return };
        let Some(other) = end.rare().join_to else { return };
        end.change(|rare| rare.join_to = None);
        // It was given up by being joined: nothing but the last word is heard of it.
        end.flags.set(Flag::Muted);
        let Lookup::Live(other) = self.ends.lookup(other) else { return };
        if other != id {
            self.end_from_within(other, reason.unwrap_or_else(nothing_behind));
        }
    }

    /// Ends both a plugin's end and the one behind it.
    fn end_from_within(&mut self, id: EndId, reason: Reason) {
        let peer = self.part(id);
        self.end_plugin_end(id, Some(reason.clone()));
        self.abort_end(peer, reason);
    }

    /// Ends an end in both directions, because the other one was aborted.
    pub(crate) fn abort_end(&mut self, id: Option<EndId>, reason: Reason) {
        let Some(id) = id else { return };
        self.part(id);
        let Some(end) = self.ends.get_mut(id) else { return };
        let Owner::Stream(conn, stream) = end.owner() else {
            self.end_plugin_end(id, Some(reason));
            return;
        };
        end.inbox.clear();
        if core::mem::replace(&mut end.phase, Phase::Open) == Phase::Asking {
            self.count_unanswered(conn, -1);
        }
        let reason = self.discreet(conn, reason);
        if let Some(link) = self.link_of(conn) {
            link.abort(stream, reason);
        }
    }

    /// Ends every channel of a plugin that is over.
    pub(crate) fn abort_all_of(&mut self, plugin: PluginId, reason: &Reason) {
        for id in self.ends.of_plugin(plugin) {
            let ending = self.ends.get(id).is_none_or(|end| end.flags.has(Flag::Ending));
            let peer = self.drop_end(id);
            if !ending {
                self.abort_end(peer, reason.clone());
            }
        }
        for id in self.ends.joined_by(plugin) {
            let peer = self.part(id);
            self.abort_end(Some(id), reason.clone());
            self.abort_end(peer, reason.clone());
        }
    }

    /// Ends a channel of a plugin that is over so that what it has written still arrives; an end
    /// of which the last word was said is left alone.
    pub(crate) fn leave_in_order(&mut self, id: EndId) {
        let Some(end) = self.ends.get_mut(id) else { return };
        if !end.is_up() || end.flags.has(Flag::Ending) || end.flags.has(Flag::Muted) {
            return;
        }
        let peer = end.peer;
        if end.flags.set(Flag::WriteOver) {
            self.give_close(peer);
        }
        self.give_stop(peer);
        self.drop_end(id);
    }

    /// Parts an end from the one that it is joined to, and gives that one.
    pub(crate) fn part(&mut self, id: EndId) -> Option<EndId> {
        let peer = self.ends.get(id)?.peer?;
        self.forget_growth(id, peer);
        self.forget_growth(peer, id);
        for end in [id, peer] {
            if let Some(end) = self.ends.get_mut(end) {
                end.peer = None;
            }
        }
        (peer != id).then_some(peer)
    }

    /// Takes an end out of the table, and gives the one that it was joined to.
    pub(crate) fn drop_end(&mut self, id: EndId) -> Option<EndId> {
        let peer = self.part(id);
        self.drop_attempts(id);
        if let Some(near) = self.ends.get(id).and_then(|end| end.rare().candidate_of) {
            let text = "its connection ended";
            self.candidate_lost(id, near, Reason::server(Code::TransportLost, text));
        }
        let handle = self.ends.handle(id);
        let end = self.ends.remove(id)?;
        if end.flags.has(Flag::Ticketed) {
            self.meetings.channel_over(handle);
        }
        if let Some(info) = &end.info {
            self.info_ends(end.plugins(), info);
        }
        if let (Some(conn), Phase::Asking) = (end.conn(), end.phase) {
            self.count_unanswered(conn, -1);
        }
        peer
    }

    /// The facts of a channel are dropped with the end that held them, which belongs to a plugin or
    /// was joined by one. If that opened the channel, its server is told.
    fn info_ends(&mut self, mut plugins: impl Iterator<Item = PluginId>, info: &ChannelInfo) {
        if plugins.any(|plugin| self.opened_by(plugin, info)) {
            self.tell_direct(info, true);
        }
    }

    /// Whether a plugin of this process is the one that opened a channel.
    fn opened_by(&self, plugin: PluginId, info: &ChannelInfo) -> bool {
        let name = self.registry.plugin(plugin).map(|record| &record.config.name);
        name == Some(&info.from.0) && info.from.1 == self.neighbours.home_key()
    }

    /// Drops effects that have become pointless between being queued and being performed.
    pub(crate) fn still_true(&mut self, plugin: PluginId, told: Told) -> Option<Told> {
        let live = self.registry.is_live(plugin);
        let heard = |broker: &Broker, handle| match broker.ends.lookup(handle) {
            Lookup::Live(id) => {
                let hears = |end: &End| !end.flags.has(Flag::Muted) && end.rare().join_to.is_none();
                broker.ends.get(id).is_some_and(hears)
            }
            _ => false,
        };
        match &told {
            Told::Ended(handle, _) => {
                let Lookup::Live(id) = self.ends.lookup(*handle) else { return None };
                self.drop_end(id);
                live.then_some(told)
            }
            Told::Open(handle, _) => {
                let there = matches!(self.ends.lookup(*handle), Lookup::Live(_));
                (live && there).then_some(told)
            }
            Told::Opened(handle)
            | Told::Credit(handle)
            | Told::Deliver(handle)
            | Told::Close(handle)
            | Told::StopRead(handle) => (live && heard(self, *handle)).then_some(told),
            Told::Call(call, ..) => (self.call_told(*call) && live).then_some(told),
            Told::Reply(_, outcome) => {
                self.reply_told(plugin, outcome);
                live.then_some(told)
            }
            Told::Directory(_) | Told::Link(_) | Told::Timer(_) | Told::Cancelled(_) => {
                live.then_some(told)
            }
        }
    }

    pub(crate) fn do_join(&mut self, plugin: PluginId, a: Handle, b: Handle) -> Result<(), Misuse> {
        let unjoined =
            |id: &EndId| self.ends.get(*id).is_some_and(|end| end.rare().join_to.is_none());
        let ends =
            [self.end_of(plugin, a)?.filter(unjoined), self.end_of(plugin, b)?.filter(unjoined)];
        let [Some(first), Some(second)] = ends else {
            self.mute(a);
            self.mute(b);
            for id in ends.into_iter().flatten() {
                self.end_from_within(id, nothing_behind());
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
        self.splice_if_accepted(plugin, a);
        Ok(())
    }

    /// A plugin has given an end up, and hears nothing more of it but the last word.
    pub(crate) fn mute(&mut self, handle: Handle) {
        if let Lookup::Live(id) = self.ends.lookup(handle)
            && let Some(end) = self.ends.get_mut(id)
        {
            end.flags.set(Flag::Muted);
        }
    }

    fn join_when(&mut self, id: EndId, other: EndId) {
        let other = self.ends.handle(other);
        if let Some(end) = self.ends.get_mut(id) {
            end.change(|rare| rare.join_to = Some(other));
        }
    }

    /// Joins the ends behind two ends of a plugin, unless one of these still waits for the answer.
    pub(crate) fn splice_if_accepted(&mut self, plugin: PluginId, id: EndId) {
        let Some(other) = self.ends.get(id).and_then(|end| end.rare().join_to) else { return };
        let Lookup::Live(other) = self.ends.lookup(other) else { return };
        // One that waits for its answer may get another route than the one that was asked first.
        let open = |id| self.ends.get(id).is_some_and(|end: &End| end.phase == Phase::Open);
        if open(id) && open(other) {
            self.splice(plugin, id, other);
        }
    }

    /// Takes two ends of a plugin out, and joins the ends behind them. One of these may be gone,
    /// when it was closed in order.
    fn splice(&mut self, plugin: PluginId, a: EndId, b: EndId) {
        let of = |id| self.ends.get(id).map_or((None, 0), |end: &End| (end.peer, end.allowance));
        let ((x, room_x), (y, room_y)) = (of(a), of(b));
        if x == Some(b) || (x == Some(a) && y == Some(b)) {
            // A ring, with nobody behind it.
            self.drop_end(a);
            self.drop_end(b);
            return;
        } else if y == Some(b) {
            self.take_place_of_echo(plugin, a, b, x, room_x);
        } else if x == Some(a) {
            self.take_place_of_echo(plugin, b, a, y, room_y);
        } else {
            self.take_place_of(plugin, a, x, y, room_y);
            if a != b {
                self.take_place_of(plugin, b, y, x, room_x);
            }
        }
        for id in [x, y].into_iter().flatten() {
            self.tell_room(Some(id));
            self.flush_stream(id);
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
    ) {
        let Some(end) = self.ends.get_mut(old) else { return };
        let (info, waiting, flags) = (end.info.take(), end.inbox.take(), end.flags);
        self.drop_end(old);
        match (source, info) {
            (Some(source), info) => self.join_to_sink(plugin, source, sink, info),
            (None, Some(info)) => self.info_ends([plugin].into_iter(), &info),
            (None, None) => {}
        }
        let Some(sink) = sink else { return };
        self.give_bytes(sink, &waiting);
        self.carry_room_over(source, sink, room.saturating_sub(waiting.len() as u64));
        if flags.has(Flag::Closing) || flags.has(Flag::ReadOver) || source.is_none() {
            self.give_close(Some(sink));
        }
        if flags.has(Flag::Stopped) || source.is_none() {
            self.give_stop(Some(sink));
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
    ) {
        let waiting = self.ends.get_mut(echo).map(|end| end.inbox.take()).unwrap_or_default();
        self.drop_end(echo);
        if let Some(behind) = behind {
            self.give_bytes(behind, &waiting);
        }
        self.take_place_of(plugin, old, behind, behind, room);
    }

    fn give_bytes(&mut self, sink: EndId, bytes: &[u8]) {
        match self.ends.get(sink).map(|end| end.owner()) {
            Some(Owner::Plugin(_)) => self.keep_for_plugin(sink, bytes),
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
        end.info = end.info.take().or(info);
        // Of several relays in a row, the nearest one answers for each end.
        if end.through().is_none() {
            self.ends.set_through(source, plugin);
        }
    }

    /// The source may write what the plugin could. What it may write beyond that cannot be taken
    /// back, and widens the sink's window.
    fn carry_room_over(&mut self, source: Option<EndId>, sink: EndId, room: u64) {
        let Some(id) = source else { return };
        let Some(end) = self.ends.get(id) else { return };
        if self.ends.get(sink).is_none_or(|sink| sink.plugin().is_none()) {
            return;
        }
        self.grant(id, room.saturating_sub(end.allowance));
        let allowance = self.ends.get(id).map_or(0, |end| end.allowance);
        let window = self.window(sink);
        if let Some(end) = self.ends.get_mut(sink) {
            let under_way = allowance + u64::from(end.owed) + end.inbox.len() as u64;
            if under_way > window {
                end.change(|rare| rare.widened += under_way - window);
            }
        }
    }
}

fn nothing_behind() -> Reason {
    Reason::server(Code::Refused, "the channel to which it was joined is over")
}
