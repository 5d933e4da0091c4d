//! How a call begins: who is meant, whether it may, and whether the callee is called at once.

use super::super::plugins::{PluginRecord, Runs};
use super::super::{Broker, Caller, PluginId, PluginState, Told};
use super::{
    Asked, Asker, Call, CallId, Called, Callee, CalleePlace, DEPTH_MAX, Heard, Outcome, Running,
};
use crate::calls::MESSAGE_COST;
use crate::limits::Limit;
use crate::name::NameError;
use crate::reason::{Code, Reason};
use alloc::format;
use alloc::string::ToString;
use core::time::Duration;

impl Broker {
    /// A plugin calls another one, and waits for the outcome for so long. A callee of this process
    /// that is not on the stack is called at once.
    pub fn call(
        &mut self,
        plugin: PluginId,
        callee: &Callee<'_>,
        request: &[u8],
        deadline: Duration,
    ) -> Called {
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
        match self.callee_here(callee) {
            Some(here) => self.call_here(plugin, here, request, deadline),
            None => self.call_away(plugin, callee, request, deadline),
        }
    }

    /// The plugin of this process that is meant, if it is one.
    fn callee_here(&self, callee: &Callee<'_>) -> Option<PluginId> {
        let is_meant = |record: &PluginRecord| {
            record.config.name.as_str() == callee.name
                && record.config.version >= callee.least
                && record.state == PluginState::Running
                && record.runs == Runs::Here
        };
        match callee.place {
            CalleePlace::Anywhere | CalleePlace::Here => {}
            CalleePlace::Server(text) if self.is_home(text) => {}
            CalleePlace::Server(_) => return None,
        }
        let is_meant = |id: &PluginId| self.plugins.get(id).is_some_and(is_meant);
        callee
            .hint
            .filter(is_meant)
            .or_else(|| self.names.get(callee.name).copied().filter(is_meant))
    }

    /// Whether a plugin means the server of this process.
    fn is_home(&self, text: &str) -> bool {
        text == self.home.name || text.parse() == Ok(self.home.key)
    }

    /// Calls a plugin of this process: now, unless it is on the stack or others wait for it.
    fn call_here(
        &mut self,
        plugin: PluginId,
        callee: PluginId,
        request: &[u8],
        deadline: Duration,
    ) -> Result<Called, Reason> {
        let queued = self.plugins.get(&callee).map_or(0, |record| record.calls.queued);
        let on_stack = |running: &Running| running.callee == callee || running.caller == callee;
        let now = queued == 0
            && callee != plugin
            && self.calls.running.len() < DEPTH_MAX
            && !self.calls.running.iter().any(on_stack);
        if now {
            let asked = Asked::Plugin(callee, Heard::Told);
            let call = self.add_call(Asker::Plugin(plugin), asked)?;
            let running = Running { call, caller: plugin, callee, deadline, outcome: None };
            self.calls.running.push(running);
            return Ok(Called::Run(callee, call));
        }
        let gone = || Reason::server(Code::PluginStopped, "the caller is gone");
        let caller = self.caller(plugin).ok_or_else(gone)?;
        let held = self.plugins.get(&plugin).map_or(0, |record| record.calls.held);
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
        if let Some(record) = self.plugins.get_mut(&callee) {
            record.calls.queued += 1;
        }
        if let Asker::Plugin(caller) = asker
            && let Some(record) = self.plugins.get_mut(&caller)
        {
            record.calls.held += u64::from(length) + MESSAGE_COST;
        }
        self.tell(callee, Told::Call(call, caller, request));
        Ok(call)
    }

    /// Calls a plugin of another process.
    fn call_away(
        &mut self,
        plugin: PluginId,
        callee: &Callee<'_>,
        request: &[u8],
        deadline: Duration,
    ) -> Result<Called, Reason> {
        let bad = |error: NameError| Reason::server(Code::UnknownPlugin, error.to_string());
        let name = callee.name.parse().map_err(bad)?;
        let server = match callee.place {
            CalleePlace::Anywhere => None,
            CalleePlace::Here => Some(self.home.key.to_string()),
            CalleePlace::Server(text) => Some(text.into()),
        };
        let target = super::super::Target { name, least: callee.least, server };
        let stream = self.stream_to(plugin, &target)?;
        let number = self.number_on(stream, request.len())?;
        let call = self.add_call(Asker::Plugin(plugin), Asked::Stream(stream, number))?;
        self.watch_call(call, deadline);
        self.send_request(stream, number, call, request.to_vec());
        Ok(Called::Pending(call))
    }

