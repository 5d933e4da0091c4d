//! Calls of scripted plugins: requests and answers, and the check that each call ends exactly once.

use super::actor::{Actor, CallbackOutcome, Kind, TimerUse};
use super::channel::{Host, legal};
use super::ledger::Ledger;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use trunkline_core::broker::{
    CallId, Called, Callee, CalleePlace, Misuse, Outcome, PluginId, Returned,
};
use trunkline_core::key::Key;
use trunkline_core::reason::{By, Code, Reason};

/// Most bytes of an ordinary request or answer.
const BYTES: u64 = 40_000;

/// The configured `call-size`. Some requests and answers are longer.
pub(super) const LONGEST: usize = 100_000;

/// The configured `calls-per-plugin`. Some plugins make more.
pub(super) const CALLS: usize = 12;

/// The bit that distinguishes the stream number of an answer from that of its request.
const ANSWER: u64 = 1 << 62;

/// How far a server's clock may lag behind that of the run, because its turns take time.
const LAG: Duration = Duration::from_millis(1);

/// What the callee has done with a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum CalleeState {
    /// It has not received the call.
    #[default]
    NotCalled,
    Called,
    Answered,
    Refused,
}

/// The record of a call.
#[derive(Debug)]
struct CallRecord {
    /// The process and the plugin that made it.
    caller: (Key, PluginId),
    callee: CalleeState,
    cancelled: bool,
    deadline: Duration,
    ended: bool,
}

/// All calls of a run.
#[derive(Debug, Default)]
pub struct Calls(Vec<CallRecord>);

/// The calls of one plugin.
#[derive(Debug, Default)]
pub(super) struct OwnCalls {
    /// Calls that it has made and that have not ended.
    made: BTreeMap<CallId, u64>,
    /// Calls that it has to answer.
    asked: BTreeMap<CallId, u64>,
    /// The last call of each caller in the same process.
    last: BTreeMap<PluginId, u64>,
    /// Calls that it has answered, perhaps too late.
    answered: BTreeSet<CallId>,
}

impl OwnCalls {
    /// Its calls that have not ended, made or to be answered.
    pub(super) fn open(&self) -> Option<String> {
        let open = !self.made.is_empty() || !self.asked.is_empty();
        let OwnCalls { made, asked, .. } = self;
        open.then(|| format!("calls without an end: made {made:?}, asked {asked:?}"))
    }
}

impl Actor {
    /// Makes several calls, and sometimes cancels one.
    pub(super) fn make_calls(&mut self, host: &mut Host<'_>) -> Result<(), String> {
        for _ in 0..host.shared.random.size(1, 2 * CALLS as u64) {
            self.make_call(host)?;
        }
        if host.shared.random.chance(100) {
            guess_channels(host)?;
        }
        if host.shared.random.chance(200)
            && let Some((call, number)) = self.calls.made.first_key_value()
        {
            let (call, number) = (*call, *number);
            host.shared.calls.0[number as usize].cancelled = true;
            legal(host.broker.cancel_call(host.plugin, call))?;
            // Cancelling a call again has no effect.
            legal(host.broker.cancel_call(host.plugin, call))?;
        }
        Ok(())
    }

    pub(super) fn make_call(&mut self, host: &mut Host<'_>) -> Result<(), String> {
        let random = &mut host.shared.random;
        let to = random.pick(&Kind::ALL);
        let deadline = match random.below(20) {
            0 => Duration::ZERO,
            _ => Duration::from_micros(random.size(1_000, 5_000_000)),
        };
        let length = match random.below(40) {
            0 => LONGEST as u64 + random.below(2),
            1 => random.size(BYTES, LONGEST as u64),
            _ => random.size(8, BYTES),
        };
        let hint = random.chance(500).then(|| PluginId(random.below(8) as u32));
        let name = format!("server-{}", random.below(host.shared.keys.len() as u64));
        let place = match random.below(4) {
            0 => CalleePlace::Here,
            1 => CalleePlace::Server(&name),
            _ => CalleePlace::Anywhere,
        };
        let callee = Callee { name: to.name().as_bytes(), least: random.below(3), place, hint };
        let number = host.shared.calls.0.len() as u64;
        host.shared.calls.0.push(CallRecord {
            caller: (host.broker.key(), host.plugin),
            callee: CalleeState::NotCalled,
            cancelled: false,
            deadline: host.shared.now + deadline,
            ended: false,
        });
        let request = Ledger::bytes(number, 0, length);
        host.shared.trace.saw("a call");
        let called = host.broker.call(host.plugin, &callee, &request, deadline);
        let plugin = host.plugin.0;
        let line = format_args!(
            "#{plugin} calls {} {:?}: {number} is {called:?}",
            to.name(),
            (place, callee.least, hint, deadline, length)
        );
        host.shared.trace.note(host.shared.now, line);
        match called {
            Called::Over(ending) => self.call_ends(host, number, ending),
            Called::Pending(call) => self.wait_for(call, number),
            Called::Run(plugin, call) => {
                host.shared.trace.saw("a call at once");
                self.call_runs(host, plugin, call, &request)?;
                match host.broker.returned(call) {
                    Returned::Answered(answer) => {
                        host.broker.reuse(answer.clone());
                        self.call_ends(host, number, Outcome::Answered(answer))
                    }
                    Returned::Over(ending) => self.call_ends(host, number, ending),
                    Returned::Pending(call) => self.wait_for(call, number),
                }
            }
        }
    }

