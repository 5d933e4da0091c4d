//! Calls as the shell and the links see them: each is passed on to `Calls`, with what it has to
//! know of others, and what comes of it is done elsewhere.

use crate::broker::calls::Event;
use crate::broker::neighbours::Neighbours;
use crate::broker::registry::Registry;
use crate::broker::registry::plugins::Runs;
use crate::broker::{
    Broker, CallId, Called, Callee, CalleePlace, Misuse, Outcome, PluginId, PluginState, Returned,
    Target, TimerKey,
};
use crate::control::Purpose;
use crate::ids::{EndId, Handle};
use crate::name::NameError;
use crate::reason::{Code, Reason};
use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

impl Broker {
    /// A plugin calls another one, and waits for the outcome for so long. A callee of this process
    /// that is not on the stack is called at once.
    #[inline]
    pub fn call(
        &mut self,
        plugin: PluginId,
        callee: &Callee<'_>,
        request: &[u8],
        deadline: Duration,
    ) -> Called {
        // Nothing has happened then that others have to hear of.
        match self.calls.call_now(plugin, callee, request.len(), deadline) {
            Some(called) => called,
            None => self.do_call(plugin, callee, request, deadline),
        }
    }

    #[inline(never)]
    fn do_call(
        &mut self,
        plugin: PluginId,
        callee: &Callee<'_>,
        request: &[u8],
        deadline: Duration,
    ) -> Called {
        if deadline.is_zero() {
            return Called::Over(Outcome::Deadline);
        }
        let called = self.begin_call(plugin, callee, request, deadline);
        self.settle();
        called.unwrap_or_else(|reason| Called::Over(Outcome::Refused(reason)))
    }

    fn begin_call(
        &mut self,
        plugin: PluginId,
        callee: &Callee<'_>,
        request: &[u8],
        deadline: Duration,
    ) -> Result<Called, Reason> {
        self.calls.may_begin(request.len())?;
        let Ok(name) = core::str::from_utf8(callee.name) else {
            return Err(Reason::server(Code::UnknownPlugin, "a name is of a-z 0-9 - . _"));
        };
        if let Some(here) = callee_here(&self.registry, &self.neighbours, name, callee) {
            let caller = (plugin, self.neighbours.home_key());
            return self.calls.call_here(caller, here, request, deadline, &mut self.effects);
        }
        let stream = self.stream_to(plugin, name, callee)?;
        self.calls.call_over(plugin, stream, request, deadline)
    }

    /// The stream for calls of a plugin to one of another process, which is opened if there is
    /// none.
    fn stream_to(
        &mut self,
        plugin: PluginId,
        name: &str,
        callee: &Callee<'_>,
    ) -> Result<EndId, Reason> {
        let bad = |error: NameError| Reason::server(Code::UnknownPlugin, error.to_string());
        let name = name.parse().map_err(bad)?;
        let server = match callee.place {
            CalleePlace::Anywhere => None,
            CalleePlace::Here => Some(self.neighbours.home_key().to_string()),
            CalleePlace::Server(text) => Some(text.into()),
        };
        let target = Target { name, least: callee.least, server };
        let entry = self.find(&target)?;
        let pair = (plugin, entry.name.clone(), entry.server);
        if let Some(end) = self.calls.stream_of(&pair).filter(|end| self.switch.takes_calls(*end)) {
            return Ok(end);
        }
        let none = || Reason::server(Code::Refused, "there is no stream for the call");
        let handle = self.open_to(plugin, &target, entry, Purpose::Calls)?;
        let end = handle.id().ok_or_else(none)?;
        self.calls.stream_opened(pair, end, self.switch.conn_behind(end));
        Ok(end)
    }

    /// The callee has returned from a call that was made at once.
    #[inline]
    pub fn returned(&mut self, call: CallId) -> Returned {
        let returned = self.calls.returned(call, &mut self.effects);
        if !matches!(returned, Returned::Answered(_)) {
            self.settle();
        }
        returned
    }

    /// The buffer of an answer that [`returned`](Broker::returned) gave is free.
    #[inline]
    pub fn reuse(&mut self, buffer: Vec<u8>) {
        self.calls.reuse(buffer);
    }

    /// The callee of a call that was made at once did not return: the server itself panicked below
    /// it. Its caller is told nothing, for it is on the stack too.
    pub fn unwound(&mut self, call: CallId) {
        self.calls.unwound(call);
        self.settle();
    }

    /// A plugin answers a call. It may be over already, which is no error.
    #[inline]
    pub fn answer_call(
        &mut self,
        plugin: PluginId,
        call: CallId,
        answer: &[u8],
    ) -> Result<(), Misuse> {
        match self.calls.answer_at_once(plugin, call, answer) {
            true => Ok(()),
            false => self.do_answer_call(plugin, call, answer),
        }
    }

    #[inline(never)]
    fn do_answer_call(
        &mut self,
        plugin: PluginId,
        call: CallId,
        answer: &[u8],
    ) -> Result<(), Misuse> {
        let said = self.calls.answer(plugin, call, answer, &mut self.effects);
        self.settle();
        said
    }

    /// Calls without an outcome that this process knows of.
    pub fn open_calls(&self) -> usize {
        self.calls.open()
    }

    /// The handles of the ends on which a plugin's calls travel, of which it is not told.
    pub fn call_channels(&self, plugin: PluginId) -> Vec<Handle> {
        let streams = self.calls.streams_of(plugin).into_iter();
        streams.map(|end| self.switch.handle(end)).collect()
    }

    pub(super) fn calls_event(&mut self, event: Event) {
        match event {
            Event::Wait(timer, at) => self.timers.set(TimerKey::Calls(timer), at),
            Event::WaitNoLonger(timer) => drop(self.timers.cancel(TimerKey::Calls(timer))),
            Event::Reached(limit) => self.counters.count(limit),
        }
    }
}

/// The plugin of this process that is called, if it is one.
fn callee_here(
    registry: &Registry,
    neighbours: &Neighbours,
    name: &str,
    callee: &Callee<'_>,
) -> Option<PluginId> {
    let is_home =
        |text: &str| text == neighbours.home_name() || text.parse() == Ok(neighbours.home_key());
    match callee.place {
        CalleePlace::Anywhere | CalleePlace::Here => {}
        CalleePlace::Server(text) if is_home(text) => {}
        CalleePlace::Server(_) => return None,
    }
    let id = registry.named(name)?;
    let record = registry.plugin(id)?;
    let is_meant = record.config.version >= callee.least
        && record.state == PluginState::Running
        && record.runs == Runs::Here;
    is_meant.then_some(id)
}
