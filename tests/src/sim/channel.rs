//! One end of a channel as a scripted plugin sees it: what it means to do, and what it may be told.

use super::Shared;
use super::actor::{Actor, Character};
use super::ledger::{Ledger, Reader};
use std::collections::BTreeMap;
use std::time::Duration;
use trunkline_core::broker::{Broker, Handle, Misuse, PluginId};
use trunkline_core::reason::Reason;

/// A plugin's voice: what it may ask of its server.
pub struct Host<'a> {
    /// The server.
    pub broker: &'a mut Broker,
    /// The plugin.
    pub plugin: PluginId,
    /// What the whole run shares.
    pub shared: &'a mut Shared,
    /// The other plugins of the process, but for those that are on the stack.
    pub others: &'a mut BTreeMap<PluginId, Actor>,
    /// Plugins that failed.
    pub fallen: &'a mut Vec<Character>,
}

/// Turns misuse into a failure of the run: scripted plugins do not misuse their host by accident.
pub fn legal<T>(result: Result<T, Misuse>) -> Result<T, String> {
    result.map_err(|misuse| format!("the broker says of a plugin that did nothing wrong: {misuse}"))
}

/// How far a channel has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// This plugin opened it.
    Asking,
    /// This plugin was asked.
    Asked,
    /// Bytes flow.
    Up,
    /// It was joined to another one; nothing but its end may be told.
    Joined,
    /// This plugin aborted it; nothing but its end may be told.
    Aborted,
}

/// How credit is given by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// By itself.
    Automatic,
    /// By a timer, so many microseconds after the bytes.
    Slow(u64),
    /// Not before the run is calm.
    Never,
}

/// What is written, and how far that is.
#[derive(Debug)]
pub struct Writer {
    stream: u64,
    total: u64,
    sent: u64,
}

/// One end of a channel.
#[derive(Debug)]
pub struct Channel {
    /// How far it has come.
    pub state: State,
    /// What comes.
    pub reader: Reader,
    /// What goes; without it, this end closes when the other one has.
    pub writer: Option<Writer>,
    /// How it is read.
    pub pace: Pace,
    /// Bytes that were told and not given back.
    pub held: u64,
    /// Whether a timer for them runs.
    pub timed: bool,
    /// When it reads no more, in bytes.
    pub stop_at: Option<u64>,
    /// When it gives up, in bytes both ways.
    pub abort_at: Option<u64>,
    /// Everything that is sent must come back.
    pub echoed: bool,
    /// The other end may never read.
    pub patient: bool,
    close_told: bool,
    stop_told: bool,
    pub(super) closed: bool,
    pub(super) stopped: bool,
}

impl Channel {
    /// A channel on which nothing is planned but to read.
    pub fn new(state: State) -> Channel {
        Channel {
            state,
            reader: Reader::default(),
            writer: None,
            pace: Pace::Automatic,
            held: 0,
            timed: false,
            stop_at: None,
            abort_at: None,
            echoed: false,
            patient: false,
            close_told: false,
            stop_told: false,
            closed: false,
            stopped: false,
        }
    }

    /// Plans to write so many bytes.
    pub fn plan(&mut self, ledger: &mut Ledger, total: u64) {
        self.writer = Some(Writer { stream: ledger.begin(), total, sent: 0 });
    }

    /// Writes until a write is cut short, then closes when all is written.
    pub fn pump(&mut self, host: &mut Host<'_>, handle: Handle) -> Result<(), String> {
        if matches!(self.state, State::Joined | State::Aborted) {
            return Ok(());
        }
        while let Some(writer) = &mut self.writer
            && !self.closed
            && !self.stop_told
        {
            let left = writer.total - writer.sent;
            if left == 0 {
                return self.close(host, handle);
            }
            let count = left.min(host.shared.random.size(1, 40_000));
            let bytes = Ledger::bytes(writer.stream, writer.sent, count);
            let taken = legal(host.broker.write(host.plugin, handle, &bytes))? as u64;
            host.shared.ledger.written(writer.stream, taken);
            writer.sent += taken;
            if taken < count {
                host.shared.trace.saw("a write cut short");
                break;
            }
        }
        self.maybe_abort(host, handle)
    }

    /// Writes no more.
    pub fn close(&mut self, host: &mut Host<'_>, handle: Handle) -> Result<(), String> {
        if !std::mem::replace(&mut self.closed, true) {
            host.shared.ledger.closed(self.writer.as_ref().map(|writer| writer.stream));
            legal(host.broker.close(host.plugin, handle))?;
        }
        Ok(())
    }

    /// Reads no more.
    pub fn stop(&mut self, host: &mut Host<'_>, handle: Handle) -> Result<(), String> {
        if !std::mem::replace(&mut self.stopped, true) {
            host.shared.trace.saw("reading stopped");
            legal(host.broker.stop_read(host.plugin, handle))?;
            // Who only reads has nothing left to wait for.
            if self.writer.is_none() {
                return self.close(host, handle);
            }
        }
        Ok(())
    }

