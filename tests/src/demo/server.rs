//! A server process of the demo, or of a benchmark: started, observed, queried, and stopped in
//! order. Failures are errors, not panics.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::Measured;
use crate::harness::{Log, PATIENCE, Status};

/// Records that the demo was interrupted, so that it can stop what it started. The servers get the
/// signal of a terminal too, so no wait is endless.
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Handles the signals that would end this process.
    ///
    /// # Errors
    ///
    /// When a signal cannot be handled.
    pub fn catch() -> Result<Self, String> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let caught = signal_hook::flag::register(signal, flag.clone());
            caught.map_err(|error| format!("signal {signal} cannot be caught: {error}"))?;
        }
        Ok(Self(flag))
    }

    /// Whether to continue.
    ///
    /// # Errors
    ///
    /// The error for an interruption.
    pub fn check(&self) -> Result<(), String> {
        if self.0.load(Ordering::Relaxed) { Err("interrupted".into()) } else { Ok(()) }
    }

    /// The final outcome, which is an error after an interruption.
    pub(super) fn judge(&self, outcome: Result<(), String>) -> Result<(), String> {
        self.check().and(outcome)
    }
}

/// A running server. Dropping it kills it, and prints its log to stderr, because something failed.
/// [`Server::stop`] ends it in order.
pub struct Server {
    name: &'static str,
    config: PathBuf,
    program: PathBuf,
    process: Child,
    log: Log,
    state: State,
}

#[derive(PartialEq)]
enum State {
    Running,
    Stopped,
}

impl Server {
    /// Starts a server and waits until it is ready.
    ///
    /// # Errors
    ///
    /// When it does not start, or is not ready in time.
    pub fn start(program: &Path, name: &'static str, config: PathBuf) -> Result<Self, String> {
        let cannot = |why: &dyn std::fmt::Display| format!("{} runs not: {why}", program.display());
        let mut command = Command::new(program);
        command.arg("run").arg("--config").arg(&config);
        command.env("RUST_LOG", "info").env("RUST_LOG_STYLE", "never");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().map_err(|error| cannot(&error))?;
        let stderr = process.stderr.take().ok_or_else(|| cannot(&"it has no stderr"))?;
        let (program, log) = (program.to_path_buf(), Log::collect(stderr));
        let server = Self { name, config, program, process, log, state: State::Running };
        server.wait_for("is ready")?;
        Ok(server)
    }

