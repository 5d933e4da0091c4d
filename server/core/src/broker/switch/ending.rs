//! How channels end: what one end is given becomes what the other is told, until nothing is left of
//! both.

use super::{Event, Switch};
use crate::broker::effect::{Effects, Told};
use crate::ends::{ChannelInfo, End, Flag, Lookup, Owner, Phase};
use crate::ids::{ConnId, EndId, Handle, PluginId};
use crate::reason::{Code, Reason};
use alloc::sync::Arc;
use alloc::vec::Vec;

impl Switch {
    /// The other end writes no more.
    pub(crate) fn give_close(&mut self, id: Option<EndId>, effects: &mut Effects) {
        let Some(id) = id else { return };
        match self.ends.get(id).map(|end| end.owner()) {
            Some(Owner::Stream(..)) => self.close_stream(id),
            Some(Owner::Plugin(_)) => {
                if let Some(end) = self.ends.get_mut(id) {
                    end.flags.set(Flag::Closing);
                }
                self.advance_close(id, effects);
            }
            None => {}
        }
    }

    /// Tells a plugin that the other end writes no more, behind the last byte.
    pub(crate) fn advance_close(&mut self, id: EndId, effects: &mut Effects) {
        let Some(end) = self.ends.get_mut(id) else { return };
        let Some(plugin) = end.plugin() else { return };
        let due = end.flags.has(Flag::Closing) && end.is_up() && end.inbox.is_empty();
        if due && !end.flags.has(Flag::ReadOver) && !end.flags.has(Flag::Delivering) {
            end.flags.set(Flag::ReadOver);
            effects.tell(plugin, Told::Close(self.ends.handle(id)));
            self.finish(id, effects);
        }
    }

