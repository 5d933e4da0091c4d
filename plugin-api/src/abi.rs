//! The stable ABI: tables of plain functions and the views that cross with them.
//!
//! This is the only place of this crate that knows `abi_stable`. Both sides speak through three
//! tables: a module's ([`ModuleTable`]), its host's ([`HostTable`]) and the log's ([`LogTable`]).
//!
//! # Rules
//!
//! * Tables only grow: a new field goes to the end, with `#[sabi(missing_field(option))]`, and
//!   `last_prefix_field` stays where it was in 1.0. Every other struct is frozen.
//! * No panic crosses: each function is guarded on its own side and answers with a [`Status`].
//! * Whatever is behind a pointer is borrowed for the time of the call. What has an owner crosses
//!   by being shown to a [`Sink`], which copies it.
//! * Functions of a module and of its host are called on the thread of the host loop only; those
//!   of the log and of a waker on any thread.

use abi_stable::{
    StableAbi,
    library::{CheckTypeLayout, LibHeader, RootModule, RootModuleResult},
    prefix_type::WithMetadata,
    sabi_types::VersionStrings,
};

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
    /// From `open` only: the answer comes later.
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

/// What a plugin's file gives its host.
///
/// Each function after `start` takes the pointer that `start` gave.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = ModuleRef, prefix_fields = ModulePrefix)))]
pub struct ModuleTable {
    /// Whether a panic in this file can be caught; if not, it would end the host.
    pub unwinds: bool,
    /// Shows name, version, uses and invites.
    pub about: unsafe extern "C" fn(out: Sink<AboutView>),
    /// Connects the file's log and panic hook; called once for each file, before `start`.
    pub connect: unsafe extern "C" fn(log: LogRef, owner: *const ()),
    /// Starts an instance, which calls its host with `context`.
    pub start: unsafe extern "C" fn(
        host: HostRef,
        context: *const (),
        config: Bytes,
        plugin: *mut *mut (),
        refusal: Sink<ReasonView>,
    ) -> Status,
    /// Drops an instance; its pointer is not used again.
    pub drop: unsafe extern "C" fn(plugin: *mut ()) -> Status,
    /// An incoming channel.
    pub open: unsafe extern "C" fn(
        plugin: *mut (),
        channel: u64,
        caller: *const EntryView,
        refusal: Sink<ReasonView>,
    ) -> Status,
    /// A channel that the plugin opened is up.
    pub opened: unsafe extern "C" fn(plugin: *mut (), channel: u64) -> Status,
    /// There is room for so many more bytes.
    pub credit: unsafe extern "C" fn(plugin: *mut (), channel: u64, room: u64) -> Status,
    /// Bytes from the other end.
    pub write: unsafe extern "C" fn(plugin: *mut (), channel: u64, bytes: Bytes) -> Status,
    /// The other end writes no more.
    pub close: unsafe extern "C" fn(plugin: *mut (), channel: u64) -> Status,
    /// The other end reads no more.
    pub stop_read: unsafe extern "C" fn(plugin: *mut (), channel: u64) -> Status,
    /// The channel is gone; null when both ends closed it in order.
    pub ended:
        unsafe extern "C" fn(plugin: *mut (), channel: u64, why: *const ReasonView) -> Status,
    /// The directory changed: 0 appeared, 1 changed, 2 left.
    pub directory:
        unsafe extern "C" fn(plugin: *mut (), kind: u8, entry: *const EntryView) -> Status,
    /// A link is up when there is no reason, and down when there is one.
    pub link: unsafe extern "C" fn(
        plugin: *mut (),
        peer: *const ServerView,
        down: *const ReasonView,
    ) -> Status,
    /// A timer fired.
    pub timer: unsafe extern "C" fn(plugin: *mut (), timer: u64) -> Status,
    /// A watched file descriptor became ready.
    pub ready: unsafe extern "C" fn(plugin: *mut (), watch: u64, readiness: u8) -> Status,
    /// A waker was used.
    pub wake: unsafe extern "C" fn(plugin: *mut ()) -> Status,
    /// The server ends.
    #[sabi(last_prefix_field)]
    pub stop: unsafe extern "C" fn(plugin: *mut ()) -> Status,
}