    /// The callee has returned from a call that was made at once.
    pub fn returned(&mut self, call: CallId) -> Called {
        let Some(running) = self.calls.running.pop_if(|running| running.call == call) else {
            return Called::Pending(call);
        };
        match running.outcome {
            Some(outcome) => Called::Over(outcome),
            None => {
                self.watch_call(call, running.deadline);
                Called::Pending(call)
            }
        }
    }

    /// Whether a callee was told of a call; its request is kept no longer.
    pub(in super::super) fn call_told(&mut self, call: CallId) -> bool {
        let Some(found) = self.calls.table.get_mut(call) else { return false };
        let asker = found.asker;
        let Asked::Plugin(callee, heard) = &mut found.asked else { return false };
        let callee = *callee;
        let Heard::Queued(length) = core::mem::replace(heard, Heard::Told) else { return false };
        self.unqueue(asker, callee, length);
        true
    }

    /// A request waits no longer to be told to its callee.
    pub(super) fn unqueue(&mut self, asker: Asker, callee: PluginId, length: u32) {
        if let Some(record) = self.plugins.get_mut(&callee) {
            record.calls.queued = record.calls.queued.saturating_sub(1);
        }
        if let Asker::Plugin(caller) = asker
            && let Some(record) = self.plugins.get_mut(&caller)
        {
            let held = u64::from(length) + MESSAGE_COST;
            record.calls.held = record.calls.held.saturating_sub(held);
        }
    }

    fn add_call(&mut self, asker: Asker, asked: Asked) -> Result<CallId, Reason> {
        let most = self.settings.limits.calls;
        let caller = match asker {
            Asker::Plugin(plugin) => Some(plugin),
            Asker::Stream(..) => None,
        };
        let callee = match asked {
            Asked::Plugin(plugin, _) => Some(plugin),
            Asked::Stream(..) => None,
        };
        let full = |plugin: Option<PluginId>, count: fn(&PluginRecord) -> usize| {
            let record = plugin.and_then(|plugin| self.plugins.get(&plugin));
            record.filter(|record| count(record) >= most).map(|record| &record.config.name)
        };
        let text = if let Some(name) = full(caller, |record| record.calls.made) {
            format!("{name} waits for {most} calls, as many as a plugin may")
        } else if let Some(name) = full(callee, |record| record.calls.asked) {
            format!("{name} has {most} calls to answer, as many as a plugin may have")
        } else {
            if let Some(record) = caller.and_then(|caller| self.plugins.get_mut(&caller)) {
                record.calls.made += 1;
            }
            if let Some(record) = callee.and_then(|callee| self.plugins.get_mut(&callee)) {
                record.calls.asked += 1;
            }
            return Ok(self.calls.table.add(Call { asker, asked, timed: false }));
        };
        self.counters.count(Limit::Calls);
        Err(Reason::server(Code::TooManyCalls, text))
    }

    /// Ends a call when its time is over.
    fn watch_call(&mut self, call: CallId, deadline: Duration) {
        let Some(found) = self.calls.table.get_mut(call) else { return };
        // Who waits for ever needs no timer.
        if let Some(at) = self.now.checked_add(deadline).filter(|_| deadline < Duration::MAX) {
            found.timed = true;
            self.timers.set(super::super::TimerKey::Call(call), at);
        }
    }

    /// Whether a request or an answer is not longer than one may be.
    pub(super) fn fits(&mut self, length: usize, what: &str) -> Result<(), Reason> {
        let most = self.settings.limits.call_size;
        if length <= most {
            return Ok(());
        }
        let text = format!("the {what} has {length} bytes, at most {most} are taken");
        Err(self.limit_reached(Limit::CallSize, text))
    }

    /// Whether so many bytes may be kept beside those that are.
    pub(super) fn holds(&mut self, held: u64, length: usize) -> Result<(), Reason> {
        let most = self.settings.limits.link_window;
        if held + length as u64 + MESSAGE_COST <= most {
            return Ok(());
        }
        self.counters.count(Limit::LinkWindow);
        let text = format!("requests and answers that wait may have {most} bytes together");
        Err(Reason::server(Code::TooManyCalls, text))
    }
}
