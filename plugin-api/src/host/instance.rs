//! A running plugin: each callback as a safe method.

use std::fmt;
use std::ptr;
use std::rc::Rc;

use super::context::Context;
use super::table::Table;
use super::{Failure, StartError};
use crate::abi::{self, Bytes, ModuleRef, OutcomeView, ReasonView, Sink, Status};
use crate::{
    Answer, By, Call, Caller, Change, Channel, LinkChange, Readiness, Reason, Timer, Unanswered,
    Watch,
};

/// A running plugin.
///
/// Each method runs the callback of [`Plugin`](crate::Plugin) with the same name, on this thread.
/// After a [`Failure`] the instance should be dropped. Dropping it drops the plugin.
pub struct Instance {
    module: ModuleRef,
    /// What the module's `start` returned; only the module looks into it.
    plugin: *mut (),
    context: Rc<Context>,
}

/// The functions of a module take the pointer of the instance, here always `self.plugin`.
///
/// Each `SAFETY: own pointer` below stands for this: `start` of the same module returned it, only
/// `drop` drops it, and `&mut self` excludes a second callback while one is running.
impl Instance {
    /// Starts the plugin.
    pub(super) fn start(
        module: ModuleRef,
        context: Rc<Context>,
        config: &str,
    ) -> Result<Self, StartError> {
        let (host, config) = (abi::host::<Table>(), Bytes::text(config));
        let mut plugin = ptr::null_mut();
        let mut refusal = None;
        let mut take = |view: &ReasonView| refusal = reason_of(view);
        let start = || {
            let this = Rc::as_ptr(&context).cast();
            // SAFETY: table and context belong together; the context outlives the instance, which
            // owns it, and everything else is borrowed for the call.
            unsafe { (module.start())(host, this, config, &raw mut plugin, Sink::new(&mut take)) }
        };
        match context.during(start) {
            Status::DONE => Ok(Self { module, plugin, context }),
            Status::REFUSED => Err(refusal.map_or_else(
                || StartError::Failed(Failure::Misused(NO_REASON.to_owned())),
                StartError::Refused,
            )),
            Status::PANICKED => Err(StartError::Failed(context.failure())),
            status => Err(StartError::Failed(unknown(status))),
        }
    }

    /// Another plugin opens a channel.
    ///
    /// # Errors
    ///
    /// [`Failure`], as for every callback.
    pub fn open(&mut self, channel: Channel, caller: &Caller) -> Result<Answer, Failure> {
        let caller = caller.view();
        let mut refusal = None;
        let mut take = |view: &ReasonView| refusal = reason_of(view);
        let sink = Sink::new(&mut take);
        let status = self.enter(|module, plugin| {
            // SAFETY: own pointer; the caller and the sink are borrowed for the call.
            unsafe { (module.open())(plugin, channel.0, &raw const caller, sink) }
        });
        match status {
            Status::DONE => Ok(Answer::Accept),
            Status::LATER => Ok(Answer::Later),
            Status::REFUSED => {
                refusal.map(Answer::Refuse).ok_or_else(|| Failure::Misused(NO_REASON.to_owned()))
            }
            status => self.done(status).map(|()| Answer::Accept),
        }
    }

    /// A channel that the plugin opened is up.
    ///
    /// # Errors
    ///
    /// [`Failure`], as for every callback.
    pub fn opened(&mut self, channel: Channel) -> Result<(), Failure> {
        // SAFETY: own pointer.
        self.tell(|module, plugin| unsafe { (module.opened())(plugin, channel.0) })
    }

    /// There is room to write that many more bytes.
    ///
    /// # Errors
    ///
    /// [`Failure`], as for every callback.
    pub fn credit(&mut self, channel: Channel, room: u64) -> Result<(), Failure> {
        // SAFETY: own pointer.
        self.tell(|module, plugin| unsafe { (module.credit())(plugin, channel.0, room) })
    }

    /// Bytes from the other end; they are consumed when this returns, unless the plugin holds the
    /// channel.
    ///
    /// # Errors
    ///
    /// [`Failure`], as for every callback.
    #[inline]
    pub fn write(&mut self, channel: Channel, bytes: &[u8]) -> Result<(), Failure> {
        let bytes = Bytes::new(bytes);
        // SAFETY: own pointer; the bytes are borrowed for the call.
        self.tell(|module, plugin| unsafe { (module.write())(plugin, channel.0, bytes) })
    }

    /// The other end no longer writes.
    ///
    /// # Errors
    ///
    /// [`Failure`], as for every callback.
    pub fn close(&mut self, channel: Channel) -> Result<(), Failure> {
        // SAFETY: own pointer.
        self.tell(|module, plugin| unsafe { (module.close())(plugin, channel.0) })
    }

    /// The other end no longer reads.
    ///
    /// # Errors
    ///
    /// [`Failure`], as for every callback.
    pub fn stop_read(&mut self, channel: Channel) -> Result<(), Failure> {
        // SAFETY: own pointer.
        self.tell(|module, plugin| unsafe { (module.stop_read())(plugin, channel.0) })
    }

    /// A channel has ended: its last event.
    ///
    /// # Errors
    ///
    /// [`Failure`], as for every callback.
    pub fn ended(&mut self, channel: Channel, why: Option<&Reason>) -> Result<(), Failure> {
        let view = why.map(Reason::view);
        let why = view.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: own pointer; the reason is null or borrowed for the call.
        self.tell(|module, plugin| unsafe { (module.ended())(plugin, channel.0, why) })
    }

