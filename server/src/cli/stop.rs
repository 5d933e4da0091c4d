//! `trunkline stop`: asks a running server to end in order, and waits until it has ended. A server
//! that does not answer, because a plugin blocks its loop, is sent SIGTERM.

use super::client::Asked;
use super::{Failed, client, print_error};
use crate::config::Config;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

/// How long a server may take to begin to answer. One whose loop is not blocked answers within one
/// turn of it.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

pub(super) fn stop(file: &Path) -> Result<(), Failed> {
    let config = Config::load(file)?;
    let Some(socket) = config.control_socket() else { return Ok(()) };
    let failed = |why: String| Failed::from(format!("stop: {why}"));
    let stream = client::connect(socket).map_err(failed)?;
    let process = Process::behind(&stream);
    let asked = client::ask_to_stop(stream, socket, ANSWERS_WITHIN).map_err(failed)?;
    let line = |what: &str| format!("stop: {}: {what}", socket.display());
    match (asked, process) {
        (Asked::Stopped, None) => Ok(()),
        (Asked::Stopped, Some(process)) if process.ends() => Ok(()),
        (Asked::Stopped, Some(_)) => Err(line("the server did not end in time").into()),
        (Asked::Silent, None) => Err(line("the server did not answer in time").into()),
        (Asked::Silent, Some(process)) => {
            print_error(&line(&process.terminate().map_err(|why| line(&why))?));
            Ok(())
        }
    }
}

/// A server's process.
struct Process {
    pid: Pid,
    handle: OwnedFd,
}

impl Process {
    /// The process that listens on a socket; `None` if the system does not tell.
    fn behind(stream: &impl AsFd) -> Option<Process> {
        let pid = trunkline_net::credentials(stream).ok()?.process?;
        Some(Process { pid, handle: pidfd_open(pid, PidfdFlags::empty()).ok()? })
    }

    /// Waits until the process has ended. It has closed the connection, but its hosts may take
    /// longer.
    fn ends(&self) -> bool {
        let Ok(patience) = Timespec::try_from(client::PATIENCE) else { return false };
        let mut ended = [PollFd::new(&self.handle, PollFlags::IN)];
        // A signal interrupts this wait, and then it is over.
        poll(&mut ended, Some(&patience)).is_ok_and(|count| count > 0)
    }

    /// Sends SIGTERM, after which a server ends within 5 s whatever its plugins do. Returns what
    /// was done, or why the process is still there.
    fn terminate(&self) -> Result<String, String> {
        let (pid, silent) = (self.pid, "the server does not answer");
        pidfd_send_signal(&self.handle, Signal::TERM)
            .map_err(|error| format!("{silent}, and SIGTERM cannot be sent to {pid}: {error}"))?;
        match self.ends() {
            true => Ok(format!("{silent}; its process {pid} was sent SIGTERM, and has ended")),
            false => Err(format!(
                "{silent}, and its process {pid} has not ended after SIGTERM; kill -9 {pid} ends it"
            )),
        }
    }
}
