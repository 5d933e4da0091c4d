//! The hosts that a server starts, as threads or processes. It ends all of them before it exits.

use super::adopted::Adopted;
use super::handover::{self, Received};
use super::lineage::Lineage;
use super::listening::Accepted;
use super::orphans;
use super::own_end::{self, ServerEnd};
use super::process_groups::ProcessGroups;
use super::process_handle::ProcessHandle;
use super::signals::STOP_TIME;
use super::socket::Stream;
use super::spec::Spec;
use super::stopped::Stopped;
use super::wake::Mailbox;
use super::watchdog::BLOCKED_SIGNAL;
use crate::config::{Blocked, Placement};
use crate::confine::{Listener, Report, Teller};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, getppid, kill_process_group, test_kill_process_group,
    waitid,
};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Child as Process, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use trunkline_core::broker::{ChildId, Opened, PeerProcess};

/// The signals of a process that finds no memory.
const ABORTED: i32 = signal_hook::consts::SIGABRT;
const FAULT: i32 = signal_hook::consts::SIGSEGV;

/// The hidden command with which a server starts a host in a process.
pub(crate) const COMMAND: &str = "child";

/// A host of this server.
struct Child {
    spec: Spec,
    placement: Placement,
    /// Its process, while it runs in one.
    process: Option<Process>,
    /// The process group of the last process, as long as it has members.
    group: Option<Pid>,
    /// It was started, and its end has not been reported.
    running: bool,
    /// Its link is closed. It is killed if it has not ended by then.
    ends_by: Option<Duration>,
    stopped: Stopped,
    /// It is being killed because it was stopped for too long.
    killed: bool,
    /// What its process tells of its bounds, if it is confined.
    confined: Option<Listener>,
}

/// Runs a host on the calling thread, over a connection to its server. Returns how it ended.
type RunHost = fn(Spec, Stream) -> String;

/// The hosts of this server.
pub(super) struct Children {
    mailbox: Arc<Mailbox>,
    run: RunHost,
    children: BTreeMap<ChildId, Child>,
    /// The groups of processes that have not been waited for.
    groups: Arc<ProcessGroups>,
    /// The processes that descend from this server.
    lineage: Lineage,
    adopted: Adopted,
}

impl Children {
    pub(super) fn new(
        mailbox: Arc<Mailbox>,
        groups: Arc<ProcessGroups>,
        lineage: Lineage,
        run: RunHost,
    ) -> Children {
        let (children, adopted) = (BTreeMap::new(), Adopted::default());
        Children { mailbox, run, children, groups, lineage, adopted }
    }

    pub(super) fn add(&mut self, id: ChildId, placement: Placement, spec: Spec) {
        let child = Child {
            spec,
            placement,
            process: None,
            group: None,
            running: false,
            ends_by: None,
            stopped: Stopped::default(),
            killed: false,
            confined: None,
        };
        self.children.insert(id, child);
    }

    /// Starts a host. Returns the connection to it.
    pub(super) fn start(&mut self, id: ChildId) -> Result<Stream, String> {
        let (mailbox, run) = (self.mailbox.clone(), self.run);
        let lineage = &mut self.lineage;
        let Some(child) = self.children.get_mut(&id) else { return Err("no such host".into()) };
        let started = match child.placement {
            Placement::Process => start_process(&child.spec, lineage).map(|started| {
                let (process, ours, confined) = started;
                child.confined = confined;
                let group = Pid::from_child(&process);
                self.groups.lock().insert(group);
                child.group = Some(group);
                child.process = Some(process);
                ours
            }),
            Placement::Thread | Placement::Inline => {
                let spec = child.spec.clone();
                start_thread(id, mailbox, move |stream| run(spec, stream))
            }
        };
        let stream = started.map_err(|error| format!("it cannot be started: {error}"))?;
        (child.running, child.ends_by) = (true, None);
        Ok(stream)
    }

    /// Notes that a host on a thread has ended. Returns whether that was not known.
    pub(super) fn thread_ended(&mut self, id: ChildId) -> bool {
        self.children.get_mut(&id).is_some_and(|child| std::mem::take(&mut child.running))
    }

    /// Collects the processes that have ended, with their exit status. Notes which are stopped.
    pub(super) fn reap(&mut self, now: Duration) -> Vec<(ChildId, String)> {
        let mut ended = Vec::new();
        let mut groups = self.groups.lock();
        for (id, child) in &mut self.children {
            let Some(process) = &mut child.process else { continue };
            child.stopped.look(process, &child.spec.name, now);
            if has_ended(process) {
                kill_group(process);
                let Ok(Some(status)) = process.try_wait() else { continue };
                groups.remove(&Pid::from_child(process));
                (child.process, child.running, child.ends_by) = (None, false, None);
                child.stopped = Stopped::default();
                let why = match std::mem::take(&mut child.killed) {
                    true => "its process was stopped for too long".to_owned(),
                    false => child.how_ended(status),
                };
                // Processes that it started are recognized by its group. When the group is empty,
                // its number may be used again.
                child.group = child.group.filter(|group| test_kill_process_group(*group).is_ok());
                ended.push((*id, why));
            }
        }
        self.adopted.look(&groups, now);
        ended
    }

