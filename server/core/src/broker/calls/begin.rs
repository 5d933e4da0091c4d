//! How a call begins that is not run at once: it waits to be told to its callee, or its request is
//! sent on a stream.

use super::{Asked, Asker, Call, CallId, CallTimer, Called, Calls, Event, Heard};
use crate::broker::effect::{Caller, Effects, Told};
use crate::calls::MESSAGE_COST;
use crate::ids::{EndId, PluginId};
use crate::key::Key;
use crate::reason::{Code, Reason};
use alloc::vec::Vec;
use core::time::Duration;

impl Calls {
    /// Whether a call may begin whose request has so many bytes, for any callee.
    pub(crate) fn may_begin(&mut self, length: usize) -> Result<(), Reason> {
        if self.parties.are_stopping() {
            return Err(Reason::server(Code::ServerStopping, "the server is going down"));
        }
        self.fits(length, "request")
    }

    /// Calls a plugin of this process: now, unless it is on the stack or others wait for it. `home`
    /// is the server that the plugins belong to.
    pub(crate) fn call_here(
        &mut self,
        (plugin, home): (PluginId, Key),
        callee: PluginId,
        request: &[u8],
        deadline: Duration,
        effects: &mut Effects,
    ) -> Result<Called, Reason> {
        self.parties.calls(plugin, callee);
        if self.parties.may_call(plugin)
            && self.parties.is_callable(callee)
            && let Some(called) = self.run_now(plugin, callee, deadline)
        {
            return Ok(called);
        }
        let gone = || Reason::server(Code::PluginStopped, "the caller is gone");
        let (name, version) = self.parties.named(plugin).ok_or_else(gone)?;
        let caller = Caller { name: name.clone(), version, server: home };
        let held = self.parties.counts(plugin).held;
        self.holds(held, request.len())?;
        let asker = Asker::Plugin(plugin);
        let call = self.queue_call(asker, callee, caller, request.to_vec(), effects)?;
        self.watch(call, deadline);
        Ok(Called::Pending(call))
    }

    /// Whether a plugin has called another one of this process.
    pub(crate) fn has_called(&self, plugin: PluginId, callee: PluginId) -> bool {
        self.parties.has_called(plugin, callee)
    }

    /// A call whose callee will be told of it.
    pub(super) fn queue_call(
        &mut self,
        asker: Asker,
        callee: PluginId,
        caller: Caller,
        request: Vec<u8>,
        effects: &mut Effects,
    ) -> Result<CallId, Reason> {
        let length = u32::try_from(request.len()).unwrap_or(u32::MAX);
        let call = self.add_call(asker, Asked::Plugin(callee, Heard::Queued(length)))?;
        self.parties.change(callee, |counts| counts.queued += 1);
        if let Asker::Plugin(caller) = asker {
            let cost = u64::from(length) + MESSAGE_COST;
            self.parties.change(caller, |counts| counts.held += cost);
        }
        effects.tell(callee, Told::Call(call, caller, request));
        Ok(call)
    }

    /// Calls the plugin at the other end of a stream.
    pub(crate) fn call_over(
        &mut self,
        plugin: PluginId,
        stream: EndId,
        request: &[u8],
        deadline: Duration,
    ) -> Result<Called, Reason> {
        let number = self.number_on(stream, request.len())?;
        let call = self.add_call(Asker::Plugin(plugin), Asked::Stream(stream, number))?;
        self.watch(call, deadline);
        self.send_request(stream, number, call, request.to_vec());
        Ok(Called::Pending(call))
    }

    /// Whether a callee was told of a call; its request is kept no longer.
    pub(crate) fn call_told(&mut self, call: CallId) -> bool {
        let Some(found) = self.table.get_mut(&call) else { return false };
        let asker = found.asker;
        let Asked::Plugin(callee, heard) = &mut found.asked else { return false };
        let callee = *callee;
        let Heard::Queued(length) = core::mem::replace(heard, Heard::Told) else { return false };
        self.unqueue(asker, callee, length);
        true
    }

    /// A request waits no longer to be told to its callee.
    pub(super) fn unqueue(&mut self, asker: Asker, callee: PluginId, length: u32) {
        self.parties.change(callee, |counts| counts.queued = counts.queued.saturating_sub(1));
        if let Asker::Plugin(caller) = asker {
            self.release((None, u64::from(length) + MESSAGE_COST), caller);
        }
    }

    fn add_call(&mut self, asker: Asker, asked: Asked) -> Result<CallId, Reason> {
        self.count_call(asker, asked)?;
        let id = self.next_id();
        self.table.insert(id, Call { asker, asked, timed: false });
        Ok(id)
    }

    /// Ends a call when its time is over.
    pub(super) fn watch(&mut self, call: CallId, deadline: Duration) {
        let Some(found) = self.table.get_mut(&call) else { return };
        // A caller that waits forever needs no timer.
        if let Some(at) = self.now.checked_add(deadline).filter(|_| deadline < Duration::MAX) {
            found.timed = true;
            self.happens(Event::Wait(CallTimer::Deadline(call), at));
        }
    }
}
