//! The host's part of a running instance.

use std::cell::{Cell, RefCell};
use std::ptr;
use std::rc::Rc;

use super::log_target::target_of;
use super::{Failure, HostApi};

thread_local! {
    /// The instance whose callback runs on this thread, or null.
    static CURRENT: Cell<*const Context> = const { Cell::new(ptr::null()) };
}

/// The server as this instance reaches it, and the record of its panics.
///
/// The instance's host functions receive its address.
pub(crate) struct Context {
    api: Rc<dyn HostApi>,
    log_target: String,
    panic: RefCell<Panic>,
}

/// The last panic of an instance.
#[derive(Default)]
struct Panic {
    message: String,
    location: Option<String>,
}

impl Context {
    pub(crate) fn new(api: Rc<dyn HostApi>) -> Rc<Self> {
        let log_target = target_of(&api.name());
        Rc::new(Self { api, log_target, panic: RefCell::default() })
    }

    /// The server.
    pub(crate) fn api(&self) -> &dyn HostApi {
        &*self.api
    }

    /// The target of the records that this instance's callbacks make.
    pub(crate) fn log_target(&self) -> &str {
        &self.log_target
    }

    /// Runs a callback of this instance.
    #[inline]
    pub(crate) fn during<R>(&self, callback: impl FnOnce() -> R) -> R {
        let before = CURRENT.replace(self);
        let result = callback();
        CURRENT.set(before);
        result
    }

    /// Shows the instance whose callback runs on this thread, if one does.
    pub(crate) fn current<R>(look: impl FnOnce(&Self) -> R) -> Option<R> {
        // SAFETY: `during` borrows the context as long as its address stands there: a callback is
        // plugin code behind a guard, so `during` never unwinds.
        unsafe { CURRENT.get().as_ref() }.map(look)
    }

    /// The panic hook reports the beginning of a panic; the plugin may still catch it.
    pub(crate) fn panics(&self, message: &str, location: &str) {
        let location = Some(location.to_owned());
        self.panic.replace(Panic { message: message.to_owned(), location });
    }

    /// The guard reports that a panic left the callback. The hook's location belongs to this panic
    /// if the messages are equal; a resumed panic does not reach the hook.
    pub(crate) fn panicked(&self, message: &str) {
        let mut panic = self.panic.borrow_mut();
        if panic.message != message {
            *panic = Panic { message: message.to_owned(), location: None };
        }
    }

    /// The failure of the callback that has just panicked.
    #[cold]
    pub(crate) fn failure(&self) -> Failure {
        let Panic { message, location } = self.panic.take();
        Failure::Panicked { message, location }
    }
}