    /// Sets the deadline of a host whose link is closed. It stops its plugin and exits by itself;
    /// otherwise it is killed.
    pub(super) fn end(&mut self, id: ChildId, now: Duration) {
        if let Some(child) = self.children.get_mut(&id).filter(|child| child.process.is_some()) {
            child.ends_by.get_or_insert(now + STOP_TIME);
        }
    }

    /// When the next host has to be killed, or has been stopped for too long.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let stopped = |child: &Child| child.stopped.deadline(child.spec.limits.watchdog);
        let deadlines = self.children.values().map(|child| [child.ends_by, stopped(child)]);
        deadlines.flatten().flatten().chain(self.adopted.deadline()).min()
    }

    /// Kills the processes whose deadline has passed. Reports those that are stopped. Waits for
    /// what hosts have left.
    pub(super) fn kill_overdue(&mut self, now: Duration) {
        self.children.values_mut().for_each(|child| child.report_if_stopped(now));
        let late = |child: &&mut Child| child.ends_by.is_some_and(|by| by <= now);
        for child in self.children.values_mut().filter(late) {
            child.ends_by = None;
            if let Some(process) = &child.process {
                kill_group(process);
            }
        }
        if self.adopted.deadline().is_some_and(|due| due <= now) {
            self.adopted.look(&self.groups.lock(), now);
        }
    }

    /// Kills all processes, and waits for their end.
    pub(super) fn kill_all(&mut self) {
        for child in self.children.values_mut() {
            if let Some(mut process) = child.process.take() {
                kill_group(&process);
                self.groups.lock().remove(&Pid::from_child(&process));
                let _ = process.wait();
            }
        }
    }

    /// Whose process made a connection. It does not matter for direct connections, because these
    /// have tickets.
    pub(super) fn classify_peer(&self, accepted: &Accepted) -> PeerProcess {
        let (Opened::Accepted, Some(process), Stream::Unix(stream)) =
            (accepted.how, accepted.process, &accepted.stream)
        else {
            return PeerProcess::Foreign;
        };
        let groups = self.children.iter().filter_map(|(id, child)| Some((child.group?, *id)));
        self.lineage.classify(&ProcessHandle::of_peer(stream, process), &groups.collect())
    }

    /// The bounds of each process that is confined, as far as it has told them.
    pub(super) fn bounds(&mut self) -> BTreeMap<ChildId, Report> {
        let bounds = self.children.iter_mut().filter_map(|(id, child)| {
            let asked = child.spec.plugin.confine.as_ref()?;
            let told = child.confined.as_mut().and_then(Listener::heard);
            let told = told.and_then(|told| told.as_ref().ok()).cloned();
            Some((*id, told.unwrap_or_else(|| Report::new(asked.best_effort))))
        });
        bounds.collect()
    }

    /// Whether no host is running.
    pub(super) fn all_ended(&self) -> bool {
        self.children.values().all(|child| !child.running)
    }

    /// The names of the hosts that are running.
    pub(super) fn running(&self) -> impl Iterator<Item = &str> {
        self.children.values().filter(|child| child.running).map(|child| child.spec.name.as_str())
    }
}

impl Child {
    /// How its process ended, as text.
    fn how_ended(&mut self, status: ExitStatus) -> String {
        let told = self.confined.as_mut().and_then(Listener::heard);
        let memory = self.spec.plugin.confine.as_ref().and_then(|confine| confine.memory_mib);
        match (told, status.signal(), memory) {
            (Some(Err(why)), ..) => why.clone(),
            (_, Some(BLOCKED_SIGNAL), _) => "its plugin blocked its loop for too long".into(),
            // What finds no memory calls `abort`, or uses the address 0.
            (_, Some(ABORTED | FAULT), Some(mib)) => {
                format!("{status}; `memory-mib` allows it {mib} MiB, see its lines above")
            }
            _ => status.to_string(),
        }
    }

    /// A plugin whose process is stopped for longer than a plugin may block, blocks as well.
    fn report_if_stopped(&mut self, now: Duration) {
        let (limit, name) = (self.spec.limits.watchdog, &self.spec.name);
        let (Some(process), Some(due)) = (&self.process, self.stopped.deadline(limit)) else {
            return;
        };
        if due <= now {
            // This process may have been stopped as well, and for longer.
            self.stopped.look(process, name, now);
        }
        let Some(time) = self.stopped.take_overdue(limit, now) else { return };
        let what = format!(
            "the process of plugin {name} has been stopped for {:.1} s",
            time.as_secs_f64()
        );
        match self.spec.plugin.blocked {
            Blocked::Report => log::warn!("{what}; `kill -CONT {}` continues it", process.id()),
            Blocked::End => {
                log::error!("{what}; ending it (`blocked` is \"end\")");
                self.killed = true;
                kill_group(process);
            }
        }
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.kill_all();
    }
}

