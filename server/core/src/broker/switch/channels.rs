//! Channels as plugins use them: what a plugin may say of its end, and what the other is told.

use super::Switch;
use crate::broker::effect::{Effects, Told};
use crate::broker::misuse::Misuse;
use crate::bymux::StreamId;
use crate::control::Answer;
use crate::ends::{End, Flag, Lookup, Owner, Phase};
use crate::ids::{ConnId, EndId, Handle, PluginId};
use crate::limits::WINDOW;
use crate::reason::Reason;
use alloc::vec::Vec;

impl Switch {
    /// The end that a plugin means by a handle; `None` when the end is past. A plugin has nothing
    /// to say about those on which its calls travel.
    pub(super) fn end_of(&self, plugin: PluginId, handle: Handle) -> Result<Option<EndId>, Misuse> {
        if let Some(end) = self.ends.live(handle)
            && end.plugin() == Some(plugin)
            && !end.flags.has(Flag::Calls)
        {
            let silent = end.flags.has(Flag::Ending) || end.flags.has(Flag::Muted);
            return Ok(handle.id().filter(|_| !silent));
        }
        match self.ends.lookup(handle) {
            Lookup::Past => Ok(None),
            Lookup::Live(_) | Lookup::Never => Err(Misuse::NoSuchChannel),
        }
    }

    /// A plugin accepts a channel that it was told of.
    pub(crate) fn accept(
        &mut self,
        plugin: PluginId,
        handle: Handle,
        effects: &mut Effects,
    ) -> Result<(), Misuse> {
        if let Some(id) = self.asked(plugin, handle)? {
            self.accept_end(plugin, id, effects);
        }
        Ok(())
    }

    pub(crate) fn accept_end(&mut self, plugin: PluginId, id: EndId, effects: &mut Effects) {
        let Some(end) = self.ends.get_mut(id) else { return };
        end.phase = Phase::Open;
        let (peer, closed) = (end.peer, end.is_closed());
        let route = end.info.as_ref().map(|info| info.route);
        match peer.and_then(|peer| self.ends.get(peer)).map(|peer| peer.owner()) {
            Some(Owner::Stream(..)) => self.answer(peer, &Answer::accept(route)),
            Some(Owner::Plugin(_)) => self.opened(peer, effects),
            None => {}
        }
        if closed {
            self.give_close(peer, effects);
        }
        self.splice_if_accepted(plugin, id, effects);
        self.end_is_up(id, effects);
        self.splice_opened(peer, effects);
    }

    /// A channel that is up may have waited for that to be joined to another one.
    pub(crate) fn splice_opened(&mut self, id: Option<EndId>, effects: &mut Effects) {
        if let Some(id) = id
            && let Some(plugin) = self.ends.get(id).and_then(End::plugin)
        {
            self.splice_if_accepted(plugin, id, effects);
        }
    }

    /// A channel that a plugin asked for is up.
    pub(crate) fn opened(&mut self, id: Option<EndId>, effects: &mut Effects) {
        let Some(id) = id else { return };
        let Some(end) = self.ends.get_mut(id) else { return };
        let Some(plugin) = end.plugin() else { return };
        if end.phase != Phase::Asking || end.flags.has(Flag::Ending) {
            return;
        }
        end.phase = Phase::Open;
        end.take_early();
        if end.is_up() {
            effects.tell(plugin, Told::Opened(self.ends.handle(id)));
            self.end_is_up(id, effects);
        }
    }

    /// Tells a plugin the first room of a channel that is up, and what came before it was.
    fn end_is_up(&mut self, id: EndId, effects: &mut Effects) {
        let Some(end) = self.ends.get_mut(id).filter(|end| end.is_up()) else { return };
        let Some(plugin) = end.plugin() else { return };
        end.flags.clear(Flag::WantsRoom);
        let (stopped, write_over) = (end.flags.has(Flag::Stopped), end.flags.has(Flag::WriteOver));
        let handle = self.ends.handle(id);
        match (stopped, write_over) {
            (true, _) => effects.tell(plugin, Told::StopRead(handle)),
            (false, false) => effects.tell(plugin, Told::Credit(handle)),
            (false, true) => {}
        }
        self.deliver_later(id, effects);
        self.advance_close(id, effects);
        self.finish(id, effects);
    }

