//! What a plugin may ask of its host.

mod calls;
mod folders;
mod links;

use std::fmt;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use crate::abi::{
    Bytes, EntryView, HostRef, IdentityView, ReasonView, ServerView, Sink, Status, TargetView,
    WakerView,
};
use crate::target::Place;
use crate::{By, Channel, Entry, Interest, Key, Link, Reason, Server, Target, Timer, Waker, Watch};

/// The place where a plugin runs, as the plugin sees it: in a server, or in a host process.
///
/// Every callback of [`Plugin`](crate::Plugin) receives one, which lives as long as the callback.
/// It can neither be kept nor be sent to another thread (a [`Waker`] can). No method blocks or
/// calls back into the plugin; [`call`](Host::call) may run another plugin meanwhile.
///
/// A method does nothing if its channel has ended or does not belong to this plugin.
pub struct Host {
    /// The host's functions.
    table: HostRef,
    /// The first argument of each function. A pointer keeps this type on its thread.
    context: *const (),
    name: String,
    server: Server,
}

impl Host {
    /// A handle for the instance with this context.
    ///
    /// # Safety
    ///
    /// `table` and `context` belong together and live as long as the handle, which stays on the
    /// thread of the host loop.
    pub(crate) unsafe fn new(table: HostRef, context: *const ()) -> Self {
        let server = Server { key: Key([0; 32]), name: String::new() };
        let mut host = Self { table, context, name: String::new(), server };
        let mut take = |view: &IdentityView| {
            // SAFETY: the host shows what is alive.
            unsafe {
                host.name = view.name.as_text().to_owned();
                host.server = Server::of(&view.server);
            }
        };
        // SAFETY: the caller's promise; the sink is used during the call only.
        unsafe { (table.identity())(context, Sink::new(&mut take)) };
        host
    }

    /// The name under which this plugin runs: from the configuration, or its own.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server that this plugin belongs to.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Opens a channel to another plugin.
    ///
    /// The plugin may write at once, within the credit of a new channel. The outcome is reported by
    /// [`opened`](crate::Plugin::opened) or [`ended`](crate::Plugin::ended).
    ///
    /// # Errors
    ///
    /// If it is clear at once that the channel cannot be opened: no such plugin, or no channel
    /// left.
    pub fn open(&self, target: &Target) -> Result<Channel, Reason> {
        let target = target_view(target);
        let mut channel = 0;
        // SAFETY: all pointers are borrowed for the call.
        ask(|refusal| unsafe {
            (self.table.open())(self.context, &raw const target, &raw mut channel, refusal)
        })?;
        Ok(Channel(channel))
    }

    /// Accepts a channel that was answered with [`Answer::Later`](crate::Answer::Later).
    pub fn accept(&self, channel: Channel) {
        // SAFETY: context and table belong together.
        unsafe { (self.table.accept())(self.context, channel.0) };
    }

    /// Refuses a channel that was answered with [`Answer::Later`](crate::Answer::Later).
    pub fn refuse(&self, channel: Channel, why: Reason) {
        let view = why.view();
        // SAFETY: the reason is borrowed for the call.
        unsafe { (self.table.refuse())(self.context, channel.0, &raw const view) };
    }

    /// Writes to the other end. Returns how many bytes were taken: all of them or the first ones,
    /// as far as there is room.
    ///
    /// If fewer bytes were taken, [`credit`](crate::Plugin::credit) is called when there is room
    /// again. Nothing is taken after [`close`](Self::close).
    #[must_use = "bytes that were not taken have to be written again later"]
    pub fn write(&self, channel: Channel, bytes: &[u8]) -> usize {
        let mut taken = 0;
        // SAFETY: the bytes and the place for the count are borrowed for the call.
        unsafe { (self.table.write())(self.context, channel.0, Bytes::new(bytes), &raw mut taken) };
        taken.min(bytes.len())
    }

    /// Declares that this many held bytes are consumed now, so that the other end may write as many
    /// more. Only for a channel with [`hold`](Self::hold).
    pub fn credit(&self, channel: Channel, amount: u64) {
        // SAFETY: context and table belong together.
        unsafe { (self.table.credit())(self.context, channel.0, amount) };
    }

    /// From now on, the bytes of this channel count as consumed only after
    /// [`credit`](Self::credit), not when [`write`](crate::Plugin::write) returns.
    pub fn hold(&self, channel: Channel) {
        // SAFETY: context and table belong together.
        unsafe { (self.table.hold())(self.context, channel.0) };
    }

    /// Ends this direction: this end no longer writes. Bytes that were taken still arrive.
    pub fn close(&self, channel: Channel) {
        // SAFETY: context and table belong together.
        unsafe { (self.table.close())(self.context, channel.0) };
    }

    /// Ends the other direction: this end no longer reads. The other end is notified, and its bytes
    /// are dropped.
    pub fn stop_read(&self, channel: Channel) {
        // SAFETY: context and table belong together.
        unsafe { (self.table.stop_read())(self.context, channel.0) };
    }

    /// Ends a channel at once, even if bytes are in flight. The other end receives the reason.
    pub fn abort(&self, channel: Channel, why: Reason) {
        let view = why.view();
        // SAFETY: the reason is borrowed for the call.
        unsafe { (self.table.abort())(self.context, channel.0, &raw const view) };
    }

