//! How a call ends, whoever ends it: the one side is told the outcome, the other that it is over.

use super::{Asked, Asker, Call, CallId, Calls, Heard, Outcome};
use crate::broker::{Broker, PluginId, TimerKey, Told};
use crate::calls::{Kind, MESSAGE_COST};
use crate::reason::{Code, Reason};
use alloc::vec::Vec;

impl Calls {
    /// A plugin is told an outcome, which is kept no longer.
    pub(crate) fn reply_told(&mut self, plugin: PluginId, outcome: &Outcome) {
        self.release((None, outcome.cost()), plugin);
    }
}

impl Broker {
    /// The asked side says what came of a call.
    pub(crate) fn call_answered(&mut self, call: CallId, outcome: Outcome) {
        if !self.calls.table.contains_key(&call) {
            self.calls.frames.end(call, outcome);
        } else if let Some(Call { asker, asked, .. }) = self.take_call(call) {
            let outcome = match (asker, asked) {
                (Asker::Plugin(asker), Asked::Plugin(..)) => self.fitting(asker, outcome),
                _ => outcome,
            };
            self.tell_asker(call, asker, outcome);
        }
    }

    /// What a plugin is told of a call to another one of this process: the answer only if there is
    /// room to keep it until then. One that comes over a link has been kept all the time.
    fn fitting(&mut self, asker: PluginId, outcome: Outcome) -> Outcome {
        let held = self.calls.counts(asker).held;
        match outcome {
            Outcome::Answered(answer) => match self.holds(held, answer.len()) {
                Ok(()) => Outcome::Answered(answer),
                Err(reason) => Outcome::Lost(reason),
            },
            other => other,
        }
    }

    /// The asking side, or its time, gives a call up.
    pub(crate) fn call_given_up(&mut self, call: CallId, outcome: Outcome) {
        if let Some(Call { asker, asked, .. }) = self.take_call(call) {
            self.tell_asked(call, asked);
            self.tell_asker(call, asker, outcome);
        }
    }

    /// The asking side is gone: nobody waits for the outcome.
    pub(crate) fn call_abandoned(&mut self, call: CallId) {
        if let Some(Call { asked, .. }) = self.take_call(call) {
            self.tell_asked(call, asked);
        }
    }

    /// A plugin is over, and so is all that it had to do with calls.
    pub(crate) fn plugin_calls_over(&mut self, plugin: PluginId, reason: &Reason) {
        self.weigh_calls(plugin);
        self.calls.frames.callee_over(plugin, reason);
        let calls = self.calls.table.iter();
        let of_plugin = calls.filter_map(|(id, call)| {
            let asks = call.asker == Asker::Plugin(plugin);
            let is_asked = matches!(call.asked, Asked::Plugin(asked, _) if asked == plugin);
            (asks || is_asked).then_some((*id, is_asked))
        });
        for (call, is_asked) in of_plugin.collect::<Vec<_>>() {
            match is_asked {
                true => self.call_answered(call, Outcome::Lost(reason.clone())),
                false => self.call_abandoned(call),
            }
        }
        for end in self.calls.call_streams_of(plugin) {
            let stream = self.forget_call_stream(end);
            if stream.is_some_and(|stream| stream.has_said_all()) {
                self.switch.leave_in_order(end, &mut self.effects);
            }
        }
    }

    /// Forgets a call, and that anybody has to do with it.
    fn take_call(&mut self, id: CallId) -> Option<Call> {
        let call = self.calls.table.remove(&id)?;
        if call.timed {
            self.timers.cancel(TimerKey::Call(id));
        }
        self.count_calls_of(call.asker.plugin(), |counts| counts.made -= 1);
        self.count_calls_of(call.asked.plugin(), |counts| counts.asked -= 1);
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

    fn tell_asker(&mut self, call: CallId, asker: Asker, outcome: Outcome) {
        match asker {
            Asker::Stream(stream, number) => self.send_outcome(stream, number, outcome),
            Asker::Plugin(plugin) => {
                self.calls.charge((None, outcome.cost()), plugin);
                self.tell(plugin, Told::Reply(call, outcome));
            }
        }
    }

    fn tell_asked(&mut self, call: CallId, asked: Asked) {
        match asked {
            Asked::Plugin(plugin, Heard::Told) => self.tell(plugin, Told::Cancelled(call)),
            Asked::Plugin(_, Heard::Queued(_)) => {}
            Asked::Stream(stream, number) => self.withdraw_request(stream, number),
        }
    }
}

impl Outcome {
    /// What it costs to keep it until it is told.
    pub(crate) fn cost(&self) -> u64 {
        match self {
            Outcome::Answered(answer) => answer.len() as u64 + MESSAGE_COST,
            _ => 0,
        }
    }

    /// What is said of an outcome on a stream of calls.
    pub(crate) fn into_message(self) -> Option<(Kind, Vec<u8>)> {
        match self {
            Outcome::Answered(bytes) => Some((Kind::Answer, bytes)),
            Outcome::Refused(reason) => Some((Kind::Refused, minicbor::to_vec(reason).ok()?)),
            Outcome::Lost(reason) => Some((Kind::Lost, minicbor::to_vec(reason).ok()?)),
            Outcome::Cancelled | Outcome::Deadline => None,
        }
    }

    /// What a message on a stream of calls says of an outcome.
    pub(crate) fn of_message(kind: Kind, bytes: Vec<u8>) -> Outcome {
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
