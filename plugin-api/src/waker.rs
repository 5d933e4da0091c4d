//! A handle by which a plugin's own threads wake their plugin.

use std::fmt;
use std::sync::Arc;
use std::task::Wake;

use crate::abi::WakerView;

/// Has [`Plugin::wake`](crate::Plugin::wake) called soon, from any thread.
///
/// It may be kept for any time; after the end of its plugin it has no effect. It converts into a
/// [`std::task::Waker`] with `into()`, so that futures can be polled on the host loop.
pub struct Waker(WakerView);

// SAFETY: the ABI says that the functions of a waker are called on any thread.
unsafe impl Send for Waker {}
// SAFETY: as above.
unsafe impl Sync for Waker {}

impl Waker {
    /// Takes over the one owner that the host made.
    pub(crate) fn new(view: WakerView) -> Self {
        Self(view)
    }

    /// Has the plugin's `wake` called. Several calls may be merged into one.
    pub fn wake(&self) {
        // SAFETY: this is an owner of the data, so it is alive.
        unsafe { (self.0.wake)(self.0.data) }
    }
}

impl Clone for Waker {
    fn clone(&self) -> Self {
        // SAFETY: this is an owner of the data, so it is alive; the copy is the added owner.
        unsafe { (self.0.retain)(self.0.data) };
        Self(self.0)
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        // SAFETY: this owner is used for the last time.
        unsafe { (self.0.release)(self.0.data) }
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Waker").field(&self.0.data).finish()
    }
}

impl Wake for Waker {
    fn wake(self: Arc<Self>) {
        Self::wake(&self);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        Self::wake(self);
    }
}

impl From<Waker> for std::task::Waker {
    fn from(waker: Waker) -> Self {
        Arc::new(waker).into()
    }
}
