//! The end of a host's process with its server, whatever the plugin does: also if it blocks, is
//! stopped, or has switched off the signal that the kernel sends at the death of a parent.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, getpgrp, getpid, kill_current_process_group, kill_process, pidfd_open,
    set_parent_process_death_signal,
};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The thread waits in one system call, and has no other frames than those of its start.
const STACK: usize = 64 * 1024;

/// The end of the server that started this process.
#[derive(Debug)]
pub(super) struct ServerEnd(io::Result<OwnedFd>);

/// Asks the kernel to end this process with `server`, its parent.
pub(super) fn end_with(server: Pid) -> io::Result<ServerEnd> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(ServerEnd(pidfd_open(server, PidfdFlags::empty()).map_err(Into::into)))
}

impl ServerEnd {
    /// Its descriptor, as far as there is one.
    pub(super) fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().ok().map(AsFd::as_fd)
    }

    /// Watches it on a thread of its own, which also asks the kernel again.
    ///
    /// The kernel sends the signal for a parent's death to each thread that asked for it, and a
    /// thread can switch it off for itself only. So a thread of its own asks: no plugin runs on it,
    /// and `SIGKILL` ends also a process that is stopped. Where a change of user or group has
    /// switched it off for all threads, the thread sees the server's end itself.
    pub(super) fn watch(self) -> io::Result<()> {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        let wait = move || wait_on_thread(self.0);
        std::thread::Builder::new().name("own-end".into()).stack_size(STACK).spawn(wait)?;
        Ok(())
    }
}

fn wait_on_thread(its_end: io::Result<OwnedFd>) {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        log::debug!("the death of the server will not be signalled: {error}");
    }
    match its_end.and_then(|its_end| wait_for(&its_end)) {
        Ok(()) => end_group(),
        Err(error) => log::debug!("the end of the server cannot be watched: {error}"),
    }
}

fn wait_for(end: &OwnedFd) -> io::Result<()> {
    loop {
        match poll(&mut [PollFd::new(end, PollFlags::IN)], None) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Ends this process with all that it has started, if it leads a group as its server made it.
fn end_group() {
    let _ = match getpgrp() == getpid() {
        true => kill_current_process_group(Signal::KILL),
        false => kill_process(getpid(), Signal::KILL),
    };
}
