//! Streams of links as ends of channels: what their packets mean for the end at the other side.

use super::Switch;
use crate::broker::effect::{Effects, Told};
use crate::control::{Answer, Invitation};
use crate::ends::{End, Flag, Owner, Phase};
use crate::ids::{ConnId, EndId, Handle, PluginId};
use crate::reason::Reason;
use crate::route::Route;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::num::NonZeroU64;

/// Where bytes go that came on a stream.
#[derive(Debug)]
#[must_use]
pub(crate) enum Arrived<'a> {
    /// They wait, or went on.
    Kept,
    /// A plugin is told them now.
    ForPlugin(PluginId, Handle, &'a [u8]),
    /// They belong to calls.
    OfCalls(EndId, &'a [u8]),
}

/// What an answer means beyond the channel that it opens or refuses.
#[derive(Debug)]
#[must_use]
pub(crate) enum Answered {
    /// Nothing.
    Done,
    /// It is for a stream that may get the channel of this end of a plugin.
    OfCandidate(Handle, Answer),
    /// The plugin whose end this is may connect directly.
    Invited(EndId, Box<Invitation>),
    /// The peer must not answer this stream so.
    Misplaced(ConnId),
}

impl Switch {
    /// Writes to a stream; what it does not take waits in its inbox.
    pub(crate) fn give_to_stream(&mut self, id: EndId, bytes: &[u8]) {
        let Some(end) = self.ends.get_mut(id) else { return };
        let Owner::Stream(conn, stream) = end.owner() else { return };
        let direct = end.inbox.is_empty();
        let taken = match self.link_of(conn) {
            Some(link) if direct => link.mux().write(stream, bytes),
            _ => 0,
        };
        if let Some(end) = self.ends.get_mut(id) {
            end.inbox.push(&bytes[taken..]);
            end.told += bytes.len() as u64;
        }
    }

    /// Writes the first frame of a stream, which is no byte of the channel.
    pub(crate) fn give_frame(&mut self, id: EndId, frame: &[u8]) {
        self.give_to_stream(id, frame);
        if let Some(end) = self.ends.get_mut(id) {
            end.told = end.told.saturating_sub(frame.len() as u64);
        }
    }

    /// Writes the answer to the preface of a stream, once, in front of what waits for it.
    pub(crate) fn answer(&mut self, stream: Option<EndId>, answer: &Answer) {
        let Some(stream) = stream else { return };
        let Some(end) = self.ends.get_mut(stream) else { return };
        if core::mem::replace(&mut end.phase, Phase::Open) == Phase::Asking {
            let early = end.inbox.take();
            if let Some(conn) = end.conn() {
                self.count_unanswered(conn, -1);
            }
            self.give_frame(stream, &answer.frame());
            self.give_to_stream(stream, &early);
        }
    }

    pub(crate) fn count_unanswered(&mut self, conn: ConnId, change: isize) {
        if let Some(line) = self.lines.get_mut(&conn) {
            line.unanswered = line.unanswered.saturating_add_signed(change);
        }
    }

    /// There may be room for a stream: writes what waits, then lets the other end go on.
    pub(crate) fn flush_stream(&mut self, id: EndId, effects: &mut Effects) {
        let Some(end) = self.ends.get_mut(id) else { return };
        let Owner::Stream(conn, stream) = end.owner() else { return };
        if !end.inbox.is_empty() {
            // What was written before the answer goes behind it, although there may be room now.
            if end.phase == Phase::Asking {
                return;
            }
            let Some(line) = self.lines.get_mut(&conn) else { return };
            let taken = line.link.mux().write(stream, end.inbox.as_slice());
            end.inbox.advance(taken);
            if !end.inbox.is_empty() {
                return;
            }
        }
        let (closing, peer) = (end.flags.has(Flag::Closing), end.peer);
        if closing {
            self.close_stream(id);
        }
        match peer.and_then(|peer| self.ends.get(peer)).map(|peer| peer.owner()) {
            Some(Owner::Plugin(_)) => self.tell_room(peer, effects),
            Some(Owner::Stream(..)) => self.pass_credit(id, effects),
            None => {}
        }
    }

    /// Closes a stream, behind what waits for it.
    pub(crate) fn close_stream(&mut self, id: EndId) {
        let Some(end) = self.ends.get_mut(id) else { return };
        let Owner::Stream(conn, stream) = end.owner() else { return };
        end.flags.note(Flag::Closing, !end.inbox.is_empty());
        if !end.flags.has(Flag::Closing)
            && let Some(link) = self.link_of(conn)
        {
            link.mux().close(stream);
        }
    }

    /// Reads no more from a stream, as soon as its preface is answered.
    pub(crate) fn stop_stream(&mut self, id: EndId) {
        let Some(Owner::Stream(conn, stream)) = self.ends.get(id).map(|end| end.owner()) else {
            return;
        };
        let Some(link) = self.link_of(conn) else { return };
        if !link.awaits_answer(stream) {
            link.mux().stop_read(stream);
        } else if let Some(end) = self.ends.get_mut(id) {
            end.flags.set(Flag::StopWhenAnswered);
        }
    }

    /// Bytes came on a stream.
    pub(crate) fn stream_writes<'a>(
        &mut self,
        id: EndId,
        bytes: &'a [u8],
        effects: &mut Effects,
    ) -> Arrived<'a> {
        let Some(end) = self.ends.get_mut(id) else { return Arrived::Kept };
        let count = bytes.len() as u64;
        end.allowance = end.allowance.saturating_sub(count);
        end.given += count;
        let Some(sink) = end.peer else { return Arrived::Kept };
        // Effects that are waiting must not change the end before its bytes are delivered.
        let nothing_waits = effects.is_empty();
        let Some(end) = self.ends.get_mut(sink) else { return Arrived::Kept };
        match end.owner() {
            Owner::Plugin(plugin) => {
                let direct = nothing_waits && end.is_up() && end.inbox.is_empty();
                if direct && !end.flags.has(Flag::ReadOver) && !end.flags.has(Flag::Ending) {
                    end.told += count;
                    if !end.flags.has(Flag::Calls) {
                        return Arrived::ForPlugin(plugin, self.ends.handle(sink), bytes);
                    }
                    return Arrived::OfCalls(sink, bytes);
                }
                self.keep_for_plugin(sink, bytes, effects);
            }
            Owner::Stream(..) => {
                self.give_to_stream(sink, bytes);
                self.pass_credit(sink, effects);
            }
        }
        Arrived::Kept
    }

    /// The peer writes no more to a stream; bymux has answered StopRead.
    pub(crate) fn stream_closes(&mut self, id: EndId, effects: &mut Effects) {
        let peer = self.ends.get(id).and_then(|end| end.peer);
        self.give_close(peer, effects);
    }

    /// The peer reads no more from a stream; bymux has answered Close.
    pub(crate) fn stream_stops(&mut self, id: EndId, effects: &mut Effects) {
        let Some(end) = self.ends.get_mut(id) else { return };
        end.inbox.clear();
        // StopRead may overtake the answer: the end that gets the channel is told then.
        let candidate = end.rare().candidate_of.is_some();
        end.flags.note(Flag::Stopped, candidate);
        let peer = end.peer;
        self.give_stop(peer, effects);
    }

    /// The answer to a stream that we opened has come.
    pub(crate) fn stream_answers(
        &mut self,
        id: EndId,
        answer: Answer,
        used: u64,
        rest: &[u8],
        effects: &mut Effects,
    ) -> Answered {
        self.frame_used(id, used);
        let Some(end) = self.ends.get_mut(id) else { return Answered::Done };
        if let Some(near) = end.rare().candidate_of {
            return Answered::OfCandidate(near, answer);
        }
        if end.rare().aborts_for.is_some() {
            let reason = end.change(|rare| rare.aborts_for.take());
            reason.into_iter().for_each(|reason| self.abort_end(Some(id), reason, effects));
            return Answered::Done;
        }
        let (peer, stays, conn) = (end.peer, end.flags.has(Flag::Stays), end.conn());
        match answer {
            Answer::Direct(_) if stays => conn.map_or(Answered::Done, Answered::Misplaced),
            Answer::Direct(invitation) => self.stream_invites(id, peer, invitation),
            Answer::Accept(route) => {
                self.stream_accepts(id, peer, route, rest, effects);
                Answered::Done
            }
            Answer::Refuse(reason) => {
                let peer = self.part(id);
                self.close_stream(id);
                self.stop_stream(id);
                self.refuse_peer(peer, reason, effects);
                Answered::Done
            }
        }
    }

    /// An invitation came on a stream, which carries nothing any more: what waits for its credit
    /// would wait forever.
    fn stream_invites(
        &mut self,
        id: EndId,
        peer: Option<EndId>,
        invitation: Box<Invitation>,
    ) -> Answered {
        let Some(peer) = peer else { return Answered::Done };
        let passed_on = self.is_asking_stream(peer);
        self.part(id);
        if let Some(end) = self.ends.get_mut(id) {
            end.inbox.clear();
        }
        self.close_stream(id);
        self.stop_stream(id);
        if !passed_on {
            return Answered::Invited(peer, invitation);
        }
        self.invite(peer, invitation);
        Answered::Done
    }

    /// Answers a stream by an invitation. No StopRead is sent, which would overtake it: the caller
    /// closes the stream when it has read it.
    pub(crate) fn invite(&mut self, stream: EndId, invitation: Box<Invitation>) {
        self.answer(Some(stream), &Answer::Direct(invitation));
        self.close_stream(stream);
    }

    fn stream_accepts(
        &mut self,
        id: EndId,
        peer: Option<EndId>,
        route: Option<Route>,
        rest: &[u8],
        effects: &mut Effects,
    ) {
        let route = self.learn_route(id, route);
        if peer.is_some_and(|peer| self.is_asking_stream(peer)) {
            self.answer(peer, &Answer::accept(route));
        }
        if self.ends.get(id).is_some_and(|end| end.flags.has(Flag::StopWhenAnswered)) {
            self.stop_stream(id);
        }
        self.opened(peer, effects);
        // The plugin hears that the channel is up before it is told any byte.
        if let Some(end) = self.ends.get_mut(id) {
            end.allowance = end.allowance.saturating_sub(rest.len() as u64);
            end.given += rest.len() as u64;
        }
        if let Some(peer) = peer {
            self.give_bytes(peer, rest, effects);
        }
        self.splice_opened(peer, effects);
    }

    /// Answers a stream with all there is to say, and ends it.
    pub(crate) fn reply(&mut self, stream: EndId, answer: &Answer, bytes: &[u8]) {
        self.answer(Some(stream), answer);
        self.give_to_stream(stream, bytes);
        self.close_stream(stream);
        self.stop_stream(stream);
    }

    /// A connection is lost, and all its streams with it.
    pub(crate) fn lose_streams(&mut self, id: ConnId, reason: &Reason, effects: &mut Effects) {
        for end in self.ends_of(id) {
            self.lose_candidate(end, || reason.clone());
            let peer = self.drop_end(end);
            self.abort_end(peer, reason.clone(), effects);
        }
    }

    /// The ends of a connection's streams, those that are gone and not told among them, in the
    /// order of the table.
    fn ends_of(&self, id: ConnId) -> Vec<EndId> {
        let Some(line) = self.lines.get(&id) else { return Vec::new() };
        let mux = line.link.mux_ref();
        let ends = mux.open().chain(mux.untold()).filter_map(|(_, tag)| EndId::of_tag(tag));
        let is_its_own = |end: &EndId| self.ends.get(*end).and_then(End::conn) == Some(id);
        let mut ends: Vec<EndId> = ends.filter(is_its_own).collect();
        ends.sort_unstable();
        ends
    }

    /// Whether an end is a stream that we opened, and that was not answered.
    pub(crate) fn awaits_answer(&mut self, id: EndId) -> bool {
        let Some(Owner::Stream(conn, stream)) = self.ends.get(id).map(|end| end.owner()) else {
            return false;
        };
        self.link_of(conn).is_some_and(|link| link.awaits_answer(stream))
    }

    /// Whether an end is a stream whose preface waits for our answer.
    fn is_asking_stream(&self, id: EndId) -> bool {
        self.ends.get(id).is_some_and(|end| end.conn().is_some() && end.phase == Phase::Asking)
    }

    /// The other side of a channel says how its bytes travel, where that is not what we took for
    /// granted; it is kept with the end that has the channel's facts.
    fn learn_route(&mut self, id: EndId, told: Option<Route>) -> Option<Route> {
        let peer = self.ends.get(id).and_then(|end| end.peer);
        for id in [Some(id), peer].into_iter().flatten() {
            let known = self.ends.get(id).and_then(|end| end.info.as_ref()).map(|info| info.route);
            if let Some(known) = known {
                return self.set_route(id, told.unwrap_or(known)).map(|info| info.route);
            }
        }
        told
    }

    /// A first frame took credit of the end that is joined to the stream: it counts as consumed.
    pub(crate) fn frame_used(&mut self, id: EndId, used: u64) {
        let Some(end) = self.ends.get_mut(id) else { return };
        end.allowance = end.allowance.saturating_sub(used);
        if let Some(sink) = end.peer.and_then(|peer| self.ends.get_mut(peer)) {
            sink.owe(used);
        }
    }

    /// The peer says why it ends a stream in both directions.
    pub(crate) fn stream_aborts(&mut self, id: EndId, reason: Reason, effects: &mut Effects) {
        let Some(end) = self.ends.get_mut(id) else { return };
        end.inbox.clear();
        self.lose_candidate(id, || reason.clone());
        let peer = self.part(id);
        self.close_stream(id);
        self.abort_end(peer, reason, effects);
    }

    /// Lets the source of a stream's bytes write as much as the stream may carry on.
    pub(crate) fn pass_credit(&mut self, sink: EndId, effects: &mut Effects) {
        let Some(end) = self.ends.get(sink) else { return };
        let (Owner::Stream(conn, stream), Some(source)) = (end.owner(), end.peer) else { return };
        let waiting = end.inbox.len() as u64;
        let writable = self.lines.get_mut(&conn).map_or(0, |line| line.link.mux().writable(stream));
        let Some(end) = self.ends.get(source) else { return };
        let allowance = end.allowance;
        let bound = self.limits.window_max.min(writable.saturating_sub(waiting));
        let more = bound.saturating_sub(allowance);
        if more >= allowance.max(1) {
            let more = self.relayed_growth(conn, sink, waiting + allowance, more);
            if more >= allowance.max(1) {
                self.grant(source, more, effects);
            }
        }
    }

    /// Lets the owner of an end give more bytes.
    pub(crate) fn grant(&mut self, source: EndId, amount: u64, effects: &mut Effects) {
        let Some(end) = self.ends.get(source) else { return };
        let granted = match (end.owner(), NonZeroU64::new(amount)) {
            (Owner::Stream(conn, stream), Some(amount)) => {
                self.link_of(conn).map_or(0, |link| link.mux().credit(stream, amount))
            }
            (Owner::Plugin(_), Some(amount)) => amount.get(),
            (_, None) => 0,
        };
        if let Some(end) = self.ends.get_mut(source) {
            end.allowance = end.allowance.saturating_add(granted);
            self.tell_room(Some(source), effects);
        }
    }

    /// Tells a plugin that its end has room, if it waits for that.
    pub(crate) fn tell_room(&mut self, id: Option<EndId>, effects: &mut Effects) {
        let Some(id) = id else { return };
        let Some(end) = self.ends.get_mut(id) else { return };
        // A channel that is not up yet is told of its room when it is.
        if let Some(plugin) = end.plugin()
            && end.is_up()
            && end.flags.clear(Flag::WantsRoom)
        {
            effects.tell(plugin, Told::Credit(self.ends.handle(id)));
        }
    }
}
