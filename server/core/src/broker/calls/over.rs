//! How a call ends, at either side: one is told the outcome, the other that it is over.

use super::{Asked, Asker, Call, CallId, CallTimer, Calls, Event, Heard, Outcome};
use crate::broker::effect::{Effects, Told};
use crate::calls::{Kind, MESSAGE_COST};
use crate::ids::{EndId, PluginId};
use crate::reason::{Code, Reason};
use alloc::vec::Vec;

impl Calls {
    /// A plugin is told an outcome, which is kept no longer.
    pub(crate) fn reply_told(&mut self, plugin: PluginId, outcome: &Outcome) {
        self.release((None, outcome.cost()), plugin);
    }

    /// The asked side says what came of a call.
    pub(super) fn answered(&mut self, call: CallId, outcome: Outcome, effects: &mut Effects) {
        if !self.table.contains_key(&call) {
            self.frames.end(call, outcome);
        } else if let Some(Call { asker, asked, .. }) = self.take_call(call) {
            let outcome = match (asker, asked) {
                (Asker::Plugin(asker), Asked::Plugin(..)) => self.fitting(asker, outcome),
                _ => outcome,
            };
            self.tell_asker(call, asker, outcome, effects);
        }
    }

    /// What a plugin is told of a call to another one of this process: the answer only if there is
    /// room to keep it until then. One that comes over a link has been kept all the time.
    fn fitting(&mut self, asker: PluginId, outcome: Outcome) -> Outcome {
        let held = self.parties.counts(asker).held;
        match outcome {
            Outcome::Answered(answer) => match self.holds(held, answer.len()) {
                Ok(()) => Outcome::Answered(answer),
                Err(reason) => Outcome::Lost(reason),
            },
            other => other,
        }
    }

    /// The asking side, or its time, gives a call up.
    pub(super) fn given_up(&mut self, call: CallId, outcome: Outcome, effects: &mut Effects) {
        if let Some(Call { asker, asked, .. }) = self.take_call(call) {
            self.tell_asked(call, asked, effects);
            self.tell_asker(call, asker, outcome, effects);
        }
    }

    /// The asking side is gone: the outcome is not awaited any more.
    pub(super) fn abandoned(&mut self, call: CallId, effects: &mut Effects) {
        if let Some(Call { asked, .. }) = self.take_call(call) {
            self.tell_asked(call, asked, effects);
        }
    }

    /// A plugin is over. The calls of which it is a side are to be ended one by one with
    /// [`end_call_of`](Calls::end_call_of), so that what is said of one is written before the next
    /// one ends; then the streams, with [`end_streams_of`](Calls::end_streams_of).
    pub(crate) fn plugin_over(&mut self, plugin: PluginId, reason: &Reason) -> Vec<CallId> {
        self.parties.is_over(plugin);
        self.frames.callee_over(plugin, reason);
        let of_plugin = |call: &Call| {
            call.asker.plugin() == Some(plugin) || call.asked.plugin() == Some(plugin)
        };
        let calls = self.table.iter().filter(|(_, call)| of_plugin(call));
        calls.map(|(id, _)| *id).collect()
    }

    /// Ends a call of a plugin that is over.
    pub(crate) fn end_call_of(
        &mut self,
        plugin: PluginId,
        call: CallId,
        reason: &Reason,
        effects: &mut Effects,
    ) {
        match self.table.get(&call).map(|call| call.asked.plugin() == Some(plugin)) {
            Some(true) => self.answered(call, Outcome::Lost(reason.clone()), effects),
            Some(false) => self.abandoned(call, effects),
            None => {}
        }
    }

    /// Forgets the streams of a plugin that is over. Those that are given back have said all, and
    /// are closed so that it arrives; the others end with the plugin's channels.
    pub(crate) fn end_streams_of(&mut self, plugin: PluginId) -> Vec<EndId> {
        let mut in_order = Vec::new();
        for end in self.streams_of(plugin) {
            let stream = self.forget_stream(end);
            if stream.is_some_and(|stream| stream.has_said_all()) {
                in_order.push(end);
            }
        }
        in_order
    }

    /// Forgets a call, and takes it off the counts of its sides.
    fn take_call(&mut self, id: CallId) -> Option<Call> {
        let call = self.table.remove(&id)?;
        if call.timed {
            self.happens(Event::WaitNoLonger(CallTimer::Deadline(id)));
        }
        self.change_counts(call.asker.plugin(), |counts| counts.made -= 1);
        self.change_counts(call.asked.plugin(), |counts| counts.asked -= 1);
        if let Asker::Stream(stream, number) = call.asker {
            self.forget_number(stream, number);
        }
        match call.asked {
            Asked::Plugin(plugin, Heard::Queued(length)) => {
                self.unqueue(call.asker, plugin, length);
            }
            Asked::Plugin(_, Heard::Told) => {}
            Asked::Stream(stream, number) => self.forget_number(stream, number),
        }
        Some(call)
    }

    fn tell_asker(&mut self, call: CallId, asker: Asker, outcome: Outcome, effects: &mut Effects) {
        match asker {
            Asker::Stream(stream, number) => self.send_outcome(stream, number, outcome),
            Asker::Plugin(plugin) => {
                self.charge((None, outcome.cost()), plugin);
                effects.tell(plugin, Told::Reply(call, outcome));
            }
        }
    }

    fn tell_asked(&mut self, call: CallId, asked: Asked, effects: &mut Effects) {
        match asked {
            Asked::Plugin(plugin, Heard::Told) => effects.tell(plugin, Told::Cancelled(call)),
            Asked::Plugin(_, Heard::Queued(_)) => {}
            Asked::Stream(stream, number) => self.withdraw_request(stream, number),
        }
    }
}

impl Outcome {
    /// What it costs to keep it until it is told.
    pub(super) fn cost(&self) -> u64 {
        match self {
            Outcome::Answered(answer) => answer.len() as u64 + MESSAGE_COST,
            _ => 0,
        }
    }

    /// What is said of an outcome on a stream of calls.
    pub(super) fn into_message(self) -> Option<(Kind, Vec<u8>)> {
        match self {
            Outcome::Answered(bytes) => Some((Kind::Answer, bytes)),
            Outcome::Refused(reason) => Some((Kind::Refused, minicbor::to_vec(reason).ok()?)),
            Outcome::Lost(reason) => Some((Kind::Lost, minicbor::to_vec(reason).ok()?)),
            Outcome::Cancelled | Outcome::Deadline => None,
        }
    }

    /// What a message on a stream of calls says of an outcome.
    pub(super) fn of_message(kind: Kind, bytes: Vec<u8>) -> Outcome {
        let unreadable = |_| Reason::server(Code::ProtocolViolation, "the reason cannot be read");
        match kind {
            Kind::Answer => Outcome::Answered(bytes),
            Kind::Refused => Outcome::Refused(minicbor::decode(&bytes).unwrap_or_else(unreadable)),
            Kind::Lost | Kind::Request | Kind::Cancel => {
                Outcome::Lost(minicbor::decode(&bytes).unwrap_or_else(unreadable))
            }
        }
    }
}
