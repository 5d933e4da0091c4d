//! Calls to plugins of the same process, which run within the call of their caller. The way of such
//! a call is short: `parties.rs` keeps ready what decides whether it may.

use super::{Asked, Asker, Call, CallId, Called, Callee, CalleePlace, Calls, Heard, Outcome};
use crate::broker::effect::{Effects, Told};
use crate::ids::PluginId;
use crate::reason::Reason;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

/// Calls that run within each other: more would be a danger to the stack.
const DEPTH_MAX: usize = 32;

/// A larger buffer is not kept for the next answer, in bytes.
const WORTH_KEEPING: usize = 64 * 1024;

/// What came of a call by the time that its callee has returned.
#[derive(Debug, PartialEq, Eq)]
pub enum Returned {
    /// The answer. The caller gives its buffer back, for the next one.
    Answered(Vec<u8>),
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

    /// Whether no callee is on the stack.
    pub(super) fn is_empty(&self) -> bool {
        self.depth == 0
    }

    #[inline]
    fn is_full(&self) -> bool {
        self.depth >= DEPTH_MAX
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
    pub(super) fn answer(&mut self, plugin: PluginId, call: CallId, answer: &[u8]) -> bool {
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
    pub(super) fn is_asked(&self, plugin: PluginId, call: CallId) -> bool {
        let mut running = self.frames[..self.depth].iter();
        let asked = |frame: &Frame| frame.call == call && frame.callee == plugin;
        running.any(|frame| asked(frame) && matches!(frame.state, State::Open))
    }

    /// Ends a call that runs, if there is such a one.
    pub(super) fn end(&mut self, call: CallId, outcome: Outcome) {
        let mut running = self.running().iter_mut();
        if let Some(frame) = running.find(|frame| frame.call == call)
            && matches!(frame.state, State::Open)
        {
            frame.state = State::Over(Box::new(outcome));
        }
    }

    /// Ends the calls that a plugin would have answered.
    pub(super) fn callee_over(&mut self, plugin: PluginId, reason: &Reason) {
        for frame in self.running().iter_mut().filter(|frame| frame.callee == plugin) {
            if matches!(frame.state, State::Open) {
                frame.state = State::Over(Box::new(Outcome::Lost(reason.clone())));
            }
        }
    }
}

impl Calls {
    /// Begins a call whose callee may run now; `None` where that is not so, or not known.
    #[inline]
    pub(crate) fn call_now(
        &mut self,
        plugin: PluginId,
        callee: &Callee<'_>,
        length: usize,
        deadline: Duration,
    ) -> Option<Called> {
        let id = callee.hint?;
        let here = !matches!(callee.place, CalleePlace::Server(_));
        let short = length <= self.limits.call_size && !deadline.is_zero();
        let meant = self.parties.is_meant(id, callee.name, callee.least);
        match here && short && meant && self.parties.may_call(plugin) {
            true => self.run_now(plugin, id, deadline),
            false => None,
        }
    }

    /// Begins a call to a plugin that may be called, unless it is on the stack.
    #[inline]
    pub(super) fn run_now(
        &mut self,
        plugin: PluginId,
        callee: PluginId,
        deadline: Duration,
    ) -> Option<Called> {
        if callee == plugin || self.frames.is_full() || self.frames.holds(callee) {
            return None;
        }
        let call = self.next_id();
        self.frames.push(call, plugin, callee, deadline);
        Some(Called::Run(callee, call))
    }

    /// Takes an answer to the innermost of the calls that run; whether it was one.
    #[inline]
    pub(crate) fn answer_at_once(&mut self, plugin: PluginId, call: CallId, answer: &[u8]) -> bool {
        answer.len() <= self.limits.call_size && self.frames.answer(plugin, call, answer)
    }

    /// The callee has returned from a call that was made at once.
    #[inline]
    pub(crate) fn returned(&mut self, call: CallId, effects: &mut Effects) -> Returned {
        let frames = &mut self.frames;
        frames.depth = frames.depth.saturating_sub(1);
        let Some(frame) = frames.frames.get_mut(frames.depth) else {
            return Returned::Pending(call);
        };
        match core::mem::replace(&mut frame.state, State::Open) {
            State::Answered => Returned::Answered(core::mem::take(&mut frame.answer)),
            State::Over(outcome) => Returned::Over(*outcome),
            State::Open => {
                let (caller, callee, deadline) = (frame.caller, frame.callee, frame.deadline);
                self.answered_later(call, (caller, callee), deadline, effects)
            }
        }
    }

    /// The caller has the answer, so its buffer is free.
    #[inline]
    pub(crate) fn reuse(&mut self, buffer: Vec<u8>) {
        let Frames { frames, depth } = &mut self.frames;
        if let Some(frame) = frames.get_mut(*depth)
            && buffer.capacity() <= WORTH_KEEPING
        {
            frame.answer = buffer;
        }
    }

    /// The callee did not return, because the server itself failed below it: it and all that it
    /// called are on the stack no more.
    pub(crate) fn unwound(&mut self, call: CallId) {
        let at = self.frames.running().iter().position(|frame| frame.call == call);
        self.frames.depth = at.unwrap_or(self.frames.depth);
        for frame in &mut self.frames.frames[self.frames.depth..] {
            frame.state = State::Open;
        }
    }

    /// A callee has returned without an answer. There was room for the call when it began; if calls
    /// that were made meanwhile have filled it, this one is ended.
    #[cold]
    fn answered_later(
        &mut self,
        call: CallId,
        (caller, callee): (PluginId, PluginId),
        deadline: Duration,
        effects: &mut Effects,
    ) -> Returned {
        let (asker, asked) = (Asker::Plugin(caller), Asked::Plugin(callee, Heard::Told));
        if let Err(reason) = self.count_call(asker, asked) {
            effects.tell(callee, Told::Cancelled(call));
            return Returned::Over(Outcome::Lost(reason));
        }
        self.table.insert(call, Call { asker, asked, timed: false });
        self.watch(call, deadline);
        Returned::Pending(call)
    }
}
