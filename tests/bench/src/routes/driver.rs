//! The client of a driver's control socket: each command and each answer is one line.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use serde::{Deserialize, Serialize};

use crate::contender::Sample;

/// If an answer takes longer than the measurement and this time, it fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// The channels that a driver opens, and their traffic; see the plugin's `command.rs`.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Traffic {
    /// The sink.
    pub(crate) to: String,
    /// The sink's server, if there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server: Option<String>,
    /// Bytes in a message that is echoed.
    pub(crate) size: usize,
    /// Bytes in each write of a flood.
    pub(crate) flood_size: usize,
    /// Channels with round trips.
    pub(crate) pings: usize,
    /// Channels with a flood.
    pub(crate) floods: usize,
}

/// A command for a driver.
#[derive(Debug, Serialize)]
struct Command<'a> {
    what: What,
    ms: u64,
    #[serde(flatten)]
    traffic: &'a Traffic,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
enum What {
    Run,
    Call,
    Hold,
    Release,
    Directory,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Answer {
    error: Option<String>,
    count: usize,
    seconds: f64,
    round_trips: u64,
    p50_ns: f64,
    p99_ns: f64,
    bytes: u64,
    least: u64,
    most: u64,
}

impl Answer {
    /// The median and the 99th percentile in seconds, if round trips were timed one by one.
    fn percentiles(&self) -> Option<(f64, f64)> {
        (self.p50_ns > 0.0).then_some((self.p50_ns / 1e9, self.p99_ns / 1e9))
    }
}

/// A driver that listens.
pub(crate) struct Driver(RefCell<BufReader<UnixStream>>);

impl Driver {
    pub(crate) fn connect(socket: &Path) -> Result<Driver, String> {
        let connected = UnixStream::connect(socket).and_then(|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(stream)
        });
        let stream = connected.map_err(|error| format!("{}: {error}", socket.display()))?;
        Ok(Driver(RefCell::new(BufReader::new(stream))))
    }

    /// Its process.
    pub(crate) fn process(&self) -> Result<u32, String> {
        let peer = socket_peercred(self.0.borrow().get_ref());
        let peer = peer.map_err(|error| format!("the process of a driver: {error}"))?;
        u32::try_from(peer.pid.as_raw_nonzero().get()).map_err(|error| error.to_string())
    }

    /// Measures for this time.
    pub(crate) fn measure(&self, traffic: &Traffic, length: Duration) -> Result<Sample, String> {
        let answer = self.ask(What::Run, length.as_millis() as u64, traffic)?;
        let messages = answer.bytes / traffic.flood_size.max(1) as u64;
        let bytes = answer.bytes + answer.round_trips * traffic.size as u64;
        let fair = answer.bytes as f64 / traffic.floods as f64;
        Ok(Sample {
            percentiles: answer.percentiles(),
            shares: (traffic.floods > 1)
                .then_some((answer.least as f64 / fair, answer.most as f64 / fair)),
            ..Sample::of(messages + answer.round_trips, bytes, answer.seconds)
        })
    }

    /// Calls the sink for this time, one call after another.
    pub(crate) fn call(&self, traffic: &Traffic, length: Duration) -> Result<Sample, String> {
        let answer = self.ask(What::Call, length.as_millis() as u64, traffic)?;
        let bytes = answer.round_trips * traffic.size as u64;
        let sample = Sample::of(answer.round_trips, bytes, answer.seconds);
        Ok(Sample { percentiles: answer.percentiles(), ..sample })
    }

    /// Opens this many more channels, and keeps them idle.
    pub(crate) fn hold(&self, traffic: &Traffic, channels: usize) -> Result<(), String> {
        self.ask(What::Hold, 0, &Traffic { pings: channels, ..traffic.clone() }).map(drop)
    }

    /// Ends the idle channels.
    pub(crate) fn release(&self) -> Result<(), String> {
        self.ask(What::Release, 0, &Traffic::default()).map(drop)
    }

    /// The number of plugins in the driver's directory.
    pub(crate) fn directory(&self) -> Result<usize, String> {
        Ok(self.ask(What::Directory, 0, &Traffic::default())?.count)
    }

    fn ask(&self, what: What, ms: u64, traffic: &Traffic) -> Result<Answer, String> {
        let command = Command { what, ms, traffic };
        let line = serde_json::to_string(&command).map_err(|error| error.to_string())?;
        let mut stream = self.0.borrow_mut();
        let mut answer = String::new();
        let asked = writeln!(stream.get_mut(), "{line}");
        asked
            .and_then(|()| stream.read_line(&mut answer))
            .map_err(|error| format!("the driver does not answer {line}: {error}"))?;
        let read: Answer = serde_json::from_str(&answer)
            .map_err(|error| format!("the driver's answer {answer:?}: {error}"))?;
        match read.error {
            Some(error) => Err(error),
            None => Ok(read),
        }
    }
}
