//! State that all plugins of this process share: running callbacks, calls between plugins, and
//! removing plugins that fail.
//!
//! A plugin may run within a call of another one, but no plugin is entered twice. The broker knows
//! which plugins are on the stack, and calls only others.

use super::convert;
use super::runners::{PluginInfo, Runner, Runners};
use super::wake::Mailbox;
use super::watch::Watches;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use trunkline_core::broker::{Broker, CallId, Handle, Misuse, Outcome, PluginId, Told};
use trunkline_core::reason::Reason;
use trunkline_plugin::host::{Failure, Instance};
use trunkline_plugin::{Answer, Call, Caller, Channel, Key, Readiness, Timer, Watch};

/// State that all plugins of this process share.
pub(super) struct Shared {
    /// Borrowed only during one call of the broker, never while a plugin runs.
    pub(super) broker: RefCell<Broker>,
    pub(super) watches: RefCell<Watches>,
    pub(super) runners: Runners,
    pub(super) mailbox: Arc<Mailbox>,
}

impl Shared {
    /// Adds a plugin that has started.
    pub(super) fn add_started(&self, instance: Instance, info: Rc<PluginInfo>) {
        let id = info.id;
        self.runners.add(Runner { instance: RefCell::new(instance), info });
        self.broker.borrow_mut().plugin_started(id);
        self.check_misuse(id);
    }

    /// Runs the callback of a plugin for an event from the broker.
    pub(super) fn tell(&self, id: PluginId, told: Told) {
        match told {
            Told::Open(handle, caller) => self.open(id, handle, &caller),
            Told::Opened(handle) => self.run(id, |plugin| plugin.opened(channel(handle))),
            Told::Credit(handle) => {
                let room = self.broker.borrow_mut().room(id, handle);
                self.run(id, |plugin| plugin.credit(channel(handle), room));
            }
            Told::Deliver(handle) => {
                let bytes = self.broker.borrow_mut().take_inbox(id, handle);
                self.write(id, handle, &bytes);
            }
            Told::Close(handle) => self.run(id, |plugin| plugin.close(channel(handle))),
            Told::StopRead(handle) => self.run(id, |plugin| plugin.stop_read(channel(handle))),
            Told::Ended(handle, why) => {
                let why = why.as_ref().map(convert::to_plugin);
                self.run(id, |plugin| plugin.ended(channel(handle), why.as_ref()));
            }
            Told::Directory(change) => {
                let home = self.broker.borrow().home().0;
                let change = convert::change(&change, home);
                self.run(id, |plugin| plugin.directory(&change));
            }
            Told::Link(change) => {
                let change = convert::link_change(&change);
                self.run(id, |plugin| plugin.link(&change));
            }
            Told::Timer(timer) => self.run(id, |plugin| plugin.timer(Timer::new(timer))),
            Told::Call(call, caller, request) => {
                let caller = self.caller(&caller);
                self.run(id, |plugin| self.take_call(plugin, id, call, &caller, &request));
            }
            Told::Cancelled(call) => self.run(id, |plugin| plugin.cancelled(Call::new(call.0))),
            Told::Reply(call, outcome) => self.reply(id, call, outcome),
        }
    }

