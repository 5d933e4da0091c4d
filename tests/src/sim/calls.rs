//! Calls of scripted plugins: what is asked, what is answered, and that each ends in one way.

use super::actor::{Actor, Due, Kind, Outcome};
use super::channel::{Host, legal};
use super::ledger::Ledger;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use trunkline_core::broker::{
    CallId, Called, Callee, CalleePlace, Misuse, Outcome as Ending, PluginId, Returned,
};
use trunkline_core::key::Key;
use trunkline_core::reason::{By, Code, Reason};

/// Most bytes of an ordinary request or answer.
const BYTES: u64 = 40_000;

/// The longest request or answer that is taken, so that some are longer.
pub(super) const LONGEST: usize = 100_000;

/// Calls that a plugin may wait for, so that some are too many.
pub(super) const CALLS: usize = 12;

/// Turns the number of a request into that of its answer.
const ANSWER: u64 = 1 << 62;

/// Turns of a server take some time, by which its clock may lag behind that of the run.
const LAG: Duration = Duration::from_millis(1);

/// What a callee did about a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Done {
    /// It was not asked.
    #[default]
    Nothing,
    /// It was asked.
    Asked,
    /// It answered.
    Answered,
    /// It refused.
    Refused,
}

/// What is known of a call.
#[derive(Debug)]
struct Facts {
    /// The process and the plugin that made it.
    by: (Key, PluginId),
    done: Done,
    cancelled: bool,
    until: Duration,
    over: bool,
}

/// All calls of a run.
#[derive(Debug, Default)]
pub struct Calls(Vec<Facts>);

/// The calls of one plugin.
#[derive(Debug, Default)]
pub(super) struct OwnCalls {
    /// Those that it waits for.
    made: BTreeMap<CallId, u64>,
    /// Those that it has to answer.
    asked: BTreeMap<CallId, u64>,
    /// The last one of each caller in the same process.
    last: BTreeMap<PluginId, u64>,
    /// Those that it has answered, of which it may have been too late.
    answered: BTreeSet<CallId>,
}

impl OwnCalls {
    /// What it still waits for, or has to answer.
    pub(super) fn open(&self) -> Option<String> {
        let open = !self.made.is_empty() || !self.asked.is_empty();
        let OwnCalls { made, asked, .. } = self;
        open.then(|| format!("calls without an end: made {made:?}, asked {asked:?}"))
    }
}