    /// Joins two channel ends of this plugin: everything that arrives at one is written to the
    /// other.
    ///
    /// The plugin is no longer notified of them. They end together, and with the plugin. If one of
    /// them is over already, both end and [`ended`](crate::Plugin::ended) is called. An end joined
    /// to itself is an echo. An incoming channel may be joined before it is accepted.
    pub fn join(&self, a: Channel, b: Channel) {
        // SAFETY: context and table belong together.
        unsafe { (self.table.join())(self.context, a.0, b.0) };
    }

    /// Sets a timer: [`timer`](crate::Plugin::timer) is called once, after this time or a little
    /// later.
    pub fn set_timer(&self, after: Duration) -> Timer {
        // 64 bits of nanoseconds are 584 years.
        let after = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
        let mut timer = 0;
        // SAFETY: the place for the number is borrowed for the call.
        unsafe { (self.table.set_timer())(self.context, after, &raw mut timer) };
        Timer(timer)
    }

    /// Cancels a timer. Has no effect if the timer has fired.
    pub fn cancel_timer(&self, timer: Timer) {
        // SAFETY: context and table belong together.
        unsafe { (self.table.cancel_timer())(self.context, timer.0) };
    }

    /// Watches a file descriptor, which must not block: [`ready`](crate::Plugin::ready) is called
    /// when it becomes ready. A descriptor is watched at most once; call [`unwatch`](Self::unwatch)
    /// before closing it.
    ///
    /// # Errors
    ///
    /// If the descriptor cannot be watched, as a plain file cannot, or if too many are watched.
    pub fn watch(&self, fd: &impl AsFd, interest: Interest) -> Result<Watch, Reason> {
        let fd = fd.as_fd().as_raw_fd();
        let mut watch = 0;
        // SAFETY: the descriptor is open for the time of the call, and all pointers are borrowed.
        ask(|refusal| unsafe {
            (self.table.watch())(self.context, fd, interest.0, &raw mut watch, refusal)
        })?;
        Ok(Watch(watch))
    }

    /// Stops watching a file descriptor.
    pub fn unwatch(&self, watch: Watch) {
        // SAFETY: context and table belong together.
        unsafe { (self.table.unwatch())(self.context, watch.0) };
    }

    /// A handle by which other threads have [`wake`](crate::Plugin::wake) called.
    ///
    /// # Panics
    ///
    /// If the host failed to make one.
    #[must_use]
    pub fn waker(&self) -> Waker {
        let mut waker = None;
        let mut take = |view: &WakerView| waker = Some(Waker::new(*view));
        // SAFETY: the sink is used during the call only.
        unsafe { (self.table.waker())(self.context, Sink::new(&mut take)) };
        #[allow(clippy::expect_used)]
        // A host that makes no waker broke the contract; its plugin fails for it.
        waker.expect("the host makes a waker")
    }

    /// Every plugin that this one may see, on this server and on linked ones, as of now.
    #[must_use]
    pub fn directory(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        // SAFETY: the host shows what is alive.
        let mut take = |view: &EntryView| entries.push(unsafe { Entry::of(view) });
        // SAFETY: the sink is used during the call only.
        unsafe { (self.table.directory())(self.context, Sink::new(&mut take)) };
        entries
    }

    /// Every link that is up, as of now.
    #[must_use]
    pub fn links(&self) -> Vec<Link> {
        let mut links = Vec::new();
        // SAFETY: the host shows what is alive.
        let mut take = |view: &ServerView| links.push(Link { peer: unsafe { Server::of(view) } });
        // SAFETY: the sink is used during the call only.
        unsafe { (self.table.links())(self.context, Sink::new(&mut take)) };
        links
    }

    /// Reports the message of the panic for which the running callback will answer.
    pub(crate) fn panicked(&self, message: &str) {
        // SAFETY: the message is borrowed for the call.
        unsafe { (self.table.panicked())(self.context, Bytes::text(message)) };
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, server, .. } = self;
        f.debug_struct("Host").field("name", name).field("server", server).finish()
    }
}

/// The wanted plugin, which must outlive the view.
fn target_view(target: &Target) -> TargetView {
    let (place, server) = match target.place() {
        Place::Anywhere => (0, ""),
        Place::Here => (1, ""),
        Place::Server(server) => (2, server.as_str()),
    };
    let name = Bytes::text(target.name());
    TargetView { name, version: target.least_version(), place, server: Bytes::text(server) }
}

/// Asks the host for something that it may refuse.
fn ask(call: impl FnOnce(Sink<ReasonView>) -> Status) -> Result<(), Reason> {
    let mut refusal = None;
    // SAFETY: the host shows what is alive.
    let mut take = |view: &ReasonView| refusal = Some(unsafe { Reason::of_host(view) });
    match call(Sink::new(&mut take)) {
        Status::DONE => Ok(()),
        _ => Err(refusal.unwrap_or_else(|| {
            Reason::received(
                By::Server,
                "host-failed",
                "the server failed while it handled the request; see its log",
            )
        })),
    }
}
