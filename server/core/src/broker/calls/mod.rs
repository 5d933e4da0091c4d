//! Calls: one request of a plugin's to another, and its outcome, which is exactly one of
//! [`Outcome`].
//!
//! A call has two sides in each process: who asks (`Asker`) and who is asked (`Asked`). Each is a
//! plugin of the process or a call of a stream, on which all calls of a pair of plugins travel. The
//! stream is a channel like any other whose ends belong to the broker, so that it has the same
//! routes, the same limits and the same backpressure. Here is what it says (`streams.rs`,
//! `reading.rs`); what carries it is in `flows/call_streams.rs`. A plugin that is not on the stack
//! and runs in the same process is called at once (`now.rs`): such a call is a frame of a stack,
//! and becomes one of the table only if its callee returns without an answer.
//!
//! `Calls` knows numbers only, and calls no other owner. What plugins are told goes into the queue
//! of effects, because its order among all effects counts. All else that has to be done elsewhere
//! is an [`Event`] or a [`StreamEvent`], which the broker hands on before it returns to the shell.

mod account;
mod audit;
mod begin;
mod now;
mod over;
mod parties;
pub(crate) mod reading;
pub(crate) mod streams;
#[cfg(test)]
mod tests;

use crate::broker::effect::Effects;
use crate::broker::misuse::Misuse;
use crate::ids::{CallId, ConnId, EndId, PluginId};
use crate::limits::{Limit, Limits};
use crate::name::{Name, Version};
use crate::reason::{Code, Reason};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;
use now::Frames;
pub use now::Returned;
use parties::{CallCounts, Parties};
use streams::{CallStream, PairKey};

/// Which plugin a call is for.
#[derive(Clone, Copy, Debug)]
pub struct Callee<'a> {
    /// Its name, in UTF-8 if it is one.
    pub name: &'a [u8],
    /// The least version that suffices.
    pub least: Version,
    /// Where it may be.
    pub place: CalleePlace<'a>,
    /// The plugin that was meant the last time. It saves looking for the name, and is looked at
    /// before it is believed.
    pub hint: Option<PluginId>,
}

/// Where the plugin may be that is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalleePlace<'a> {
    /// On this server if it is here, else on any linked server that has it.
    Anywhere,
    /// On this server only.
    Here,
    /// On the server with this key or name.
    Server(&'a str),
}

/// How a call ended: each ends so exactly once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The callee's answer.
    Answered(Vec<u8>),
    /// The callee, or a server, did not do it.
    Refused(Reason),
    /// The caller did not wait for it. It may have been done.
    Cancelled,
    /// There was no answer in time. It may have been done.
    Deadline,
    /// The callee, or the way to it, is gone. It may have been done.
    Lost(Reason),
}

/// What a call has come to when [`Broker::call`](super::Broker::call) returns.
#[derive(Debug, PartialEq, Eq)]
pub enum Called {
    /// Call this plugin now, then say [`returned`](super::Broker::returned).
    Run(PluginId, CallId),
    /// The outcome is told later.
    Pending(CallId),
    /// It is over.
    Over(Outcome),
}

/// The side that waits for the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asker {
    Plugin(PluginId),
    Stream(EndId, u32),
}

impl Asker {
    fn plugin(self) -> Option<PluginId> {
        match self {
            Asker::Plugin(plugin) => Some(plugin),
            Asker::Stream(..) => None,
        }
    }
}

/// The side that has to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Plugin(PluginId, Heard),
    Stream(EndId, u32),
}

impl Asked {
    fn plugin(self) -> Option<PluginId> {
        match self {
            Asked::Plugin(plugin, _) => Some(plugin),
            Asked::Stream(..) => None,
        }
    }
}

/// Whether a plugin knows of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    /// It will be told, with a request of so many bytes that is kept until then.
    Queued(u32),
    /// It was told.
    Told,
}

/// A call without an outcome.
#[derive(Debug)]
struct Call {
    asker: Asker,
    asked: Asked,
    /// It has a deadline that is watched.
    timed: bool,
}

/// All calls of a process.
#[derive(Debug)]
pub(crate) struct Calls {
    limits: Limits,
    now: Duration,
    table: BTreeMap<CallId, Call>,
    next: u64,
    /// Those whose callee is on the stack.
    frames: Frames,
    parties: Parties,
    /// What messages of calls cost that wait here for their rest, or for the peer.
    held_by_conn: BTreeMap<ConnId, u64>,
    streams: BTreeMap<EndId, CallStream>,
    /// The stream of each pair of plugins whose caller is here.
    pairs: BTreeMap<PairKey, EndId>,
    events: VecDeque<Event>,
    stream_events: VecDeque<StreamEvent>,
}

/// What others have to do.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Event {
    /// Say [`time_is_over`](Calls::time_is_over) or [`look_at_idle`](Calls::look_at_idle) then.
    Wait(CallTimer, Duration),
    /// That need not be said.
    WaitNoLonger(CallTimer),
    /// A limit was reached.
    Reached(Limit),
}