    pub(crate) fn refuse(
        &mut self,
        plugin: PluginId,
        handle: Handle,
        reason: Reason,
        effects: &mut Effects,
    ) -> Result<(), Misuse> {
        let is_lost = |end: &End| end.is_lost() && !end.flags.has(Flag::Calls);
        if let Lookup::Live(id) = self.ends.lookup(handle)
            && self.ends.get(id).is_some_and(|end| end.plugin() == Some(plugin) && is_lost(end))
        {
            self.drop_end(id);
            return Ok(());
        }
        let Some(id) = self.asked(plugin, handle)? else { return Ok(()) };
        self.break_join(id, Some(reason.clone()), effects);
        let peer = self.drop_end(id);
        self.refuse_peer(peer, reason, effects);
        Ok(())
    }

    pub(crate) fn refuse_peer(
        &mut self,
        peer: Option<EndId>,
        reason: Reason,
        effects: &mut Effects,
    ) {
        let Some(peer) = peer else { return };
        let unanswered = self.awaits_answer(peer);
        match self.ends.get_mut(peer) {
            // A guest that is offered a channel refuses it, and the other plugin is still asked.
            Some(end) if unanswered => end.change(|rare| rare.aborts_for = Some(reason)),
            Some(end) if end.conn().is_some() && end.phase == Phase::Asking => {
                end.inbox.clear();
                self.answer(Some(peer), &Answer::Refuse(reason));
                self.close_stream(peer);
                self.stop_stream(peer);
            }
            _ => self.abort_end(Some(peer), reason, effects),
        }
    }

    fn asked(&self, plugin: PluginId, handle: Handle) -> Result<Option<EndId>, Misuse> {
        let Some(id) = self.end_of(plugin, handle)? else { return Ok(None) };
        match self.ends.get(id).map(|end| end.phase) {
            Some(Phase::Asked) => Ok(Some(id)),
            _ => Err(Misuse::NothingToAnswer),
        }
    }

    /// A plugin writes: how many of the bytes were taken. After a short write, `Credit` is told
    /// when there is room. What is written after `StopRead` was told is dropped.
    pub(crate) fn write(
        &mut self,
        plugin: PluginId,
        handle: Handle,
        bytes: &[u8],
        effects: &mut Effects,
    ) -> Result<usize, Misuse> {
        match self.end_of(plugin, handle)? {
            Some(id) => self.write_end(id, bytes, effects),
            None => Ok(bytes.len()),
        }
    }

    #[inline]
    pub(crate) fn write_end(
        &mut self,
        id: EndId,
        bytes: &[u8],
        effects: &mut Effects,
    ) -> Result<usize, Misuse> {
        let Some(end) = self.ends.get_mut(id) else { return Ok(bytes.len()) };
        if end.flags.has(Flag::WriteOver) {
            return match end.flags.has(Flag::Stopped) {
                true => Ok(bytes.len()),
                false => Err(Misuse::WriteAfterClose),
            };
        }
        let (peer, asking) = (end.peer, end.phase == Phase::Asking);
        let seeking = end.flags.has(Flag::Seeking);
        let taken = match peer {
            Some(peer) if asking => self.gives_before_answer(id, peer, bytes, effects),
            Some(peer) => self.plugin_gives(id, peer, bytes, effects),
            None if seeking => self.keep_early(id, bytes),
            None => return Ok(bytes.len()),
        };
        if let Some(end) = self.ends.get_mut(id) {
            end.given += taken as u64;
            if taken < bytes.len() {
                end.flags.set(Flag::WantsRoom);
            }
        }
        Ok(taken)
    }

