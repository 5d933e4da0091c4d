//! What one plugin may ask of the server: each call goes to the broker, which is never busy then.

use super::convert;
use super::runners::Runners;
use super::wake::Mailbox;
use super::watch::Watches;
use std::cell::RefCell;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;
use trunkline_core::broker::Handle;
use trunkline_core::broker::{
    self, Broker, CallId, Called, Misuse, Outcome, PluginId, Target as CoreTarget,
};
use trunkline_core::name::{Name, NameError, Version};
use trunkline_plugin::host::{Callee, CalleePlace, HostApi, Place, ShowOutcome};
use trunkline_plugin::{
    Call, Caller, Channel, Entry, Interest, Key, Link, LinkChange, Reach, Reason, Server, Target,
    Timer, Watch,
};

/// What all plugins of this process share.
pub(super) struct Shared {
    /// Borrowed for the length of one call only, and never while a plugin is entered.
    pub(super) broker: RefCell<Broker>,
    pub(super) watches: RefCell<Watches>,
    pub(super) runners: Runners,
    pub(super) mailbox: Arc<Mailbox>,
}

/// The server as one plugin sees it.
pub(super) struct PluginHost {
    pub(super) plugin: PluginId,
    pub(super) name: Name,
    pub(super) version: Version,
    pub(super) shared: Rc<Shared>,
    /// The first thing that the plugin did and may not do; it fails for it.
    pub(super) misuse: RefCell<Option<String>>,
}

impl PluginHost {
    fn says<T: Default>(&self, say: impl FnOnce(&mut Broker, PluginId) -> Result<T, Misuse>) -> T {
        say(&mut self.shared.broker.borrow_mut(), self.plugin).unwrap_or_else(|misuse| {
            self.misuse.borrow_mut().get_or_insert_with(|| misuse.to_string());
            T::default()
        })
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
        self.name.to_string()
    }

    fn server(&self) -> Server {
        let broker = self.shared.broker.borrow();
        let (key, name) = broker.home();
        Server { key: Key(key.0), name: name.to_owned() }
    }

    fn open(&self, target: &Target) -> Result<Channel, Reason> {
        let target = self.target(target);
        let target = target.map_err(|error| Reason::new("bad-name", error.to_string()))?;
        let opened = self.shared.broker.borrow_mut().open(self.plugin, &target);
        opened.map(|handle| Channel::new(handle.0)).map_err(|reason| convert::to_plugin(&reason))
    }

    fn accept(&self, channel: Channel) {
        self.says(|broker, plugin| broker.accept(plugin, handle(channel)));
    }

    fn refuse(&self, channel: Channel, why: Reason) {
        let why = convert::from_plugin(&why);
        self.says(|broker, plugin| broker.refuse(plugin, handle(channel), why));
    }

    fn write(&self, channel: Channel, bytes: &[u8]) -> usize {
        self.says(|broker, plugin| broker.write(plugin, handle(channel), bytes))
    }

    fn credit(&self, channel: Channel, amount: u64) {
        self.says(|broker, plugin| broker.credit(plugin, handle(channel), amount));
    }

    fn hold(&self, channel: Channel) {
        self.says(|broker, plugin| broker.hold(plugin, handle(channel)));
    }

    fn close(&self, channel: Channel) {
        self.says(|broker, plugin| broker.close(plugin, handle(channel)));
    }

    fn stop_read(&self, channel: Channel) {
        self.says(|broker, plugin| broker.stop_read(plugin, handle(channel)));
    }

    fn abort(&self, channel: Channel, why: Reason) {
        let why = convert::from_plugin(&why);
        self.says(|broker, plugin| broker.abort(plugin, handle(channel), why));
    }

    fn join(&self, a: Channel, b: Channel) {
        self.says(|broker, plugin| broker.join(plugin, handle(a), handle(b)));
    }

    fn set_timer(&self, after: Duration) -> Timer {
        Timer::new(self.shared.broker.borrow_mut().set_timer(self.plugin, after))
    }

    fn cancel_timer(&self, timer: Timer) {
        self.shared.broker.borrow_mut().cancel_timer(self.plugin, timer.number());
    }

