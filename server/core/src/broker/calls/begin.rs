//! How a call begins: who is meant, whether it may, and whether the callee is called at once.

use super::{Asked, Asker, Call, CallCounts, CallId, Called, Callee, CalleePlace, Heard, Outcome};
use crate::broker::flows::places::caller;
use crate::broker::registry::plugins::{PluginRecord, Runs};
use crate::broker::{Broker, Caller, PluginId, PluginState, Told};
use crate::calls::MESSAGE_COST;
use crate::limits::Limit;
use crate::name::NameError;
use crate::reason::{Code, Reason};
use alloc::format;
use alloc::string::ToString;
use core::time::Duration;

impl Broker {
    pub(crate) fn do_call(
        &mut self,
        plugin: PluginId,
        callee: &Callee<'_>,
        request: &[u8],
        deadline: Duration,
    ) -> Called {
        let longest = self.settings.limits.call_size;
        if let Some(called) = self.calls.call_now(plugin, callee, request, longest, deadline) {
            return called;
        }
        if deadline.is_zero() {
            return Called::Over(Outcome::Deadline);
        }
        match self.begin_call(plugin, callee, request, deadline) {
            Ok(called) => called,
            Err(reason) => Called::Over(Outcome::Refused(reason)),
        }
    }

    fn begin_call(
        &mut self,
        plugin: PluginId,
        callee: &Callee<'_>,
        request: &[u8],
        deadline: Duration,
    ) -> Result<Called, Reason> {
        if self.stopping {
            return Err(Reason::server(Code::ServerStopping, "the server is going down"));
        }
        self.fits(request.len(), "request")?;
        let Ok(name) = core::str::from_utf8(callee.name) else {
            return Err(Reason::server(Code::UnknownPlugin, "a name is of a-z 0-9 - . _"));
        };
        match self.callee_here(name, callee) {
            Some(here) => self.call_here(plugin, here, request, deadline),
            None => self.call_away(plugin, name, callee, request, deadline),
        }
    }

    /// The plugin of this process that is meant, if it is one.
    fn callee_here(&self, name: &str, callee: &Callee<'_>) -> Option<PluginId> {
        let is_meant = |record: &PluginRecord| {
            record.config.version >= callee.least
                && record.state == PluginState::Running
                && record.runs == Runs::Here
        };
        match callee.place {
            CalleePlace::Anywhere | CalleePlace::Here => {}
            CalleePlace::Server(text) if self.is_home(text) => {}
            CalleePlace::Server(_) => return None,
        }
        let id = self.registry.named(name)?;
        self.registry.plugin(id).is_some_and(is_meant).then_some(id)
    }

    /// Whether a plugin means the server of this process.
    fn is_home(&self, text: &str) -> bool {
        text == self.neighbours.home_name() || text.parse() == Ok(self.neighbours.home_key())
    }

    /// Calls a plugin of this process: now, unless it is on the stack or others wait for it.
    fn call_here(
        &mut self,
        plugin: PluginId,
        callee: PluginId,
        request: &[u8],
        deadline: Duration,
    ) -> Result<Called, Reason> {
        if self.calls.may_call_now(plugin, callee)
            && let Some(called) = self.calls.run_now(plugin, callee, deadline)
        {
            return Ok(called);
        }
        let gone = || Reason::server(Code::PluginStopped, "the caller is gone");
        let caller = caller(&self.registry, &self.neighbours, plugin).ok_or_else(gone)?;
        let held = self.calls.counts(plugin).held;
        self.holds(held, request.len())?;
        let call = self.queue_call(Asker::Plugin(plugin), callee, caller, request.to_vec())?;
        self.watch_call(call, deadline);
        Ok(Called::Pending(call))
    }

    /// A call whose callee will be told of it.
    pub(super) fn queue_call(
        &mut self,
        asker: Asker,
        callee: PluginId,
        caller: Caller,
        request: alloc::vec::Vec<u8>,
    ) -> Result<CallId, Reason> {
        let length = u32::try_from(request.len()).unwrap_or(u32::MAX);
        let call = self.add_call(asker, Asked::Plugin(callee, Heard::Queued(length)))?;
        self.calls.change_counts(callee, |counts| counts.queued += 1);
        self.weigh_calls(callee);
        if let Asker::Plugin(caller) = asker {
            let cost = u64::from(length) + MESSAGE_COST;
            self.calls.change_counts(caller, |counts| counts.held += cost);
        }
        self.tell(callee, Told::Call(call, caller, request));
        Ok(call)
    }

