//! The plugin that measures channels from within.
//!
//! The configuration selects one of five roles. A **driver** (`control = "PATH"`) listens on a unix
//! socket for commands, one JSON object in a line, and answers each with one line. A **sink** (no
//! key) accepts the driver's channels. A **worker** (`work = true`) is called by the benchmarks
//! themselves, without a server. A **caller** (`calls = N`, `size = N`) calls the sink N times
//! while it starts, and then refuses to start, so that its server ends. A **repeater** (`messages =
//! N`) sends the sink N messages, each of which is echoed.

mod calls;
mod command;
mod control;
mod driver;
mod repeat;
mod run;
mod sink;
mod work;

use trunkline_plugin::prelude::*;
use trunkline_plugin::serde::Deserialize;

use driver::Driver;
use repeat::Repeat;
use sink::Sink;
use work::Work;

/// The configuration.
#[derive(Deserialize, Default)]
#[serde(crate = "trunkline_plugin::serde", rename_all = "kebab-case", deny_unknown_fields, default)]
struct Settings {
    /// Where a driver listens.
    control: Option<String>,
    /// Whether it is a worker.
    work: bool,
    /// The number of calls of a caller.
    calls: Option<u64>,
    /// Bytes of its requests and answers.
    size: usize,
    /// The number of messages of a repeater.
    messages: Option<u64>,
}

enum Measure {
    Driver(Box<Driver>),
    Repeat(Repeat),
    Sink(Sink),
    Work(Work),
}

impl Plugin for Measure {
    const ABOUT: About = About::new("measure", 1);

    fn start(host: &Host, config: Config) -> Result<Self, Reason> {
        match config.read::<Settings>()? {
            Settings { work: true, .. } => Ok(Measure::Work(Work::default())),
            Settings { calls: Some(times), size, .. } => Err(calls::repeat(host, times, size)),
            Settings { messages: Some(times), .. } => Ok(Measure::Repeat(Repeat::new(host, times))),
            Settings { control: Some(path), .. } => {
                Ok(Measure::Driver(Box::new(Driver::listen(host, &path)?)))
            }
            Settings { control: None, .. } => Ok(Measure::Sink(Sink::default())),
        }
    }

    fn open(&mut self, _host: &Host, _channel: Channel, _caller: &Caller) -> Answer {
        match self {
            Measure::Sink(_) => Answer::Accept,
            _ => Answer::Refuse(Reason::new("no-sink", "only a sink takes channels")),
        }
    }

    fn opened(&mut self, host: &Host, channel: Channel) {
        match self {
            Measure::Driver(driver) => driver.opened(host, channel),
            Measure::Repeat(repeat) => repeat.opened(host, channel),
            _ => {}
        }
    }

    fn credit(&mut self, host: &Host, channel: Channel, _room: u64) {
        if let Measure::Driver(driver) = self {
            driver.credit(host, channel);
        }
    }

    fn write(&mut self, host: &Host, channel: Channel, bytes: &[u8]) {
        match self {
            Measure::Driver(driver) => driver.write(host, channel, bytes),
            Measure::Repeat(repeat) => repeat.write(host, channel, bytes),
            Measure::Sink(sink) => sink.write(host, channel, bytes),
            Measure::Work(work) => work.write(bytes),
        }
    }

    fn close(&mut self, host: &Host, channel: Channel) {
        if let Measure::Sink(sink) = self {
            sink.close(host, channel);
        }
        host.close(channel);
    }

    fn ended(&mut self, host: &Host, channel: Channel, why: Option<&Reason>) {
        match self {
            Measure::Driver(driver) => driver.ended(host, channel, why),
            Measure::Repeat(repeat) => repeat.ended(why),
            Measure::Sink(sink) => sink.ended(channel),
            Measure::Work(_) => {}
        }
    }

    fn call(&mut self, host: &Host, call: Call, _caller: &Caller, request: &[u8]) {
        host.answer(call, request);
    }

    fn reply(&mut self, host: &Host, call: Call, outcome: Result<&[u8], Unanswered>) {
        if let Measure::Driver(driver) = self {
            driver.reply(host, call, outcome);
        }
    }

    fn directory(&mut self, host: &Host, change: &Change) {
        if let Measure::Repeat(repeat) = self {
            repeat.directory(host, change);
        }
    }

    fn timer(&mut self, host: &Host, _timer: Timer) {
        if let Measure::Driver(driver) = self {
            driver.time_is_up(host);
        }
    }

    fn ready(&mut self, host: &Host, watch: Watch, _readiness: Readiness) {
        if let Measure::Driver(driver) = self {
            driver.ready(host, watch);
        }
    }
}

trunkline_plugin::export_plugin!(Measure);