    /// Gives up.
    pub fn abort(&mut self, host: &mut Host<'_>, handle: Handle) -> Result<(), String> {
        self.state = State::Aborted;
        host.shared.trace.saw("abort");
        legal(host.broker.abort(host.plugin, handle, Reason::plugin("tired", "enough of it")))
    }

    fn maybe_abort(&mut self, host: &mut Host<'_>, handle: Handle) -> Result<(), String> {
        let sent = self.writer.as_ref().map_or(0, |writer| writer.sent);
        match self.abort_at {
            Some(at) if self.reader.got + sent >= at && self.state != State::Aborted => {
                self.abort(host, handle)
            }
            _ => Ok(()),
        }
    }

    /// Bytes came.
    pub fn told_bytes(
        &mut self,
        host: &mut Host<'_>,
        handle: Handle,
        bytes: &[u8],
    ) -> Result<(), String> {
        self.must_be_up("bytes")?;
        if self.close_told || self.stopped {
            return Err("bytes were told after the end of reading".into());
        }
        self.reader.take(&mut host.shared.ledger, bytes)?;
        if self.pace != Pace::Automatic {
            self.held += bytes.len() as u64;
        }
        if self.stop_at.is_some_and(|at| self.reader.got >= at) {
            self.stop(host, handle)?;
        }
        self.maybe_abort(host, handle)
    }

    /// Gives credit for what was held; whether there was any.
    pub fn release(&mut self, host: &mut Host<'_>, handle: Handle) -> Result<(), String> {
        let held = std::mem::take(&mut self.held);
        self.timed = false;
        legal(host.broker.credit(host.plugin, handle, held))
    }

    /// The timer that a slow reader needs now.
    pub fn due(&mut self) -> Option<Duration> {
        let Pace::Slow(pause) = self.pace else { return None };
        let due = self.held > 0 && !std::mem::replace(&mut self.timed, true);
        due.then(|| Duration::from_micros(pause))
    }

    /// The other end writes no more.
    pub fn told_close(&mut self, host: &mut Host<'_>, handle: Handle) -> Result<(), String> {
        self.must_be_up("close")?;
        if std::mem::replace(&mut self.close_told, true) {
            return Err("close was told twice".into());
        }
        // It was on its way when this end stopped reading.
        if self.stopped {
            return Ok(());
        }
        self.reader.close(&mut host.shared.ledger)?;
        if self.echoed && !self.stop_told {
            self.check_echo(host)?;
        }
        match self.writer {
            None => self.close(host, handle),
            Some(_) => Ok(()),
        }
    }

    fn check_echo(&self, host: &Host<'_>) -> Result<(), String> {
        let Some(writer) = &self.writer else { return Ok(()) };
        let sent = (self.closed, writer.sent);
        match sent == (true, self.reader.got) || host.shared.ledger.tainted {
            true => Ok(()),
            false => Err(format!("echo closed after {} bytes of {sent:?}", self.reader.got)),
        }
    }

    /// The other end reads no more.
    pub fn told_stop(&mut self, host: &mut Host<'_>, handle: Handle) -> Result<(), String> {
        self.must_be_up("stop-read")?;
        if std::mem::replace(&mut self.stop_told, true) {
            return Err("stop-read was told twice".into());
        }
        // It was on its way when this end closed.
        if self.closed {
            return Ok(());
        }
        host.shared.trace.saw("stop-read told");
        match host.broker.write(host.plugin, handle, b"dropped") {
            Ok(7) => Ok(()),
            other => Err(format!("a write after stop-read gave {other:?}")),
        }
    }

    /// There is room.
    pub fn told_credit(&mut self, host: &mut Host<'_>, handle: Handle) -> Result<(), String> {
        self.must_be_up("credit")?;
        self.pump(host, handle)
    }

    fn must_be_up(&self, what: &str) -> Result<(), String> {
        match self.state {
            State::Up => Ok(()),
            state => Err(format!("{what} was told of a channel that is {state:?}")),
        }
    }

    /// Whether it must have ended when all is quiet, although some plugins never read.
    pub fn must_end(&self) -> bool {
        let held = self.patient || self.pace == Pace::Never;
        self.state != State::Joined && !held
    }

    fn told_all(&self) -> bool {
        !matches!(self.state, State::Joined | State::Aborted)
    }

    /// The last word: whether an end in order was one.
    pub fn told_end(&self, reason: Option<&Reason>) -> Result<(), String> {
        let reading = self.close_told || self.stopped;
        let writing = self.closed || self.stop_told;
        match reason {
            // One that was aborted may have ended in order just before.
            None if !(reading && writing) && self.told_all() => {
                Err(format!("it ended in order, but was still in use: {self:?}"))
            }
            _ => Ok(()),
        }
    }
}