    fn wait_for(&mut self, call: CallId, number: u64) -> Result<(), String> {
        match self.calls.made.insert(call, number) {
            None => Ok(()),
            Some(_) => Err(format!("{call:?} names two calls")),
        }
    }

    /// Runs the callee now, within this plugin's callback.
    fn call_runs(
        &mut self,
        host: &mut Host<'_>,
        plugin: PluginId,
        call: CallId,
        request: &[u8],
    ) -> Result<(), String> {
        let missing = "the callee is on the stack, or has ended";
        let mut callee = host.others.remove(&plugin).ok_or_else(|| missing.to_string())?;
        let Host { broker, shared, others, restartable, .. } = host;
        let mut inner = Host { broker, plugin, shared, others, restartable };
        match callee.called(&mut inner, call, request)? {
            CallbackOutcome::Returned => {
                host.others.insert(plugin, callee);
            }
            CallbackOutcome::Panicked | CallbackOutcome::Misused => {
                host.shared.trace.saw("a panic within a call");
                host.restartable.push(callee.spec);
                host.broker.plugin_failed(plugin, "it was scripted to fail");
            }
        }
        Ok(())
    }

    /// Another plugin calls this one.
    pub(super) fn called(
        &mut self,
        host: &mut Host<'_>,
        call: CallId,
        request: &[u8],
    ) -> Result<CallbackOutcome, String> {
        let number = number_of(request);
        let known = host.shared.calls.0.len() as u64 > number;
        if !known || request != Ledger::bytes(number, 0, request.len() as u64) {
            return match host.shared.ledger.tainted {
                true => legal(host.broker.answer_call(host.plugin, call, b"")).map(|()| RETURNED),
                false => Err("a request came that no plugin made".into()),
            };
        }
        let record = &mut host.shared.calls.0[number as usize];
        let before = std::mem::replace(&mut record.callee, CalleeState::Called);
        if before != CalleeState::NotCalled {
            return Err(format!("call {number} was made twice"));
        }
        if record.caller.0 == host.broker.key()
            && self.calls.last.insert(record.caller.1, number).is_some_and(|last| last > number)
        {
            return Err(format!("call {number} came behind a later one"));
        }
        if self.calls.asked.insert(call, number).is_some() {
            return Err(format!("{call:?} names two calls"));
        }
        if !host.shared.calm && host.shared.random.chance(300) {
            host.shared.trace.saw("a call within a call");
            self.make_call(host)?;
        }
        match host.shared.random.below(100) {
            0..3 => return Ok(CallbackOutcome::Panicked),
            3..10 => host.shared.trace.saw("a call without an answer"),
            10..35 => {
                host.shared.trace.saw("a call answered later");
                let after = Duration::from_micros(host.shared.random.size(1, 1_000_000));
                self.set(host, after, TimerUse::Reply(call));
            }
            _ => self.answer_call(host, call)?,
        }
        Ok(RETURNED)
    }

    /// Answers or refuses a call, if it has not ended.
    pub(super) fn answer_call(&mut self, host: &mut Host<'_>, call: CallId) -> Result<(), String> {
        let Some(number) = self.calls.asked.remove(&call) else {
            // It was cancelled. Plugins may answer such a call, because they may not know yet.
            return legal(host.broker.answer_call(host.plugin, call, b"late"));
        };
        self.calls.answered.insert(call);
        let random = &mut host.shared.random;
        if random.chance(150) {
            host.shared.calls.0[number as usize].callee = CalleeState::Refused;
            let why = Reason::plugin("not-this", "");
            return legal(host.broker.refuse_call(host.plugin, call, why));
        }
        let length = match random.below(40) {
            0 => LONGEST as u64 + random.below(2),
            _ => random.size(8, BYTES),
        };
        let answer = Ledger::bytes(number | ANSWER, 0, length);
        host.shared.calls.0[number as usize].callee = CalleeState::Answered;
        legal(host.broker.answer_call(host.plugin, call, &answer))?;
        if host.shared.random.chance(100) {
            host.shared.trace.saw("a call answered twice");
            legal(host.broker.answer_call(host.plugin, call, b"again"))?;
        }
        Ok(())
    }

