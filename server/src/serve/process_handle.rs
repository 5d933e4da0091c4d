//! The process that made a connection: its number, and a handle by which its end is seen. Without
//! the handle, the number of a process that has ended could be that of another one.

use nix::sys::socket::{getsockopt, sockopt};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::os::fd::{AsFd, OwnedFd};

#[derive(Debug)]
pub(super) struct ProcessHandle {
    number: Pid,
    /// `None` if it has ended.
    handle: Option<OwnedFd>,
}

impl ProcessHandle {
    /// The process at the other end of a unix socket, whose number the socket tells.
    pub(super) fn of_peer(socket: impl AsFd, number: Pid) -> ProcessHandle {
        let handle = match getsockopt(&socket, sockopt::PeerPidfd) {
            Ok(handle) => Some(handle),
            // Before Linux 6.5. From here on the number cannot change its owner.
            Err(nix::errno::Errno::ENOPROTOOPT) => pidfd_open(number, PidfdFlags::empty()).ok(),
            Err(_) => None,
        };
        ProcessHandle { number, handle }
    }

    pub(super) fn number(&self) -> Pid {
        self.number
    }

    pub(super) fn has_ended(&self) -> bool {
        let Some(handle) = &self.handle else { return true };
        let at_once = Timespec::default();
        !matches!(poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&at_once)), Ok(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::sockopt::socket_peercred;
    use std::os::unix::net::UnixStream;
    use std::process::Command;

    #[test]
    fn the_end_of_a_peer_is_seen() {
        let (ours, _theirs) = UnixStream::pair().expect("a pair");
        let number = socket_peercred(&ours).expect("a number").pid;
        let this = ProcessHandle::of_peer(&ours, number);
        assert_eq!(this.number(), rustix::process::getpid());
        assert!(!this.has_ended(), "this process runs");

        let mut process = Command::new("sleep").arg("60").spawn().expect("it starts");
        let handle = pidfd_open(Pid::from_child(&process), PidfdFlags::empty()).ok();
        let handle = ProcessHandle { number: Pid::from_child(&process), handle };
        assert!(!handle.has_ended(), "it sleeps");
        process.kill().expect("it is ours");
        process.wait().expect("it ends");
        assert!(handle.has_ended());
    }
}