    #[inline(always)]
    fn plugin_gives(
        &mut self,
        id: EndId,
        peer: EndId,
        bytes: &[u8],
        effects: &mut Effects,
    ) -> usize {
        let Some(sink) = self.ends.get_mut(peer) else { return bytes.len() };
        match sink.owner() {
            Owner::Stream(conn, stream) if sink.phase == Phase::Asking => {
                self.keep_behind_answer(conn, stream, peer, bytes)
            }
            // What waits for the stream goes first; the plugin waits behind it.
            Owner::Stream(..) if !sink.inbox.is_empty() => 0,
            Owner::Stream(conn, stream) => {
                let Some(line) = self.lines.touch(conn, &mut self.touched) else { return 0 };
                let taken = line.link.mux().write(stream, bytes);
                sink.told += taken as u64;
                taken
            }
            Owner::Plugin(_) => {
                let Some(end) = self.ends.get_mut(id) else { return 0 };
                let taken = usize::try_from(end.allowance).unwrap_or(usize::MAX).min(bytes.len());
                end.allowance -= taken as u64;
                self.keep_for_plugin(peer, &bytes[..taken], effects);
                taken
            }
        }
    }

    /// A plugin writes before the answer, which may be an invitation: all of it is kept, and so it
    /// is no more than a window.
    #[cold]
    fn gives_before_answer(
        &mut self,
        id: EndId,
        peer: EndId,
        bytes: &[u8],
        effects: &mut Effects,
    ) -> usize {
        if self.ends.get(peer).is_none_or(|end| end.conn().is_none()) {
            return self.plugin_gives(id, peer, bytes, effects);
        }
        let room = usize::try_from(self.early_room(id)).unwrap_or(usize::MAX);
        let taken = self.plugin_gives(id, peer, &bytes[..room.min(bytes.len())], effects);
        if let Some(end) = self.ends.get_mut(id) {
            end.change(|rare| rare.early.push(&bytes[..taken]));
        }
        taken
    }

    /// What a plugin writes before it accepts a channel waits in the stream's inbox: no more than a
    /// window, whatever the other side lets it write.
    fn keep_behind_answer(
        &mut self,
        conn: ConnId,
        stream: StreamId,
        id: EndId,
        bytes: &[u8],
    ) -> usize {
        let writable = self.link_of(conn).map_or(0, |link| link.mux().writable(stream));
        let Some(end) = self.ends.get_mut(id) else { return 0 };
        let room = writable.min(WINDOW).saturating_sub(end.inbox.len() as u64);
        let taken = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
        end.inbox.push(&bytes[..taken]);
        taken
    }

    /// Puts bytes into a plugin end's inbox, from where they are delivered.
    pub(crate) fn keep_for_plugin(&mut self, id: EndId, bytes: &[u8], effects: &mut Effects) {
        let Some(end) = self.ends.get_mut(id) else { return };
        if !end.flags.has(Flag::ReadOver) && !end.flags.has(Flag::Ending) {
            end.inbox.push(bytes);
            self.deliver_later(id, effects);
        }
    }

    pub(crate) fn deliver_later(&mut self, id: EndId, effects: &mut Effects) {
        let Some(end) = self.ends.get_mut(id) else { return };
        let due = end.is_up() && !end.inbox.is_empty() && !end.flags.has(Flag::Delivering);
        if let Some(plugin) = end.plugin().filter(|_| due) {
            end.flags.set(Flag::Delivering);
            effects.tell(plugin, Told::Deliver(self.ends.handle(id)));
        }
    }

    /// The bytes that wait for a plugin: it is told them, and has then consumed them.
    pub(crate) fn take_inbox(&mut self, plugin: PluginId, handle: Handle) -> Vec<u8> {
        match self.end_of(plugin, handle) {
            Ok(Some(id)) => self.inbox_of(id),
            _ => Vec::new(),
        }
    }

