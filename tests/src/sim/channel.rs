//! One end of a channel of a scripted plugin: its plan, and the events that it may receive.

use super::Shared;
use super::actor::{Actor, PluginSpec};
use super::ledger::{Ledger, StreamReader};
use std::collections::BTreeMap;
use std::time::Duration;
use trunkline_core::broker::{Broker, Handle, Misuse, PluginId};
use trunkline_core::reason::Reason;

/// What a plugin needs to act: its broker and the state of the run.
pub struct Host<'a> {
    /// The server.
    pub broker: &'a mut Broker,
    /// The plugin.
    pub plugin: PluginId,
    /// The state of the run.
    pub shared: &'a mut Shared,
    /// The other plugins of the process, without those that are on the stack.
    pub others: &'a mut BTreeMap<PluginId, Actor>,
    /// Plugins that failed, and may be restarted.
    pub restartable: &'a mut Vec<PluginSpec>,
}

/// Turns misuse into a failure of the run, because scripted plugins misuse their host only on
/// purpose.
pub fn legal<T>(result: Result<T, Misuse>) -> Result<T, String> {
    result.map_err(|misuse| format!("a legal call of the broker was reported as misuse: {misuse}"))
}

/// The state of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// This plugin opened it, and it is not answered yet.
    Asking,
    /// This plugin was asked, and has not answered yet.
    Asked,
    /// Bytes flow.
    Up,
    /// It was joined to another one. Only its end may be reported.
    Joined,
    /// This plugin aborted it. Only its end may be reported.
    Aborted,
}

/// How credit is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// By the broker, when the callback returns.
    Automatic,
    /// By a timer, this many microseconds after the bytes.
    Slow(u64),
    /// Not before the calm phase.
    Never,
}

/// The stream that is written, and its progress.
#[derive(Debug)]
pub struct Writer {
    stream: u64,
    total: u64,
    sent: u64,
}

/// One end of a channel.
#[derive(Debug)]
pub struct Channel {
    /// Its state.
    pub state: State,
    /// Checks the incoming bytes.
    pub reader: StreamReader,
    /// The outgoing stream. Without it, this end closes when the other one has.
    pub writer: Option<Writer>,
    /// How credit is given back.
    pub pace: Pace,
    /// Received bytes for which no credit was given back yet.
    pub held: u64,
    /// Whether a timer for that credit is set.
    pub timed: bool,
    /// After how many bytes it stops reading.
    pub stop_at: Option<u64>,
    /// After how many bytes, in both directions, it aborts.
    pub abort_at: Option<u64>,
    /// The other end is an echo: all bytes that are sent must come back.
    pub echoed: bool,
    /// The other end may never read.
    pub peer_never_reads: bool,
    peer_closed: bool,
    peer_stopped: bool,
    pub(super) closed: bool,
    pub(super) stopped: bool,
}

impl Channel {
    /// A channel that only reads.
    pub fn new(state: State) -> Channel {
        Channel {
            state,
            reader: StreamReader::default(),
            writer: None,
            pace: Pace::Automatic,
            held: 0,
            timed: false,
            stop_at: None,
            abort_at: None,
            echoed: false,
            peer_never_reads: false,
            peer_closed: false,
            peer_stopped: false,
            closed: false,
            stopped: false,
        }
    }

    /// Plans to write a stream of this length.
    pub fn plan(&mut self, ledger: &mut Ledger, total: u64) {
        self.writer = Some(Writer { stream: ledger.begin(), total, sent: 0 });
    }

