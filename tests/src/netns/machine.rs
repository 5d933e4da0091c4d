//! A machine: runs the programs that a test wants, and has a cable that can be pulled.

use super::lan::Cable;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

/// A machine of a [`Net`](super::Net), which exists as long as that does.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The process that holds its namespaces.
    pub(super) holder: u32,
    pub(super) cable: Cable,
}

/// A mount namespace, held by an idle program. All programs of a machine share it, as on a real
/// one; `ip netns exec` would make another one for each.
#[derive(Debug)]
pub(super) struct Mounts(Child);

impl Machine {
    /// Runs a program on it, in the folder `/`. It is killed when the net is dropped.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        let holder = self.holder.to_string();
        command.args(["--target", &holder, "--net", "--mount", "--"]).arg(program);
        command
    }

    /// Does something on a thread that sees only this machine's network.
    ///
    /// # Panics
    ///
    /// When its net is gone, or with what is done.
    pub fn within<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        let namespace = std::fs::File::open(format!("/proc/{}/ns/net", self.holder));
        let namespace = namespace.expect("the machine is there");
        let enter = || {
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(namespace.as_fd(), network).expect("root may");
            what()
        };
        std::thread::scope(|scope| scope.spawn(enter).join().expect("it ends well"))
    }

    /// Its address on its LAN.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.cable.address
    }

    /// Pulls the cable: nothing arrives and nothing leaves, and programs are not notified.
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

impl Mounts {
    pub(super) fn hold(namespace: &str) -> std::io::Result<Mounts> {
        let mut command = Command::new("ip");
        // It prints a line when it runs, and ends with this process.
        command.args(["netns", "exec", namespace, "sh", "-c", "echo; exec cat"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let said = child.stdout.take();
        let held = Mounts(child);
        said.map(|said| BufReader::new(said).read_line(&mut String::new())).transpose()?;
        Ok(held)
    }

    pub(super) fn holder(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        // It may have ended with its machine.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
