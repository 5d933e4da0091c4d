//! The user and the process at the other end of a unix socket, as the kernel reports them.

use nix::sys::socket::{getsockopt, sockopt};
use rustix::process::{Pid, Uid};
use std::io;
use std::os::fd::AsFd;

/// The user and the process that dialled, or that began to listen.
#[derive(Clone, Copy, Debug)]
pub struct Credentials {
    /// The user.
    pub user: Uid,
    /// The process, which may have ended since. `None` if it runs outside of this process's PID
    /// namespace, as a command does that is run outside of a container: then it cannot descend from
    /// a process in here.
    pub process: Option<Pid>,
}

/// Asks the kernel. For a process outside of the namespace it answers 0, which no `Pid` may be, so
/// this does not use `rustix`.
///
/// # Errors
///
/// Why it is not known.
pub fn credentials(socket: &impl AsFd) -> io::Result<Credentials> {
    let found = getsockopt(socket, sockopt::PeerCredentials)?;
    Ok(Credentials { user: Uid::from_raw(found.uid()), process: Pid::from_raw(found.pid()) })
}