    /// The directory changed.
    ///
    /// # Errors
    ///
    /// [`Failure`], as for every callback.
    pub fn directory(&mut self, change: &Change) -> Result<(), Failure> {
        let kind = match change {
            Change::Appeared(_) => 0,
            Change::Changed(_) => 1,
            Change::Left(_) => 2,
        };
        let entry = change.entry().view();
        // SAFETY: own pointer; the entry is borrowed for the call.
        self.tell(|module, plugin| unsafe { (module.directory())(plugin, kind, &raw const entry) })
    }

    /// A link came up or went down.
    ///
    /// # Errors
    ///
    /// [`Failure`], as for every callback.
    pub fn link(&mut self, change: &LinkChange) -> Result<(), Failure> {
        let (link, why) = match change {
            LinkChange::Up(link) => (link, None),
            LinkChange::Down(link, why) => (link, Some(why.view())),
        };
        let peer = link.peer.view();
        let why = why.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: own pointer; the peer is borrowed for the call, and the reason likewise or null.
        self.tell(|module, plugin| unsafe { (module.link())(plugin, &raw const peer, why) })
    }

    /// A timer fired.
    ///
    /// # Errors
    ///
    /// [`Failure`], as for every callback.
    pub fn timer(&mut self, timer: Timer) -> Result<(), Failure> {
        // SAFETY: own pointer.
        self.tell(|module, plugin| unsafe { (module.timer())(plugin, timer.0) })
    }

    /// A watched file descriptor became ready.
    ///
    /// # Errors
    ///
    /// [`Failure`], as for every callback.
    pub fn ready(&mut self, watch: Watch, readiness: Readiness) -> Result<(), Failure> {
        // SAFETY: own pointer.
        self.tell(|module, plugin| unsafe { (module.ready())(plugin, watch.0, readiness.0) })
    }

    /// A waker of the plugin was used.
    ///
    /// # Errors
    ///
    /// [`Failure`], as for every callback.
    pub fn wake(&mut self) -> Result<(), Failure> {
        // SAFETY: own pointer.
        self.tell(|module, plugin| unsafe { (module.wake())(plugin) })
    }

    /// Another plugin calls. Returns `None` if the plugin was built for an API without calls; it
    /// was not called then.
    ///
    /// # Errors
    ///
    /// [`Failure`], as for every callback.
    #[inline]
    pub fn call(
        &mut self,
        call: Call,
        caller: &Caller,
        request: &[u8],
    ) -> Result<Option<()>, Failure> {
        let Some(function) = self.module.call() else { return Ok(None) };
        let (caller, request) = (caller.view(), Bytes::new(request));
        // SAFETY: own pointer; caller and request are borrowed for the call.
        self.tell(|_, plugin| unsafe { function(plugin, call.0, &raw const caller, request) })
            .map(Some)
    }

    /// The caller no longer waits for the answer to a call.
    ///
    /// # Errors
    ///
    /// [`Failure`], as for every callback.
    pub fn cancelled(&mut self, call: Call) -> Result<(), Failure> {
        let Some(function) = self.module.cancelled() else { return Ok(()) };
        // SAFETY: own pointer.
        self.tell(|_, plugin| unsafe { function(plugin, call.0) })
    }

    /// The outcome of a call.
    ///
    /// # Errors
    ///
    /// [`Failure`], as for every callback.
    pub fn reply(
        &mut self,
        call: Call,
        outcome: Result<&[u8], &Unanswered>,
    ) -> Result<(), Failure> {
        let Some(function) = self.module.reply() else { return Ok(()) };
        OutcomeView::show(outcome, |view| {
            // SAFETY: own pointer; the outcome is borrowed for the call.
            self.tell(|_, plugin| unsafe { function(plugin, call.0, view) })
        })
    }

    /// The server stops, or removes the plugin.
    ///
    /// # Errors
    ///
    /// [`Failure`], as for every callback.
    pub fn stop(&mut self) -> Result<(), Failure> {
        // SAFETY: own pointer.
        self.tell(|module, plugin| unsafe { (module.stop())(plugin) })
    }

    /// Runs a callback that answers nothing.
    #[inline]
    fn tell(&mut self, callback: impl FnOnce(ModuleRef, *mut ()) -> Status) -> Result<(), Failure> {
        let status = self.enter(callback);
        self.done(status)
    }

    #[inline]
    fn enter(&mut self, callback: impl FnOnce(ModuleRef, *mut ()) -> Status) -> Status {
        self.context.during(|| callback(self.module, self.plugin))
    }

    #[inline]
    fn done(&self, status: Status) -> Result<(), Failure> {
        match status {
            Status::DONE => Ok(()),
            Status::PANICKED => Err(self.context.failure()),
            status => Err(unknown(status)),
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // SAFETY: own pointer, for the last time.
        if let Err(failure) = self.tell(|module, plugin| unsafe { (module.drop())(plugin) }) {
            log::error!(target: self.context.log_target(), "while it was dropped: {failure}");
        }
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Instance").field(&self.context.log_target()).finish()
    }
}

/// The misuse of a plugin that refuses without a valid reason.
const NO_REASON: &str = "it refused without a valid reason";

/// The plugin's own reason; `None` if its code is invalid.
fn reason_of(view: &ReasonView) -> Option<Reason> {
    // SAFETY: a sink is shown what is alive.
    let (code, text) = unsafe { (view.code.as_text(), view.text.as_text()) };
    Reason::from_parts(By::Plugin, code, text)
}

#[cold]
fn unknown(status: Status) -> Failure {
    Failure::Misused(format!("it answered with the unknown status {}", status.0))
}
