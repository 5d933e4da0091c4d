//! A machine: runs the programs that a test wants, and has a cable that can be pulled.

use super::lan::Cable;
use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::process::Command;

/// A machine of a [`Net`](super::Net), which is there as long as that is.
#[derive(Clone, Debug)]
pub struct Machine {
    pub(super) namespace: String,
    pub(super) cable: Cable,
}

impl Machine {
    /// Runs a program on it. What is still running when the net is dropped is killed.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program);
        command
    }

    /// Its address on its LAN.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.cable.address
    }

    /// Pulls the cable: nothing arrives and nothing leaves, and programs are not told.
    ///
    /// # Panics
    ///
    /// When its net is gone.
    pub fn link_down(&self) {
        self.cable.set("down").expect("the cable can be pulled");
    }

    /// Plugs the cable in again.
    ///
    /// # Panics
    ///
    /// When its net is gone.
    pub fn link_up(&self) {
        self.cable.set("up").expect("the cable can be plugged in");
    }
}
