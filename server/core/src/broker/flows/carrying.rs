//! What connections bring and take: from a link's event to the owner that it concerns, and what
//! there is to write.

use super::call_streams;
use super::first_frames::FirstFrame;
use crate::broker::effect::Effects;
use crate::broker::switch::streams::{Answered, Arrived};
use crate::broker::switch::{Switch, reading::Due};
use crate::broker::{Broker, ConnId, Step, TimerKey};
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
                self.settle();
                return Step::More;
            }
            Err(fault) => {
                *input = &[];
                self.end_by_fault(id, &fault);
                self.settle();
                return Step::More;
            }
        };
        // Bytes concern the switch alone; those of calls are settled where they are read.
        if !self.switch.is_settled() {
            self.settle();
        }
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
                self.settle();
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
}
