//! The types that cross the boundary in a call: frozen structs, valid for the time of the call
//! unless said otherwise.

use abi_stable::StableAbi;

/// How a call ended.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status(pub u8);

impl Status {
    /// It was done. From `open`: the channel is accepted.
    pub const DONE: Self = Self(0);
    /// It was refused, and the reason was put into the sink.
    pub const REFUSED: Self = Self(1);
    /// It panicked.
    pub const PANICKED: Self = Self(2);
    /// From `open` and `call` only: the answer comes later.
    pub const LATER: Self = Self(3);
}

/// A borrowed byte slice, or text in UTF-8.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct Bytes {
    ptr: *const u8,
    len: usize,
}

impl Bytes {
    /// A view of `slice`.
    #[must_use]
    pub const fn new(slice: &[u8]) -> Self {
        Self { ptr: slice.as_ptr(), len: slice.len() }
    }

    /// A view of `text`.
    #[must_use]
    pub const fn text(text: &str) -> Self {
        Self::new(text.as_bytes())
    }

    /// The bytes.
    ///
    /// # Safety
    ///
    /// The source of the view must be alive and unchanged for `'a`.
    #[must_use]
    pub const unsafe fn as_slice<'a>(self) -> &'a [u8] {
        // SAFETY: the caller's promise.
        unsafe { slice_of(self.ptr, self.len) }
    }

    /// The text; `None` if it is not UTF-8.
    ///
    /// # Safety
    ///
    /// The source of the view must be alive and unchanged for `'a`.
    #[must_use]
    pub const unsafe fn as_text<'a>(self) -> &'a str {
        // SAFETY: the caller's promise is the same.
        match core::str::from_utf8(unsafe { self.as_slice() }) {
            Ok(text) => text,
            Err(_) => "",
        }
    }
}

/// The items at a pointer, which other languages than Rust may leave null if there are none.
///
/// # Safety
///
/// Unless `len` is 0, there are `len` items, alive and unchanged for `'a`.
pub(crate) const unsafe fn slice_of<'a, T>(ptr: *const T, len: usize) -> &'a [T] {
    match len {
        0 => &[],
        // SAFETY: the caller's promise.
        len => unsafe { core::slice::from_raw_parts(ptr, len) },
    }
}

/// A function of the caller to which the callee passes a value, so that the caller copies it.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct Sink<T> {
    slot: *mut (),
    put: unsafe extern "C" fn(slot: *mut (), item: *const T),
}

impl<T> Sink<T> {
    /// A sink that passes each item to `take`, which must not panic and must outlive the call that
    /// receives the sink.
    pub fn new<F: FnMut(&T)>(take: &mut F) -> Self {
        Self { slot: (&raw mut *take).cast(), put: put::<T, F> }
    }

    /// Passes an item.
    ///
    /// # Safety
    ///
    /// The call that received the sink must not have returned yet.
    pub unsafe fn put(self, item: &T) {
        // SAFETY: `new` paired slot and function, and by the caller's promise the slot is alive.
        unsafe { (self.put)(self.slot, item) }
    }
}

/// Passes an item to the closure in the slot.
unsafe extern "C" fn put<T, F: FnMut(&T)>(slot: *mut (), item: *const T) {
    // SAFETY: `Sink::new` made the slot of an exclusive borrow of an `F`, and only one `put` runs
    // at a time, since a sink stays on the thread of its call; the item is borrowed.
    let (take, item) = unsafe { (&mut *slot.cast::<F>(), &*item) };
    take(item);
}

/// A [`Reason`](crate::Reason).
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct ReasonView {
    /// 0 a plugin, 1 a server. The value is ignored if it comes from a plugin.
    pub by: u8,
    /// Kebab-case, 1 to 64 bytes.
    pub code: Bytes,
    /// At most 1 KiB.
    pub text: Bytes,
}

/// The outcome of a call.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct OutcomeView {
    /// 0 answered, 1 refused, 2 cancelled, 3 past its deadline, 4 lost.
    pub how: u8,
    /// The answer, if it was answered.
    pub answer: Bytes,
    /// Why, if it was refused or lost.
    pub why: ReasonView,
}

/// A plugin somewhere: an [`Entry`](crate::Entry) or a [`Caller`](crate::Caller).
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct EntryView {
    /// Its name.
    pub name: Bytes,
    /// Its version.
    pub version: u64,
    /// Its server's key.
    pub server: [u8; 32],
    /// Whether its server is this one.
    pub local: bool,
}

/// A server; a link is shown as the server at its other side.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct ServerView {
    /// Its key.
    pub key: [u8; 32],
    /// Its name.
    pub name: Bytes,
}

/// The name under which a plugin runs, and its server.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct IdentityView {
    /// The plugin's name here.
    pub name: Bytes,
    /// Its server.
    pub server: ServerView,
}

/// A [`Target`](crate::Target).
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct TargetView {
    /// The wanted plugin's name.
    pub name: Bytes,
    /// Its least version.
    pub version: u64,
    /// 0 anywhere, 1 here, 2 on `server`.
    pub place: u8,
    /// The server's key or name, when `place` says so.
    pub server: Bytes,
}

/// A [`Use`](crate::Use).
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct UseView {
    /// The wanted plugin's name.
    pub name: Bytes,
    /// Its least version.
    pub version: u64,
}

/// An [`About`](crate::About). The names in it live as long as the module, the lists as the call.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct AboutView {
    /// The plugin's name.
    pub name: Bytes,
    /// Its version.
    pub version: u64,
    /// The plugins that it opens channels to.
    pub uses: *const UseView,
    /// The number of `uses`.
    pub uses_len: usize,
    /// The names of the plugins that should connect to it.
    pub invites: *const Bytes,
    /// The number of `invites`.
    pub invites_len: usize,
}

/// A log record.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct RecordView {
    /// 1 error to 5 trace.
    pub level: u8,
    /// Its text.
    pub message: Bytes,
    /// The module that made it; empty if unknown.
    pub module: Bytes,
    /// The file that made it; empty if unknown.
    pub file: Bytes,
    /// The line, from 1; 0 when unknown.
    pub line: u32,
}

/// A [`Waker`](crate::Waker): shared data and the functions for it, on any thread.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct WakerView {
    /// The argument of the functions.
    pub data: *const (),
    /// Wakes the plugin.
    pub wake: unsafe extern "C" fn(data: *const ()),
    /// Adds an owner.
    pub retain: unsafe extern "C" fn(data: *const ()),
    /// Removes an owner.
    pub release: unsafe extern "C" fn(data: *const ()),
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::ptr;

    #[test]
    fn a_null_pointer_with_length_0_is_an_empty_list() {
        let bytes = Bytes { ptr: ptr::null(), len: 0 };
        // SAFETY: nothing is behind the pointers.
        let (bytes, text) = unsafe { (bytes.as_slice(), bytes.as_text()) };
        assert_eq!((bytes, text), (&[][..], ""));
        // SAFETY: as above.
        assert!(unsafe { slice_of::<UseView>(ptr::null(), 0) }.is_empty());
    }
}