impl Actor {
    /// Calls another plugin, or several times the same one.
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
            // What is over already cannot be cancelled again.
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
        let until = host.shared.now + deadline;
        let by = (host.broker.key(), host.plugin);
        let facts = Facts { by, done: Done::Nothing, cancelled: false, until, over: false };
        host.shared.calls.0.push(facts);
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
                    Returned::Answered => {
                        let answer = host.broker.answer_now().to_vec();
                        host.broker.answer_taken();
                        self.call_ends(host, number, Ending::Answered(answer))
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

    /// The callee runs now, within this plugin's own turn.
    fn call_runs(
        &mut self,
        host: &mut Host<'_>,
        plugin: PluginId,
        call: CallId,
        request: &[u8],
    ) -> Result<(), String> {
        let missing = "it is to be called, but is on the stack or over";
        let mut callee = host.others.remove(&plugin).ok_or_else(|| missing.to_string())?;
        let Host { broker, shared, others, fallen, .. } = host;
        let mut inner = Host { broker, plugin, shared, others, fallen };
        match callee.called(&mut inner, call, request)? {
            Outcome::Returned => {
                host.others.insert(plugin, callee);
            }
            Outcome::Panicked | Outcome::Misused => {
                host.shared.trace.saw("a panic within a call");
                host.fallen.push(callee.character);
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
    ) -> Result<Outcome, String> {
        let number = number_of(request);
        let known = host.shared.calls.0.len() as u64 > number;
        if !known || request != Ledger::bytes(number, 0, request.len() as u64) {
            return match host.shared.ledger.tainted {
                true => legal(host.broker.answer_call(host.plugin, call, b"")).map(|()| RETURNED),
                false => Err("a request came that nobody made".into()),
            };
        }
        let facts = &mut host.shared.calls.0[number as usize];
        if std::mem::replace(&mut facts.done, Done::Asked) != Done::Nothing {
            return Err(format!("call {number} was made twice"));
        }
        if facts.by.0 == host.broker.key()
            && self.calls.last.insert(facts.by.1, number).is_some_and(|last| last > number)
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
            0..3 => return Ok(Outcome::Panicked),
            3..10 => host.shared.trace.saw("a call that nobody answers"),
            10..35 => {
                host.shared.trace.saw("a call answered later");
                let after = Duration::from_micros(host.shared.random.size(1, 1_000_000));
                self.set(host, after, Due::Reply(call));
            }
            _ => self.answer_call(host, call)?,
        }
        Ok(RETURNED)
    }

    /// Answers or refuses a call, if it is not over.
    pub(super) fn answer_call(&mut self, host: &mut Host<'_>, call: CallId) -> Result<(), String> {
        let Some(number) = self.calls.asked.remove(&call) else {
            // It was cancelled, which the plugin may not have noticed.
            return legal(host.broker.answer_call(host.plugin, call, b"late"));
        };
        self.calls.answered.insert(call);
        let random = &mut host.shared.random;
        if random.chance(150) {
            host.shared.calls.0[number as usize].done = Done::Refused;
            let why = Reason::plugin("not-this", "");
            return legal(host.broker.refuse_call(host.plugin, call, why));
        }
        let length = match random.below(40) {
            0 => LONGEST as u64 + random.below(2),
            _ => random.size(8, BYTES),
        };
        let answer = Ledger::bytes(number | ANSWER, 0, length);
        host.shared.calls.0[number as usize].done = Done::Answered;
        legal(host.broker.answer_call(host.plugin, call, &answer))?;
        if host.shared.random.chance(100) {
            host.shared.trace.saw("a call answered twice");
            legal(host.broker.answer_call(host.plugin, call, b"again"))?;
        }
        Ok(())
    }

    /// Nobody waits for the answer to a call.
    pub(super) fn call_cancelled(
        &mut self,
        host: &mut Host<'_>,
        call: CallId,
    ) -> Result<(), String> {
        host.shared.trace.saw("a cancelled call told");
        match self.calls.asked.remove(&call) {
            Some(_) => Ok(()),
            // Its time was over while it was being answered.
            None if self.calls.answered.remove(&call) => Ok(()),
            None if host.shared.ledger.tainted => Ok(()),
            None => Err(format!("{call:?} was cancelled, which it has not to answer")),
        }
    }

    /// What became of a call is told.
    pub(super) fn call_replied(
        &mut self,
        host: &mut Host<'_>,
        call: CallId,
        ending: Ending,
    ) -> Result<(), String> {
        let Some(number) = self.calls.made.remove(&call) else {
            return Err(format!("{call:?} ended again, or was never made: {ending:?}"));
        };
        self.call_ends(host, number, ending)
    }

    /// A call ends, which must be true, and the first time.
    fn call_ends(
        &mut self,
        host: &mut Host<'_>,
        number: u64,
        ending: Ending,
    ) -> Result<(), String> {
        let now = host.shared.now;
        let facts = &mut host.shared.calls.0[number as usize];
        if std::mem::replace(&mut facts.over, true) {
            return Err(format!("call {number} ended twice"));
        }
        let (done, tainted) = (facts.done, host.shared.ledger.tainted);
        let (what, holds) = match &ending {
            Ending::Answered(bytes) => {
                let expected = Ledger::bytes(number | ANSWER, 0, bytes.len() as u64);
                ("a call answered", done == Done::Answered && *bytes == expected)
            }
            Ending::Refused(why) if why.by == By::Plugin => {
                ("a call refused by its callee", done == Done::Refused && why.code == "not-this")
            }
            Ending::Refused(why) if why.is(Code::TooManyCalls) => {
                ("too many calls", done == Done::Nothing)
            }
            Ending::Refused(_) => ("a call refused by a server", done == Done::Nothing),
            Ending::Cancelled => ("a call cancelled", facts.cancelled),
            Ending::Deadline => ("a call past its deadline", now + LAG >= facts.until),
            Ending::Lost(why) => {
                let broken = why.to_string().contains(Code::ProtocolViolation.as_str());
                ("a call lost", why.by == By::Server && (!broken || host.shared.visited))
            }
        };
        host.shared.trace.saw(what);
        match holds || tainted {
            true => Ok(()),
            false => {
                let facts = &host.shared.calls.0[number as usize];
                Err(format!("call {number} ended in {ending:?}, but it was {facts:?}"))
            }
        }
    }
}

const RETURNED: Outcome = Outcome::Returned;

/// Names the channels on which the plugin's calls travel, which are none that it has.
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