    /// Writes until a write is short. Closes when all is written.
    pub fn pump(&mut self, host: &mut Host<'_>, handle: Handle) -> Result<(), String> {
        if matches!(self.state, State::Joined | State::Aborted) {
            return Ok(());
        }
        while let Some(writer) = &mut self.writer
            && !self.closed
            && !self.peer_stopped
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

    /// Closes the writing direction.
    pub fn close(&mut self, host: &mut Host<'_>, handle: Handle) -> Result<(), String> {
        if !std::mem::replace(&mut self.closed, true) {
            host.shared.ledger.closed(self.writer.as_ref().map(|writer| writer.stream));
            legal(host.broker.close(host.plugin, handle))?;
        }
        Ok(())
    }

    /// Stops reading.
    pub fn stop(&mut self, host: &mut Host<'_>, handle: Handle) -> Result<(), String> {
        if !std::mem::replace(&mut self.stopped, true) {
            host.shared.trace.saw("reading stopped");
            legal(host.broker.stop_read(host.plugin, handle))?;
            // A channel that only reads has nothing left to wait for.
            if self.writer.is_none() {
                return self.close(host, handle);
            }
        }
        Ok(())
    }

    /// Aborts.
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

    /// Handles bytes.
    pub fn on_bytes(
        &mut self,
        host: &mut Host<'_>,
        handle: Handle,
        bytes: &[u8],
    ) -> Result<(), String> {
        self.must_be_up("bytes")?;
        if self.peer_closed || self.stopped {
            return Err("bytes arrived after the end of reading".into());
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

    /// Gives credit for the held bytes.
    pub fn release(&mut self, host: &mut Host<'_>, handle: Handle) -> Result<(), String> {
        let held = std::mem::take(&mut self.held);
        self.timed = false;
        legal(host.broker.credit(host.plugin, handle, held))
    }

    /// The time of the timer that a slow reader needs now.
    pub fn due(&mut self) -> Option<Duration> {
        let Pace::Slow(pause) = self.pace else { return None };
        let due = self.held > 0 && !std::mem::replace(&mut self.timed, true);
        due.then(|| Duration::from_micros(pause))
    }

    /// Handles the close of the other end.
    pub fn on_close(&mut self, host: &mut Host<'_>, handle: Handle) -> Result<(), String> {
        self.must_be_up("close")?;
        if std::mem::replace(&mut self.peer_closed, true) {
            return Err("close was reported twice".into());
        }
        // The close was in flight when this end stopped reading.
        if self.stopped {
            return Ok(());
        }
        self.reader.close(&mut host.shared.ledger)?;
        if self.echoed && !self.peer_stopped {
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

    /// Handles that the other end stops reading.
    pub fn on_stop(&mut self, host: &mut Host<'_>, handle: Handle) -> Result<(), String> {
        self.must_be_up("stop-read")?;
        if std::mem::replace(&mut self.peer_stopped, true) {
            return Err("stop-read was reported twice".into());
        }
        // The stop was in flight when this end closed.
        if self.closed {
            return Ok(());
        }
        host.shared.trace.saw("stop-read reported");
        match host.broker.write(host.plugin, handle, b"dropped") {
            Ok(7) => Ok(()),
            other => Err(format!("a write after stop-read gave {other:?}")),
        }
    }

    /// Handles new credit.
    pub fn on_credit(&mut self, host: &mut Host<'_>, handle: Handle) -> Result<(), String> {
        self.must_be_up("credit")?;
        self.pump(host, handle)
    }

    fn must_be_up(&self, what: &str) -> Result<(), String> {
        match self.state {
            State::Up => Ok(()),
            state => Err(format!("{what} was reported for a channel that is {state:?}")),
        }
    }

    /// Whether it must have ended in the rest phase, in which some plugins never read.
    pub fn must_end(&self) -> bool {
        let held = self.peer_never_reads || self.pace == Pace::Never;
        self.state != State::Joined && !held
    }

    fn gets_all_events(&self) -> bool {
        !matches!(self.state, State::Joined | State::Aborted)
    }

    /// Handles the end: an orderly end needs both directions to be closed.
    pub fn on_end(&self, reason: Option<&Reason>) -> Result<(), String> {
        let reading = self.peer_closed || self.stopped;
        let writing = self.closed || self.peer_stopped;
        match reason {
            // An aborted channel may have ended in order just before.
            None if !(reading && writing) && self.gets_all_events() => {
                Err(format!("it ended in order, but was still in use: {self:?}"))
            }
            _ => Ok(()),
        }
    }
}
