//! How ends come to be: those of plugins, and streams that are opened for them; and what is known
//! of a channel while its route is not decided.

use super::{Event, Switch};
use crate::broker::effect::Effects;
use crate::bymux::StreamId;
use crate::control::{Preface, Purpose, Request};
use crate::ends::{ChannelInfo, End, Flag, Owner, Phase};
use crate::ids::{ConnId, EndId, Handle, PluginId};
use crate::key::Key;
use crate::limits::{Limit, WINDOW};
use crate::name::Name;
use crate::reason::{Code, Reason};
use crate::route::Route;
use alloc::sync::Arc;

impl Switch {
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

    /// Opens a channel between two plugins of this process; gives the ends of the one that opens
    /// it, and of the one that is asked.
    pub(crate) fn open_local(
        &mut self,
        (opener, asked): (PluginId, PluginId),
        info: ChannelInfo,
        purpose: Purpose,
    ) -> Result<(Handle, Handle), Reason> {
        let near = self.add_plugin_end(opener, Phase::Asking, Some(info), purpose)?;
        let far = self.add_plugin_end(asked, Phase::Asked, None, purpose)?;
        let window = self.limits.window;
        for end in [near, far] {
            if let Some(end) = self.ends.get_mut(end) {
                end.allowance = window;
            }
        }
        self.join_ends(near, far);
        Ok((self.ends.handle(near), self.ends.handle(far)))
    }

    /// A plugin is asked about a channel that arrived on a stream.
    pub(crate) fn ask(
        &mut self,
        plugin: PluginId,
        stream: EndId,
        info: ChannelInfo,
        purpose: Purpose,
    ) -> Result<EndId, Reason> {
        let near = self.add_plugin_end(plugin, Phase::Asked, Some(info), purpose)?;
        // The opener of a stream begins with less credit than a window may have.
        let owed = self.window(near).saturating_sub(WINDOW);
        if let Some(end) = self.ends.get_mut(near) {
            end.owe(owed);
        }
        self.join_ends(near, stream);
        Ok(near)
    }

    /// The end of a stream that a peer has opened, and whose preface is not answered.
    pub(crate) fn add_asking(&mut self, id: ConnId, stream: StreamId) -> Option<EndId> {
        let mut end = End::new(Owner::Stream(id, stream), Phase::Asking);
        end.allowance = WINDOW;
        let end = self.add_end(end).ok()?;
        self.count_unanswered(id, 1);
        if let Some(link) = self.link_of(id) {
            link.mux().set_tag(stream, end.tag());
        }
        Some(end)
    }

    fn add_end(&mut self, end: End) -> Result<EndId, Reason> {
        let full = || Reason::server(Code::LimitReached, "no more channels fit into this server");
        self.ends.add(end).ok_or_else(full)
    }

    /// Notes between whom the channel of an end is.
    pub(crate) fn set_info(&mut self, id: EndId, info: ChannelInfo) {
        let info = self.pairs.share(info);
        self.ends.replace_info(id, Some(info));
    }

    /// Notes how the channel of an end travels, if the end knows between whom it is.
    pub(super) fn set_route(&mut self, id: EndId, route: Route) -> Option<Arc<ChannelInfo>> {
        let info = self.ends.get(id)?.info.clone()?;
        if info.route == route {
            return Some(info);
        }
        let info = self.pairs.share(ChannelInfo { route, ..(*info).clone() });
        self.ends.get_mut(id)?.info = Some(info.clone());
        Some(info)
    }

    pub(super) fn join_ends(&mut self, a: EndId, b: EndId) {
        if let Some(end) = self.ends.get_mut(a) {
            end.peer = Some(b);
        }
        if let Some(end) = self.ends.get_mut(b) {
            end.peer = Some(a);
        }
    }

    /// Opens a stream that is joined to `near`, which may be told `window` bytes.
    pub(crate) fn open_stream(
        &mut self,
        conn: ConnId,
        near: EndId,
        window: u64,
        effects: &mut Effects,
    ) -> Result<EndId, Reason> {
        let far = self.new_stream(conn)?;
        self.join_ends(near, far);
        self.grant(far, window, effects);
        Ok(far)
    }

    /// Opens a stream that is joined to nothing.
    pub(crate) fn new_stream(&mut self, conn: ConnId) -> Result<EndId, Reason> {
        // The stream's id is known only when the link has the end's id for its tag.
        let owner = Owner::Stream(conn, StreamId::CONTROL);
        let far = self.add_end(End::new(owner, Phase::Open))?;
        let limit = self.limits.streams;
        let stream = self.link_of(conn).and_then(|link| match link.streams() < limit {
            true => link.open(far.tag()),
            false => None,
        });
        let Some(stream) = stream else {
            self.ends.remove(far);
            self.happens(Event::Reached(Limit::Streams));
            let text = "the link has no room for a stream";
            return Err(Reason::server(Code::LimitReached, text));
        };
        if let Some(end) = self.ends.get_mut(far) {
            end.set_stream(conn, stream);
        }
        Ok(far)
    }

    /// Writes what a stream that we opened is for.
    pub(crate) fn open_with(&mut self, id: EndId, request: Request) {
        if let Some(end) = self.ends.get_mut(id) {
            end.flags.note(Flag::Stays, request.stays || request.ticket.is_some());
        }
        self.give_frame(id, &Preface::channel(request).frame());
    }