/// What has to be done to a stream, before more is said on it.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum StreamEvent {
    /// It has something to write.
    Write(EndId),
    /// It is not needed, and is closed behind what it has to write.
    Close(EndId),
    /// It is ended in both directions.
    Abort(EndId, Reason),
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CallTimer {
    /// The deadline of a call.
    Deadline(CallId),
    /// The time after which a stream without calls is idle.
    Idle(EndId),
}

impl Calls {
    /// No calls and no plugins, at time zero.
    pub(crate) fn new(limits: &Limits) -> Calls {
        Calls {
            limits: limits.clone(),
            now: Duration::ZERO,
            table: BTreeMap::new(),
            next: 0,
            frames: Frames::default(),
            parties: Parties::new(limits.calls),
            held_by_conn: BTreeMap::new(),
            streams: BTreeMap::new(),
            pairs: BTreeMap::new(),
            events: VecDeque::new(),
            stream_events: VecDeque::new(),
        }
    }

    /// A turn of the loop begins.
    pub(crate) fn begin_turn(&mut self, now: Duration) {
        self.now = now;
    }

    /// Whether nothing is to be done by others.
    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        self.events.is_empty() & self.stream_events.is_empty()
    }

    /// The next thing that others have to do.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next thing that has to be done to a stream.
    pub(crate) fn next_stream_event(&mut self) -> Option<StreamEvent> {
        self.stream_events.pop_front()
    }

    fn happens(&mut self, event: Event) {
        self.events.push_back(event);
    }

    fn stream_needs(&mut self, event: StreamEvent) {
        self.stream_events.push_back(event);
    }

    /// A plugin of this process starts.
    pub(crate) fn plugin_starts(&mut self, plugin: PluginId, name: Name, version: Version) {
        self.parties.starts(plugin, name, version);
    }

    /// A plugin has started. Those of other processes are not known here.
    pub(crate) fn plugin_runs(&mut self, plugin: PluginId) {
        self.parties.runs(plugin);
    }

    /// This process begins to stop: no call begins.
    pub(crate) fn stop(&mut self) {
        self.parties.stop();
    }

    /// The calls that a plugin has made or has to answer, counted.
    pub(crate) fn counts(&self, plugin: PluginId) -> CallCounts {
        self.parties.counts(plugin)
    }

    /// Calls without an outcome that this process knows of.
    pub(crate) fn open(&self) -> usize {
        self.table.len()
    }

    /// A plugin answers a call that may run. It may be over already, which is no error.
    pub(crate) fn answer(
        &mut self,
        plugin: PluginId,
        call: CallId,
        answer: &[u8],
        effects: &mut Effects,
    ) -> Result<(), Misuse> {
        if self.is_asked(plugin, call)? {
            let outcome = match self.fits(answer.len(), "answer") {
                Ok(()) => Outcome::Answered(answer.to_vec()),
                Err(reason) => Outcome::Lost(reason),
            };
            self.answered(call, outcome, effects);
        } else {
            log::debug!("an answer of plugin {} came when its call was over", plugin.0);
        }
        Ok(())
    }

    /// A plugin refuses a call. It may be over already, which is no error.
    pub(crate) fn refuse(
        &mut self,
        plugin: PluginId,
        call: CallId,
        reason: Reason,
        effects: &mut Effects,
    ) -> Result<(), Misuse> {
        if self.is_asked(plugin, call)? {
            self.answered(call, Outcome::Refused(reason), effects);
        }
        Ok(())
    }

    /// A plugin waits for the outcome of a call no longer.
    pub(crate) fn cancel(
        &mut self,
        plugin: PluginId,
        call: CallId,
        effects: &mut Effects,
    ) -> Result<(), Misuse> {
        match self.table.get(&call) {
            Some(Call { asker, .. }) if *asker == Asker::Plugin(plugin) => {
                self.given_up(call, Outcome::Cancelled, effects);
                Ok(())
            }
            None if self.was(call) => Ok(()),
            Some(_) | None => Err(Misuse::NoSuchCall),
        }
    }

    /// The deadline of a call has passed.
    pub(crate) fn time_is_over(&mut self, call: CallId, effects: &mut Effects) {
        if let Some(found) = self.table.get_mut(&call) {
            found.timed = false;
        }
        self.given_up(call, Outcome::Deadline, effects);
    }

    /// Whether a plugin is asked; not when the call is over.
    fn is_asked(&self, plugin: PluginId, call: CallId) -> Result<bool, Misuse> {
        match self.table.get(&call) {
            Some(Call { asked: Asked::Plugin(asked, Heard::Told), .. }) if *asked == plugin => {
                Ok(true)
            }
            None if self.frames.is_asked(plugin, call) => Ok(true),
            None if self.was(call) => Ok(false),
            Some(_) | None => Err(Misuse::NoSuchCall),
        }
    }

    /// A name for a call.
    #[inline]
    fn next_id(&mut self) -> CallId {
        self.next += 1;
        CallId(self.next)
    }

    /// Whether this has ever been a call.
    fn was(&self, call: CallId) -> bool {
        (1..=self.next).contains(&call.0)
    }

    /// Counts that a limit was reached, and says so.
    fn limit_reached(&mut self, limit: Limit, text: impl AsRef<str>) -> Reason {
        self.happens(Event::Reached(limit));
        Reason::server(Code::LimitReached, text)
    }
}
