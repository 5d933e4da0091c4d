//! Closes what a process has inherited beside its own descriptors, such as files that its server's
//! starter left open.

use std::fs::read_dir;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

/// Standard input, output and error.
const STANDARD: RawFd = 2;

/// Closes all descriptors but the first three and those that are kept.
pub(super) fn close_all_but(kept: &[BorrowedFd<'_>]) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("its descriptors cannot be listed: {error}");
    let entries = read_dir("/proc/self/fd").map_err(failed)?;
    let numbers: Vec<RawFd> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    let is_kept = |number: &RawFd| kept.iter().any(|file| file.as_raw_fd() == *number);
    for number in numbers.into_iter().filter(|number| *number > STANDARD && !is_kept(number)) {
        // The descriptor of the list itself is closed already.
        let _ = nix::unistd::close(number);
    }
    Ok(())
}
