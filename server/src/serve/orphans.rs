//! Hosts' processes that outlived their server, and what these have forked. The next server of the
//! same user ends them, before it needs what they hold. They are recognized by the last word of
//! their command line, which names their server. A program that a plugin has started has another
//! command line, and holds nothing of ours.

use super::proc_stat::Stat;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal, test_kill_process,
};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a start waits for processes that the kernel is ending with their server.
const ENDS_BY_ITSELF: Duration = Duration::from_millis(250);

/// How long a start waits for the end of those that it has killed: the kernel takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(1);

/// A process, for as long as the machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Server {
    /// The namespaces of its number and of its clock: in a container, both are others.
    namespaces: [u64; 2],
    number: Pid,
    started: u64,
}

/// What the command line of a host's process says of its server, which is this process.
pub(super) fn word_for_children() -> Option<String> {
    let Server { namespaces: [pid, time], number, started } = Server::this_process()?;
    Some(format!("{pid}.{time}.{}.{started}", number.as_raw_nonzero()))
}

/// Kills what killed servers have left, and waits for its end.
pub(super) fn end_all() {
    let Some(this) = Server::this_process() else { return };
    let Ok(entries) = std::fs::read_dir("/proc") else { return };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut left: Vec<Orphan> =
        numbers.filter_map(Pid::from_raw).filter_map(|number| Orphan::find(number, this)).collect();
    wait_for_ends(&mut left, ENDS_BY_ITSELF);
    left.retain(Orphan::kill);
    wait_for_ends(&mut left, PATIENCE);
}

/// A process whose server has ended.
#[derive(Debug)]
struct Orphan {
    number: Pid,
    process: OwnedFd,
}

impl Orphan {
    fn find(number: Pid, this: Server) -> Option<Orphan> {
        is_orphan(number, this).then_some(())?;
        let process = pidfd_open(number, PidfdFlags::empty()).ok()?;
        // Its number may have been used again since.
        is_orphan(number, this).then_some(Orphan { number, process })
    }

    /// Kills it; returns whether this user may.
    fn kill(&self) -> bool {
        let killed = pidfd_send_signal(&self.process, Signal::KILL).is_ok();
        if killed {
            let number = self.number.as_raw_nonzero();
            log::warn!("killed process {number}, which a killed server left");
        }
        killed
    }

    /// Waits for its end; returns whether it still runs.
    fn runs_at(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).unwrap_or_default();
        // Another signal only shortens the wait.
        let ended = poll(&mut [PollFd::new(&self.process, PollFlags::IN)], Some(&left));
        !ended.is_ok_and(|ended| ended > 0)
    }
}

/// Waits until all have ended, or the time is over. Leaves those that run.
fn wait_for_ends(all: &mut Vec<Orphan>, patience: Duration) {
    let deadline = Instant::now() + patience;
    all.retain(|orphan| orphan.runs_at(deadline));
}

fn is_orphan(number: Pid, this: Server) -> bool {
    let file = format!("/proc/{}/cmdline", number.as_raw_nonzero());
    let line = std::fs::read(file).unwrap_or_default();
    let server = server_of(&line).filter(|server| server.namespaces == this.namespaces);
    server.is_some_and(|server| !server.is_there())
}

/// The server of the process with this command line, if it is that of a host.
fn server_of(line: &[u8]) -> Option<Server> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\0')?;
    let word = line.strip_prefix("trunkline\0")?.strip_prefix(super::children::COMMAND)?;
    let mut numbers = word.strip_prefix('\0')?.split('.');
    let namespaces = [numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?];
    let number = Pid::from_raw(numbers.next()?.parse().ok()?)?;
    let started = numbers.next()?.parse().ok()?;
    Some(Server { namespaces, number, started })
}

impl Server {
    fn this_process() -> Option<Server> {
        let inode =
            |name| std::fs::metadata(Path::new("/proc/self/ns").join(name)).map(|m| m.ino());
        // Kernels before 5.6 have no namespace of clocks.
        let namespaces = [inode("pid").ok()?, inode("time").unwrap_or(0)];
        let number = getpid();
        Some(Server { namespaces, number, started: Stat::of(number)?.started })
    }

    fn is_there(self) -> bool {
        match Stat::of(self.number) {
            Some(stat) => stat.started == self.started && !matches!(stat.state, 'Z' | 'X'),
            // Where users cannot see processes of others (`hidepid`), they cannot see servers of
            // their own either, because these are not dumpable.
            None => test_kill_process(self.number) != Err(Errno::SRCH),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_names_its_server() {
        let this = Server::this_process().expect("a process");
        let line = format!("trunkline\0child\0{}\0", word_for_children().expect("a word"));
        assert_eq!(server_of(line.as_bytes()), Some(this));
        assert!(this.is_there());
        let earlier = Server { started: this.started.wrapping_sub(1), ..this };
        assert!(!earlier.is_there(), "its number is used again");
        for other in
            ["trunkline\0child\0", "trunkline\0run\x001.2.3.4\0", "a\0child\x001.2.3.4\0", ""]
        {
            assert_eq!(server_of(other.as_bytes()), None, "{other:?}");
        }
    }
}
