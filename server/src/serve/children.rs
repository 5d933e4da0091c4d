//! The hosts that a server starts: threads and processes, their ends, and that none outlives it.

use super::lineage;
use super::listening::Accepted;
use super::socket::Stream;
use super::spec::Spec;
use super::wake::Mailbox;
use super::watchdog::BLOCKED_EXIT;
use crate::config::Placement;
use rustix::process::{
    Pid, Signal, getppid, set_parent_process_death_signal, test_kill_process_group,
};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child as Process, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use trunkline_core::broker::{ChildId, Opened, PeerProcess};

/// How long ending in order may take.
pub(super) const STOP_TIME: Duration = Duration::from_secs(5);

/// The hidden command that runs a host in a process that a server starts.
pub(crate) const COMMAND: &str = "child";

/// Longest spec in bytes; a configuration file has at most as many.
const SPEC_MAX: u32 = 16 << 20;

/// A host of this server.
struct Child {
    spec: Spec,
    placement: Placement,
    /// While it runs in a process.
    process: Option<Process>,
    /// The group of the process that was started last, as long as it has members.
    group: Option<Pid>,
    /// It was started, and its end has not been told.
    runs: bool,
    /// Its link is gone: until then, it may end in order.
    ends_by: Option<Duration>,
}

/// Runs a host on the thread that calls it, over a connection to its server; gives how it ended.
type RunHost = fn(Spec, Stream) -> String;

/// The hosts of this server.
pub(super) struct Children {
    mailbox: Arc<Mailbox>,
    run: RunHost,
    children: BTreeMap<ChildId, Child>,
}

impl Children {
    pub(super) fn new(mailbox: Arc<Mailbox>, run: RunHost) -> Children {
        Children { mailbox, run, children: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, id: ChildId, placement: Placement, spec: Spec) {
        self.children.insert(
            id,
            Child { spec, placement, process: None, group: None, runs: false, ends_by: None },
        );
    }

    /// Starts a host: the connection to it, or why it cannot be started.
    pub(super) fn start(&mut self, id: ChildId) -> Result<Stream, String> {
        let (mailbox, run) = (self.mailbox.clone(), self.run);
        let Some(child) = self.children.get_mut(&id) else { return Err("no such host".into()) };
        let started = match child.placement {
            Placement::Process => start_process(&child.spec).map(|(process, ours)| {
                child.group = Some(Pid::from_child(&process));
                child.process = Some(process);
                ours
            }),
            Placement::Thread | Placement::Inline => {
                let spec = child.spec.clone();
                start_thread(id, mailbox, move |stream| run(spec, stream))
            }
        };
        let stream = started.map_err(|error| format!("it cannot be started: {error}"))?;
        (child.runs, child.ends_by) = (true, None);
        Ok(stream)
    }

    /// A host on a thread has ended; whether that was news.
    pub(super) fn thread_ended(&mut self, id: ChildId) -> bool {
        self.children.get_mut(&id).is_some_and(|child| std::mem::take(&mut child.runs))
    }

    /// Processes that have ended, and how.
    pub(super) fn reap(&mut self) -> Vec<(ChildId, String)> {
        let mut ended = Vec::new();
        for (id, child) in &mut self.children {
            if let Some(process) = &mut child.process
                && let Ok(Some(status)) = process.try_wait()
            {
                (child.process, child.runs, child.ends_by) = (None, false, None);
                // Processes that it left are known by its group. Once there are none, its number
                // may be given to another one.
                child.group = child.group.filter(|group| test_kill_process_group(*group).is_ok());
                ended.push((*id, how_ended(status)));
            }
        }
        ended
    }

    /// A host whose link is gone ends by itself, and its plugin is told to stop; if it does not, it
    /// is killed.
    pub(super) fn end(&mut self, id: ChildId, now: Duration) {
        if let Some(child) = self.children.get_mut(&id).filter(|child| child.process.is_some()) {
            child.ends_by.get_or_insert(now + STOP_TIME);
        }
    }

    /// When the next host that should have ended has had its time.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.children.values().filter_map(|child| child.ends_by).min()
    }

    /// Kills the processes that should have ended and have had their time.
    pub(super) fn kill_late(&mut self, now: Duration) {
        let late = |child: &&mut Child| child.ends_by.is_some_and(|by| by <= now);
        for child in self.children.values_mut().filter(late) {
            child.ends_by = None;
            if let Some(process) = &mut child.process
                && let Err(error) = process.kill()
            {
                log::debug!("a host's process cannot be killed: {error}");
            }
        }
    }