    fn watch(&self, fd: BorrowedFd<'_>, interest: Interest) -> Result<Watch, Reason> {
        let added = self.shared.watches.borrow_mut().add(self.plugin, fd, interest);
        added.map(Watch::new).map_err(|error| Reason::new("cannot-watch", error.to_string()))
    }

    fn unwatch(&self, watch: Watch) {
        self.shared.watches.borrow_mut().remove(self.plugin, watch.number());
    }

    fn waker(&self) -> Waker {
        self.shared.mailbox.waker_of(self.plugin)
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
        let opened = self.shared.broker.borrow_mut().open_link(self.plugin, address);
        opened.map(|key| Key(key.0)).map_err(|reason| convert::to_plugin(&reason))
    }

    fn close_link(&self, server: Key) -> Result<(), Reason> {
        let server = trunkline_core::key::Key(server.0);
        let closed = self.shared.broker.borrow_mut().close_link(self.plugin, server);
        closed.map_err(|reason| convert::to_plugin(&reason))
    }

    fn addresses(&self, reach: Reach) -> Vec<String> {
        let broker = self.shared.broker.borrow();
        broker.addresses(convert::scope(reach)).map(ToString::to_string).collect()
    }

    fn uses(&self, name: &str, version: u64) -> Result<(), Reason> {
        let used = self.shared.broker.borrow_mut().uses(self.plugin, parse(name)?, version);
        used.map_err(|reason| convert::to_plugin(&reason))
    }

    fn invites(&self, name: &str) -> Result<(), Reason> {
        let invited = self.shared.broker.borrow_mut().invites(self.plugin, parse(name)?);
        invited.map_err(|reason| convert::to_plugin(&reason))
    }

    fn call(
        &self,
        callee: &mut Callee<'_>,
        request: &[u8],
        deadline: Duration,
        outcome: ShowOutcome<'_>,
    ) -> Option<Call> {
        let (mut called, home) = {
            let mut broker = self.shared.broker.borrow_mut();
            (broker.call(self.plugin, &meant(callee), request, deadline), broker.home().0)
        };
        if let Called::Run(id, call) = called {
            callee.hint = u64::from(id.0) + 1;
            let (name, server) = (self.name.as_str(), Key(home.0));
            let caller = Caller { name, version: self.version, server, local: true };
            self.shared.call(id, call, &caller, request);
            called = self.shared.broker.borrow_mut().returned(call);
        }
        match called {
            Called::Over(over) => {
                match (&over, &convert::unanswered(&over)) {
                    (Outcome::Answered(answer), _) => outcome(Ok(answer)),
                    (_, Some(why)) => outcome(Err(why)),
                    (_, None) => {}
                }
                self.shared.broker.borrow_mut().recycle(over);
                None
            }
            Called::Pending(call) | Called::Run(_, call) => Some(Call::new(call.0)),
        }
    }

    fn cancel(&self, call: Call) {
        self.says(|broker, plugin| broker.cancel_call(plugin, CallId(call.number())));
    }

    fn answer(&self, call: Call, answer: &[u8]) {
        self.says(|broker, plugin| broker.answer_call(plugin, CallId(call.number()), answer));
    }

    fn refuse_call(&self, call: Call, why: Reason) {
        let why = convert::from_plugin(&why);
        self.says(|broker, plugin| broker.refuse_call(plugin, CallId(call.number()), why));
    }

    fn host_panicked(&self, message: &str) {
        log::error!("the server panicked while it served the plugin {}: {message}", self.name);
    }
}

fn parse(name: &str) -> Result<Name, Reason> {
    name.parse().map_err(|error: NameError| Reason::new("bad-name", error.to_string()))
}

/// Which plugin is called, in the broker's words. A hint is one more than the plugin's number.
fn meant<'a>(callee: &Callee<'a>) -> broker::Callee<'a> {
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

/// A change of a link, in the plugin's words.
pub(super) fn link_change(change: &trunkline_core::broker::LinkChange) -> LinkChange {
    let link = convert::link(change.server, &change.name);
    match &change.down {
        None => LinkChange::Up(link),
        Some(reason) => LinkChange::Down(link, convert::to_plugin(reason)),
    }
}