    /// The caller no longer waits for the answer to a call.
    pub(super) fn call_cancelled(
        &mut self,
        host: &mut Host<'_>,
        call: CallId,
    ) -> Result<(), String> {
        host.shared.trace.saw("a cancelled call reported");
        match self.calls.asked.remove(&call) {
            Some(_) => Ok(()),
            // Its deadline passed while it was being answered.
            None if self.calls.answered.remove(&call) => Ok(()),
            None if host.shared.ledger.tainted => Ok(()),
            None => Err(format!("{call:?} was cancelled, but it has no such call")),
        }
    }

    /// The outcome of a call has arrived.
    pub(super) fn call_replied(
        &mut self,
        host: &mut Host<'_>,
        call: CallId,
        ending: Outcome,
    ) -> Result<(), String> {
        let Some(number) = self.calls.made.remove(&call) else {
            return Err(format!("{call:?} ended again, or was never made: {ending:?}"));
        };
        self.call_ends(host, number, ending)
    }

    /// Checks that a call ends once, and in a way that fits its record.
    fn call_ends(
        &mut self,
        host: &mut Host<'_>,
        number: u64,
        ending: Outcome,
    ) -> Result<(), String> {
        let now = host.shared.now;
        let record = &mut host.shared.calls.0[number as usize];
        if std::mem::replace(&mut record.ended, true) {
            return Err(format!("call {number} ended twice"));
        }
        let (callee, tainted) = (record.callee, host.shared.ledger.tainted);
        let (what, holds) = match &ending {
            Outcome::Answered(bytes) => {
                let expected = Ledger::bytes(number | ANSWER, 0, bytes.len() as u64);
                ("a call answered", callee == CalleeState::Answered && *bytes == expected)
            }
            Outcome::Refused(why) if why.by == By::Plugin => {
                let refused = callee == CalleeState::Refused;
                ("a call refused by its callee", refused && why.code == "not-this")
            }
            Outcome::Refused(why) if why.is(Code::TooManyCalls) => {
                ("too many calls", callee == CalleeState::NotCalled)
            }
            Outcome::Refused(_) => ("a call refused by a server", callee == CalleeState::NotCalled),
            Outcome::Cancelled => ("a call cancelled", record.cancelled),
            Outcome::Deadline => ("a call past its deadline", now + LAG >= record.deadline),
            Outcome::Lost(why) => {
                let broken = why.to_string().contains(Code::ProtocolViolation.as_str());
                ("a call lost", why.by == By::Server && (!broken || host.shared.strangers))
            }
        };
        host.shared.trace.saw(what);
        match holds || tainted {
            true => Ok(()),
            false => {
                let record = &host.shared.calls.0[number as usize];
                Err(format!("call {number} ended in {ending:?}, but it was {record:?}"))
            }
        }
    }
}

const RETURNED: CallbackOutcome = CallbackOutcome::Returned;

/// Uses the handles of the channels that carry the plugin's calls, which the broker has to refuse.
fn guess_channels(host: &mut Host<'_>) -> Result<(), String> {
    for guess in host.broker.call_channels(host.plugin) {
        host.shared.trace.saw("a channel of calls guessed");
        let (plugin, broker) = (host.plugin, &mut *host.broker);
        let reason = || Reason::plugin("guessed", "");
        let said = [
            broker.accept(plugin, guess),
            broker.refuse(plugin, guess, reason()),
            broker.write(plugin, guess, b"bytes").map(|_| ()),
            broker.credit(plugin, guess, 1),
            broker.hold(plugin, guess),
            broker.close(plugin, guess),
            broker.stop_read(plugin, guess),
            broker.join(plugin, guess, guess),
            broker.abort(plugin, guess, reason()),
        ];
        if said.iter().any(|said| *said != Err(Misuse::NoSuchChannel)) {
            return Err(format!("a plugin may say {said:?} of the channel of its calls"));
        }
    }
    Ok(())
}

fn number_of(request: &[u8]) -> u64 {
    let (number, _) = request.split_first_chunk().unwrap_or((&[0xff; 8], &[]));
    u64::from_le_bytes(*number)
}
