//! The plugins that run: how they are told something, called by each other, and taken out when
//! they fail.
//!
//! One plugin may run within a call of another one, but none is entered twice: the broker, which
//! says when one is called, knows which are on the stack.

use super::convert;
use super::plugin_host::{PluginHost, Shared, link_change};
use super::watchdog::Watchdog;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use trunkline_core::broker::{Broker, CallId, Handle, Misuse, Outcome, PluginId, Told};
use trunkline_core::reason::Reason;
use trunkline_plugin::host::{Failure, Instance};
use trunkline_plugin::{Answer, Call, Caller, Channel, Key, Readiness, Timer, Watch};

/// A plugin that runs.
struct Runner {
    /// Borrowed while the plugin is on the stack.
    instance: RefCell<Instance>,
    host: Rc<PluginHost>,
}

/// All plugins that run in this process.
pub(super) struct Runners {
    /// By their numbers, which are small where plugins run.
    running: RefCell<Vec<Option<Rc<Runner>>>>,
    watchdog: Watchdog,
    last_failure: RefCell<Option<String>>,
}

impl Runners {
    /// Nobody runs yet; a call that lasts for `limit` is too long.
    pub(super) fn new(limit: Duration) -> Runners {
        let (running, last_failure) = Default::default();
        Runners { running, watchdog: Watchdog::new(limit), last_failure }
    }

    /// Who watches the calls to plugins.
    pub(super) fn watchdog(&self) -> &Watchdog {
        &self.watchdog
    }

    /// Whether no plugin runs.
    pub(super) fn is_empty(&self) -> bool {
        self.running.borrow().iter().all(Option::is_none)
    }

    /// Why the last plugin that failed did.
    pub(super) fn last_failure(&self) -> Option<String> {
        self.last_failure.borrow().clone()
    }

    pub(super) fn note_failure(&self, why: String) {
        self.last_failure.replace(Some(why));
    }

    #[inline]
    fn get(&self, id: PluginId) -> Option<Rc<Runner>> {
        self.running.borrow().get(id.0 as usize)?.clone()
    }

    fn add(&self, id: PluginId, runner: Runner) {
        let (at, mut running) = (id.0 as usize, self.running.borrow_mut());
        if running.len() <= at {
            running.resize_with(at + 1, || None);
        }
        running[at] = Some(Rc::new(runner));
    }

    fn remove(&self, id: PluginId) -> Option<Rc<Runner>> {
        self.running.borrow_mut().get_mut(id.0 as usize)?.take()
    }

    /// The plugin that has started last.
    fn last(&self) -> Option<PluginId> {
        let at = self.running.borrow().iter().rposition(Option::is_some);
        at.and_then(|at| u32::try_from(at).ok()).map(PluginId)
    }
}

impl Shared {
    /// A plugin has started.
    pub(super) fn runs(&self, instance: Instance, host: Rc<PluginHost>) {
        let id = host.plugin;
        self.runners.add(id, Runner { instance: RefCell::new(instance), host });
        self.broker.borrow_mut().plugin_started(id);
        self.check_misuse(id);
    }

    /// Tells a plugin something that the broker wants it to know.
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
                let change = link_change(&change);
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

    /// Tells a plugin bytes; when it returns, they count as consumed unless it holds the channel.
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

    /// A plugin calls another one, which is not on the stack: it runs within this call.
    pub(super) fn call(&self, id: PluginId, call: CallId, caller: &Caller<'_>, request: &[u8]) {
        let Some(runner) = self.runners.get(id) else { return };
        let take = |plugin: &mut Instance| self.take_call(plugin, id, call, caller, request);
        let called = match runner.instance.try_borrow_mut() {
            Ok(mut instance) => self.runners.watchdog.within(id, || take(&mut instance)),
            // The broker has miscounted: the call waits for its deadline.
            Err(_) => return log::error!("plugin {} was to be entered twice", runner.host.name),
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
            // It was told of no call, so that it cannot have answered.
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

    /// Tells the plugin that has started last to stop, and drops it; whether there was one.
    pub(super) fn stop_last(&self) -> bool {
        let Some(id) = self.runners.last() else { return false };
        self.run(id, Instance::stop);
        let removed = self.runners.remove(id);
        self.runners.watchdog.call(id, || drop(removed));
        self.watches.borrow_mut().remove_all_of(id);
        self.broker.borrow_mut().plugin_stopped(id);
        true
    }

    /// Takes a plugin out that its server does not take.
    pub(super) fn reject(&self, id: PluginId, reason: &Reason) {
        self.run(id, Instance::stop);
        self.fail(id, &Failure::Misused(reason.to_string()));
    }

    fn open(&self, id: PluginId, handle: Handle, caller: &trunkline_core::broker::Caller) {
        let caller = self.caller(caller);
        let Some(runner) = self.runners.get(id) else { return };
        let answered = match runner.instance.try_borrow_mut() {
            Ok(mut instance) => {
                self.runners.watchdog.call(id, || instance.open(channel(handle), &caller))
            }
            Err(_) => return log::error!("plugin {} was to be entered twice", runner.host.name),
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
            Ok(mut instance) => self.runners.watchdog.call(id, || callback(&mut instance)),
            Err(_) => return log::error!("plugin {} was to be entered twice", runner.host.name),
        };
        self.after(id, runner, returned);
    }

    /// A callback has returned. Whoever fails is dropped by `fail`, where that is watched.
    #[inline]
    fn after(&self, id: PluginId, runner: Rc<Runner>, returned: Result<(), Failure>) {
        let misused = runner.host.misuse.borrow().is_some();
        if returned.is_ok() && !misused {
            return;
        }
        let misuse = runner.host.misuse.take().map(Failure::Misused);
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

    /// Takes a plugin out that broke the contract; all others keep running. Its code may still be
    /// on the stack, where it returns from now: it is dropped then.
    fn fail(&self, id: PluginId, failure: &Failure) {
        let Some(runner) = self.runners.remove(id) else { return };
        log::error!("plugin {} failed: {failure}", runner.host.name);
        self.runners.note_failure(failure.to_string());
        self.runners.watchdog.call(id, || drop(runner));
        self.watches.borrow_mut().remove_all_of(id);
        self.broker.borrow_mut().plugin_failed(id, &failure.to_string());
    }

    fn caller<'a>(&self, caller: &'a trunkline_core::broker::Caller) -> Caller<'a> {
        let local = caller.server == self.broker.borrow().home().0;
        let (name, server) = (caller.name.as_str(), Key(caller.server.0));
        Caller { name, version: caller.version, server, local }
    }
}

fn channel(handle: Handle) -> Channel {
    Channel::new(handle.0)
}
