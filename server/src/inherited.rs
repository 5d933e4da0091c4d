//! What a server or a host inherits from its starter and sets itself: the mask of blocked signals,
//! and whether it can be inspected. Handlers are in `serve/signals.rs`, the limit of open files in
//! `serve/open_files.rs`.

use nix::sys::signal::{SigSet, Signal};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

/// With these, the kernel stops a process in the background that uses its terminal: with `stty
/// tostop`, one line of the log would stop a server. Blocked, they have no effect. They are not
/// ignored instead, because programs that plugins start would inherit that, where `Command` of the
/// standard library unblocks all signals.
const OF_TERMINALS: [Signal; 2] = [Signal::SIGTTOU, Signal::SIGTTIN];

/// Unblocks all signals but those of terminals, for this thread and those that it will start. Must
/// run before any other thread and before the first line of the log.
pub(crate) fn set_signal_mask() -> Result<(), String> {
    let mask = OF_TERMINALS.into_iter().collect::<SigSet>();
    mask.thread_set_mask().map_err(|error| format!("the signal mask cannot be set: {error}"))
}

/// With this variable, a server can be traced, and leaves core dumps.
const DUMPABLE: &str = "TRUNKLINE_DUMPABLE";

/// Keeps processes of the same user from tracing this one, and from reading its memory, its
/// environment and its descriptors; root still can. Must run before a key is read.
///
/// The kernel gives the files in `/proc/self` to root, but a process may still read its own.
pub(crate) fn forbid_inspection() -> Result<(), String> {
    if std::env::var_os(DUMPABLE).is_some_and(|value| value == "1") {
        log::warn!("{DUMPABLE} is set: processes of this user can read this one's memory and key");
        return Ok(());
    }
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| format!("this process cannot be closed to others of its user: {error}"))
}

/// Whether this process was started with the signal ignored, as by `nohup`; or ignores it now.
pub(crate) fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored(&status).is_some_and(|set| set & 1 << (signal - 1) != 0)
}

/// The set of ignored signals in a process's status; the lowest bit is signal 1.
fn ignored(status: &str) -> Option<u64> {
    let digits = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(digits.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_status_of_a_process() {
        let status = "Name:\tx\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n";
        assert_eq!(ignored(status), Some(0x1001));
        assert_eq!(ignored("Name:\tx\n"), None);
        // The runtime of Rust ignores SIGPIPE in each program, and handles SIGSEGV.
        assert!(is_ignored(Signal::SIGPIPE as i32) && !is_ignored(Signal::SIGSEGV as i32));
    }
}
