//! Channels as plugins use them: what a plugin may say of its end, and what the other is told.

use crate::broker::{Broker, Caller, ConnId, Misuse, PluginId, Told};
use crate::bymux::StreamId;
use crate::control::{Answer, Purpose};
use crate::ends::{ChannelInfo, End, Flag, Lookup, Owner, Phase};
use crate::ids::{EndId, Handle};
use crate::limits::Limit;
use crate::reason::{Code, Reason};
use crate::route::Route;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

impl Broker {
    /// Whether a plugin may have one more channel.
    pub(crate) fn has_room(&mut self, plugin: PluginId) -> Result<(), Reason> {
        let most = self.settings.limits.channels;
        match self.registry.plugin(plugin) {
            Some(record) if self.ends.count_of(plugin) >= most => {
                let name = &record.config.name;
                let text = format!("{name} has {most} channels, as many as a plugin may have");
                Err(self.limit_reached(Limit::Channels, text))
            }
            _ => Ok(()),
        }
    }

    /// Counts that a limit was reached, and says so.
    pub(crate) fn limit_reached(&mut self, limit: Limit, text: impl AsRef<str>) -> Reason {
        self.counters.count(limit);
        Reason::server(Code::LimitReached, text)
    }

    pub(crate) fn caller(&self, plugin: PluginId) -> Option<Caller> {
        let config = &self.registry.plugin(plugin)?.config;
        let server = self.neighbours.home_key();
        Some(Caller { name: config.name.clone(), version: config.version, server })
    }

    /// Adds an end of a plugin; one of the two ends of a channel has its facts.
    pub(crate) fn add_plugin_end(
        &mut self,
        plugin: PluginId,
        phase: Phase,
        info: Option<ChannelInfo>,
        purpose: Purpose,
    ) -> Result<EndId, Reason> {
        let mut end = End::new(Owner::Plugin(plugin), phase);
        end.flags.note(Flag::Calls, purpose == Purpose::Calls);
        end.info = info.map(|info| self.pairs.share(info));
        self.add_end(end)
    }

    /// Notes between whom the channel of an end is.
    pub(crate) fn set_info(&mut self, id: EndId, info: ChannelInfo) {
        if let Some(end) = self.ends.get_mut(id) {
            end.info = Some(self.pairs.share(info));
        }
    }

    /// Notes how the channel of an end travels, if the end knows between whom it is.
    pub(crate) fn set_route(&mut self, id: EndId, route: Route) -> Option<Arc<ChannelInfo>> {
        let info = self.ends.get(id)?.info.clone()?;
        if info.route == route {
            return Some(info);
        }
        let info = self.pairs.share(ChannelInfo { route, ..(*info).clone() });
        self.ends.get_mut(id)?.info = Some(info.clone());
        Some(info)
    }

    pub(crate) fn add_end(&mut self, end: End) -> Result<EndId, Reason> {
        let full = || Reason::server(Code::LimitReached, "no more channels fit into this server");
        self.ends.add(end).ok_or_else(full)
    }

    pub(crate) fn join_ends(&mut self, a: EndId, b: EndId) {
        if let Some(end) = self.ends.get_mut(a) {
            end.peer = Some(b);
        }
        if let Some(end) = self.ends.get_mut(b) {
            end.peer = Some(a);
        }
    }

    pub(crate) fn do_accept(&mut self, plugin: PluginId, handle: Handle) -> Result<(), Misuse> {
        if let Some(id) = self.asked(plugin, handle)? {
            self.accept_end(plugin, id);
        }
        Ok(())
    }

    pub(crate) fn accept_end(&mut self, plugin: PluginId, id: EndId) {
        let Some(end) = self.ends.get_mut(id) else { return };
        end.phase = Phase::Open;
        let (peer, closed) = (end.peer, end.is_closed());
        let route = end.info.as_ref().map(|info| info.route);
        match peer.and_then(|peer| self.ends.get(peer)).map(|peer| peer.owner()) {
            Some(Owner::Stream(..)) => self.answer(peer, &Answer::accept(route)),
            Some(Owner::Plugin(_)) => self.opened(peer),
            None => {}
        }
        if closed {
            self.give_close(peer);
        }
        self.splice_if_accepted(plugin, id);
        self.end_is_up(id);
        self.splice_opened(peer);
    }

    /// A channel that is up may have waited for that to be joined to another one.
    pub(crate) fn splice_opened(&mut self, id: Option<EndId>) {
        if let Some(id) = id
            && let Some(plugin) = self.ends.get(id).and_then(End::plugin)
        {
            self.splice_if_accepted(plugin, id);
        }
    }