    /// The number of its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name
    }

    /// Waits for a line of the log.
    fn wait_for(&self, text: &str) -> Result<String, String> {
        let found = self.log.find(0, text);
        // The log itself is shown when the server is dropped.
        found.map_err(|_| format!("{} did not log {text:?} within {PATIENCE:?}", self.name))
    }

    /// Waits until the link to another server is up.
    ///
    /// # Errors
    ///
    /// What did not happen, in one line.
    pub fn wait_for_link(&self, peer: &str) -> Result<(), String> {
        self.wait_for(&format!("link to {peer} (")).map(drop)
    }

    /// The measurements of the server's `ping` with an `echo`.
    pub(super) fn ping_result(&self, with: &str) -> Result<Measured, String> {
        let line = self.wait_for(&format!("ping {with}: "))?;
        Measured::read(&line).ok_or_else(|| format!("{}: no numbers in {line:?}", self.name))
    }

    /// The address where the server's `forward` accepts connections.
    ///
    /// # Errors
    ///
    /// What did not happen, in one line.
    pub fn forward_address(&self) -> Result<SocketAddr, String> {
        let line = self.wait_for("plugin::forward] listening on ")?;
        let address = line.split(" listening on ").nth(1).and_then(|rest| rest.split(' ').next());
        let address = address.and_then(|address| address.parse().ok());
        address.ok_or_else(|| format!("{}: no address in {line:?}", self.name))
    }

    /// The server's status.
    ///
    /// # Errors
    ///
    /// What did not happen, in one line.
    pub fn status(&self) -> Result<Status, String> {
        let output = self.command("status").arg("--json").output();
        let output = output.map_err(|error| format!("trunkline status: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim_end().into());
        }
        serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("the status of {} cannot be read: {error}", self.name))
    }

    /// The address on loopback where other servers reach this one.
    ///
    /// # Errors
    ///
    /// What did not happen, in one line.
    pub fn net_address(&self) -> Result<String, String> {
        let addresses = self.status()?.server.addresses;
        let net = addresses.into_iter().find(|address| address.starts_with("net:"));
        net.ok_or_else(|| format!("{} has no net: address", self.name))
    }

    /// The route from a plugin of this server to a plugin of another, or of the same. The status is
    /// polled, because a channel may exist only briefly.
    pub(super) fn route(&self, from: &str, to: &str, on: &Self) -> Result<String, String> {
        let to_end = format!("{to}@{}", on.status()?.server.key);
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let status = self.status()?;
            let from_end = format!("{from}@{}", status.server.key);
            let mut channels = status.channels.into_iter();
            if let Some(found) = channels.find(|it| it.from == from_end && it.to == to_end) {
                return Ok(found.route);
            }
        }
        let (here, there) = (self.name, on.name);
        Err(format!("no channel from {from}@{here} to {to}@{there} within {PATIENCE:?}"))
    }

    /// The route between two plugins, as the server explains it.
    ///
    /// # Errors
    ///
    /// What did not happen, in one line.
    pub fn explained(&self, from: &str, to: &str) -> Result<String, String> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let output = self.command("explain").args([from, to, "--json"]).output();
            let output = output.map_err(|error| format!("trunkline explain: {error}"))?;
            let told: serde_json::Value = serde_json::from_slice(&output.stdout)
                .map_err(|error| format!("an explanation of {} is unclear: {error}", self.name))?;
            if let Some(route) = told["connected"][0].as_str() {
                return Ok(route.into());
            }
        }
        Err(format!("{from} is not connected to {to} within {PATIENCE:?}"))
    }

    /// Stops the server as a user would, and checks that it ended well.
    ///
    /// # Errors
    ///
    /// What did not happen, in one line.
    pub fn stop(mut self) -> Result<(), String> {
        let asked = self.command("stop").output();
        let asked = asked.map_err(|error| format!("trunkline stop: {error}"))?;
        if !asked.status.success() {
            return Err(String::from_utf8_lossy(&asked.stderr).trim_end().into());
        }
        // The answer arrives when the server has closed the connection, and its process ends right
        // after that.
        let ended = self.process.wait().map_err(|error| format!("{}: {error}", self.name))?;
        if !ended.success() {
            return Err(format!("{} ended with {ended}", self.name));
        }
        self.state = State::Stopped;
        Ok(())
    }

    /// A command of the command line for this server.
    fn command(&self, word: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(word).arg("--config").arg(&self.config);
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.state == State::Stopped {
            return;
        }
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
        self.log.wait_for_end();
        for line in self.log.since(0) {
            eprintln!("{}: {line}", self.name);
        }
    }
}

impl Measured {
    /// Parses a line of `ping`, which ends like this:
    /// `200 round trips of 64 bytes, p50 5.1 us, p99 9.0 us, 812.5 MB/s over 64 MiB`.
    fn read(text: &str) -> Option<Self> {
        let number = |after: &str, unit: &str| -> Option<f64> {
            let (_, rest) = text.rsplit_once(after)?;
            rest.split_once(unit)?.0.parse().ok()
        };
        Some(Self {
            p50_us: number("p50 ", " us")?,
            p99_us: number("p99 ", " us")?,
            megabytes_per_second: number(" us, ", " MB/s")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_ping_is_read() {
        let line = "200 round trips of 64 bytes, p50 5.1 us, p99 9 us, 812.5 MB/s over 64 MiB";
        let measured = Measured { p50_us: 5.1, p99_us: 9.0, megabytes_per_second: 812.5 };
        assert_eq!(Measured::read(line), Some(measured));
        assert_eq!(Measured::read("no answer"), None);
    }
}