    /// Passes bytes to a plugin. When it returns, they count as consumed unless it holds the
    /// channel.
    pub(super) fn write(&self, id: PluginId, handle: Handle, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.run(id, |plugin| plugin.write(channel(handle), bytes));
        }
        self.broker.borrow_mut().consumed(id, handle, bytes.len());
    }

    pub(super) fn ready(&self, watch: u64, readiness: Readiness) {
        let owner = self.watches.borrow().owner(watch);
        if let Some(id) = owner {
            self.run(id, |plugin| plugin.ready(Watch::new(watch), readiness));
        }
    }

    pub(super) fn wake(&self, id: PluginId) {
        self.run(id, Instance::wake);
    }

    /// Runs a callee within the call of its caller. The callee is not on the stack.
    pub(super) fn call(&self, id: PluginId, call: CallId, caller: &Caller<'_>, request: &[u8]) {
        let Some(runner) = self.runners.get(id) else { return };
        let take = |plugin: &mut Instance| self.take_call(plugin, id, call, caller, request);
        let called = match runner.instance.try_borrow_mut() {
            Ok(mut instance) => self.runners.watchdog().within(id, || take(&mut instance)),
            // A bug of the broker. The call then waits for its deadline.
            Err(_) => return log_entered_twice(&runner),
        };
        self.after(id, runner, called);
    }

    fn take_call(
        &self,
        plugin: &mut Instance,
        id: PluginId,
        call: CallId,
        caller: &Caller<'_>,
        request: &[u8],
    ) -> Result<(), Failure> {
        if plugin.call(Call::new(call.0), caller, request)?.is_none() {
            let why = Reason::plugin("no-calls", "this plugin was built for an API without calls");
            // It has not seen the call, so it cannot have answered it.
            let _ = self.broker.borrow_mut().refuse_call(id, call, why);
        }
        Ok(())
    }

    fn reply(&self, id: PluginId, call: CallId, outcome: Outcome) {
        let unanswered = convert::unanswered(&outcome);
        let result = match (&outcome, &unanswered) {
            (Outcome::Answered(bytes), _) => Ok(bytes.as_slice()),
            (_, Some(why)) => Err(why),
            (_, None) => return,
        };
        self.run(id, |plugin| plugin.reply(Call::new(call.0), result));
    }

    /// Stops and drops the plugin that started last. Returns whether there was one.
    pub(super) fn stop_last(&self) -> bool {
        let Some(id) = self.runners.last() else { return false };
        self.run(id, Instance::stop);
        let removed = self.runners.remove(id);
        self.runners.watchdog().call(id, || drop(removed));
        self.watches.borrow_mut().remove_all_of(id);
        self.broker.borrow_mut().plugin_stopped(id);
        true
    }

    /// Removes a plugin that its server rejects.
    pub(super) fn reject(&self, id: PluginId, reason: &Reason) {
        self.run(id, Instance::stop);
        self.fail(id, &Failure::Misused(reason.to_string()));
    }

    fn open(&self, id: PluginId, handle: Handle, caller: &trunkline_core::broker::Caller) {
        let caller = self.caller(caller);
        let Some(runner) = self.runners.get(id) else { return };
        let answered = match runner.instance.try_borrow_mut() {
            Ok(mut instance) => {
                self.runners.watchdog().call(id, || instance.open(channel(handle), &caller))
            }
            Err(_) => return log_entered_twice(&runner),
        };
        let answered = answered.map(|answer| match answer {
            Answer::Later => {}
            Answer::Accept => self.answer(id, |broker| broker.accept(id, handle)),
            Answer::Refuse(why) => {
                let why = convert::from_plugin(&why);
                self.answer(id, |broker| broker.refuse(id, handle, why));
            }
        });
        self.after(id, runner, answered);
    }

    fn answer(&self, id: PluginId, answer: impl FnOnce(&mut Broker) -> Result<(), Misuse>) {
        let answered = answer(&mut self.broker.borrow_mut());
        if let Err(misuse) = answered {
            self.fail(id, &Failure::Misused(misuse.to_string()));
        }
    }

    /// Runs a callback from the loop.
    fn run(&self, id: PluginId, callback: impl FnOnce(&mut Instance) -> Result<(), Failure>) {
        let Some(runner) = self.runners.get(id) else { return };
        let returned = match runner.instance.try_borrow_mut() {
            Ok(mut instance) => self.runners.watchdog().call(id, || callback(&mut instance)),
            Err(_) => return log_entered_twice(&runner),
        };
        self.after(id, runner, returned);
    }

    /// Checks the result of a callback. A plugin that fails is dropped in `fail`, under the
    /// watchdog.
    #[inline]
    fn after(&self, id: PluginId, runner: Rc<Runner>, returned: Result<(), Failure>) {
        let misused = runner.info.misuse.borrow().is_some();
        if returned.is_ok() && !misused {
            return;
        }
        let misuse = runner.info.misuse.take().map(Failure::Misused);
        drop(runner);
        if let Some(failure) = returned.err().or(misuse) {
            self.fail(id, &failure);
        }
    }

    fn check_misuse(&self, id: PluginId) {
        if let Some(runner) = self.runners.get(id) {
            self.after(id, runner, Ok(()));
        }
    }

    /// Removes a plugin that broke the contract; the others keep running. If its code is still on
    /// the stack, it is dropped when it returns.
    fn fail(&self, id: PluginId, failure: &Failure) {
        let Some(runner) = self.runners.remove(id) else { return };
        log::error!("plugin {} failed: {failure}", runner.info.name);
        self.runners.note_failure(failure.to_string());
        self.runners.watchdog().call(id, || drop(runner));
        self.watches.borrow_mut().remove_all_of(id);
        self.broker.borrow_mut().plugin_failed(id, &failure.to_string());
    }

    fn caller<'a>(&self, caller: &'a trunkline_core::broker::Caller) -> Caller<'a> {
        let local = caller.server == self.broker.borrow().home().0;
        let (name, server) = (caller.name.as_str(), Key(caller.server.0));
        Caller { name, version: caller.version, server, local }
    }
}

/// The broker tracks which plugins are on the stack, so this is a bug of the server.
fn log_entered_twice(runner: &Runner) {
    log::error!("bug: plugin {} is running, so its callback is lost", runner.info.name);
}

fn channel(handle: Handle) -> Channel {
    Channel::new(handle.0)
}
