//! Calls to plugins of the same process, which run within the call of their caller. The way of such
//! a call is short: what decides whether it may is kept ready, one entry for each plugin.

use super::{Asked, Asker, Call, CallId, Called, Callee, CalleePlace, Calls, Heard, Outcome};
use crate::broker::registry::plugins::Runs;
use crate::broker::{Broker, PluginId, PluginState, Told};
use crate::name::Version;
use crate::reason::Reason;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

/// Calls that run within each other: more would be a danger to the stack.
const DEPTH_MAX: usize = 32;

/// A larger buffer is not kept for the next answer, in bytes.
const WORTH_KEEPING: usize = 64 * 1024;

/// What decides whether a plugin may call, and be called, at once.
#[derive(Debug, Default)]
pub(crate) struct Quick {
    name: Box<[u8]>,
    version: Version,
    /// It runs here, nobody waits to call it, and it has not too many calls to answer.
    callable: bool,
    /// It runs here, and does not wait for too many calls.
    calls: bool,
}

/// What came of a call by the time that its callee has returned.
#[derive(Debug, PartialEq, Eq)]
pub enum Returned {
    /// The answer is [`answer_now`](Broker::answer_now).
    Answered,
    /// It is over without an answer.
    Over(Outcome),
    /// The outcome is told later.
    Pending(CallId),
}

/// A call whose callee is on the stack.
#[derive(Debug)]
struct Frame {
    call: CallId,
    caller: PluginId,
    callee: PluginId,
    deadline: Duration,
    state: State,
    answer: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Open,
    Answered,
    Over(Box<Outcome>),
}

/// The calls that run within each other, the innermost last.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// Those beyond the depth are kept for their buffers.
    frames: Vec<Frame>,
    depth: usize,
}

impl Frames {
    fn running(&mut self) -> &mut [Frame] {
        &mut self.frames[..self.depth]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.depth == 0
    }

    /// Whether a plugin is on the stack of calls.
    #[inline]
    fn holds(&self, plugin: PluginId) -> bool {
        let mut running = self.frames[..self.depth].iter();
        running.any(|frame| frame.callee == plugin || frame.caller == plugin)
    }

    #[inline]
    fn push(&mut self, call: CallId, caller: PluginId, callee: PluginId, deadline: Duration) {
        match self.frames.get_mut(self.depth) {
            Some(frame) => {
                (frame.call, frame.caller, frame.callee) = (call, caller, callee);
                frame.deadline = deadline;
            }
            None => {
                let (state, answer) = (State::Open, Vec::new());
                self.frames.push(Frame { call, caller, callee, deadline, state, answer });
            }
        }
        self.depth += 1;
    }

    /// Takes an answer, if it is for the innermost call; the first one counts.
    #[inline]
    pub(crate) fn answer(&mut self, plugin: PluginId, call: CallId, answer: &[u8]) -> bool {
        let last = self.depth.checked_sub(1).and_then(|last| self.frames.get_mut(last));
        let Some(frame) = last.filter(|last| last.call == call && last.callee == plugin) else {
            return false;
        };
        if matches!(frame.state, State::Open) {
            frame.state = State::Answered;
            frame.answer.clear();
            frame.answer.extend_from_slice(answer);
        }
        true
    }

    /// Whether a plugin has to answer a call that runs.
    pub(crate) fn is_asked(&self, plugin: PluginId, call: CallId) -> bool {
        let mut running = self.frames[..self.depth].iter();
        let asked = |frame: &Frame| frame.call == call && frame.callee == plugin;
        running.any(|frame| asked(frame) && matches!(frame.state, State::Open))
    }

    /// Ends a call that runs, if there is such a one.
    pub(crate) fn end(&mut self, call: CallId, outcome: Outcome) {
        let mut running = self.running().iter_mut();
        if let Some(frame) = running.find(|frame| frame.call == call)
            && matches!(frame.state, State::Open)
        {
            frame.state = State::Over(Box::new(outcome));
        }
    }

    /// Ends the calls that a plugin would have answered.
    pub(crate) fn callee_over(&mut self, plugin: PluginId, reason: &Reason) {
        for frame in self.running().iter_mut().filter(|frame| frame.callee == plugin) {
            if matches!(frame.state, State::Open) {
                frame.state = State::Over(Box::new(Outcome::Lost(reason.clone())));
            }
        }
    }
}

