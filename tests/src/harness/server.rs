//! A server or a host that runs as a process of its own, and ends with its owner.

// A test whose server does not start must fail.
#![allow(clippy::expect_used)]

use super::{HostSetup, Log, NOBODY, PATIENCE, Process, Setup, Status};
use crate::binaries::trunkline;
use crate::folder::Folder;
use crate::netns::Machine;
use rustix::process::{Pid, Signal, geteuid, kill_process};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use trunkline_core::key::Key;

/// The pause between two checks of a server whose log does not grow.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A server or a host that is ready. It is killed when it is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    log: Log,
    start: Start,
    key: Key,
}

/// How it was started.
#[derive(Clone, Debug)]
struct Start {
    /// The command that runs it.
    run: &'static str,
    folder: PathBuf,
    file: PathBuf,
    name: String,
    /// The address for the command line.
    socket: PathBuf,
    machine: Option<Machine>,
    /// The program that runs it, when that is not today's.
    program: Option<PathBuf>,
    variables: Vec<(&'static str, PathBuf)>,
    stdout: Option<Arc<OwnedFd>>,
    /// Whether it runs as a user who is not root, and cannot be inspected by its user.
    closed: bool,
}

impl Server {
    /// Starts a server or a host in a folder and waits until it is ready.
    ///
    /// # Panics
    ///
    /// When it ends or does not become ready in time; with its log.
    #[must_use]
    pub fn start(folder: &Folder, setup: &Setup) -> Server {
        Server::begin(Start::server(folder, setup, None))
    }

    /// Starts a server that need not become ready, and waits for a line of its log.
    ///
    /// # Panics
    ///
    /// When it ends without that line, or the line does not arrive in time; with its log.
    #[must_use]
    pub fn start_up_to(folder: &Folder, setup: &Setup, line: &str) -> Server {
        let server = Server::spawn(Start::server(folder, setup, None));
        server.log.wait_for(0, line);
        server
    }

    /// Starts a server whose log goes elsewhere than to stderr, and waits until it answers.
    ///
    /// # Panics
    ///
    /// When it does not answer in time.
    #[must_use]
    pub fn start_unheard(folder: &Folder, setup: &Setup) -> Server {
        let server = Server::spawn(Start::server(folder, setup, None));
        super::wait_until("it answers", || server.try_status().is_ok());
        server
    }

    /// As [`start`](Server::start), on a machine of the test's own network.
    ///
    /// # Panics
    ///
    /// As above.
    #[must_use]
    pub fn start_on(machine: &Machine, folder: &Folder, setup: &Setup) -> Server {
        Server::begin(Start::server(folder, setup, Some(machine.clone())))
    }

    /// Starts a host, here or on a machine, and waits until it is ready. Its server may learn of
    /// its plugins later.
    ///
    /// # Panics
    ///
    /// As above.
    #[must_use]
    pub fn start_host(machine: Option<&Machine>, folder: &Folder, setup: &HostSetup) -> Server {
        Server::begin(Start {
            run: "host",
            folder: folder.path().to_owned(),
            file: folder.write(&format!("{}.toml", setup.name()), setup.text()),
            name: setup.name().to_owned(),
            socket: folder.path().join(setup.state()).join("host.sock"),
            machine: machine.cloned(),
            program: setup.program().map(Path::to_owned),
            variables: Vec::new(),
            stdout: None,
            closed: false,
        })
    }

    /// Starts the server of the same file again, after it has ended.
    #[must_use]
    pub fn start_again(self) -> Server {
        let start = self.start.clone();
        drop(self);
        Server::begin(start)
    }

    /// The server is owned before any wait for it, so that it ends even if the wait fails.
    fn spawn(start: Start) -> Server {
        let mut child = start.command().spawn().expect("the server can be started");
        let log = Log::collect(child.stderr.take().expect("stderr is a pipe"));
        Server { child, log, start, key: Key([0; 32]) }
    }

