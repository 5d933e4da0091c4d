//! The trait that an author implements; what it may ask in return is [`Host`](crate::Host).

use crate::{
    About, Call, Caller, Change, Channel, Config, Host, LinkChange, Readiness, Reason, Timer,
    Unanswered, Watch,
};

/// A plugin: what it is, and what it does when it is told something.
///
/// Every method runs on the thread of the plugin's host loop, one at a time, and is never entered
/// again while one of them is on the stack. A method must return soon: while it runs, nothing else
/// on that loop does, except for plugins that it calls by [`Host::call`]. A panic in any of them
/// marks the plugin as failed, ends its channels and calls with the reason `plugin-failed`, and
/// drops it.
///
/// Only [`start`](Plugin::start) has no default.
pub trait Plugin: Sized + 'static {
    /// Name, version, and which other plugins it has to do with.
    const ABOUT: About;

    /// Makes the plugin from its `[plugin.config]`; a reason means that it does not start.
    ///
    /// The host may already be asked for anything here: channels, calls, timers, watches. The
    /// plugins of a server start in the order of its configuration, those in processes of their own
    /// some time later, so that others may not be there yet: [`directory`](Self::directory) tells
    /// when they are.
    fn start(host: &Host, config: Config) -> Result<Self, Reason>;

    /// Another plugin wants to talk; the answer says whether it may. Where one of the two invites
    /// the other ([`About::invites`]), both are asked.
    ///
    /// Nothing is told about the channel before it is accepted. By default it is refused with
    /// `no-channels`.
    fn open(&mut self, host: &Host, channel: Channel, caller: &Caller) -> Answer {
        let _ = (host, channel, caller);
        Answer::Refuse(Reason::new("no-channels", "this plugin takes no channels"))
    }

    /// A channel that this plugin opened was accepted. A refusal comes as [`ended`](Self::ended).
    fn opened(&mut self, host: &Host, channel: Channel) {
        let _ = (host, channel);
    }

    /// There is room to write `room` bytes: told first when a channel is up, then after each write
    /// that was not taken whole.
    fn credit(&mut self, host: &Host, channel: Channel, room: u64) {
        let _ = (host, channel, room);
    }

    /// Bytes from the other end, in order; they live as long as this call.
    ///
    /// When it returns they count as consumed and the sender may send as many more, unless
    /// [`Host::hold`] was called for the channel.
    fn write(&mut self, host: &Host, channel: Channel, bytes: &[u8]) {
        let _ = (host, channel, bytes);
    }

    /// The other end writes no more. By default, neither does this one.
    fn close(&mut self, host: &Host, channel: Channel) {
        host.close(channel);
    }

    /// The other end reads no more: what this end writes from now on is dropped.
    fn stop_read(&mut self, host: &Host, channel: Channel) {
        let _ = (host, channel);
    }

    /// The last word about a channel, said exactly once. Without a reason, both ends closed it in
    /// order; with one, it was refused, aborted or lost.
    fn ended(&mut self, host: &Host, channel: Channel, why: Option<&Reason>) {
        let _ = (host, channel, why);
    }

    /// Another plugin calls this one: [`Host::answer`] or [`Host::refuse_call`] ends the call, here
    /// or at any time after. By default it is refused with `no-calls`.
    ///
    /// The request lives as long as this method. It may come when its caller's time is over
    /// already: then [`cancelled`](Self::cancelled) follows. A panic in here ends the call, too, if
    /// it is not answered yet: the caller is told `plugin-failed`.
    fn call(&mut self, host: &Host, call: Call, caller: &Caller, request: &[u8]) {
        let _ = (caller, request);
        host.refuse_call(call, Reason::new("no-calls", "this plugin takes no calls"));
    }

    /// Nobody waits for the answer to a call any more: its caller took it back, is gone, or its
    /// time is over. The call is over.
    fn cancelled(&mut self, host: &Host, call: Call) {
        let _ = (host, call);
    }

    /// What became of a call that [`Host::call`] left pending, told exactly once, unless this
    /// plugin is over before that. The answer lives as long as this method.
    fn reply(&mut self, host: &Host, call: Call, outcome: Result<&[u8], Unanswered>) {
        let _ = (host, call, outcome);
    }

    /// A plugin appeared, changed its version or left, here (this one, too) or on a linked server.
    ///
    /// Those that were there before this plugin are not told: [`Host::directory`] lists them.
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
    /// This is an edge, told once for each change: read or write until `WouldBlock`.
    fn ready(&mut self, host: &Host, watch: Watch, readiness: Readiness) {
        let _ = (host, watch, readiness);
    }

    /// A [`Waker`](crate::Waker) of this plugin was used. Several uses may be told as one.
    fn wake(&mut self, host: &Host) {
        let _ = host;
    }

    /// The server ends, or removes this plugin: the last call before the plugin is dropped. Calls
    /// to it may still be answered here; what becomes of its own calls it is not told any more.
    ///
    /// Of the plugins of a process, the last one that started is the first to be stopped.
    fn stop(&mut self, host: &Host) {
        let _ = host;
    }
}

/// What a plugin says to an incoming channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The channel is up.
    Accept,
    /// The caller is told why not, and the channel is gone.
    Refuse(Reason),
    /// The plugin will say it by [`Host::accept`] or [`Host::refuse`].
    Later,
}