    pub(crate) fn inbox_of(&mut self, id: EndId) -> Vec<u8> {
        let Some(end) = self.ends.get_mut(id) else { return Vec::new() };
        end.flags.clear(Flag::Delivering);
        let bytes = end.inbox.take();
        end.told += bytes.len() as u64;
        bytes
    }

    /// How many bytes a plugin could write now.
    pub(crate) fn room(&mut self, plugin: PluginId, handle: Handle) -> u64 {
        let Ok(Some(id)) = self.end_of(plugin, handle) else { return 0 };
        let Some(end) = self.ends.get(id) else { return 0 };
        let (allowance, phase, peer) = (end.allowance, end.phase, end.peer);
        let Some(sink) = peer.and_then(|peer| self.ends.get(peer)) else {
            return match end.flags.has(Flag::Seeking) {
                true => self.early_room(id),
                false => 0,
            };
        };
        let (waiting, owner) = (sink.inbox.len() as u64, sink.owner());
        let Owner::Stream(conn, stream) = owner else { return allowance };
        let room = self.link_of(conn).map_or(0, |link| link.mux().writable(stream));
        match phase {
            Phase::Asking => room.min(self.early_room(id)),
            Phase::Asked => room.min(WINDOW).saturating_sub(waiting),
            Phase::Open if waiting > 0 => 0,
            Phase::Open => room,
        }
    }

    pub(crate) fn close(
        &mut self,
        plugin: PluginId,
        handle: Handle,
        effects: &mut Effects,
    ) -> Result<(), Misuse> {
        if let Some(id) = self.end_of(plugin, handle)? {
            self.close_end(id, effects);
        }
        Ok(())
    }

    pub(crate) fn close_end(&mut self, id: EndId, effects: &mut Effects) {
        let Some(end) = self.ends.get_mut(id) else { return };
        let asked = end.phase == Phase::Asked;
        if end.flags.set(Flag::WriteOver) {
            let peer = end.peer;
            // Nothing can come before the answer; accepting makes up for it.
            if !asked {
                self.give_close(peer, effects);
            }
            self.finish(id, effects);
        }
    }

    pub(crate) fn stop_read(
        &mut self,
        plugin: PluginId,
        handle: Handle,
        effects: &mut Effects,
    ) -> Result<(), Misuse> {
        let Some(id) = self.end_of(plugin, handle)? else { return Ok(()) };
        let Some(end) = self.ends.get_mut(id) else { return Ok(()) };
        if end.flags.set(Flag::ReadOver) {
            end.inbox.clear();
            let peer = end.peer;
            self.give_stop(peer, effects);
            self.finish(id, effects);
        }
        Ok(())
    }

    pub(crate) fn abort(
        &mut self,
        plugin: PluginId,
        handle: Handle,
        reason: Reason,
        effects: &mut Effects,
    ) -> Result<(), Misuse> {
        match self.end_of(plugin, handle)? {
            Some(id) => self.abort_from(id, reason, effects),
            None => self.mute(handle),
        }
        Ok(())
    }

    pub(crate) fn abort_from(&mut self, id: EndId, reason: Reason, effects: &mut Effects) {
        self.mute(self.ends.handle(id));
        let peer = self.part(id);
        self.end_plugin_end(id, Some(reason.clone()), effects);
        self.abort_end(peer, reason, effects);
    }

    /// What a plugin writes while its channel's routes are tried waits with its end.
    fn keep_early(&mut self, near: EndId, bytes: &[u8]) -> usize {
        let room = self.early_room(near);
        let Some(end) = self.ends.get_mut(near) else { return bytes.len() };
        let taken = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
        end.change(|rare| rare.early.push(&bytes[..taken]));
        taken
    }

    /// How many bytes a plugin may write while its channel's routes are tried.
    fn early_room(&self, near: EndId) -> u64 {
        let kept = self.ends.get(near).map_or(0, |end| end.rare().early.len() as u64);
        WINDOW.saturating_sub(kept)
    }
}
