//! Channels as plugins use them: what a plugin may say of its end, and what the other is told.

use super::plugins::Runs;
use super::requests::Calling;
use super::{Broker, Caller, ConnId, Misuse, PluginId, Target, Told};
use crate::bymux::StreamId;
use crate::control::{Answer, Origin, Preface, Purpose, Request};
use crate::directory::Entry;
use crate::ends::{ChannelInfo, End, EndId, Handle, Lookup, Owner, Phase};
use crate::limits::Limit;
use crate::reason::{Code, Reason};
use crate::route::{Route, routes};
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

impl Broker {
    /// A plugin opens a channel. It may write at once; `Opened` or `Ended` is told later.
    pub fn open(&mut self, plugin: PluginId, target: &Target) -> Result<Handle, Reason> {
        if self.stopping {
            return Err(Reason::server(Code::ServerStopping, "the server is going down"));
        }
        let entry = self.find(target)?;
        self.open_to(plugin, target, entry, Purpose::Channel)
    }

    /// The directory's entry that serves who wants `target`.
    pub(super) fn find(&self, target: &Target) -> Result<Entry, Reason> {
        let wanted = self.wanted(target.server.as_deref())?;
        self.directory.find(&target.name, target.least, wanted, self.home.key)
    }

    /// Opens a channel to an entry of the directory.
    pub(super) fn open_to(
        &mut self,
        plugin: PluginId,
        target: &Target,
        entry: Entry,
        purpose: Purpose,
    ) -> Result<Handle, Reason> {
        self.has_room(plugin)?;
        if entry.server == self.home.key
            && let Some(callee) = self.running(&entry.name)
        {
            match self.plugins.get(&callee).map(|record| record.runs) {
                Some(Runs::At(host)) => {
                    self.open_at_host(host, plugin, callee, target, entry, purpose)
                }
                _ => self.open_local(plugin, callee, entry, purpose),
            }
        } else {
            let link = self.uplink().or_else(|| self.servers.get(&entry.server).copied());
            let gone = || Reason::server(Code::LinkLost, "the link to its server is gone");
            self.open_over(link.ok_or_else(gone)?, plugin, target, entry, purpose)
        }
    }

    /// Opens a channel to a plugin of a host of this server: directly, if that is better than over
    /// the host's link.
    fn open_at_host(
        &mut self,
        host: ConnId,
        plugin: PluginId,
        callee: PluginId,
        target: &Target,
        entry: Entry,
        purpose: Purpose,
    ) -> Result<Handle, Reason> {
        let place = self.place(plugin);
        let routes = routes(&place, &self.place(callee));
        if !routes.first().is_some_and(|route| route.is_direct()) {
            return self.open_over(host, plugin, target, entry, purpose);
        }
        let gone = || Reason::server(Code::UnknownPlugin, "the plugin is gone");
        let caller = self.caller(plugin).ok_or_else(gone)?;
        let info = info(&caller, &entry, Route::Link);
        let near = self.add_caller_end(plugin, info, purpose)?;
        let (least, ticket, seen) = (target.least, None, None);
        let calling = Calling { place, caller, least, ticket, seen, stays: false, purpose };
        let invitation = self.make_invitation(&calling, callee, routes);
        let request = self.request_of(plugin, entry.name, entry.server, purpose);
        match (invitation, request) {
            (Ok(invitation), Some(request)) => {
                self.begin_attempts(near, entry.server, invitation, request);
                Ok(self.ends.handle(near))
            }
            (invitation, _) => {
                self.drop_end(near);
                Err(invitation.err().unwrap_or_else(gone))
            }
        }
    }

    /// Whether a plugin may have one more channel.
    pub(super) fn has_room(&mut self, plugin: PluginId) -> Result<(), Reason> {
        let most = self.settings.limits.channels;
        match self.plugins.get(&plugin) {
            Some(record) if record.channels >= most => {
                let name = &record.config.name;
                let text = format!("{name} has {most} channels, as many as a plugin may have");
                Err(self.limit_reached(Limit::Channels, text))
            }
            _ => Ok(()),
        }
    }

