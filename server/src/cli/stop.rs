//! `trunkline stop`: asks a running server to end in order, and waits until it has ended.

use super::{Failed, client};
use crate::config::Config;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::socket_peercred;
use rustix::process::{PidfdFlags, pidfd_open};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

pub(super) fn stop(file: &Path) -> Result<(), Failed> {
    let config = Config::load(file)?;
    let Some(socket) = config.control_socket() else { return Ok(()) };
    let failed = |why| Failed::from(format!("stop: {why}"));
    let stream = client::connect(socket).map_err(failed)?;
    let process = process_behind(&stream);
    client::converse(stream, socket, "stop").map_err(failed)?;
    match process.is_none_or(|process| has_ended(&process)) {
        true => Ok(()),
        false => Err(failed(format!("{}: the server did not end in time", socket.display()))),
    }
}

/// The server's process; `None` if the system does not tell.
fn process_behind(stream: &impl AsFd) -> Option<OwnedFd> {
    pidfd_open(socket_peercred(stream).ok()?.pid, PidfdFlags::empty()).ok()
}

/// Waits until the process has ended. It has closed the connection, but its hosts may take longer.
fn has_ended(process: &OwnedFd) -> bool {
    let Ok(patience) = Timespec::try_from(client::PATIENCE) else { return false };
    let mut ended = [PollFd::new(process, PollFlags::IN)];
    // A signal interrupts this wait, and then it is over.
    poll(&mut ended, Some(&patience)).is_ok_and(|count| count > 0)
}