    fn begin(start: Start) -> Server {
        let mut server = Server::spawn(start);
        let ready = server.log.wait_for(0, "is ready");
        let key = ready.split(['(', ')']).nth(1).expect("the line names the key");
        server.key = key.parse().expect("the line names a key");
        server
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> Key {
        self.key
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.start.name
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The file of its unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.start.socket.clone()
    }

    /// The TCP port that the system chose.
    #[must_use]
    pub fn port(&self) -> u16 {
        let line = self.log.wait_for(0, "listening on net:");
        let port = line.rsplit(':').next().and_then(|rest| rest.split('~').next());
        port.and_then(|port| port.parse().ok()).expect("the line ends with PORT~noauth or PORT~shs")
    }

    /// The address of its TCP listener on loopback.
    #[must_use]
    pub fn tcp_address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port()))
    }

    /// Runs `trunkline COMMAND` for this server, with more arguments.
    #[must_use]
    pub fn command(&self, command: &str, more: &[&str]) -> Output {
        let mut process = Command::new(trunkline());
        process.arg(command);
        match self.start.run {
            "run" => process.arg("--config").arg(&self.start.file),
            _ => process.arg("--server").arg(format!("unix:{}", self.start.socket.display())),
        };
        process.args(more);
        if self.start.closed && geteuid().is_root() {
            // It trusts no server of another user.
            process.uid(NOBODY).gid(NOBODY);
        }
        process.output().expect("the command line can be started")
    }

    /// Its status.
    ///
    /// # Panics
    ///
    /// When it does not answer.
    #[must_use]
    pub fn status(&self) -> Status {
        self.try_status()
            .unwrap_or_else(|why| panic!("{}: {why}\n{}", self.start.name, self.log.text()))
    }

    /// Its status, or why there is none.
    pub fn try_status(&self) -> Result<Status, String> {
        let output = self.command("status", &["--json"]);
        match output.status.success() {
            true => serde_json::from_slice(&output.stdout)
                .map_err(|error| format!("{error} in {}", String::from_utf8_lossy(&output.stdout))),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// Waits until its status is as wanted; returns that status.
    ///
    /// # Panics
    ///
    /// When that does not happen in time; with the last status and the log.
    pub fn wait_until(&self, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = self.log.mark();
            let status = self.status();
            if wanted(&status) {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "{}: not in time: {what}\nlast status: {status:#?}\nlog:\n{}",
                self.start.name,
                self.log.text()
            );
            self.log.wait_for_more(seen, LOOK_AGAIN);
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the server is there to be sent a signal");
    }

    /// Kills it at once; its files stay.
    pub fn kill(&mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a child can be waited for");
    }

    /// Waits until it has ended; returns its exit code.
    ///
    /// # Panics
    ///
    /// When it does not end in time, or by a signal.
    pub fn wait_for_end(&mut self) -> i32 {
        let ended = self.ended();
        ended.code().unwrap_or_else(|| panic!("{ended}:\n{}", self.log.text()))
    }

    /// Waits until a signal has ended it; returns the number of the signal.
    ///
    /// # Panics
    ///
    /// When it does not end in time, or in another way.
    pub fn wait_for_fatal_signal(&mut self) -> i32 {
        let ended = self.ended();
        ended.signal().unwrap_or_else(|| panic!("{ended}:\n{}", self.log.text()))
    }

    fn ended(&mut self) -> ExitStatus {
        self.log.wait_for_end();
        let status = self.child.try_wait().expect("a child can be waited for");
        let ended = status.or_else(|| {
            // Its stderr is closed, so it is about to end; or its time is over.
            let deadline = Instant::now() + Duration::from_secs(5);
            while Instant::now() < deadline {
                if let Ok(Some(status)) = self.child.try_wait() {
                    return Some(status);
                }
                std::thread::yield_now();
            }
            None
        });
        ended.unwrap_or_else(|| panic!("it does not end:\n{}", self.log.text()))
    }

    /// The memory that it has in use, in bytes.
    #[must_use]
    pub fn memory(&self) -> u64 {
        let file = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(file).expect("a process has a status");
        let line = text.lines().find(|line| line.starts_with("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        kilobytes.expect("the kernel tells the memory in kB") * 1024
    }

    /// How many files and sockets it has open.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        self.process().descriptors()
    }

    /// Its process, as the kernel sees it.
    #[must_use]
    pub fn process(&self) -> Process {
        Process(self.child.id())
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // A failure in CI is understood from this output alone.
        if std::thread::panicking() {
            println!("what {} said:\n{}", self.start.name, self.log.text());
        }
    }
}

/// Runs a server or a host that must not become ready; returns its exit code and its stderr.
///
/// # Panics
///
/// When it does not end in time.
#[must_use]
pub fn run_to_its_end(folder: &Folder, setup: &Setup) -> (i32, String) {
    let start = Start::server(folder, setup, None);
    let mut child = start.command().spawn().expect("the server can be started");
    let log = Log::collect(child.stderr.take().expect("stderr is a pipe"));
    log.wait_for_end();
    // If it keeps running, this ends it, and there is no exit code.
    let _ = child.kill();
    let ended = child.wait().expect("a child can be waited for");
    let code = ended.code().unwrap_or_else(|| panic!("it runs on:\n{}", log.text()));
    (code, log.text())
}

impl Start {
    fn server(folder: &Folder, setup: &Setup, machine: Option<Machine>) -> Start {
        let socket = match setup.command() {
            "host" => format!("{}.state/host.sock", setup.name()),
            _ => format!("{}.sock", setup.name()),
        };
        Start {
            run: setup.command(),
            folder: folder.path().to_owned(),
            file: folder.write(&format!("{}.toml", setup.name()), setup.text()),
            name: setup.name().to_owned(),
            socket: folder.path().join(socket),
            machine,
            program: setup.program().map(Path::to_owned),
            variables: setup.variables(),
            stdout: setup.own_stdout(),
            closed: setup.is_closed(),
        }
    }

    fn command(&self) -> Command {
        let program = self.program.clone().unwrap_or_else(trunkline);
        let mut command = match &self.machine {
            Some(machine) => machine.command(program),
            None => Command::new(program),
        };
        command.args([self.run, "--config"]).arg(&self.file).current_dir(&self.folder);
        command.env_remove("RUST_LOG").env("RUST_LOG_STYLE", "never");
        match (self.closed, geteuid().is_root()) {
            (true, true) => {
                command.uid(NOBODY).gid(NOBODY);
            }
            // The harness looks at its descriptors, which only root may otherwise.
            (false, false) => {
                command.env("TRUNKLINE_DUMPABLE", "1");
            }
            _ => {}
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let stdout = self.stdout.as_ref().map(|file| file.try_clone().expect("a copy of stdout"));
        let stdout = stdout.map_or_else(Stdio::null, Stdio::from);
        command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
        command
    }
}