    /// Counts that a limit was reached, and says so.
    pub(super) fn limit_reached(&mut self, limit: Limit, text: impl AsRef<str>) -> Reason {
        self.counters.count(limit);
        Reason::server(Code::LimitReached, text)
    }

    pub(super) fn caller(&self, plugin: PluginId) -> Option<Caller> {
        let config = &self.plugins.get(&plugin)?.config;
        let server = self.home.key;
        Some(Caller { name: config.name.clone(), version: config.version, server })
    }

    fn open_local(
        &mut self,
        plugin: PluginId,
        callee: PluginId,
        entry: Entry,
        purpose: Purpose,
    ) -> Result<Handle, Reason> {
        let gone = || Reason::server(Code::UnknownPlugin, "the plugin is gone");
        let caller = self.caller(plugin).ok_or_else(gone)?;
        self.has_room(callee)?;
        let info = info(&caller, &entry, Route::Local);
        let near = self.add_caller_end(plugin, info, purpose)?;
        let window = self.settings.limits.window;
        let far = End::of_plugin(callee, Phase::Asked, window, purpose);
        let far = self.add_plugin_end(callee, far)?;
        for end in [near, far] {
            if let Some(end) = self.ends.get_mut(end) {
                end.allowance = window;
            }
        }
        self.join_ends(near, far);
        self.tell(callee, Told::Open(self.ends.handle(far), caller));
        Ok(self.ends.handle(near))
    }

    fn open_over(
        &mut self,
        conn: ConnId,
        plugin: PluginId,
        target: &Target,
        entry: Entry,
        purpose: Purpose,
    ) -> Result<Handle, Reason> {
        let gone = || Reason::server(Code::LinkLost, "the plugin is gone");
        let caller = self.caller(plugin).ok_or_else(gone)?;
        let info = info(&caller, &entry, Route::Link);
        let near = self.add_caller_end(plugin, info, purpose)?;
        let window = self.settings.limits.window;
        let opened = self.open_stream(conn, near, window);
        let far = match opened {
            Ok(far) => far,
            Err(reason) => {
                self.drop_end(near);
                return Err(reason);
            }
        };
        let from = Origin::new(caller.name, caller.version);
        let server = self.is_host().then_some(entry.server);
        let request = Request::new(entry.name, target.least, from);
        let request = Request { server, purpose, ..request };
        self.give_frame(far, &Preface::channel(request).frame());
        Ok(self.ends.handle(near))
    }

    /// The end of a plugin that opens a channel.
    fn add_caller_end(
        &mut self,
        plugin: PluginId,
        info: Box<ChannelInfo>,
        purpose: Purpose,
    ) -> Result<EndId, Reason> {
        let window = self.settings.limits.window;
        let end = End::of_plugin(plugin, Phase::Asking, window, purpose);
        self.add_plugin_end(plugin, End { info: Some(info), ..end })
    }

    pub(super) fn add_plugin_end(&mut self, plugin: PluginId, end: End) -> Result<EndId, Reason> {
        let id = self.add_end(end)?;
        self.count_channel(plugin, 1);
        Ok(id)
    }

    pub(super) fn add_end(&mut self, end: End) -> Result<EndId, Reason> {
        let full = || Reason::server(Code::LimitReached, "no more channels fit into this server");
        self.ends.add(end).ok_or_else(full)
    }

    pub(super) fn join_ends(&mut self, a: EndId, b: EndId) {
        if let Some(end) = self.ends.get_mut(a) {
            end.peer = Some(b);
        }
        if let Some(end) = self.ends.get_mut(b) {
            end.peer = Some(a);
        }
    }

    pub(super) fn count_channel(&mut self, plugin: PluginId, change: isize) {
        if let Some(record) = self.plugins.get_mut(&plugin) {
            record.channels = record.channels.saturating_add_signed(change);
        }
    }

