//! The host functions of one plugin. Each calls the broker, which is never borrowed while a plugin
//! runs.

use super::convert;
use super::plugin_folders::PluginFolders;
use super::runners::PluginInfo;
use super::shared::Shared;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;
use trunkline_core::broker::Handle;
use trunkline_core::broker::{
    self, Broker, CallId, Called, Misuse, Outcome, PluginId, Returned, Target as CoreTarget,
};
use trunkline_core::name::{Name, NameError};
use trunkline_plugin::host::{Callee, CalleePlace, HostApi, Place, ShowOutcome};
use trunkline_plugin::{
    Call, Caller, Channel, Entry, Interest, Key, Link, Reach, Reason, Server, Target, Timer, Watch,
};

/// The server as one plugin sees it.
pub(super) struct PluginHost {
    pub(super) info: Rc<PluginInfo>,
    pub(super) folders: Rc<PluginFolders>,
    pub(super) shared: Rc<Shared>,
}

/// A callee is on the stack. If the server itself panics below it, the broker is told.
struct Entered<'a> {
    shared: &'a Shared,
    call: CallId,
}

impl Entered<'_> {
    fn returns(self) {
        std::mem::forget(self);
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        if let Ok(mut broker) = self.shared.broker.try_borrow_mut() {
            broker.unwound(self.call);
        }
    }
}

impl PluginHost {
    /// Calls the broker for the plugin. The first misuse is kept, and fails the plugin when its
    /// callback returns.
    fn ask<T: Default>(&self, ask: impl FnOnce(&mut Broker, PluginId) -> Result<T, Misuse>) -> T {
        ask(&mut self.shared.broker.borrow_mut(), self.info.id).unwrap_or_else(|misuse| {
            self.info.misuse.borrow_mut().get_or_insert_with(|| misuse.to_string());
            T::default()
        })
    }

    /// Shows the outcome of a call whose callee has returned; the call itself if it has none yet.
    fn returned(&self, call: CallId, outcome: ShowOutcome<'_>) -> Option<Call> {
        let returned = self.shared.broker.borrow_mut().returned(call);
        match returned {
            Returned::Answered(answer) => {
                // Code of the plugin, which may call the server.
                outcome(Ok(&answer));
                self.shared.broker.borrow_mut().reuse(answer);
                None
            }
            Returned::Over(over) => {
                show(&over, outcome);
                None
            }
            Returned::Pending(call) => Some(Call::new(call.0)),
        }
    }

    fn target(&self, target: &Target) -> Result<CoreTarget, NameError> {
        let server = match target.place() {
            Place::Anywhere => None,
            Place::Here => Some(self.shared.broker.borrow().home().0.to_string()),
            Place::Server(text) => Some(text.clone()),
        };
        Ok(CoreTarget { name: target.name().parse()?, least: target.least_version(), server })
    }
}

impl HostApi for PluginHost {
    fn name(&self) -> String {
        self.info.name.to_string()
    }

    fn server(&self) -> Server {
        let broker = self.shared.broker.borrow();
        let (key, name) = broker.home();
        Server { key: Key(key.0), name: name.to_owned() }
    }

    fn open(&self, target: &Target) -> Result<Channel, Reason> {
        let target = self.target(target);
        let target = target.map_err(|error| Reason::new("bad-name", error.to_string()))?;
        let opened = self.shared.broker.borrow_mut().open(self.info.id, &target);
        opened.map(|handle| Channel::new(handle.0)).map_err(|reason| convert::to_plugin(&reason))
    }

    fn accept(&self, channel: Channel) {
        self.ask(|broker, plugin| broker.accept(plugin, handle(channel)));
    }

    fn refuse(&self, channel: Channel, why: Reason) {
        let why = convert::from_plugin(&why);
        self.ask(|broker, plugin| broker.refuse(plugin, handle(channel), why));
    }

    fn write(&self, channel: Channel, bytes: &[u8]) -> usize {
        self.ask(|broker, plugin| broker.write(plugin, handle(channel), bytes))
    }

    fn credit(&self, channel: Channel, amount: u64) {
        self.ask(|broker, plugin| broker.credit(plugin, handle(channel), amount));
    }

    fn hold(&self, channel: Channel) {
        self.ask(|broker, plugin| broker.hold(plugin, handle(channel)));
    }

    fn close(&self, channel: Channel) {
        self.ask(|broker, plugin| broker.close(plugin, handle(channel)));
    }

    fn stop_read(&self, channel: Channel) {
        self.ask(|broker, plugin| broker.stop_read(plugin, handle(channel)));
    }

    fn abort(&self, channel: Channel, why: Reason) {
        let why = convert::from_plugin(&why);
        self.ask(|broker, plugin| broker.abort(plugin, handle(channel), why));
    }

    fn join(&self, a: Channel, b: Channel) {
        self.ask(|broker, plugin| broker.join(plugin, handle(a), handle(b)));
    }

    fn set_timer(&self, after: Duration) -> Timer {
        Timer::new(self.shared.broker.borrow_mut().set_timer(self.info.id, after))
    }

    fn cancel_timer(&self, timer: Timer) {
        self.shared.broker.borrow_mut().cancel_timer(self.info.id, timer.number());
    }