    /// A channel that a plugin asked for is up.
    pub(crate) fn opened(&mut self, id: Option<EndId>) {
        let Some(id) = id else { return };
        let Some(end) = self.ends.get_mut(id) else { return };
        let Some(plugin) = end.plugin() else { return };
        if end.phase != Phase::Asking || end.flags.has(Flag::Ending) {
            return;
        }
        end.phase = Phase::Open;
        end.take_early();
        if end.is_up() {
            self.tell(plugin, Told::Opened(self.ends.handle(id)));
            self.end_is_up(id);
        }
    }

    /// Tells a plugin the first room of a channel that is up, and what came before it was.
    fn end_is_up(&mut self, id: EndId) {
        let Some(end) = self.ends.get_mut(id).filter(|end| end.is_up()) else { return };
        let Some(plugin) = end.plugin() else { return };
        end.flags.clear(Flag::WantsRoom);
        let (stopped, write_over) = (end.flags.has(Flag::Stopped), end.flags.has(Flag::WriteOver));
        let handle = self.ends.handle(id);
        match (stopped, write_over) {
            (true, _) => self.tell(plugin, Told::StopRead(handle)),
            (false, false) => self.tell(plugin, Told::Credit(handle)),
            (false, true) => {}
        }
        self.deliver_later(id);
        self.advance_close(id);
        self.finish(id);
    }

    pub(crate) fn do_refuse(
        &mut self,
        plugin: PluginId,
        handle: Handle,
        reason: Reason,
    ) -> Result<(), Misuse> {
        let is_lost = |end: &End| end.is_lost() && !end.flags.has(Flag::Calls);
        if let Lookup::Live(id) = self.ends.lookup(handle)
            && self.ends.get(id).is_some_and(|end| end.plugin() == Some(plugin) && is_lost(end))
        {
            self.drop_end(id);
            return Ok(());
        }
        let Some(id) = self.asked(plugin, handle)? else { return Ok(()) };
        self.break_join(id, Some(reason.clone()));
        let peer = self.drop_end(id);
        self.refuse_peer(peer, reason);
        Ok(())
    }

