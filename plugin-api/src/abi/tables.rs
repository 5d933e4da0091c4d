//! The tables of functions by which plugin and host reach each other. They only grow.

use abi_stable::StableAbi;

use super::{
    AboutView, Bytes, EntryView, IdentityView, OutcomeView, ReasonView, RecordView, ServerView,
    Sink, Status, TargetView, WakerView,
};

/// What a plugin's file offers its host.
///
/// Each function after `start` takes the pointer that `start` gave.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = ModuleRef, prefix_fields = ModulePrefix)))]
pub struct ModuleTable {
    /// Whether a panic in this file can be caught. If not, it would end the host.
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
    /// There is room for that many more bytes.
    pub credit: unsafe extern "C" fn(plugin: *mut (), channel: u64, room: u64) -> Status,
    /// Bytes from the other end.
    pub write: unsafe extern "C" fn(plugin: *mut (), channel: u64, bytes: Bytes) -> Status,
    /// The other end no longer writes.
    pub close: unsafe extern "C" fn(plugin: *mut (), channel: u64) -> Status,
    /// The other end no longer reads.
    pub stop_read: unsafe extern "C" fn(plugin: *mut (), channel: u64) -> Status,
    /// The channel has ended; null if both ends closed it in order.
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
    /// The server stops.
    #[sabi(last_prefix_field)]
    pub stop: unsafe extern "C" fn(plugin: *mut ()) -> Status,
    // Since 1.2.
    /// Another plugin calls.
    #[sabi(missing_field(option))]
    pub call: unsafe extern "C" fn(
        plugin: *mut (),
        call: u64,
        caller: *const EntryView,
        request: Bytes,
    ) -> Status,
    /// The caller no longer waits for the answer to a call.
    #[sabi(missing_field(option))]
    pub cancelled: unsafe extern "C" fn(plugin: *mut (), call: u64) -> Status,
    /// The outcome of a call.
    #[sabi(missing_field(option))]
    pub reply:
        unsafe extern "C" fn(plugin: *mut (), call: u64, outcome: *const OutcomeView) -> Status,
}

