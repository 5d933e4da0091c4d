//! What connections bring and take: from a link's event to the owner that it concerns, and from
//! what happened in an owner to those who have to hear of it.

use super::call_streams;
use super::first_frames::FirstFrame;
use super::links::tell_not_linked;
use super::places::opened_by;
use crate::broker::effect::Effects;
use crate::broker::neighbours;
use crate::broker::switch::streams::{Answered, Arrived};
use crate::broker::switch::{self, Switch, reading::Due};
use crate::broker::{Broker, ConnId, Step, TimerKey, registry};
use crate::control::Answer;
use crate::ids::EndId;
use crate::limits::Limit;
use crate::link::Event as LinkEvent;
use alloc::vec::Vec;

impl Broker {
    /// Takes bytes that a connection brought. Call it until it answers [`Step::Done`]. If they ask
    /// for more work than the connection may cause in a turn, the rest waits for the next turn.
    pub fn receive<'a>(&mut self, id: ConnId, input: &mut &'a [u8]) -> Step<'a> {
        let Some((line, now)) = self.switch.readable(id, input) else {
            self.settle();
            return Step::Done;
        };
        let before = line.before(input);
        let event = line.receive(now, input);
        let due = line.after(before, input, matches!(event, Ok(None)));
        if let Some(due) = due {
            self.link_is_due(id, &due);
        }
        let step = match event {
            Ok(None) => Step::Done,
            // Nearly all events are of this kind: they are spared the move into another function.
            Ok(Some(LinkEvent::Write { tag, bytes })) => match EndId::of_tag(tag) {
                Some(end) => self.stream_brings(end, bytes),
                None => Step::More,
            },
            Ok(Some(event)) => {
                self.link_event(id, event);
                Step::More
            }
            Err(fault) => {
                *input = &[];
                self.end_by_fault(id, &fault);
                Step::More
            }
        };
        self.settle();
        step
    }

    /// While a connection is half-open, only the deadline of its handshake counts.
    #[inline(never)]
    fn link_is_due(&mut self, id: ConnId, due: &Due) {
        if !self.neighbours.is_young(id) {
            self.timers.set(TimerKey::Link(id), due.at);
        }
        if due.round_is_over {
            self.switch.round_is_over(id);
        }
    }

    /// What a link says beside the bytes of streams, which `receive` has taken out.
    #[inline(never)]
    fn link_event(&mut self, id: ConnId, event: LinkEvent<'_>) {
        match event {
            LinkEvent::Write { .. } => {}
            LinkEvent::Message(message) => {
                self.charge_turn(id, message.names());
                self.message(id, *message);
            }
            LinkEvent::Preface { stream, preface, used, rest } => {
                self.charge_turn(id, 0);
                self.first_frame(FirstFrame { conn: id, stream, used, rest }, *preface);
            }
            LinkEvent::Answer { tag, answer, used, rest } => {
                if let Some(end) = EndId::of_tag(tag) {
                    self.stream_answered(end, answer, used, rest);
                }
            }
            LinkEvent::FirstFrameLost { stream, tag } => {
                self.first_frame_lost(id, stream, tag, Limit::LinkWindow);
            }
            LinkEvent::Credit { tag } => self.at(tag, Switch::flush_stream),
            LinkEvent::Close { tag } => self.at(tag, Switch::stream_closes),
            LinkEvent::StopRead { tag } => self.at(tag, Switch::stream_stops),
            LinkEvent::Gone { tag } => {
                self.at(tag, |switch, end, _| {
                    switch.drop_end(end);
                });
                self.end_if_drained(id);
            }
        }
    }

    /// Does something at the end that a stream's tag names.
    fn at(&mut self, tag: u32, then: impl FnOnce(&mut Switch, EndId, &mut Effects)) {
        if let Some(end) = EndId::of_tag(tag) {
            then(&mut self.switch, end, &mut self.effects);
        }
    }

    /// Bytes came on a stream.
    #[inline]
    pub(crate) fn stream_brings<'a>(&mut self, end: EndId, bytes: &'a [u8]) -> Step<'a> {
        match self.switch.stream_writes(end, bytes, &mut self.effects) {
            Arrived::Kept => Step::More,
            Arrived::ForPlugin(plugin, channel, bytes) => Step::Write { plugin, channel, bytes },
            Arrived::OfCalls(end, bytes) => {
                let effects = &mut self.effects;
                call_streams::bytes(&mut self.calls, &mut self.switch, end, bytes, effects);
                Step::More
            }
        }
    }

    /// A stream that we opened was answered.
    pub(crate) fn stream_answered(&mut self, id: EndId, answer: Answer, used: u64, rest: &[u8]) {
        match self.switch.stream_answers(id, answer, used, rest, &mut self.effects) {
            Answered::Done => {}
            Answered::OfCandidate(near, answer) => {
                let far = self.switch.handle(id);
                if let Some(route) = self.meetings.answered(near, far, answer) {
                    self.candidate_wins(id, near, route, rest);
                }
            }
            Answered::Invited(near, invitation) => self.invited(near, *invitation),
            Answered::Misplaced(conn) => {
                self.violation(conn, "an invitation answers a stream that takes none");
            }
        }
    }

    /// Connections that may have something to write, each once. They replace the contents of
    /// `touched`, whose memory the broker uses next.
    pub fn take_touched(&mut self, touched: &mut Vec<ConnId>) {
        self.tell_news();
        self.settle();
        self.switch.take_touched(touched);
    }

    /// A connection has more to write than it may in one turn: it goes on in the next.
    pub fn write_later(&mut self, id: ConnId) {
        self.switch.touch(id);
    }

    /// What to write to a connection now, in this order; all empty when there is nothing.
    pub fn outgoing(&mut self, id: ConnId) -> [&[u8]; 3] {
        self.switch.outgoing(id, &mut self.effects)
    }

    /// Whether nothing is left to write to a connection.
    pub fn is_written(&mut self, id: ConnId) -> bool {
        self.outgoing(id).iter().all(|slice| slice.is_empty())
    }

    /// A connection took so many bytes of [`outgoing`](Broker::outgoing): streams that waited for
    /// room go on. Say it once with 0 when there was nothing, for streams may wait all the same.
    pub fn flushed(&mut self, id: ConnId, count: usize) {
        self.switch.flushed(id, count, &mut self.effects);
    }

    /// Hands on what happened in the owners, and ends the links whose peers broke a rule. It is the
    /// last step of all that the shell asks for, so that nothing finds the world changed under it.
    #[inline]
    pub(crate) fn settle(&mut self) {
        if !self.is_settled() {
            self.hand_on();
        }
    }

    /// Whether no owner has anything to pass on. All are asked, with `&`, because that takes one
    /// branch for all of them: nearly always none has.
    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        self.registry.is_settled()
            & self.neighbours.is_settled()
            & self.meetings.is_settled()
            & self.calls.is_settled()
            & self.switch.is_settled()
    }

    /// The owners are asked in this order, again from the first one after each event: the switch
    /// is the last, so that a link ends when all others have had their say.
    #[cold]
    fn hand_on(&mut self) {
        loop {
            if let Some(event) = self.registry.next_event() {
                self.registry_event(event);
            } else if let Some(event) = self.neighbours.next_event() {
                self.neighbours_event(event);
            } else if let Some(event) = self.meetings.next_event() {
                self.meetings_event(event);
            } else if let Some(event) = self.calls.next_event() {
                self.calls_event(event);
            } else if let Some(event) = self.calls.next_stream_event() {
                let effects = &mut self.effects;
                call_streams::perform(&mut self.calls, &mut self.switch, event, effects);
            } else if let Some(event) = self.switch.next_event() {
                self.switch_event(event);
            } else {
                return;
            }
        }
    }

    fn registry_event(&mut self, event: registry::Event) {
        match event {
            registry::Event::Pair(pair) => self.connect_pair(&pair),
            registry::Event::InCommon(link) => self.update_link_need(link),
            registry::Event::PluginsChanged => self.neighbours.wake_peers(&mut self.effects),
            registry::Event::Reached(limit) => self.counters.count(limit),
            registry::Event::Log(conn, kind, text) => {
                self.log_about(conn, kind, format_args!("{text}"));
            }
        }
    }

    fn neighbours_event(&mut self, event: neighbours::Event) {
        match event {
            neighbours::Event::Arm(key, at) => self.timers.set(key, at),
            neighbours::Event::Disarm(key) => {
                self.timers.cancel(key);
            }
            neighbours::Event::Line(source, kind, text) => {
                self.log(source, kind, format_args!("{text}"));
            }
            neighbours::Event::Reached(limit) => self.counters.count(limit),
            neighbours::Event::NotLinked { plugin, server, reason } => {
                let (registry, switch) = (&self.registry, &mut self.switch);
                tell_not_linked(registry, switch, (plugin, server, reason), &mut self.effects);
            }
        }
    }

    fn switch_event(&mut self, event: switch::Event) {
        match event {
            switch::Event::GivenUp(near) => self.meetings.give_up(near),
            switch::Event::CandidateLost { far, near, reason } => {
                self.meetings.candidate_lost(near, far, reason);
            }
            switch::Event::Failed(info, reason) => self.note_failure(&info, info.route, reason),
            switch::Event::DirectOver(plugins, info) => {
                let (registry, neighbours) = (&self.registry, &self.neighbours);
                if plugins.iter().any(|plugin| opened_by(registry, neighbours, *plugin, &info)) {
                    self.tell_direct(&info, true);
                }
            }
            switch::Event::TicketOver(channel) => self.meetings.channel_over(channel),
            switch::Event::Reached(limit) => self.counters.count(limit),
            switch::Event::Faulted(conn, fault) => self.end_by_fault(conn, &fault),
        }
    }
}