    /// A plugin accepts a channel that it was told of.
    pub fn accept(&mut self, plugin: PluginId, handle: Handle) -> Result<(), Misuse> {
        let Some(id) = self.asked(plugin, handle)? else { return Ok(()) };
        let Some(end) = self.ends.get_mut(id) else { return Ok(()) };
        end.phase = Phase::Open;
        let (peer, closed) = (end.peer, end.flags.write_over && !end.flags.stopped);
        let route = end.info.as_ref().map(|info| info.route);
        match peer.and_then(|peer| self.ends.get(peer)).map(|peer| peer.owner) {
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
        Ok(())
    }

    /// A channel that is up may have waited for that to be joined to another one.
    pub(super) fn splice_opened(&mut self, id: Option<EndId>) {
        if let Some(id) = id
            && let Some(plugin) = self.ends.get(id).and_then(End::plugin)
        {
            self.splice_if_accepted(plugin, id);
        }
    }

    /// A channel that a plugin asked for is up.
    pub(super) fn opened(&mut self, id: Option<EndId>) {
        let Some(id) = id else { return };
        let Some(end) = self.ends.get_mut(id) else { return };
        let Some(plugin) = end.plugin() else { return };
        if end.phase != Phase::Asking || end.flags.ending {
            return;
        }
        end.phase = Phase::Open;
        end.early.clear();
        if end.is_up() {
            self.tell(plugin, Told::Opened(self.ends.handle(id)));
            self.end_is_up(id);
        }
    }

    /// Tells a plugin the first room of a channel that is up, and what came before it was.
    fn end_is_up(&mut self, id: EndId) {
        let Some(end) = self.ends.get_mut(id).filter(|end| end.is_up()) else { return };
        let Some(plugin) = end.plugin() else { return };
        end.flags.wants_room = false;
        let (stopped, write_over) = (end.flags.stopped, end.flags.write_over);
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

    /// A plugin refuses a channel that it was told of; it hears no more of it.
    pub fn refuse(
        &mut self,
        plugin: PluginId,
        handle: Handle,
        reason: Reason,
    ) -> Result<(), Misuse> {
        if let Lookup::Live(id) = self.ends.lookup(handle)
            && self.ends.get(id).is_some_and(|end| end.plugin() == Some(plugin) && end.is_lost())
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

    pub(super) fn refuse_peer(&mut self, peer: Option<EndId>, reason: Reason) {
        let Some(peer) = peer else { return };
        let unanswered = self.awaits_answer(peer);
        match self.ends.get_mut(peer) {
            // A guest that is offered a channel refuses it, and the other plugin is still asked.
            Some(end) if unanswered => end.aborts_for = Some(Box::new(reason)),
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
        let Some(id) = self.end_of(plugin, handle)? else { return Ok(bytes.len()) };
        let Some(end) = self.ends.get_mut(id) else { return Ok(bytes.len()) };
        if end.flags.write_over {
            return match end.flags.stopped {
                true => Ok(bytes.len()),
                false => Err(Misuse::WriteAfterClose),
            };
        }
        let peer = end.peer;
        let taken = match peer {
            Some(peer) => self.plugin_gives(id, peer, bytes),
            None if self.is_attempting(id) => self.keep_early(id, bytes),
            None => return Ok(bytes.len()),
        };
        if let Some(end) = self.ends.get_mut(id) {
            end.given += taken as u64;
            end.flags.wants_room |= taken < bytes.len();
        }
        Ok(taken)
    }

    fn plugin_gives(&mut self, id: EndId, peer: EndId, bytes: &[u8]) -> usize {
        match self.ends.get(peer).map(|end| end.owner) {
            Some(Owner::Stream(conn, stream)) => {
                if self.phase(peer) == Some(Phase::Asking) {
                    return self.keep_behind_answer(conn, stream, peer, bytes);
                }
                // What waits for the stream goes first; the plugin waits behind it.
                if self.ends.get(peer).is_some_and(|end| !end.inbox.is_empty()) {
                    return 0;
                }
                let taken = self.link_of(conn).map_or(0, |link| link.mux().write(stream, bytes));
                if let Some(end) = self.ends.get_mut(peer) {
                    end.told += taken as u64;
                }
                if let Some(end) = self.ends.get_mut(id).filter(|end| end.phase == Phase::Asking) {
                    end.early.push(&bytes[..taken]);
                }
                taken
            }
            Some(Owner::Plugin(_)) => {
                let Some(end) = self.ends.get_mut(id) else { return 0 };
                let taken = usize::try_from(end.allowance).unwrap_or(usize::MAX).min(bytes.len());
                end.allowance -= taken as u64;
                self.keep_for_plugin(peer, &bytes[..taken]);
                taken
            }
            None => bytes.len(),
        }
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

    fn phase(&self, id: EndId) -> Option<Phase> {
        self.ends.get(id).map(|end| end.phase)
    }

    /// Puts bytes into a plugin end's inbox, from where they are delivered.
    pub(super) fn keep_for_plugin(&mut self, id: EndId, bytes: &[u8]) {
        let Some(end) = self.ends.get_mut(id) else { return };
        if !end.flags.read_over && !end.flags.ending {
            end.inbox.push(bytes);
            self.deliver_later(id);
        }
    }

    pub(super) fn deliver_later(&mut self, id: EndId) {
        let Some(end) = self.ends.get_mut(id) else { return };
        let due = end.is_up() && !end.inbox.is_empty() && !end.flags.delivering;
        if let Some(plugin) = end.plugin().filter(|_| due) {
            end.flags.delivering = true;
            self.tell(plugin, Told::Deliver(self.ends.handle(id)));
        }
    }

    /// The bytes that wait for a plugin: tell it, then say [`consumed`](Broker::consumed).
    pub fn take_inbox(&mut self, plugin: PluginId, handle: Handle) -> Vec<u8> {
        let Ok(Some(id)) = self.end_of(plugin, handle) else { return Vec::new() };
        let Some(end) = self.ends.get_mut(id) else { return Vec::new() };
        end.flags.delivering = false;
        let bytes = end.inbox.take();
        end.told += bytes.len() as u64;
        bytes
    }

    /// How many bytes a plugin could write now.
    pub fn room(&mut self, plugin: PluginId, handle: Handle) -> u64 {
        let Ok(Some(id)) = self.end_of(plugin, handle) else { return 0 };
        let Some(end) = self.ends.get(id) else { return 0 };
        let (allowance, peer) = (end.allowance, end.peer);
        match peer.and_then(|peer| self.ends.get(peer)).map(|peer| peer.owner) {
            Some(Owner::Stream(conn, stream)) => {
                self.link_of(conn).map_or(0, |link| link.mux().writable(stream))
            }
            Some(Owner::Plugin(_)) => allowance,
            None if self.is_attempting(id) => self.early_room(id),
            None => 0,
        }
    }

    /// A plugin writes no more to a channel.
    pub fn close(&mut self, plugin: PluginId, handle: Handle) -> Result<(), Misuse> {
        let Some(id) = self.end_of(plugin, handle)? else { return Ok(()) };
        let Some(end) = self.ends.get_mut(id) else { return Ok(()) };
        let asked = end.phase == Phase::Asked;
        if !core::mem::replace(&mut end.flags.write_over, true) {
            let peer = end.peer;
            // Nothing can come before the answer; accepting makes up for it.
            if !asked {
                self.give_close(peer);
            }
            self.finish(id);
        }
        Ok(())
    }

    /// A plugin reads no more from a channel.
    pub fn stop_read(&mut self, plugin: PluginId, handle: Handle) -> Result<(), Misuse> {
        let Some(id) = self.end_of(plugin, handle)? else { return Ok(()) };
        let Some(end) = self.ends.get_mut(id) else { return Ok(()) };
        if !core::mem::replace(&mut end.flags.read_over, true) {
            end.inbox.clear();
            let peer = end.peer;
            self.give_stop(peer);
            self.finish(id);
        }
        Ok(())
    }

    /// A plugin ends a channel in both directions, and drops what is on the way.
    pub fn abort(
        &mut self,
        plugin: PluginId,
        handle: Handle,
        reason: Reason,
    ) -> Result<(), Misuse> {
        let live = self.end_of(plugin, handle)?;
        self.mute(handle);
        let Some(id) = live else { return Ok(()) };
        let peer = self.part(id);
        self.end_plugin_end(id, Some(reason.clone()));
        self.abort_end(peer, reason);
        Ok(())
    }
}

fn info(caller: &Caller, entry: &Entry, route: Route) -> Box<ChannelInfo> {
    let from = (caller.name.clone(), caller.server);
    Box::new(ChannelInfo { from, to: (entry.name.clone(), entry.server), route })
}