    pub(crate) fn refuse_peer(&mut self, peer: Option<EndId>, reason: Reason) {
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
            _ => self.abort_end(Some(peer), reason),
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
    pub fn write(
        &mut self,
        plugin: PluginId,
        handle: Handle,
        bytes: &[u8],
    ) -> Result<usize, Misuse> {
        match self.end_of(plugin, handle)? {
            Some(id) => self.write_end(id, bytes),
            None => Ok(bytes.len()),
        }
    }

    #[inline]
    pub(crate) fn write_end(&mut self, id: EndId, bytes: &[u8]) -> Result<usize, Misuse> {
        let Some(end) = self.ends.get_mut(id) else { return Ok(bytes.len()) };
        if end.flags.has(Flag::WriteOver) {
            return match end.flags.has(Flag::Stopped) {
                true => Ok(bytes.len()),
                false => Err(Misuse::WriteAfterClose),
            };
        }
        let (peer, asking) = (end.peer, end.phase == Phase::Asking);
        let taken = match peer {
            Some(peer) if asking => self.gives_before_answer(id, peer, bytes),
            Some(peer) => self.plugin_gives(id, peer, bytes),
            None if self.is_attempting(id) => self.keep_early(id, bytes),
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
    fn plugin_gives(&mut self, id: EndId, peer: EndId, bytes: &[u8]) -> usize {
        let Some(sink) = self.ends.get_mut(peer) else { return bytes.len() };
        match sink.owner() {
            Owner::Stream(conn, stream) if sink.phase == Phase::Asking => {
                self.keep_behind_answer(conn, stream, peer, bytes)
            }
            // What waits for the stream goes first; the plugin waits behind it.
            Owner::Stream(..) if !sink.inbox.is_empty() => 0,
            Owner::Stream(conn, stream) => {
                let Some(conn) = self.conns.touch(conn, &mut self.touched) else { return 0 };
                let taken = conn.link.mux().write(stream, bytes);
                sink.told += taken as u64;
                taken
            }
            Owner::Plugin(_) => {
                let Some(end) = self.ends.get_mut(id) else { return 0 };
                let taken = usize::try_from(end.allowance).unwrap_or(usize::MAX).min(bytes.len());
                end.allowance -= taken as u64;
                self.keep_for_plugin(peer, &bytes[..taken]);
                taken
            }
        }
    }

    /// A plugin writes before the answer, which may be an invitation: all of it is kept, and so it
    /// is no more than a window.
    #[cold]
    fn gives_before_answer(&mut self, id: EndId, peer: EndId, bytes: &[u8]) -> usize {
        if self.ends.get(peer).is_none_or(|end| end.conn().is_none()) {
            return self.plugin_gives(id, peer, bytes);
        }
        let room = usize::try_from(self.early_room(id)).unwrap_or(usize::MAX);
        let taken = self.plugin_gives(id, peer, &bytes[..room.min(bytes.len())]);
        if let Some(end) = self.ends.get_mut(id) {
            end.change(|rare| rare.early.push(&bytes[..taken]));
        }
        taken
    }

    /// What a plugin writes before it accepts a channel waits in the stream's inbox.
    fn keep_behind_answer(
        &mut self,
        conn: ConnId,
        stream: StreamId,
        id: EndId,
        bytes: &[u8],
    ) -> usize {
        let writable = self.link_of(conn).map_or(0, |link| link.mux().writable(stream));
        let Some(end) = self.ends.get_mut(id) else { return 0 };
        let room = writable.saturating_sub(end.inbox.len() as u64);
        let taken = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
        end.inbox.push(&bytes[..taken]);
        taken
    }

    /// Puts bytes into a plugin end's inbox, from where they are delivered.
    pub(crate) fn keep_for_plugin(&mut self, id: EndId, bytes: &[u8]) {
        let Some(end) = self.ends.get_mut(id) else { return };
        if !end.flags.has(Flag::ReadOver) && !end.flags.has(Flag::Ending) {
            end.inbox.push(bytes);
            self.deliver_later(id);
        }
    }

    pub(crate) fn deliver_later(&mut self, id: EndId) {
        let Some(end) = self.ends.get_mut(id) else { return };
        let due = end.is_up() && !end.inbox.is_empty() && !end.flags.has(Flag::Delivering);
        if let Some(plugin) = end.plugin().filter(|_| due) {
            end.flags.set(Flag::Delivering);
            self.tell(plugin, Told::Deliver(self.ends.handle(id)));
        }
    }

    /// The bytes that wait for a plugin: tell it, then say [`consumed`](Broker::consumed).
    pub fn take_inbox(&mut self, plugin: PluginId, handle: Handle) -> Vec<u8> {
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
    pub fn room(&mut self, plugin: PluginId, handle: Handle) -> u64 {
        let Ok(Some(id)) = self.end_of(plugin, handle) else { return 0 };
        let Some(end) = self.ends.get(id) else { return 0 };
        let (allowance, peer, asking) = (end.allowance, end.peer, end.phase == Phase::Asking);
        match peer.and_then(|peer| self.ends.get(peer)).map(|peer| peer.owner()) {
            Some(Owner::Stream(conn, stream)) => {
                let room = self.link_of(conn).map_or(0, |link| link.mux().writable(stream));
                match asking {
                    true => room.min(self.early_room(id)),
                    false => room,
                }
            }
            Some(Owner::Plugin(_)) => allowance,
            None if self.is_attempting(id) => self.early_room(id),
            None => 0,
        }
    }

    pub(crate) fn do_close(&mut self, plugin: PluginId, handle: Handle) -> Result<(), Misuse> {
        if let Some(id) = self.end_of(plugin, handle)? {
            self.close_end(id);
        }
        Ok(())
    }

    pub(crate) fn close_end(&mut self, id: EndId) {
        let Some(end) = self.ends.get_mut(id) else { return };
        let asked = end.phase == Phase::Asked;
        if end.flags.set(Flag::WriteOver) {
            let peer = end.peer;
            // Nothing can come before the answer; accepting makes up for it.
            if !asked {
                self.give_close(peer);
            }
            self.finish(id);
        }
    }

    pub(crate) fn do_stop_read(&mut self, plugin: PluginId, handle: Handle) -> Result<(), Misuse> {
        let Some(id) = self.end_of(plugin, handle)? else { return Ok(()) };
        let Some(end) = self.ends.get_mut(id) else { return Ok(()) };
        if end.flags.set(Flag::ReadOver) {
            end.inbox.clear();
            let peer = end.peer;
            self.give_stop(peer);
            self.finish(id);
        }
        Ok(())
    }

    pub(crate) fn do_abort(
        &mut self,
        plugin: PluginId,
        handle: Handle,
        reason: Reason,
    ) -> Result<(), Misuse> {
        match self.end_of(plugin, handle)? {
            Some(id) => self.abort_from(id, reason),
            None => self.mute(handle),
        }
        Ok(())
    }

    pub(crate) fn abort_from(&mut self, id: EndId, reason: Reason) {
        self.mute(self.ends.handle(id));
        let peer = self.part(id);
        self.end_plugin_end(id, Some(reason.clone()));
        self.abort_end(peer, reason);
    }
}
