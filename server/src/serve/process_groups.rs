//! The process groups of a server's hosts, for the thread that ends the server while its loop is
//! blocked. `children.rs` starts and collects the processes.

use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The groups whose first process has not been waited for. Their numbers cannot belong to others.
#[derive(Debug, Default)]
pub(super) struct ProcessGroups(Mutex<HashSet<Pid>>);

impl ProcessGroups {
    /// All groups. None of them is killed while this is held, so that its number can be given back;
    /// the holder must not block.
    pub(super) fn lock(&self) -> MutexGuard<'_, HashSet<Pid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Kills all groups.
    pub(super) fn kill_all(&self) {
        for group in self.lock().iter() {
            // A group that has ended cannot be killed.
            let _ = kill_process_group(*group, Signal::KILL);
        }
    }
}