    /// Ends all processes, and waits for them.
    pub(super) fn kill_all(&mut self) {
        for child in self.children.values_mut() {
            if let Some(mut process) = child.process.take() {
                let _ = process.kill();
                let _ = process.wait();
            }
        }
    }

    /// Whose process made a connection. Of a direct one, the ticket says enough.
    pub(super) fn whose(&self, accepted: &Accepted) -> PeerProcess {
        let (Opened::Accepted, Some(process)) = (accepted.how, accepted.process) else {
            return PeerProcess::Foreign;
        };
        let groups = self.children.iter().filter_map(|(id, child)| Some((child.group?, *id)));
        lineage::whose(process, &groups.collect())
    }

    /// Whether no host runs any more.
    pub(super) fn is_over(&self) -> bool {
        self.children.values().all(|child| !child.runs)
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.kill_all();
    }
}

/// How a process ended, for people.
fn how_ended(status: ExitStatus) -> String {
    match status.code() {
        Some(BLOCKED_EXIT) => "its plugin blocked its loop for too long".into(),
        _ => status.to_string(),
    }
}

/// The process gets its end of a socket pair as standard input, with the spec in front.
fn start_process(spec: &Spec) -> io::Result<(Process, Stream)> {
    let (ours, theirs) = UnixStream::pair()?;
    // The file that runs, also when another one has taken its place.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("trunkline").arg(COMMAND);
    command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null());
    // Signals of a terminal are for the server, which ends its hosts in order.
    let mut process = command.process_group(0).spawn()?;
    drop(command);
    match send_spec(&ours, spec) {
        Ok(()) => Ok((process, Stream::Unix(mio::net::UnixStream::from_std(ours)))),
        Err(error) => {
            let _ = process.kill();
            let _ = process.wait();
            Err(error)
        }
    }
}

fn send_spec(mut ours: &UnixStream, spec: &Spec) -> io::Result<()> {
    let text = spec.to_json().map_err(io::Error::other)?;
    let length = u32::try_from(text.len()).ok().filter(|length| *length <= SPEC_MAX);
    let length = length.ok_or_else(|| io::Error::other("its configuration is too long"))?;
    ours.set_write_timeout(Some(STOP_TIME))?;
    ours.write_all(&std::process::id().to_be_bytes())?;
    ours.write_all(&length.to_be_bytes())?;
    ours.write_all(&text)?;
    ours.set_write_timeout(None)?;
    ours.set_nonblocking(true)
}

/// Takes the spec and the connection that the server of this process gave it. Standard input is
/// empty from then on, so that a plugin cannot read what is meant for us.
pub(super) fn inherit() -> Result<(Spec, Stream), String> {
    let failed = |error: &dyn std::fmt::Display| {
        format!("{COMMAND}: is for servers to start, with a socket as standard input: {error}")
    };
    // If the server is killed, so is this process.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| failed(&error))?;
    let socket = rustix::io::dup(io::stdin()).map_err(|error| failed(&error))?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC).map_err(|e| failed(&e))?;
    let nothing = std::fs::File::open("/dev/null").map_err(|error| failed(&error))?;
    rustix::stdio::dup2_stdin(nothing).map_err(|error| failed(&error))?;
    let mut stream = UnixStream::from(socket);
    let mut number = || {
        let mut bytes = [0; 4];
        stream.read_exact(&mut bytes).map(|()| u32::from_be_bytes(bytes))
    };
    let server = number().map_err(|error| failed(&error))?;
    let length = number().map_err(|error| failed(&error))?;
    // Before we asked for that signal, the server may have been killed.
    let parent = getppid().map(|parent| parent.as_raw_nonzero().get());
    if length > SPEC_MAX || parent != i32::try_from(server).ok() {
        return Err(failed(&"it was not started by a server, or that is gone"));
    }
    let mut text = vec![0; length as usize];
    stream.read_exact(&mut text).map_err(|error| failed(&error))?;
    let spec = Spec::from_json(&text).map_err(|error| failed(&error))?;
    stream.set_nonblocking(true).map_err(|error| failed(&error))?;
    Ok((spec, Stream::Unix(mio::net::UnixStream::from_std(stream))))
}

fn start_thread(
    id: ChildId,
    mailbox: Arc<Mailbox>,
    run: impl FnOnce(Stream) -> String + Send + 'static,
) -> io::Result<Stream> {
    let (ours, theirs) = mio::net::UnixStream::pair()?;
    let run = move || {
        let why = run(Stream::Unix(theirs));
        mailbox.child_ended(id, why);
    };
    std::thread::Builder::new().name(format!("host-{}", id.0)).spawn(run)?;
    Ok(Stream::Unix(ours))
}
