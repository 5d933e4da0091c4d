//! Whole servers and hosts under valgrind. One of their plugins repeats an operation, and logs when
//! it is done.

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use trunkline_tests::demo::Server;
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::Log;

use super::valgrind;
use crate::programs::Programs;
use crate::routes::setup::plugin;

/// How long a process may take to end after a signal; a server itself ends within 5 s.
const END_MAX: Duration = Duration::from_secs(60);

/// Where the sink of the messages is. A server under valgrind cannot start processes, so with
/// several processes a host is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the same server.
    Local,
    /// In the server of the host that sends the messages.
    Process,
    /// In another process of the host's server, over a direct connection.
    Unix,
    /// In another server, over a link on a unix socket.
    Link,
}

/// The instructions of a server while one of its plugins makes this many calls to another one.
pub(super) fn calls(
    programs: &Programs,
    folder: &Folder,
    size: usize,
    times: u64,
) -> Result<u64, String> {
    let lines = format!("required = true\n[plugin.config]\ncalls = {times}\nsize = {size}");
    let tables = plugin(programs, "sink", "") + &plugin(programs, "caller", &lines);
    let config = server(folder, "alpha", &tables);
    // The caller refuses to start, so its server ends.
    let process = Running::start(programs, folder, &["run", "--config"], &config)?;
    process.wait_for("all-answered")?;
    process.ended()?;
    valgrind::total(folder)
}

/// The instructions of a server or a host while one of its plugins sends this many messages,
/// without those of the other process.
pub(super) fn messages(
    programs: &Programs,
    folder: &Folder,
    place: Place,
    times: u64,
) -> Result<u64, String> {
    let repeater = plugin(programs, "repeater", &format!("[plugin.config]\nmessages = {times}"));
    let sink = |lines: &str| plugin(programs, "sink", lines);
    let other = |name, lines: &str| {
        Server::start(&programs.trunkline, name, server(folder, name, &sink(lines)))
    };
    let here = |tables: &str| server(folder, "alpha", &(tables.to_owned() + &repeater));
    let host = || {
        let head = "[host]\nname = \"alpha\"\nkey = \"alpha.key\"\nstate = \"alpha.state\"\n\
                    server = \"unix:home.sock~noauth\"\n";
        folder.write("alpha.toml", format!("{head}{repeater}"))
    };
    let (config, command, other) = match place {
        Place::Local => (here(&sink("")), "run", None),
        Place::Process => (host(), "host", Some(other("home", "")?)),
        Place::Unix => {
            let sink = "placement = \"process\"\nadvertise = [\"unix\"]";
            (host(), "host", Some(other("home", sink)?))
        }
        Place::Link => {
            let peer = "[[peer]]\naddress = \"unix:beta.sock~noauth\"\n";
            (here(peer), "run", Some(other("beta", "")?))
        }
    };
    let process = Running::start(programs, folder, &[command, "--config"], &config)?;
    process.wait_for("all-answered")?;
    process.stop()?;
    other.map_or(Ok(()), Server::stop)?;
    valgrind::total(folder)
}

fn server(folder: &Folder, name: &str, tables: &str) -> std::path::PathBuf {
    let head = format!("[server]\nname = {name:?}\nkey = \"{name}.key\"\n");
    let listen = format!("listen = [\"unix:{name}.sock~noauth\"]\n");
    folder.write(&format!("{name}.toml"), format!("{head}{listen}{tables}"))
}

/// A process under valgrind. Dropping it kills the process.
struct Running {
    child: Child,
    log: Log,
}

impl Running {
    fn start(
        programs: &Programs,
        folder: &Folder,
        arguments: &[&str],
        config: &Path,
    ) -> Result<Running, String> {
        let mut command: Command = valgrind::command(&programs.trunkline, folder, None);
        command.args(arguments).arg(config).env("RUST_LOG_STYLE", "never");
        let mut child = command.spawn().map_err(|error| format!("valgrind: {error}"))?;
        let stderr = child.stderr.take().ok_or("valgrind has no stderr")?;
        Ok(Running { child, log: Log::collect(stderr) })
    }

    fn wait_for(&self, text: &str) -> Result<(), String> {
        self.log.find(0, text).map(drop)
    }

    /// Sends SIGINT, and waits for the end.
    fn stop(self) -> Result<(), String> {
        let process = Pid::from_child(&self.child);
        kill_process(process, Signal::TERM).map_err(|error| format!("a signal: {error}"))?;
        self.ended()
    }

    fn ended(mut self) -> Result<(), String> {
        self.log.wait_for_end();
        let deadline = Instant::now() + END_MAX;
        while Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(Some(_)) => return Ok(()),
                Ok(None) => std::thread::yield_now(),
                Err(error) => return Err(error.to_string()),
            }
        }
        Err(format!("it does not end:\n{}", self.log.text()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
