//! The trait that an author implements. Its counterpart, what a plugin may ask for, is
//! [`Host`](crate::Host).

use crate::{
    About, Call, Caller, Change, Channel, Config, Host, LinkChange, Readiness, Reason, Timer,
    Unanswered, Watch,
};

/// A plugin: what it is, and how it reacts to events.
///
/// Every method runs on the thread of the plugin's host loop, one at a time, and never while
/// another one is on the stack. A method must return soon: while it runs, the loop does nothing
/// else, except for plugins that it calls by [`Host::call`]. A panic in any method marks the plugin
/// as failed, ends its channels and calls with the reason `plugin-failed`, and drops it.
///
/// Only [`start`](Plugin::start) has no default.
pub trait Plugin: Sized + 'static {
    /// Name, version, and the other plugins that it uses or invites.
    const ABOUT: About;

    /// Makes the plugin from its `[plugin.config]`. If it returns a reason, the plugin does not
    /// start.
    ///
    /// The host may be used here already: for channels, calls, timers and watches. The plugins of a
    /// server start in the order of its configuration, those in processes of their own some time
    /// later. Other plugins may therefore be missing at this time; [`directory`](Self::directory)
    /// reports them when they appear.
    fn start(host: &Host, config: Config) -> Result<Self, Reason>;

    /// Another plugin opens a channel; the answer says whether it may. If one of the two invites
    /// the other ([`About::invites`]), both are asked.
    ///
    /// No event of the channel is delivered before it is accepted. By default it is refused with
    /// `no-channels`.
    fn open(&mut self, host: &Host, channel: Channel, caller: &Caller) -> Answer {
        let _ = (host, channel, caller);
        Answer::Refuse(Reason::new("no-channels", "this plugin accepts no channels"))
    }

    /// A channel that this plugin opened was accepted. A refusal is reported by
    /// [`ended`](Self::ended).
    fn opened(&mut self, host: &Host, channel: Channel) {
        let _ = (host, channel);
    }

    /// There is room to write `room` bytes. Called first when a channel is up, then after each
    /// write of which not all was taken.
    fn credit(&mut self, host: &Host, channel: Channel, room: u64) {
        let _ = (host, channel, room);
    }

    /// Bytes from the other end, in order. They are borrowed for this call.
    ///
    /// When it returns, they count as consumed and the sender may send as many more, unless
    /// [`Host::hold`] was called for the channel.
    fn write(&mut self, host: &Host, channel: Channel, bytes: &[u8]) {
        let _ = (host, channel, bytes);
    }

    /// The other end no longer writes. By default, neither does this one.
    fn close(&mut self, host: &Host, channel: Channel) {
        host.close(channel);
    }

    /// The other end no longer reads: bytes that this end writes from now on are dropped.
    fn stop_read(&mut self, host: &Host, channel: Channel) {
        let _ = (host, channel);
    }

    /// The last event of a channel, delivered exactly once. Without a reason, both ends closed it
    /// in order; with one, it was refused, aborted or lost.
    fn ended(&mut self, host: &Host, channel: Channel, why: Option<&Reason>) {
        let _ = (host, channel, why);
    }

    /// Another plugin calls this one. [`Host::answer`] or [`Host::refuse_call`] ends the call, here
    /// or at any later time. By default it is refused with `no-calls`.
    ///
    /// The request is borrowed for this call. If the caller's deadline has passed already,
    /// [`cancelled`](Self::cancelled) follows. A panic in this method ends the call too, unless it
    /// was answered before: the caller gets `plugin-failed`.
    fn call(&mut self, host: &Host, call: Call, caller: &Caller, request: &[u8]) {
        let _ = (caller, request);
        host.refuse_call(call, Reason::new("no-calls", "this plugin accepts no calls"));
    }

    /// The caller no longer waits for the answer: it cancelled the call, has ended, or its deadline
    /// has passed. The call is over.
    fn cancelled(&mut self, host: &Host, call: Call) {
        let _ = (host, call);
    }

    /// The outcome of a call that [`Host::call`] left pending, delivered exactly once, unless this
    /// plugin ends before that. The answer is borrowed for this call.
    fn reply(&mut self, host: &Host, call: Call, outcome: Result<&[u8], Unanswered>) {
        let _ = (host, call, outcome);
    }

    /// A plugin appeared, changed its version or left, here (this plugin included) or on a linked
    /// server.
    ///
    /// Plugins that were there before this one are not reported; [`Host::directory`] lists them.
    fn directory(&mut self, host: &Host, change: &Change) {
        let _ = (host, change);
    }

    /// A link to another server came up or went down.
    fn link(&mut self, host: &Host, change: &LinkChange) {
        let _ = (host, change);
    }

    /// A timer of [`Host::set_timer`] fired; it fires once.
    fn timer(&mut self, host: &Host, timer: Timer) {
        let _ = (host, timer);
    }

    /// A file descriptor of [`Host::watch`] became ready.
    ///
    /// This is an edge, reported once for each change: read or write until `WouldBlock`.
    fn ready(&mut self, host: &Host, watch: Watch, readiness: Readiness) {
        let _ = (host, watch, readiness);
    }

    /// A [`Waker`](crate::Waker) of this plugin was used. Several uses may be merged into one
    /// event.
    fn wake(&mut self, host: &Host) {
        let _ = host;
    }

    /// The server stops, or removes this plugin: the last call before the plugin is dropped. Calls
    /// to it may still be answered here. The outcomes of its own calls are no longer delivered.
    ///
    /// Within a process, the plugin that started last is stopped first.
    fn stop(&mut self, host: &Host) {
        let _ = host;
    }
}

/// A plugin's answer to an incoming channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The channel is up.
    Accept,
    /// The channel is refused; the caller receives the reason.
    Refuse(Reason),
    /// The plugin will answer by [`Host::accept`] or [`Host::refuse`].
    Later,
}
