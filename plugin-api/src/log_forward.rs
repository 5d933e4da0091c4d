//! Sends what the plugin records with `log` to the server's log.

use std::sync::OnceLock;

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::abi::{Bytes, LogRef, RecordView};

/// This file's connection to the server's log. There is one per file, however many instances run.
static FORWARD: OnceLock<Forward> = OnceLock::new();

/// The server's log functions, and their first argument.
pub(crate) struct Forward {
    pub(crate) table: LogRef,
    pub(crate) owner: *const (),
}

// SAFETY: the ABI says that the functions of the log are called on any thread, and the owner is
// never looked into on this side.
unsafe impl Send for Forward {}
// SAFETY: as above.
unsafe impl Sync for Forward {}

/// Makes `forward` the logger of this file, and returns it for other uses.
///
/// The level is the server's current one, so that a disabled record costs one comparison.
pub(crate) fn install(forward: Forward) -> &'static Forward {
    let forward = FORWARD.get_or_init(|| forward);
    // SAFETY: table and owner belong together.
    let level = unsafe { (forward.table.max_level())(forward.owner) };
    if log::set_logger(forward).is_ok() {
        let levels = LevelFilter::iter().nth(usize::from(level));
        log::set_max_level(levels.unwrap_or(LevelFilter::Trace));
    }
    forward
}

impl Log for Forward {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // SAFETY: table and owner belong together.
        unsafe { (self.table.enabled())(self.owner, number_of(metadata.level())) }
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let message = record.args().as_str().map_or_else(|| record.args().to_string(), Into::into);
        let view = RecordView {
            level: number_of(record.level()),
            message: Bytes::text(&message),
            module: Bytes::text(record.module_path().unwrap_or("")),
            file: Bytes::text(record.file().unwrap_or("")),
            line: record.line().unwrap_or(0),
        };
        // SAFETY: everything that the view shows is borrowed for the call.
        unsafe { (self.table.record())(self.owner, &raw const view) }
    }

    fn flush(&self) {}
}

/// The level's number in the ABI: 1 error to 5 trace, as `log` itself counts.
fn number_of(level: Level) -> u8 {
    level as u8
}
