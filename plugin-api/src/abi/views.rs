//! What crosses the boundary in a call: frozen structs, for the time of the call unless said
//! otherwise.

use abi_stable::StableAbi;

/// How a call ended.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status(pub u8);

impl Status {
    /// It was done; from `open`: the channel is accepted.
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
    /// What the view was made of must be alive and unchanged for `'a`.
    #[must_use]
    pub const unsafe fn as_slice<'a>(self) -> &'a [u8] {
        // SAFETY: `new` took pointer and length from a slice, which the caller says still lives.
        unsafe { core::slice::from_raw_parts(self.ptr, self.len) }
    }

    /// The text; nothing when it is not UTF-8.
    ///
    /// # Safety
    ///
    /// What the view was made of must be alive and unchanged for `'a`.
    #[must_use]
    pub const unsafe fn as_text<'a>(self) -> &'a str {
        // SAFETY: the caller's promise is the same.
        match core::str::from_utf8(unsafe { self.as_slice() }) {
            Ok(text) => text,
            Err(_) => "",
        }
    }
}

/// A function of the caller's to which the callee shows a value, so that the caller copies it.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct Sink<T> {
    slot: *mut (),
    put: unsafe extern "C" fn(slot: *mut (), item: *const T),
}

impl<T> Sink<T> {
    /// A sink that gives each item to `take`, which must not panic and must outlive the call that
    /// the sink is handed to.
    pub fn new<F: FnMut(&T)>(take: &mut F) -> Self {
        Self { slot: (&raw mut *take).cast(), put: put::<T, F> }
    }

    /// Shows an item.
    ///
    /// # Safety
    ///
    /// The call that the sink was handed to must not have returned yet.
    pub unsafe fn put(self, item: &T) {
        // SAFETY: `new` paired slot and function, and by the caller's promise the slot is alive.
        unsafe { (self.put)(self.slot, item) }
    }
}

/// Gives an item to the closure in the slot.
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
    /// 0 a plugin, 1 a server. What a plugin says here is not believed.
    pub by: u8,
    /// Kebab-case, 1 to 64 bytes.
    pub code: Bytes,
    /// At most 1 KiB.
    pub text: Bytes,
}

/// What became of a call.
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

/// A server, which is also all that there is to say about a link to it.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct ServerView {
    /// Its key.
    pub key: [u8; 32],
    /// Its name.
    pub name: Bytes,
}

/// Under which name a plugin runs, and where.
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
    /// How many they are.
    pub uses_len: usize,
    /// The names of the plugins that should connect to it.
    pub invites: *const Bytes,
    /// How many they are.
    pub invites_len: usize,
}

/// A log record.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct RecordView {
    /// 1 error to 5 trace.
    pub level: u8,
    /// What it says.
    pub message: Bytes,
    /// The module that says it; empty when unknown.
    pub module: Bytes,
    /// The file that says it; empty when unknown.
    pub file: Bytes,
    /// The line, from 1; 0 when unknown.
    pub line: u32,
}

/// A [`Waker`](crate::Waker): shared data and what to do with it, on any thread.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct WakerView {
    /// What the functions take.
    pub data: *const (),
    /// Wakes the plugin.
    pub wake: unsafe extern "C" fn(data: *const ()),
    /// Adds an owner.
    pub retain: unsafe extern "C" fn(data: *const ()),
    /// Removes an owner.
    pub release: unsafe extern "C" fn(data: *const ()),
}
