//! How a plugin makes calls, and answers them.

use std::time::Duration;

use super::{Host, target_view};
use crate::abi::{Bytes, OutcomeView, Sink, Status};
use crate::call::{Called, Unanswered};
use crate::{By, Call, Reason, Target};

/// Calls: since version 1.2 of the API.
///
/// A call is one request with exactly one outcome: answered, refused, cancelled, past its deadline,
/// or lost. It is made at most once and never retried.
impl Host {
    /// Calls another plugin, and waits at most `deadline` for its answer.
    ///
    /// A plugin that runs in the same place is called at once; if it answers at once, its answer is
    /// in [`Called::Over`]. Otherwise, also if that plugin is on the stack already,
    /// [`reply`](crate::Plugin::reply) receives the outcome. The calls of one plugin to another
    /// begin in the order in which they were made, and end in any order. Only a request of more
    /// than 16 KiB to another process may be overtaken by shorter ones.
    ///
    /// A request and an answer have at most 16 MiB each, and a plugin may wait for 65,536 calls,
    /// unless the server's `[limits]` say otherwise. With a deadline of zero the callee is not
    /// called. [`Duration::MAX`] is no deadline. An answer that is given at once is never late. A
    /// target that is kept is found faster the next time.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use std::time::Duration;
    /// use trunkline_plugin::prelude::*;
    ///
    /// /// Asks a key-value store.
    /// struct Asks {
    ///     store: Target,
    ///     /// The key that each pending call asked for.
    ///     asked: BTreeMap<Call, String>,
    /// }
    ///
    /// impl Asks {
    ///     fn ask(&mut self, host: &Host, key: &str) {
    ///         match host.call(&self.store, key.as_bytes(), Duration::from_secs(1)) {
    ///             Called::Pending(call) => drop(self.asked.insert(call, key.to_owned())),
    ///             over => over.over().into_iter().for_each(|outcome| self.log(key, outcome)),
    ///         }
    ///     }
    ///
    ///     fn log(&self, key: &str, outcome: Result<&[u8], Unanswered>) {
    ///         match outcome {
    ///             Ok(value) => log::info!("{key} is {value:?}"),
    ///             // The store itself refused, with a reason of its own.
    ///             Err(Unanswered::Refused(why)) if why.by() == By::Plugin => log::info!("{why}"),
    ///             Err(why) => log::warn!("{key}: {why}"),
    ///         }
    ///     }
    /// }
    ///
    /// impl Plugin for Asks {
    ///     const ABOUT: About = About::new("asks", 1).uses("store", 1);
    ///
    ///     fn start(host: &Host, _config: Config) -> Result<Self, Reason> {
    ///         host.set_timer(Duration::from_secs(1));
    ///         Ok(Asks { store: Target::new("store"), asked: BTreeMap::new() })
    ///     }
    ///
    ///     fn timer(&mut self, host: &Host, _timer: Timer) {
    ///         self.ask(host, "colour");
    ///     }
    ///
    ///     fn reply(&mut self, _host: &Host, call: Call, outcome: Result<&[u8], Unanswered>) {
    ///         if let Some(key) = self.asked.remove(&call) {
    ///             self.log(&key, outcome);
    ///         }
    ///     }
    /// }
    /// # trunkline_plugin::export_plugin!(Asks);
    /// # fn main() {}
    /// ```
    pub fn call(&self, target: &Target, request: &[u8], deadline: Duration) -> Called {
        let Some(function) = self.table.call() else {
            return refused(
                "this server's plugin API is older than 1.2 and has no calls; run a newer server",
            );
        };
        // 64 bits of nanoseconds are 584 years.
        let nanos = deadline.as_secs().saturating_mul(NANOS_IN_SECOND);
        let nanos = nanos.saturating_add(u64::from(deadline.subsec_nanos()));
        let (view, hint) = (target_view(target), target.hint());
        let (mut number, mut found) = (0, hint);
        let mut called = Called::Pending(Call(0));
        let mut take = |view: &OutcomeView| {
            // SAFETY: the host shows what is alive.
            let shown = unsafe { view.as_result() };
            called = Called::Over(shown.map(<[u8]>::to_vec));
        };
        // SAFETY: all pointers are borrowed for the call.
        let status = unsafe {
            function(
                self.context,
                &raw const view,
                &raw mut found,
                Bytes::new(request),
                nanos,
                &raw mut number,
                Sink::new(&mut take),
            )
        };
        if found != hint {
            target.set_hint(found);
        }
        match status {
            Status::DONE if matches!(called, Called::Over(_)) => called,
            Status::LATER => Called::Pending(Call(number)),
            _ => host_failed(),
        }
    }

    /// Cancels a call: its outcome is [`Unanswered::Cancelled`], reported by
    /// [`reply`](crate::Plugin::reply), and the callee is notified. Has no effect if the call is
    /// over.
    pub fn cancel(&self, call: Call) {
        if let Some(function) = self.table.cancel_call() {
            // SAFETY: context and table belong together.
            unsafe { function(self.context, call.0) };
        }
    }

    /// Answers a call to this plugin, in [`call`](crate::Plugin::call) or at any later time. Has no
    /// effect if the call is over: answered, cancelled or past its deadline.
    pub fn answer(&self, call: Call, answer: &[u8]) {
        if let Some(function) = self.table.answer_call() {
            // SAFETY: the answer is borrowed for the call.
            unsafe { function(self.context, call.0, Bytes::new(answer)) };
        }
    }

    /// Refuses a call to this plugin, as [`answer`](Self::answer) answers it.
    pub fn refuse_call(&self, call: Call, why: Reason) {
        if let Some(function) = self.table.refuse_call() {
            let view = why.view();
            // SAFETY: the reason is borrowed for the call.
            unsafe { function(self.context, call.0, &raw const view) };
        }
    }
}

const NANOS_IN_SECOND: u64 = 1_000_000_000;

#[cold]
fn host_failed() -> Called {
    let why = "the server failed while it handled the request; see its log";
    let why = Reason::received(By::Server, "host-failed", why);
    Called::Over(Err(Unanswered::Lost(why)))
}

#[cold]
fn refused(text: &str) -> Called {
    let why = Reason::received(By::Server, "not-supported", text);
    Called::Over(Err(Unanswered::Refused(why)))
}