    /// Joins a stream that a peer opened to one that we open, and passes on what is asked.
    pub(crate) fn pass_on(
        &mut self,
        near: EndId,
        conn: ConnId,
        request: Request,
        info: ChannelInfo,
        effects: &mut Effects,
    ) -> Result<(), Reason> {
        let far = self.open_stream(conn, near, WINDOW, effects)?;
        self.set_info(far, info);
        self.open_with(far, request);
        Ok(())
    }

    /// Opens a stream for a plugin's end, and writes what the plugin asks for.
    pub(crate) fn open_over(
        &mut self,
        conn: ConnId,
        near: EndId,
        request: Request,
        effects: &mut Effects,
    ) -> Result<(), Reason> {
        let far = self.open_stream(conn, near, self.limits.window, effects)?;
        self.give_frame(far, &Preface::channel(request).frame());
        Ok(())
    }

    /// The routes of a plugin's channel begin to be tried.
    pub(crate) fn seek(&mut self, near: Handle) {
        if let Some(end) = self.live(near).and_then(|near| self.ends.get_mut(near)) {
            end.flags.set(Flag::Seeking);
        }
    }

    /// A plugin's channel whose routes were tried is refused.
    pub(crate) fn refuse_seeking(&mut self, near: Handle, reason: Reason, effects: &mut Effects) {
        let near = self.live(near);
        if let Some(end) = near.and_then(|near| self.ends.get_mut(near)) {
            end.flags.clear(Flag::Seeking);
        }
        self.abort_end(near, reason, effects);
    }

    /// The plugin of an end that waits for an answer, which may be an invitation; the plugin that
    /// it asks for, and the purpose.
    pub(crate) fn awaits_invitation(
        &self,
        near: EndId,
    ) -> Option<(PluginId, (Name, Key), Purpose)> {
        let end = self.ends.get(near).filter(|end| end.phase == Phase::Asking)?;
        Some((end.plugin()?, end.info.as_ref()?.to.clone(), end.purpose()))
    }

    /// Between whom the channel of an end is.
    pub(crate) fn info(&self, near: Handle) -> Option<Arc<ChannelInfo>> {
        self.ends.live(near)?.info.clone()
    }

    /// Opens a stream that may get the channel of `near`.
    pub(crate) fn open_candidate(
        &mut self,
        conn: ConnId,
        near: Handle,
        preface: &Preface,
        effects: &mut Effects,
    ) -> Result<Handle, Reason> {
        let far = self.new_stream(conn)?;
        if let Some(end) = self.ends.get_mut(far) {
            end.change(|rare| rare.candidate_of = Some(near));
        }
        self.grant(far, self.limits.window, effects);
        self.give_frame(far, &preface.frame());
        Ok(self.ends.handle(far))
    }

    /// A stream does not get the channel that it might have got.
    pub(crate) fn pass_over(&mut self, far: Handle) {
        if let Some(end) = self.live(far).and_then(|far| self.ends.get_mut(far)) {
            end.change(|rare| rare.candidate_of = None);
        }
    }

    /// A stream that might have got a channel is over: the meetings, which try routes, are told.
    pub(super) fn lose_candidate(&mut self, id: EndId, reason: impl FnOnce() -> Reason) {
        let Some(end) = self.ends.get_mut(id) else { return };
        let Some(near) = end.rare().candidate_of else { return };
        end.change(|rare| rare.candidate_of = None);
        let (far, reason) = (self.ends.handle(id), reason());
        self.happens(Event::CandidateLost { far, near, reason });
    }

    /// A stream was accepted that gets the channel of `near`; the facts of the channel.
    pub(crate) fn candidate_wins(
        &mut self,
        far: EndId,
        near: EndId,
        route: Route,
        rest: &[u8],
        effects: &mut Effects,
    ) -> Option<Arc<ChannelInfo>> {
        if let Some(end) = self.ends.get_mut(far) {
            end.change(|rare| rare.candidate_of = None);
            end.allowance = end.allowance.saturating_sub(rest.len() as u64);
            end.given += rest.len() as u64;
        }
        if let Some(end) = self.ends.get_mut(near) {
            end.flags.clear(Flag::Seeking);
        }
        self.join_ends(near, far);
        if self.ends.get(far).is_some_and(|end| end.flags.has(Flag::Stopped)) {
            if let Some(end) = self.ends.get_mut(near) {
                end.take_early();
            }
            self.give_stop(Some(near), effects);
        }
        let end = self.ends.get_mut(near)?;
        let early = end.take_early().take();
        let (closed, stopped) = (end.flags.has(Flag::WriteOver), end.flags.has(Flag::ReadOver));
        let info = self.set_route(near, route);
        let coming = self.ends.get(far).map_or(0, |far| far.allowance) + rest.len() as u64;
        // The answer took credit that is no byte of the channel.
        let owed = self.window(near).saturating_sub(coming);
        if let Some(end) = self.ends.get_mut(near) {
            end.owed = 0;
            end.owe(owed);
        }
        self.give_to_stream(far, &early);
        self.opened(Some(near), effects);
        self.keep_for_plugin(near, rest, effects);
        if closed {
            self.close_stream(far);
        }
        if stopped {
            self.stop_stream(far);
        }
        self.splice_opened(Some(near), effects);
        info
    }

    /// A ticket is remembered as long as this end exists.
    pub(crate) fn keep_ticket(&mut self, near: EndId) {
        if let Some(end) = self.ends.get_mut(near) {
            end.flags.set(Flag::Ticketed);
        }
    }
}