/// What a host gives an instance; each function takes the instance's context.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostRef, prefix_fields = HostPrefix)))]
pub struct HostTable {
    /// Under which name the plugin runs, and where.
    pub identity: unsafe extern "C" fn(context: *const (), out: Sink<IdentityView>) -> Status,
    /// Opens a channel.
    pub open: unsafe extern "C" fn(
        context: *const (),
        target: *const TargetView,
        channel: *mut u64,
        refusal: Sink<ReasonView>,
    ) -> Status,
    /// Accepts a channel whose answer was to come later.
    pub accept: unsafe extern "C" fn(context: *const (), channel: u64) -> Status,
    /// Refuses a channel whose answer was to come later.
    pub refuse:
        unsafe extern "C" fn(context: *const (), channel: u64, why: *const ReasonView) -> Status,
    /// Writes bytes and tells how many were taken.
    pub write: unsafe extern "C" fn(
        context: *const (),
        channel: u64,
        bytes: Bytes,
        taken: *mut usize,
    ) -> Status,
    /// Gives credit for so many more bytes.
    pub credit: unsafe extern "C" fn(context: *const (), channel: u64, amount: u64) -> Status,
    /// Bytes are consumed only by `credit` from now on.
    pub hold: unsafe extern "C" fn(context: *const (), channel: u64) -> Status,
    /// This end writes no more.
    pub close: unsafe extern "C" fn(context: *const (), channel: u64) -> Status,
    /// This end reads no more.
    pub stop_read: unsafe extern "C" fn(context: *const (), channel: u64) -> Status,
    /// Ends a channel at once.
    pub abort:
        unsafe extern "C" fn(context: *const (), channel: u64, why: *const ReasonView) -> Status,
    /// Joins two ends of the plugin's.
    pub join: unsafe extern "C" fn(context: *const (), a: u64, b: u64) -> Status,
    /// Sets a timer; `after` is in nanoseconds.
    pub set_timer: unsafe extern "C" fn(context: *const (), after: u64, timer: *mut u64) -> Status,
    /// Takes a timer back.
    pub cancel_timer: unsafe extern "C" fn(context: *const (), timer: u64) -> Status,
    /// Watches a file descriptor.
    pub watch: unsafe extern "C" fn(
        context: *const (),
        fd: i32,
        interest: u8,
        watch: *mut u64,
        refusal: Sink<ReasonView>,
    ) -> Status,
    /// Watches it no more.
    pub unwatch: unsafe extern "C" fn(context: *const (), watch: u64) -> Status,
    /// Makes a waker with one owner.
    pub waker: unsafe extern "C" fn(context: *const (), out: Sink<WakerView>) -> Status,
    /// Shows each plugin in the directory.
    pub directory: unsafe extern "C" fn(context: *const (), out: Sink<EntryView>) -> Status,
    /// Shows each link that is up.
    pub links: unsafe extern "C" fn(context: *const (), out: Sink<ServerView>) -> Status,
    /// Tells the message of the panic for which the running call will answer `PANICKED`.
    #[sabi(last_prefix_field)]
    pub panicked: unsafe extern "C" fn(context: *const (), message: Bytes) -> Status,
}

/// What a process that loads plugins gives each file; called on any thread, with the file's owner.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = LogRef, prefix_fields = LogPrefix)))]
pub struct LogTable {
    /// The most detailed level that anybody listens to: 0 none, 1 error to 5 trace.
    pub max_level: unsafe extern "C" fn(owner: *const ()) -> u8,
    /// Whether a record of this level would be kept.
    pub enabled: unsafe extern "C" fn(owner: *const (), level: u8) -> bool,
    /// Records.
    pub record: unsafe extern "C" fn(owner: *const (), record: *const RecordView),
    /// Tells that code of this file panics, and where.
    #[sabi(last_prefix_field)]
    pub panics: unsafe extern "C" fn(owner: *const (), message: Bytes, location: Bytes),
}

/// A type that stands for a table of functions.
pub trait Provides<Table>: 'static {
    /// The table.
    const TABLE: Table;
}

/// Gives the constant tables of a type the addresses that references to them need.
struct Fixed<E>(E);

impl<E: Provides<ModuleTable>> Fixed<E> {
    const MODULE: &'static WithMetadata<ModuleTable> = &WithMetadata::new(E::TABLE);
}

impl<E: Provides<HostTable>> Fixed<E> {
    const HOST: &'static WithMetadata<HostTable> = &WithMetadata::new(E::TABLE);
}

impl<E: Provides<LogTable>> Fixed<E> {
    const LOG: &'static WithMetadata<LogTable> = &WithMetadata::new(E::TABLE);
}

/// The module that `E` stands for.
#[must_use]
pub fn module<E: Provides<ModuleTable>>() -> ModuleRef {
    ModuleRef(Fixed::<E>::MODULE.static_as_prefix())
}

/// The host that `E` stands for.
#[must_use]
pub fn host<E: Provides<HostTable>>() -> HostRef {
    HostRef(Fixed::<E>::HOST.static_as_prefix())
}

/// The log that `E` stands for.
#[must_use]
pub fn log<E: Provides<LogTable>>() -> LogRef {
    LogRef(Fixed::<E>::LOG.static_as_prefix())
}

/// The version of this API: what plugin and host compare first.
pub const VERSION: VersionStrings = abi_stable::package_version_strings!();

impl RootModule for ModuleRef {
    const BASE_NAME: &'static str = "plugin";
    const NAME: &'static str = "plugin";
    const VERSION_STRINGS: VersionStrings = VERSION;

    abi_stable::declare_root_module_statics! {ModuleRef}
}

/// What a plugin's file exports: with it a host finds version, layout and module.
pub type Header = LibHeader;

/// The header of the module that `E` stands for; [`export_plugin!`](crate::export_plugin) puts it
/// in a static, as `#[export_root_module]` would if it did not need `abi_stable` in the author's
/// crate.
#[must_use]
pub const fn header<E: Provides<ModuleTable>>() -> Header {
    // SAFETY: the constructor gives a `ModuleRef`, the type that stands here.
    unsafe { LibHeader::from_constructor::<ModuleRef>(construct::<E>, CheckTypeLayout::Yes) }
}

/// Gives the module to whoever loads the file.
extern "C" fn construct<E: Provides<ModuleTable>>() -> RootModuleResult {
    abi_stable::library::__call_root_module_loader(module::<E>)
}

#[cfg(test)]
mod tests {
    /// `export_plugin!` has to spell the name out.
    #[test]
    fn the_exported_name_is_the_one_that_abi_stable_looks_for() {
        let expected = "_1as_0lib_1header_0root_bmodule_bloader";
        assert_eq!(abi_stable::library::ROOT_MODULE_LOADER_NAME, expected);
    }
}