    fn watch(&self, fd: BorrowedFd<'_>, interest: Interest) -> Result<Watch, Reason> {
        let added = self.shared.watches.borrow_mut().add(self.info.id, fd, interest);
        added.map(Watch::new).map_err(|error| Reason::new("cannot-watch", error.to_string()))
    }

    fn unwatch(&self, watch: Watch) {
        self.shared.watches.borrow_mut().remove(self.info.id, watch.number());
    }

    fn waker(&self) -> Waker {
        self.shared.mailbox.waker_of(self.info.id)
    }

    fn directory(&self) -> Vec<Entry> {
        let broker = self.shared.broker.borrow();
        let home = broker.home().0;
        broker.directory().map(|entry| convert::entry(&entry, home)).collect()
    }

    fn links(&self) -> Vec<Link> {
        let broker = self.shared.broker.borrow();
        broker.servers().map(|(key, name)| convert::link(key, name)).collect()
    }

    fn open_link(&self, address: &str) -> Result<Key, Reason> {
        let opened = self.shared.broker.borrow_mut().open_link(self.info.id, address);
        opened.map(|key| Key(key.0)).map_err(|reason| convert::to_plugin(&reason))
    }

    fn close_link(&self, server: Key) -> Result<(), Reason> {
        let server = trunkline_core::key::Key(server.0);
        let closed = self.shared.broker.borrow_mut().close_link(self.info.id, server);
        closed.map_err(|reason| convert::to_plugin(&reason))
    }

    fn addresses(&self, reach: Reach) -> Vec<String> {
        let broker = self.shared.broker.borrow();
        broker.addresses(convert::scope(reach)).map(ToString::to_string).collect()
    }

    fn uses(&self, name: &str, version: u64) -> Result<(), Reason> {
        let used = self.shared.broker.borrow_mut().uses(self.info.id, parse(name)?, version);
        used.map_err(|reason| convert::to_plugin(&reason))
    }

    fn invites(&self, name: &str) -> Result<(), Reason> {
        let invited = self.shared.broker.borrow_mut().invites(self.info.id, parse(name)?);
        invited.map_err(|reason| convert::to_plugin(&reason))
    }

    fn call(
        &self,
        callee: &mut Callee<'_>,
        request: &[u8],
        deadline: Duration,
        outcome: ShowOutcome<'_>,
    ) -> Option<Call> {
        let (called, home) = {
            let mut broker = self.shared.broker.borrow_mut();
            (broker.call(self.info.id, &to_callee(callee), request, deadline), broker.home().0)
        };
        match called {
            Called::Over(over) => {
                show(&over, outcome);
                None
            }
            Called::Pending(call) => Some(Call::new(call.0)),
            Called::Run(id, call) => {
                callee.hint = u64::from(id.0) + 1;
                let (name, server) = (self.info.name.as_str(), Key(home.0));
                let caller = Caller { name, version: self.info.version, server, local: true };
                let entered = Entered { shared: &self.shared, call };
                self.shared.call(id, call, &caller, request);
                entered.returns();
                self.returned(call, outcome)
            }
        }
    }

    fn cancel(&self, call: Call) {
        self.ask(|broker, plugin| broker.cancel_call(plugin, CallId(call.number())));
    }

    fn answer(&self, call: Call, answer: &[u8]) {
        self.ask(|broker, plugin| broker.answer_call(plugin, CallId(call.number()), answer));
    }

    fn refuse_call(&self, call: Call, why: Reason) {
        let why = convert::from_plugin(&why);
        self.ask(|broker, plugin| broker.refuse_call(plugin, CallId(call.number()), why));
    }

    fn data_dir(&self) -> Result<PathBuf, Reason> {
        let folder = self.folders.data_of(&self.info.name);
        folder.map_err(|why| Reason::new("no-data-folder", why))
    }

    fn config_dir(&self) -> PathBuf {
        self.folders.config().into()
    }

    fn host_panicked(&self, message: &str) {
        log::error!(
            "bug: a host function panicked, called by plugin {}: {message}",
            self.info.name
        );
    }
}

fn parse(name: &str) -> Result<Name, Reason> {
    name.parse().map_err(|error: NameError| Reason::new("bad-name", error.to_string()))
}

/// Shows the outcome of a call to the plugin.
fn show(over: &Outcome, outcome: ShowOutcome<'_>) {
    match (over, &convert::unanswered(over)) {
        (Outcome::Answered(answer), _) => outcome(Ok(answer)),
        (_, Some(why)) => outcome(Err(why)),
        (_, None) => {}
    }
}

/// The callee in the broker's types. A hint is the plugin's number plus one; 0 is no hint.
fn to_callee<'a>(callee: &Callee<'a>) -> broker::Callee<'a> {
    let place = match callee.place {
        CalleePlace::Anywhere => broker::CalleePlace::Anywhere,
        CalleePlace::Here => broker::CalleePlace::Here,
        CalleePlace::Server(text) => broker::CalleePlace::Server(text),
    };
    let hint = callee.hint.checked_sub(1).and_then(|id| u32::try_from(id).ok()).map(PluginId);
    broker::Callee { name: callee.name, least: callee.version, place, hint }
}

fn handle(channel: Channel) -> Handle {
    Handle(channel.number())
}
