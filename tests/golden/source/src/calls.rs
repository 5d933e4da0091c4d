//! What API 1.2 added: calls.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use trunkline_plugin::prelude::*;

use crate::say;

#[derive(Default)]
pub(crate) struct Calls {
    /// The channels that are told of calls that this plugin made.
    made: BTreeMap<Call, Channel>,
    last: Option<Call>,
    /// Calls that are answered when a timer fires.
    timers: BTreeMap<Timer, Call>,
    /// Calls that are never answered.
    never: BTreeSet<Call>,
}

impl Calls {
    /// `call NAME MILLISECONDS REQUEST`, or `cancel`; the answer, if there is one at once.
    pub(crate) fn obey(
        &mut self,
        host: &Host,
        channel: Channel,
        word: &str,
        rest: &str,
    ) -> Option<String> {
        if word == "cancel" {
            self.last.into_iter().for_each(|call| host.cancel(call));
            return None;
        }
        let words: Vec<&str> = rest.splitn(3, ' ').collect();
        let [name, milliseconds, request] = words[..] else { return Some("what?".to_owned()) };
        let deadline = Duration::from_millis(milliseconds.parse().unwrap_or(0));
        match host.call(&Target::new(name).version(1), request.as_bytes(), deadline) {
            Called::Over(outcome) => Some(told(outcome.as_deref())),
            Called::Pending(call) => {
                self.made.insert(call, channel);
                self.last = Some(call);
                None
            }
        }
    }

    pub(crate) fn called(&mut self, host: &Host, call: Call, caller: &Caller, request: &[u8]) {
        let text = String::from_utf8_lossy(request);
        match text.split_once(' ').unwrap_or((&text, "")) {
            ("say", rest) => {
                host.answer(call, format!("{rest} to {}", caller.name).as_bytes());
            }
            ("later", _) => {
                self.timers.insert(host.set_timer(Duration::from_millis(1)), call);
            }
            ("never", _) => drop(self.never.insert(call)),
            _ => host.refuse_call(call, Reason::new("not-this", "no such request")),
        }
    }

    /// Whether the timer was for a call.
    pub(crate) fn fired(&mut self, host: &Host, timer: Timer) -> bool {
        let Some(call) = self.timers.remove(&timer) else { return false };
        host.answer(call, b"late");
        true
    }

    pub(crate) fn cancelled(&mut self, _: &Host, call: Call) {
        log::info!("cancelled, known: {}", self.never.remove(&call));
    }

    pub(crate) fn reply(&mut self, host: &Host, call: Call, outcome: Result<&[u8], Unanswered>) {
        if let Some(channel) = self.made.remove(&call) {
            say(host, channel, &told(outcome.as_ref().copied()));
        }
    }
}

fn told(outcome: Result<&[u8], &Unanswered>) -> String {
    match outcome {
        Ok(answer) => format!("answered {}", String::from_utf8_lossy(answer)),
        Err(Unanswered::Refused(why)) => format!("refused {}", why.code()),
        Err(Unanswered::Cancelled) => "cancelled".to_owned(),
        Err(Unanswered::Deadline) => "deadline".to_owned(),
        Err(Unanswered::Lost(why)) => format!("lost {}", why.code()),
    }
}
