//! Calls: one request of a plugin's to another, and what becomes of it, which is exactly one of
//! [`Outcome`].
//!
//! A call has two sides in each process: who asks (`Asker`) and who is asked (`Asked`). Each is a
//! plugin of the process or a call of a stream, on which all calls of a pair of plugins travel. The
//! stream is a channel like any other whose ends belong to the broker (`streams.rs`), so that it
//! has the same routes, the same limits and the same backpressure. A plugin that is not on the
//! stack and runs in the same process is called at once (`now.rs`): such a call is a frame of a
//! stack, and becomes one of the table only if its callee returns without an answer.

mod account;
mod audit;
mod begin;
mod now;
mod over;
mod streams;

use crate::broker::{Broker, Misuse, OpenCalls, PluginId};
use crate::ids::{CallId, ConnId, EndId};
use crate::name::Version;
use crate::reason::Reason;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
pub use now::Returned;
use now::{Frames, Quick};
pub(crate) use streams::{CallStream, PairKey};

/// Which plugin a call is for.
#[derive(Clone, Copy, Debug)]
pub struct Callee<'a> {
    /// Its name, in UTF-8 if it is one.
    pub name: &'a [u8],
    /// The least version that will do.
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

/// What a call has come to when [`Broker::call`] returns.
#[derive(Debug, PartialEq, Eq)]
pub enum Called {
    /// Call this plugin now, then say [`returned`](Broker::returned).
    Run(PluginId, CallId),
    /// The outcome is told later.
    Pending(CallId),
    /// It is over.
    Over(Outcome),
}

/// Who waits for the outcome.
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

/// Who has to answer.
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
#[derive(Debug, Default)]
pub(crate) struct Calls {
    table: BTreeMap<CallId, Call>,
    next: u64,
    /// Those whose callee is on the stack.
    frames: Frames,
    /// What decides whether a plugin is called at once, by the plugin's number.
    quick: Vec<Quick>,
    /// What each plugin of this process has to do with calls.
    counts: BTreeMap<PluginId, CallCounts>,
    /// What messages of calls cost that wait here for their rest, or for the peer.
    held_by_conn: BTreeMap<ConnId, u64>,
    streams: BTreeMap<EndId, CallStream>,
    /// The stream of each pair of plugins whose caller is here.
    pairs: BTreeMap<PairKey, EndId>,
}

/// What a plugin has to do with calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CallCounts {
    /// Calls that it made.
    made: usize,
    /// Calls that it has to answer.
    asked: usize,
    /// Those of them of which it has not been told.
    queued: usize,
    /// Bytes of requests that wait to be told to plugins of this process, which it made, and of
    /// answers that wait to be told to it.
    held: u64,
}

impl CallCounts {
    /// What is shown of it.
    pub(crate) fn open(self) -> OpenCalls {
        OpenCalls { made: self.made, to_answer: self.asked }
    }
}

impl Calls {
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
}

impl Broker {
    pub(crate) fn do_answer_call(
        &mut self,
        plugin: PluginId,
        call: CallId,
        answer: &[u8],
    ) -> Result<(), Misuse> {
        if answer.len() <= self.settings.limits.call_size
            && self.calls.frames.answer(plugin, call, answer)
        {
            return Ok(());
        }
        if self.calls.is_asked(plugin, call)? {
            let outcome = match self.fits(answer.len(), "answer") {
                Ok(()) => Outcome::Answered(answer.to_vec()),
                Err(reason) => Outcome::Lost(reason),
            };
            self.call_answered(call, outcome);
        } else {
            log::debug!("an answer of plugin {} came when its call was over", plugin.0);
        }
        Ok(())
    }

    pub(crate) fn do_refuse_call(
        &mut self,
        plugin: PluginId,
        call: CallId,
        reason: Reason,
    ) -> Result<(), Misuse> {
        if self.calls.is_asked(plugin, call)? {
            self.call_answered(call, Outcome::Refused(reason));
        }
        Ok(())
    }

    pub(crate) fn do_cancel_call(&mut self, plugin: PluginId, call: CallId) -> Result<(), Misuse> {
        match self.calls.table.get(&call) {
            Some(Call { asker, .. }) if *asker == Asker::Plugin(plugin) => {
                self.call_given_up(call, Outcome::Cancelled);
                Ok(())
            }
            None if self.calls.was(call) => Ok(()),
            Some(_) | None => Err(Misuse::NoSuchCall),
        }
    }

    /// The time of a call is over.
    pub(crate) fn call_timer(&mut self, call: CallId) {
        if let Some(found) = self.calls.table.get_mut(&call) {
            found.timed = false;
        }
        self.call_given_up(call, Outcome::Deadline);
    }

    /// Calls without an outcome that this process knows of.
    pub fn open_calls(&self) -> usize {
        self.calls.table.len()
    }
}

impl Calls {
    /// What a plugin has to do with calls.
    pub(crate) fn counts(&self, plugin: PluginId) -> CallCounts {
        self.counts.get(&plugin).copied().unwrap_or_default()
    }

    /// Changes what a plugin has to do with calls. Nothing is kept of one that has none.
    fn change_counts(&mut self, plugin: PluginId, change: impl FnOnce(&mut CallCounts)) {
        let counts = self.counts.entry(plugin).or_default();
        change(counts);
        if *counts == CallCounts::default() {
            self.counts.remove(&plugin);
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
}