/// Whether a process has ended. It is not waited for yet, so its number is not used again.
fn has_ended(process: &Process) -> bool {
    let how = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(waitid(WaitId::Pid(Pid::from_child(process)), how), Ok(Some(_)))
}

/// Kills a host's process, and those that it has started and that stayed in its group. They have
/// copies of its sockets and ports, and would keep it from being started again. The process must
/// not have been waited for.
fn kill_group(process: &Process) {
    if let Err(error) = kill_process_group(Pid::from_child(process), Signal::KILL) {
        log::debug!("a host's process cannot be killed: {error}");
    }
}

/// Starts a host's process. Its standard input is a socket pair.
fn start_process(
    spec: &Spec,
    lineage: &mut Lineage,
) -> io::Result<(Process, Stream, Option<Listener>)> {
    let (ours, theirs) = UnixStream::pair()?;
    let report = spec.plugin.confine.as_ref().map(|_| Listener::new()).transpose()?;
    let (listener, report) = report.unzip();
    // The file that this process runs, even if it has been replaced on disk.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("trunkline").arg(COMMAND).args(orphans::word_for_children());
    let output = crate::log::output_of(&spec.name)?;
    command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(output.try_clone()?).stderr(output);
    // A terminal's signals must reach the server only, because it stops its hosts in order.
    lineage.expect_hosts();
    let mut process = command.process_group(0).spawn()?;
    drop(command);
    lineage.begins_with(Pid::from_child(&process));
    let sent = handover::send(&ours, spec, report.as_ref().map(AsFd::as_fd));
    match sent.and_then(|()| ours.set_nonblocking(true)) {
        Ok(()) => Ok((process, Stream::Unix(mio::net::UnixStream::from_std(ours)), listener)),
        Err(error) => {
            kill_group(&process);
            let _ = process.wait();
            Err(error)
        }
    }
}

/// What the process of a host has from the server that started it.
pub(super) struct Inherited {
    pub(super) spec: Spec,
    /// The connection to the server.
    pub(super) stream: UnixStream,
    pub(super) server: ServerEnd,
    /// Where it tells of its bounds, if it is to be confined.
    pub(super) teller: Option<Teller>,
}

/// Reads the spec from the connection that this process inherited. Standard input is replaced by
/// `/dev/null`, so that plugins cannot read from the connection. Starts no thread.
pub(super) fn inherit() -> Result<Inherited, String> {
    let failed = |error: &dyn std::fmt::Display| {
        format!("{COMMAND}: only a server can start this, with a socket as standard input: {error}")
    };
    let parent = getppid().ok_or_else(|| failed(&"it has no parent"))?;
    let end = own_end::end_with(parent).map_err(|error| failed(&error))?;
    let socket = rustix::io::dup(io::stdin()).map_err(|error| failed(&error))?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC).map_err(|e| failed(&e))?;
    let nothing = std::fs::File::open("/dev/null").map_err(|error| failed(&error))?;
    rustix::stdio::dup2_stdin(nothing).map_err(|error| failed(&error))?;
    let stream = UnixStream::from(socket);
    let Received { spec, server, report } =
        handover::receive(&stream).map_err(|error| failed(&error))?;
    // The server may have been killed before its end was watched.
    let parent = getppid().map(|parent| parent.as_raw_nonzero().get());
    if parent != i32::try_from(server).ok() {
        return Err(failed(&"it was not started by a server, or the server has exited"));
    }
    stream.set_nonblocking(true).map_err(|error| failed(&error))?;
    Ok(Inherited { spec, stream, server: end, teller: report.map(Teller::new) })
}

fn start_thread(
    id: ChildId,
    mailbox: Arc<Mailbox>,
    run: impl FnOnce(Stream) -> String + Send + 'static,
) -> io::Result<Stream> {
    let (ours, theirs) = mio::net::UnixStream::pair()?;
    let run = move || {
        // After a panic, which has been logged, the thread's state is dropped.
        let why = catch_unwind(AssertUnwindSafe(|| run(Stream::Unix(theirs))));
        mailbox.child_ended(id, why.unwrap_or_else(|_| "its thread panicked".into()));
    };
    std::thread::Builder::new().name(format!("host-{}", id.0)).spawn(run)?;
    Ok(Stream::Unix(ours))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll, Token};

    #[test]
    fn a_panic_on_a_thread_of_a_host_is_reported_as_its_end() {
        let mut poll = Poll::new().expect("a poll");
        let waker = mio::Waker::new(poll.registry(), Token(0)).expect("a waker");
        let mailbox = Mailbox::new(waker);
        let run = |_: Stream| -> String { panic!("as the test wants") };
        let _stream = start_thread(ChildId(7), mailbox.clone(), run).expect("a thread");
        let mut events = Events::with_capacity(1);
        poll.poll(&mut events, Some(STOP_TIME)).expect("events");
        let ended = mailbox.take().children;
        assert_eq!(ended, [(ChildId(7), "its thread panicked".to_owned())]);
    }
}
