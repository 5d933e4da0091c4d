//! The server's end of a plugin's log and panic hook.

use log::{Level, LevelFilter, Metadata, Record};

use super::context::Context;
use crate::abi::{self, Bytes, LogRef, LogTable, Provides, RecordView};
use crate::guard::guard;

/// A plugin's file, as the owner of records that no running callback accounts for.
pub(crate) struct Owner {
    target: String,
}

impl Owner {
    /// An owner that lives as long as the file's code, which is forever.
    pub(crate) fn leaked(name: &str) -> *const () {
        let owner: &'static Self = Box::leak(Box::new(Self { target: target_of(name) }));
        (&raw const *owner).cast()
    }

    /// The functions that take an owner.
    pub(crate) fn table() -> LogRef {
        abi::log::<Self>()
    }
}

/// The target of a plugin's records.
pub(crate) fn target_of(name: &str) -> String {
    format!("plugin::{name}")
}

impl Provides<LogTable> for Owner {
    const TABLE: LogTable = LogTable { max_level, enabled, record, panics };
}

unsafe extern "C" fn max_level(_owner: *const ()) -> u8 {
    log::max_level() as u8
}

unsafe extern "C" fn enabled(owner: *const (), level: u8) -> bool {
    let answer = guard(|| {
        // SAFETY: the plugin passes the owner that it was given.
        with_target(unsafe { &*owner.cast() }, |target| {
            let metadata = Metadata::builder().level(level_of(level)).target(target).build();
            log::logger().enabled(&metadata)
        })
    });
    answer.unwrap_or(false)
}

unsafe extern "C" fn record(owner: *const (), view: *const RecordView) {
    // A panic of the logger cannot be reported, least of all to the log.
    let _ = guard(|| {
        // SAFETY: the plugin passes the owner that it was given, and lends the record.
        let (owner, view) = unsafe { (&*owner.cast(), &*view) };
        // SAFETY: what the record shows is lent with it.
        with_target(owner, |target| unsafe { write(target, view) });
    });
}

unsafe extern "C" fn panics(owner: *const (), message: Bytes, location: Bytes) {
    let _ = guard(|| {
        // SAFETY: the texts are borrowed for the call.
        let (message, location) = unsafe { (message.as_text(), location.as_text()) };
        let told = Context::current(|context| context.panics(message, location));
        if told.is_none() {
            // SAFETY: the plugin passes the owner that it was given.
            let Owner { target } = unsafe { &*owner.cast() };
            log::error!(target: target, "a thread of the plugin panics at {location}: {message}");
        }
    });
}

/// Passes the target of the instance whose callback runs on this thread, else that of the file.
fn with_target<R>(owner: &Owner, mut take: impl FnMut(&str) -> R) -> R {
    Context::current(|context| take(context.log_target())).unwrap_or_else(|| take(&owner.target))
}

/// Passes a record to this process's logger.
///
/// # Safety
///
/// What the view shows is alive.
unsafe fn write(target: &str, view: &RecordView) {
    // SAFETY: the caller's promise.
    let (message, module, file) =
        unsafe { (view.message.as_text(), view.module.as_text(), view.file.as_text()) };
    let record = &mut Record::builder();
    record.level(level_of(view.level)).target(target).line((view.line > 0).then_some(view.line));
    record.module_path((!module.is_empty()).then_some(module));
    record.file((!file.is_empty()).then_some(file));
    log::logger().log(&record.args(format_args!("{message}")).build());
}

/// The level with this number: 1 error to 5 trace, as `log` itself counts.
fn level_of(number: u8) -> Level {
    let levels = LevelFilter::iter().nth(usize::from(number));
    levels.and_then(|level| level.to_level()).unwrap_or(Level::Trace)
}
