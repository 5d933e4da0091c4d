//! The other side of a unix socket, as the kernel reports it: its user and its process.

use rustix::process::{Pid, Uid, geteuid};
use std::io;
use std::os::fd::AsFd;
use trunkline_core::audit::Dialler;
use trunkline_net::{Credentials, credentials};

/// The process at the other end of a connected unix socket: the dialler or the listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OtherSide {
    user: Uid,
    /// The process that dialled, or that began to listen. It may have ended since. `None` if it is
    /// outside of this process's PID namespace.
    pub(crate) process: Option<Pid>,
}

impl OtherSide {
    pub(crate) fn of(socket: &impl AsFd) -> io::Result<OtherSide> {
        let Credentials { user, process } = credentials(socket)?;
        Ok(OtherSide { user, process })
    }

    /// Its user and its process, for the audit.
    pub(crate) fn dialler(self) -> Dialler {
        let process = Pid::as_raw(self.process).unsigned_abs();
        Dialler { user: self.user.as_raw(), process }
    }

    /// Whether it may be trusted like our own processes: it belongs to our user, or to root. If
    /// not, the error names its user.
    pub(crate) fn is_trusted(self) -> Result<(), String> {
        match self.user == geteuid() || self.user.is_root() {
            true => Ok(()),
            false => Err(format!("another user (number {})", self.user.as_raw())),
        }
    }
}

/// Whether the process that listens at the other end of a socket is trusted, before an address
/// without keys is dialled.
pub(crate) fn check_listener(socket: &impl AsFd) -> Result<(), String> {
    let other =
        OtherSide::of(socket).map_err(|error| format!("who listens is unknown: {error}"))?;
    other.is_trusted().map_err(|whose| format!("{whose} listens there"))
}