    /// The other end reads no more.
    pub(crate) fn give_stop(&mut self, id: Option<EndId>, effects: &mut Effects) {
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
                    effects.tell(plugin, Told::StopRead(self.ends.handle(id)));
                }
                self.finish(id, effects);
            }
        }
    }

    /// Says the last word about a plugin's end that is over in both directions.
    pub(crate) fn finish(&mut self, id: EndId, effects: &mut Effects) {
        let Some(end) = self.ends.get(id) else { return };
        // Before the answer, the last word is the answer.
        if end.is_up() && end.flags.has(Flag::WriteOver) && end.flags.has(Flag::ReadOver) {
            self.end_plugin_end(id, None, effects);
        }
    }

    /// Says the last word about a plugin's end. The end is dropped when it has been said.
    pub(crate) fn end_plugin_end(
        &mut self,
        id: EndId,
        reason: Option<Reason>,
        effects: &mut Effects,
    ) {
        let Some(end) = self.ends.get_mut(id) else { return };
        let Some(plugin) = end.plugin() else { return };
        if end.flags.set(Flag::Ending) {
            let info = end.info.clone().filter(|_| end.phase == Phase::Asking);
            if let (Some(info), Some(reason)) = (info, &reason) {
                self.happens(Event::Failed(info, reason.clone()));
            }
            let Some(end) = self.ends.get_mut(id) else { return };
            end.inbox.clear();
            end.take_early();
            effects.tell(plugin, Told::Ended(self.ends.handle(id), reason.clone()));
            self.break_join(id, reason, effects);
            self.give_up_seeking(id);
        }
    }

    /// An end that waits to be joined to another one that is over is over as well.
    pub(crate) fn break_join(&mut self, id: EndId, reason: Option<Reason>, effects: &mut Effects) {
        let Some(end) = self.ends.get_mut(id) else { return };
        let Some(other) = end.rare().join_to else { return };
        end.change(|rare| rare.join_to = None);
        // It was given up by being joined: the plugin is told nothing of it but the last word.
        end.flags.set(Flag::Muted);
        let Lookup::Live(other) = self.ends.lookup(other) else { return };
        if other != id {
            self.end_from_within(other, reason.unwrap_or_else(nothing_behind), effects);
        }
    }

    /// Ends both a plugin's end and the one behind it.
    pub(super) fn end_from_within(&mut self, id: EndId, reason: Reason, effects: &mut Effects) {
        let peer = self.part(id);
        self.end_plugin_end(id, Some(reason.clone()), effects);
        self.abort_end(peer, reason, effects);
    }

    /// Ends an end in both directions, because the other one was aborted.
    pub(crate) fn abort_end(&mut self, id: Option<EndId>, reason: Reason, effects: &mut Effects) {
        let Some(id) = id else { return };
        self.part(id);
        let Some(end) = self.ends.get_mut(id) else { return };
        let Owner::Stream(conn, stream) = end.owner() else {
            self.end_plugin_end(id, Some(reason), effects);
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
    pub(crate) fn abort_all_of(
        &mut self,
        plugin: PluginId,
        reason: &Reason,
        effects: &mut Effects,
    ) {
        for id in self.ends.of_plugin(plugin) {
            let ending = self.ends.get(id).is_none_or(|end| end.flags.has(Flag::Ending));
            let peer = self.drop_end(id);
            if !ending {
                self.abort_end(peer, reason.clone(), effects);
            }
        }
        for id in self.ends.joined_by(plugin) {
            let peer = self.part(id);
            self.abort_end(Some(id), reason.clone(), effects);
            self.abort_end(peer, reason.clone(), effects);
        }
    }

    /// Ends a channel of a plugin that is over so that what it has written still arrives; an end
    /// of which the last word was said is left alone.
    pub(crate) fn leave_in_order(&mut self, id: EndId, effects: &mut Effects) {
        let Some(end) = self.ends.get_mut(id) else { return };
        if !end.is_up() || end.flags.has(Flag::Ending) || end.flags.has(Flag::Muted) {
            return;
        }
        let peer = end.peer;
        if end.flags.set(Flag::WriteOver) {
            self.give_close(peer, effects);
        }
        self.give_stop(peer, effects);
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
        self.give_up_seeking(id);
        let text = "its connection ended";
        self.lose_candidate(id, || Reason::server(Code::TransportLost, text));
        let handle = self.ends.handle(id);
        let end = self.ends.remove(id)?;
        if end.flags.has(Flag::Ticketed) {
            self.happens(Event::TicketOver(handle));
        }
        if let Some(info) = &end.info {
            self.info_ends(end.plugins().collect(), info);
        }
        if let (Some(conn), Phase::Asking) = (end.conn(), end.phase) {
            self.count_unanswered(conn, -1);
        }
        peer
    }

    /// The facts of a channel are dropped with the end that held them, which belongs to a plugin or
    /// was joined by one. If that opened the channel, its server is told.
    pub(super) fn info_ends(&mut self, plugins: Vec<PluginId>, info: &Arc<ChannelInfo>) {
        if info.route.is_direct() {
            self.happens(Event::DirectOver(plugins, info.clone()));
        }
    }

    /// The routes of a channel need not be tried any longer.
    fn give_up_seeking(&mut self, id: EndId) {
        if self.ends.get_mut(id).is_some_and(|end| end.flags.clear(Flag::Seeking)) {
            let handle = self.ends.handle(id);
            self.happens(Event::GivenUp(handle));
        }
    }

    /// Whether a plugin is still told anything of a channel but its last word.
    pub(crate) fn is_heard(&self, channel: Handle) -> bool {
        let hears = |end: &End| !end.flags.has(Flag::Muted) && end.rare().join_to.is_none();
        self.ends.live(channel).is_some_and(hears)
    }

    /// A reason as the peer of a connection may know it. A direct connection may lead to another
    /// server.
    pub(crate) fn discreet(&self, id: ConnId, reason: Reason) -> Reason {
        match self.is_foreign(id) {
            true => reason.for_other_servers(),
            false => reason,
        }
    }

    /// A plugin has given an end up, and hears nothing more of it but the last word.
    pub(crate) fn mute(&mut self, handle: Handle) {
        if let Lookup::Live(id) = self.ends.lookup(handle)
            && let Some(end) = self.ends.get_mut(id)
        {
            end.flags.set(Flag::Muted);
        }
    }
}

pub(super) fn nothing_behind() -> Reason {
    Reason::server(Code::Refused, "the channel to which it was joined is over")
}