/// What a host offers an instance; each function takes the instance's context.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostRef, prefix_fields = HostPrefix)))]
pub struct HostTable {
    /// Shows the name under which the plugin runs, and its server.
    pub identity: unsafe extern "C" fn(context: *const (), out: Sink<IdentityView>) -> Status,
    /// Opens a channel.
    pub open: unsafe extern "C" fn(
        context: *const (),
        target: *const TargetView,
        channel: *mut u64,
        refusal: Sink<ReasonView>,
    ) -> Status,
    /// Accepts a channel that was answered with "later".
    pub accept: unsafe extern "C" fn(context: *const (), channel: u64) -> Status,
    /// Refuses a channel that was answered with "later".
    pub refuse:
        unsafe extern "C" fn(context: *const (), channel: u64, why: *const ReasonView) -> Status,
    /// Writes bytes and returns how many were taken.
    pub write: unsafe extern "C" fn(
        context: *const (),
        channel: u64,
        bytes: Bytes,
        taken: *mut usize,
    ) -> Status,
    /// Gives credit for that many more bytes.
    pub credit: unsafe extern "C" fn(context: *const (), channel: u64, amount: u64) -> Status,
    /// From now on, bytes are consumed only by `credit`.
    pub hold: unsafe extern "C" fn(context: *const (), channel: u64) -> Status,
    /// This end no longer writes.
    pub close: unsafe extern "C" fn(context: *const (), channel: u64) -> Status,
    /// This end no longer reads.
    pub stop_read: unsafe extern "C" fn(context: *const (), channel: u64) -> Status,
    /// Ends a channel at once.
    pub abort:
        unsafe extern "C" fn(context: *const (), channel: u64, why: *const ReasonView) -> Status,
    /// Joins two ends of the plugin.
    pub join: unsafe extern "C" fn(context: *const (), a: u64, b: u64) -> Status,
    /// Sets a timer; `after` is in nanoseconds.
    pub set_timer: unsafe extern "C" fn(context: *const (), after: u64, timer: *mut u64) -> Status,
    /// Cancels a timer.
    pub cancel_timer: unsafe extern "C" fn(context: *const (), timer: u64) -> Status,
    /// Watches a file descriptor.
    pub watch: unsafe extern "C" fn(
        context: *const (),
        fd: i32,
        interest: u8,
        watch: *mut u64,
        refusal: Sink<ReasonView>,
    ) -> Status,
    /// Stops watching it.
    pub unwatch: unsafe extern "C" fn(context: *const (), watch: u64) -> Status,
    /// Makes a waker with one owner.
    pub waker: unsafe extern "C" fn(context: *const (), out: Sink<WakerView>) -> Status,
    /// Shows each plugin in the directory.
    pub directory: unsafe extern "C" fn(context: *const (), out: Sink<EntryView>) -> Status,
    /// Shows each link that is up.
    pub links: unsafe extern "C" fn(context: *const (), out: Sink<ServerView>) -> Status,
    /// Reports the message of the panic for which the running call will answer `PANICKED`.
    #[sabi(last_prefix_field)]
    pub panicked: unsafe extern "C" fn(context: *const (), message: Bytes) -> Status,
    // Since 1.1.
    /// Opens a link to the server at an address, and returns the key that is expected there.
    #[sabi(missing_field(option))]
    pub open_link: unsafe extern "C" fn(
        context: *const (),
        address: Bytes,
        key: *mut [u8; 32],
        refusal: Sink<ReasonView>,
    ) -> Status,
    /// Ends the link to the server with this key.
    #[sabi(missing_field(option))]
    pub close_link: unsafe extern "C" fn(
        context: *const (),
        server: *const [u8; 32],
        refusal: Sink<ReasonView>,
    ) -> Status,
    /// Shows the server's addresses with at least this reach: 0 this machine, 1 this network, 2
    /// everywhere.
    #[sabi(missing_field(option))]
    pub addresses: unsafe extern "C" fn(context: *const (), reach: u8, out: Sink<Bytes>) -> Status,
    /// Adds a name and its least version to those that the plugin opens channels to.
    #[sabi(missing_field(option))]
    pub uses: unsafe extern "C" fn(
        context: *const (),
        name: Bytes,
        version: u64,
        refusal: Sink<ReasonView>,
    ) -> Status,
    /// Adds a name to those that should connect to the plugin.
    #[sabi(missing_field(option))]
    pub invites:
        unsafe extern "C" fn(context: *const (), name: Bytes, refusal: Sink<ReasonView>) -> Status,
    // Since 1.2.
    /// Calls another plugin; `deadline` is in nanoseconds, and the greatest value never passes.
    /// `DONE`: the outcome was shown. `LATER`: it follows for `call`. `hint` belongs to the host,
    /// and is 0 at first.
    #[sabi(missing_field(option))]
    pub call: unsafe extern "C" fn(
        context: *const (),
        target: *const TargetView,
        hint: *mut u64,
        request: Bytes,
        deadline: u64,
        call: *mut u64,
        outcome: Sink<OutcomeView>,
    ) -> Status,
    /// Cancels a call.
    #[sabi(missing_field(option))]
    pub cancel_call: unsafe extern "C" fn(context: *const (), call: u64) -> Status,
    /// Answers a call.
    #[sabi(missing_field(option))]
    pub answer_call: unsafe extern "C" fn(context: *const (), call: u64, answer: Bytes) -> Status,
    /// Refuses a call.
    #[sabi(missing_field(option))]
    pub refuse_call:
        unsafe extern "C" fn(context: *const (), call: u64, why: *const ReasonView) -> Status,
    // Since 1.3.
    /// Makes the plugin's data folder if there is none, and shows its absolute path.
    #[sabi(missing_field(option))]
    pub data_dir: unsafe extern "C" fn(
        context: *const (),
        out: Sink<Bytes>,
        refusal: Sink<ReasonView>,
    ) -> Status,
    /// Shows the absolute path of the folder of the configuration file.
    #[sabi(missing_field(option))]
    pub config_dir: unsafe extern "C" fn(context: *const (), out: Sink<Bytes>) -> Status,
}

/// What a process that loads plugins offers each file; called on any thread, with the file's owner.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = LogRef, prefix_fields = LogPrefix)))]
pub struct LogTable {
    /// The most detailed level that is recorded: 0 none, 1 error to 5 trace.
    pub max_level: unsafe extern "C" fn(owner: *const ()) -> u8,
    /// Whether a record of this level would be kept.
    pub enabled: unsafe extern "C" fn(owner: *const (), level: u8) -> bool,
    /// Records.
    pub record: unsafe extern "C" fn(owner: *const (), record: *const RecordView),
    /// Reports a panic in this file's code, and where it happened.
    #[sabi(last_prefix_field)]
    pub panics: unsafe extern "C" fn(owner: *const (), message: Bytes, location: Bytes),
}