impl Calls {
    /// Begins a call whose callee may run now; `None` where that is not so, or not known.
    #[inline(always)]
    pub(crate) fn call_now(
        &mut self,
        plugin: PluginId,
        callee: &Callee<'_>,
        request: &[u8],
        longest: usize,
        deadline: Duration,
    ) -> Option<Called> {
        let id = callee.hint?;
        let quick = self.quick.get(id.0 as usize)?;
        let fits = quick.callable && quick.version >= callee.least && *quick.name == *callee.name;
        let may = self.quick.get(plugin.0 as usize)?.calls;
        let here = !matches!(callee.place, CalleePlace::Server(_));
        let short = request.len() <= longest && !deadline.is_zero();
        match fits && may && here && short {
            true => self.run_now(plugin, id, deadline),
            false => None,
        }
    }

    /// Begins a call to a plugin that is not on the stack, and may be called.
    #[inline]
    pub(crate) fn run_now(
        &mut self,
        plugin: PluginId,
        callee: PluginId,
        deadline: Duration,
    ) -> Option<Called> {
        let frames = &self.frames;
        if callee == plugin || frames.depth >= DEPTH_MAX || frames.holds(callee) {
            return None;
        }
        let call = self.next_id();
        self.frames.push(call, plugin, callee, deadline);
        Some(Called::Run(callee, call))
    }

    /// Whether a plugin may call another one at once, but for who is on the stack.
    pub(crate) fn may_call_now(&self, plugin: PluginId, callee: PluginId) -> bool {
        let quick = |plugin: PluginId| self.quick.get(plugin.0 as usize);
        quick(plugin).is_some_and(|quick| quick.calls) && quick(callee).is_some_and(|q| q.callable)
    }
}

impl Broker {
    /// The callee has returned from a call that was made at once.
    #[inline]
    pub fn returned(&mut self, call: CallId) -> Returned {
        let frames = &mut self.calls.frames;
        frames.depth = frames.depth.saturating_sub(1);
        let Some(frame) = frames.frames.get_mut(frames.depth) else {
            return Returned::Pending(call);
        };
        match core::mem::replace(&mut frame.state, State::Open) {
            State::Answered => Returned::Answered,
            State::Over(outcome) => Returned::Over(*outcome),
            State::Open => {
                let (caller, callee, deadline) = (frame.caller, frame.callee, frame.deadline);
                self.answered_later(call, caller, callee, deadline)
            }
        }
    }

    /// The answer of the call that has returned last.
    #[inline]
    pub fn answer_now(&self) -> &[u8] {
        let Frames { frames, depth } = &self.calls.frames;
        frames.get(*depth).map_or(&[], |frame| &frame.answer)
    }

    /// The caller has the answer of the call that has returned last.
    #[inline]
    pub fn answer_taken(&mut self) {
        let Frames { frames, depth } = &mut self.calls.frames;
        if let Some(frame) = frames.get_mut(*depth)
            && frame.answer.capacity() > WORTH_KEEPING
        {
            frame.answer = Vec::new();
        }
    }

    /// A callee has returned without an answer. There was room for the call when it began; if calls
    /// that were made meanwhile have filled it, nobody waits for this one.
    #[cold]
    fn answered_later(
        &mut self,
        call: CallId,
        caller: PluginId,
        callee: PluginId,
        deadline: Duration,
    ) -> Returned {
        let (asker, asked) = (Asker::Plugin(caller), Asked::Plugin(callee, Heard::Told));
        if let Err(reason) = self.count_call(asker, asked) {
            self.tell(callee, Told::Cancelled(call));
            return Returned::Over(Outcome::Lost(reason));
        }
        self.calls.table.insert(call, Call { asker, asked, timed: false });
        self.watch_call(call, deadline);
        Returned::Pending(call)
    }

    /// Keeps ready what decides whether a plugin may call, and be called, at once.
    pub(crate) fn weigh_calls(&mut self, plugin: PluginId) {
        let here =
            |record: &&crate::broker::registry::plugins::PluginRecord| record.runs == Runs::Here;
        let Some(record) = self.registry.plugin(plugin).filter(here) else { return };
        let at = plugin.0 as usize;
        if self.calls.quick.len() <= at {
            self.calls.quick.resize_with(at + 1, Quick::default);
        }
        let (counts, most) = (self.calls.counts(plugin), self.settings.limits.calls);
        let Some(quick) = self.calls.quick.get_mut(at) else { return };
        let runs = record.state == PluginState::Running && !self.stopping;
        let starts = record.state == PluginState::Starting && !self.stopping;
        if !runs {
            quick.name = Box::default();
        } else if quick.name.is_empty() {
            quick.name = record.config.name.as_str().as_bytes().into();
        }
        quick.version = record.config.version;
        quick.callable = runs && counts.queued == 0 && counts.asked < most;
        quick.calls = (runs || starts) && counts.made < most;
    }
}