    /// Calls a plugin of another process.
    fn call_away(
        &mut self,
        plugin: PluginId,
        name: &str,
        callee: &Callee<'_>,
        request: &[u8],
        deadline: Duration,
    ) -> Result<Called, Reason> {
        let bad = |error: NameError| Reason::server(Code::UnknownPlugin, error.to_string());
        let name = name.parse().map_err(bad)?;
        let server = match callee.place {
            CalleePlace::Anywhere => None,
            CalleePlace::Here => Some(self.neighbours.home_key().to_string()),
            CalleePlace::Server(text) => Some(text.into()),
        };
        let target = crate::broker::Target { name, least: callee.least, server };
        let stream = self.stream_to(plugin, &target)?;
        let number = self.number_on(stream, request.len())?;
        let call = self.add_call(Asker::Plugin(plugin), Asked::Stream(stream, number))?;
        self.watch_call(call, deadline);
        self.send_request(stream, number, call, request.to_vec());
        Ok(Called::Pending(call))
    }

    /// Whether a callee was told of a call; its request is kept no longer.
    pub(crate) fn call_told(&mut self, call: CallId) -> bool {
        let Some(found) = self.calls.table.get_mut(&call) else { return false };
        let asker = found.asker;
        let Asked::Plugin(callee, heard) = &mut found.asked else { return false };
        let callee = *callee;
        let Heard::Queued(length) = core::mem::replace(heard, Heard::Told) else { return false };
        self.unqueue(asker, callee, length);
        true
    }

    /// A request waits no longer to be told to its callee.
    pub(super) fn unqueue(&mut self, asker: Asker, callee: PluginId, length: u32) {
        self.calls.change_counts(callee, |counts| counts.queued = counts.queued.saturating_sub(1));
        self.weigh_calls(callee);
        if let Asker::Plugin(caller) = asker {
            self.calls.release((None, u64::from(length) + MESSAGE_COST), caller);
        }
    }

    fn add_call(&mut self, asker: Asker, asked: Asked) -> Result<CallId, Reason> {
        self.count_call(asker, asked)?;
        let id = self.calls.next_id();
        self.calls.table.insert(id, Call { asker, asked, timed: false });
        Ok(id)
    }

    /// Counts a call for the plugins that have to do with it, if they have room for it.
    pub(super) fn count_call(&mut self, asker: Asker, asked: Asked) -> Result<(), Reason> {
        let (caller, callee) = (asker.plugin(), asked.plugin());
        let most = self.settings.limits.calls;
        let full = |plugin: Option<PluginId>, count: fn(CallCounts) -> usize| {
            let plugin = plugin.filter(|plugin| count(self.calls.counts(*plugin)) >= most)?;
            self.registry.plugin(plugin).map(|record| &record.config.name)
        };
        let text = if let Some(name) = full(caller, |counts| counts.made) {
            format!("{name} waits for {most} calls, as many as a plugin may")
        } else if let Some(name) = full(callee, |counts| counts.asked) {
            format!("{name} has {most} calls to answer, as many as a plugin may have")
        } else {
            self.count_calls_of(caller, |counts| counts.made += 1);
            self.count_calls_of(callee, |counts| counts.asked += 1);
            return Ok(());
        };
        self.counters.count(Limit::Calls);
        Err(Reason::server(Code::TooManyCalls, text))
    }

    pub(crate) fn count_calls_of(
        &mut self,
        plugin: Option<PluginId>,
        change: impl FnOnce(&mut CallCounts),
    ) {
        let Some(plugin) = plugin else { return };
        self.calls.change_counts(plugin, change);
        self.weigh_calls(plugin);
    }

    /// Ends a call when its time is over.
    pub(crate) fn watch_call(&mut self, call: CallId, deadline: Duration) {
        let Some(found) = self.calls.table.get_mut(&call) else { return };
        // Who waits for ever needs no timer.
        if let Some(at) = self.now.checked_add(deadline).filter(|_| deadline < Duration::MAX) {
            found.timed = true;
            self.timers.set(crate::broker::TimerKey::Call(call), at);
        }
    }

    /// Whether a request or an answer is not longer than one may be.
    pub(crate) fn fits(&mut self, length: usize, what: &str) -> Result<(), Reason> {
        let most = self.settings.limits.call_size;
        if length <= most {
            return Ok(());
        }
        let text = format!("the {what} has {length} bytes, at most {most} are taken");
        Err(self.limit_reached(Limit::CallSize, text))
    }

    /// Whether so many bytes may be kept beside those that are.
    pub(crate) fn holds(&mut self, held: u64, length: usize) -> Result<(), Reason> {
        let most = self.settings.limits.link_window;
        if held + length as u64 + MESSAGE_COST <= most {
            return Ok(());
        }
        self.counters.count(Limit::LinkWindow);
        let text = format!("requests and answers that wait may have {most} bytes together");
        Err(Reason::server(Code::TooManyCalls, text))
    }
}
