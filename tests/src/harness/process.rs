//! A process as the kernel shows it: what it holds, its children, and whether it has ended.

// A test that cannot inspect a process must fail.
#![allow(clippy::expect_used)]

use super::PATIENCE;
use rustix::net::AddressFamily;
use rustix::net::sockopt::{socket_domain, socket_peercred};
use rustix::process::{
    Pid, PidfdFlags, PidfdGetfdFlags, Resource, Rlimit, Signal, kill_process, pidfd_getfd,
    pidfd_open, prlimit,
};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// The pause between two checks of a process.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A process, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process(pub u32);

impl Process {
    /// The state that the kernel shows, such as `S` or `Z`; `None` if the process no longer exists.
    #[must_use]
    pub fn state(self) -> Option<char> {
        self.stat().map(|(state, _)| state)
    }

    /// Its children, including those that have ended and were not waited for.
    #[must_use]
    pub fn children(self) -> Vec<Process> {
        let entries = std::fs::read_dir("/proc").expect("the kernel lists processes");
        let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let ours = |process: &Process| process.stat().is_some_and(|(_, parent)| parent == self.0);
        let mut children: Vec<Process> = numbers.map(Process).filter(ours).collect();
        children.sort();
        children
    }

    /// How many files and sockets it has open.
    #[must_use]
    pub fn descriptors(self) -> usize {
        let folder = format!("/proc/{}/fd", self.0);
        std::fs::read_dir(folder).expect("a process has a list of files").count()
    }

    /// How often its threads went to sleep voluntarily, in total.
    #[must_use]
    pub fn sleeps(self) -> u64 {
        let folder = format!("/proc/{}/task", self.0);
        let threads = std::fs::read_dir(folder).expect("a process has threads");
        let of_thread = |path: std::path::PathBuf| {
            let text = std::fs::read_to_string(path.join("status")).ok()?;
            let line = text.lines().find(|line| line.starts_with("voluntary_ctxt_switches:"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        };
        threads.filter_map(|thread| of_thread(thread.ok()?.path())).sum()
    }

    /// Whether it ignores a signal, as a program does that `nohup` starts with SIGHUP.
    #[must_use]
    pub fn ignores(self, signal: Signal) -> bool {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.0));
        let text = text.expect("a process has a status");
        let set = text.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let set = set.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
        set.expect("a set of signals") & 1 << (signal.as_raw() - 1) != 0
    }

    /// Sends it a signal; returns whether it existed.
    pub fn signal(self, signal: Signal) -> bool {
        kill_process(self.pid(), signal).is_ok()
    }

    /// Waits until it has stopped running; returns how long that took. Its parent, or the system,
    /// removes it later.
    ///
    /// # Panics
    ///
    /// When it is still running at the end.
    #[must_use]
    pub fn wait_for_end(self) -> Duration {
        let ended = || matches!(self.state(), None | Some('Z' | 'X'));
        wait_until(&format!("process {} has ended", self.0), ended)
    }

    /// Copies of all its TCP sockets.
    ///
    /// # Panics
    ///
    /// When it is not there.
    #[must_use]
    pub fn tcp_sockets(self) -> Vec<TcpStream> {
        let is_tcp = |socket: &OwnedFd| {
            socket_domain(socket).is_ok_and(|domain| domain != AddressFamily::UNIX)
        };
        self.copies().into_iter().filter(is_tcp).map(TcpStream::from).collect()
    }

    /// A copy of the socket over which a process that a server started is linked to it: what a
    /// plugin in it can find, and write to as if it were its host.
    ///
    /// # Panics
    ///
    /// When it has no such socket.
    #[must_use]
    pub fn uplink(self, server: Process) -> UnixStream {
        let made_by = |socket: &OwnedFd| socket_peercred(socket).map(|peer| peer.pid).ok();
        let mut copies = self.copies().into_iter();
        let uplink = copies.find(|socket| made_by(socket) == Some(server.pid()));
        UnixStream::from(uplink.expect("a socket that its server made"))
    }

    /// Sets how many files and sockets it may have open; it cannot raise that itself.
    ///
    /// # Panics
    ///
    /// When it is not there.
    pub fn limit_descriptors(self, most: usize) {
        let limit = Rlimit { current: Some(most as u64), maximum: Some(most as u64) };
        prlimit(Some(self.pid()), Resource::Nofile, limit).expect("a process of ours");
    }

    /// Sets how many bytes it may map beyond those that it has; it cannot raise that itself.
    ///
    /// # Panics
    ///
    /// When it is not there.
    pub fn limit_memory(self, more: u64) {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.0));
        let text = text.expect("a process has a status");
        let mapped = text.lines().find_map(|line| line.strip_prefix("VmSize:"));
        let mapped = mapped.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        let most = mapped.expect("the kernel tells it in kB") * 1024 + more;
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        prlimit(Some(self.pid()), Resource::As, limit).expect("a process of ours");
    }

    /// Copies of its descriptors, as a child has them between `fork` and `exec`.
    ///
    /// # Panics
    ///
    /// When it is not there.
    #[must_use]
    pub fn copies(self) -> Vec<OwnedFd> {
        let itself = pidfd_open(self.pid(), PidfdFlags::empty()).expect("the process is there");
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.0)).expect("a list of files");
        let numbers = files.filter_map(|file| file.ok()?.file_name().to_str()?.parse().ok());
        let copy = |number| pidfd_getfd(&itself, number, PidfdGetfdFlags::empty()).ok();
        numbers.filter_map(copy).collect()
    }

    fn pid(self) -> Pid {
        i32::try_from(self.0).ok().and_then(Pid::from_raw).expect("a process number")
    }

    /// The state and the number of the parent.
    fn stat(self) -> Option<(char, u32)> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.0)).ok()?;
        // The name before it can hold anything.
        let mut fields = text.rsplit(')').next()?.split_whitespace();
        Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
    }
}

/// Waits until a condition holds that has no event of its own; returns how long that took.
///
/// # Panics
///
/// When the condition does not hold in time.
pub fn wait_until(what: &str, holds: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::park_timeout(LOOK_AGAIN);
    }
    begun.elapsed()
}
