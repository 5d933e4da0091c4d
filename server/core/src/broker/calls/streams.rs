//! The streams on which the calls of a pair of plugins travel between processes, as far as they are
//! messages: which calls are on their way on each, what waits to be written, and when one is idle.
//! The bytes are carried by `flows/call_streams.rs`.

use super::{CallId, CallTimer, Calls, Event, Outcome, StreamEvent};
use crate::broker::effect::{Caller, Effects};
use crate::calls::{CallReader, CallSender, CallSide, Kind};
use crate::ids::{ConnId, EndId, PluginId};
use crate::key::Key;
use crate::name::Name;
use crate::reason::{By, Code, Reason};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

/// A caller of this process, and its callee with the server of that.
pub(crate) type PairKey = (PluginId, Name, Key);

/// A stream without calls is closed after so long: a link is not kept for calls that are over, and
/// the next call costs no more than the first one.
const IDLE: Duration = Duration::from_secs(10);

/// Which end is here.
#[derive(Debug)]
pub(super) enum Part {
    /// The caller of this pair is here.
    Caller(PairKey),
    /// The callee is here; this is the caller, and the process that learns the outcome.
    Callee(Caller, Listener),
}

/// The process that learns what is written to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listener {
    /// A process of our own server.
    OurServer,
    /// Another server, or who may be one.
    OtherServer,
}

/// One end of a stream of calls.
#[derive(Debug)]
pub(crate) struct CallStream {
    /// Whose end it is.
    pub(super) plugin: PluginId,
    pub(super) part: Part,
    pub(super) sender: CallSender,
    pub(super) reader: CallReader,
    /// The calls by their numbers on the stream.
    pub(super) numbers: BTreeMap<u32, CallId>,
    next: u32,
    /// The other side has accepted it.
    up: bool,
    /// The connection on whose account it is charged, of the plugin's if none, and what its
    /// messages cost.
    pub(super) charged: (Option<ConnId>, u64),
    idle_since: Duration,
    /// It will be looked at whether it is idle.
    timed: bool,
}

impl CallStream {
    fn new(plugin: PluginId, part: Part, now: Duration) -> CallStream {
        let side = match part {
            Part::Caller(_) => CallSide::Caller,
            Part::Callee(..) => CallSide::Callee,
        };
        CallStream {
            plugin,
            part,
            sender: CallSender::default(),
            reader: CallReader::new(side),
            numbers: BTreeMap::new(),
            next: 0,
            up: false,
            charged: (None, 0),
            idle_since: now,
            timed: false,
        }
    }

    /// What its messages cost that wait.
    pub(super) fn held(&self) -> u64 {
        self.sender.held() + self.reader.held()
    }

    /// How many calls are on their way.
    pub(super) fn calls(&self) -> usize {
        self.numbers.len()
    }

    pub(super) fn is_timed(&self) -> bool {
        self.timed
    }

    /// Whether it is the callee's, and all answers are on their way.
    pub(super) fn has_said_all(&self) -> bool {
        self.up && self.sender.is_empty() && matches!(self.part, Part::Callee(..))
    }

    /// A message that is being read of a call that is over, or of one whose request is here.
    pub(super) fn misplaced(&self) -> Option<u32> {
        let waits = matches!(self.part, Part::Caller(_));
        self.reader.begun().find(|number| self.numbers.contains_key(number) != waits)
    }

    /// A number for its next call.
    fn next_number(&mut self) -> u32 {
        while self.numbers.contains_key(&self.next) {
            self.next = self.next.wrapping_add(1);
        }
        let number = self.next;
        self.next = number.wrapping_add(1);
        number
    }
}

impl Calls {
    /// The streams of a plugin, in the order of their ends.
    pub(crate) fn streams_of(&self, plugin: PluginId) -> Vec<EndId> {
        let streams = self.streams.iter();
        streams.filter(|(_, stream)| stream.plugin == plugin).map(|(end, _)| *end).collect()
    }

    /// All streams, with the plugins whose ends they are.
    pub(crate) fn streams(&self) -> impl Iterator<Item = (EndId, PluginId)> {
        self.streams.iter().map(|(end, stream)| (*end, stream.plugin))
    }

    /// The stream for calls of a pair, which may be ending.
    pub(crate) fn stream_of(&self, pair: &PairKey) -> Option<EndId> {
        self.pairs.get(pair).copied()
    }

    /// A stream was opened for a pair whose caller is here; a connection carries it, if it is known
    /// yet which one.
    pub(crate) fn stream_opened(&mut self, pair: PairKey, end: EndId, conn: Option<ConnId>) {
        let mut stream = CallStream::new(pair.0, Part::Caller(pair.clone()), self.now);
        stream.charged = (conn, 0);
        self.streams.insert(end, stream);
        self.pairs.insert(pair, end);
        self.look_later(end, self.now + IDLE);
    }

    /// A stream to a callee of this process was accepted.
    pub(crate) fn stream_accepted(
        &mut self,
        (callee, end): (PluginId, EndId),
        caller: Caller,
        conn: Option<ConnId>,
        listener: Listener,
    ) {
        let mut stream = CallStream::new(callee, Part::Callee(caller, listener), self.now);
        (stream.up, stream.charged) = (true, (conn, 0));
        self.streams.insert(end, stream);
    }

    /// The other side has accepted a stream.
    pub(crate) fn stream_is_up(&mut self, end: EndId) {
        if let Some(stream) = self.streams.get_mut(&end) {
            stream.up = true;
        }
    }

    /// What has to be written to a stream.
    pub(crate) fn sender(&mut self, end: EndId) -> Option<&mut CallSender> {
        self.streams.get_mut(&end).map(|stream| &mut stream.sender)
    }

    /// The number of the next call on a stream, whose request has so many bytes.
    pub(super) fn number_on(&mut self, end: EndId, length: usize) -> Result<u32, Reason> {
        let charged = self.charged(end);
        self.holds(charged, length)?;
        Ok(self.streams.get_mut(&end).map_or(0, CallStream::next_number))
    }

    pub(super) fn send_request(&mut self, end: EndId, number: u32, call: CallId, bytes: Vec<u8>) {
        let Some(stream) = self.streams.get_mut(&end) else { return };
        stream.numbers.insert(number, call);
        stream.sender.push(Kind::Request, number, bytes);
        self.stream_needs(StreamEvent::Write(end));
    }

    /// The outcome of a call is not awaited any more.
    pub(super) fn withdraw_request(&mut self, end: EndId, number: u32) {
        let Some(stream) = self.streams.get_mut(&end) else { return };
        stream.reader.forget(number);
        if stream.sender.withdraw(number) {
            stream.sender.push(Kind::Cancel, number, Vec::new());
        }
        self.stream_needs(StreamEvent::Write(end));
    }

    /// Says what came of a call. What finds no room is said in few words; who does not even read
    /// those has no more to do with us.
    pub(super) fn send_outcome(&mut self, end: EndId, number: u32, outcome: Outcome) {
        let Some(stream) = self.streams.get(&end) else { return };
        let outcome = match (outcome, &stream.part) {
            (Outcome::Lost(reason), Part::Callee(_, Listener::OtherServer)) => {
                Outcome::Lost(reason.for_other_servers())
            }
            (outcome, _) => outcome,
        };
        let Some((kind, bytes)) = outcome.into_message() else { return };
        let most = self.limits.link_window;
        let charged = self.charged(end);
        let told = match self.holds(charged, bytes.len()) {
            Ok(()) => Some((kind, bytes)),
            // What was not done is still not done.
            Err(reason) if kind == Kind::Refused => Outcome::Refused(reason).into_message(),
            Err(reason) => Outcome::Lost(reason).into_message(),
        };
        if charged > most + most / 8 {
            // A code of its own: some of these calls were done, though the other side may have to
            // hear yet that the stream was accepted.
            let reason = Reason::server(Code::TooManyCalls, "what came of calls is not read");
            self.stream_needs(StreamEvent::Abort(end, reason));
        } else if let Some((kind, bytes)) = told
            && let Some(stream) = self.streams.get_mut(&end)
        {
            stream.sender.push(kind, number, bytes);
            self.stream_needs(StreamEvent::Write(end));
        }
    }

    /// A call has its outcome. A stream without calls is closed after a while.
    pub(super) fn forget_number(&mut self, end: EndId, number: u32) {
        let now = self.now;
        let Some(stream) = self.streams.get_mut(&end) else { return };
        stream.numbers.remove(&number);
        if stream.numbers.is_empty() && matches!(stream.part, Part::Caller(_)) {
            stream.idle_since = now;
            if !stream.timed {
                self.look_later(end, now + IDLE);
            }
        }
    }

    /// Closes a stream that had no calls for a while, and ends one that was closed without effect:
    /// `closed` says which it is.
    pub(crate) fn look_at_idle(&mut self, end: EndId, closed: Closed) {
        let Some(stream) = self.streams.get_mut(&end) else { return };
        stream.timed = false;
        let due = stream.idle_since + IDLE;
        match (stream.numbers.is_empty(), closed) {
            (false, _) => {}
            (true, _) if due > self.now => self.look_later(end, due),
            (true, Closed::ByUs) => {
                let text = "an idle stream of calls was not closed by the other side";
                self.stream_needs(StreamEvent::Abort(end, Reason::server(Code::Silent, text)));
            }
            (true, Closed::No) => {
                self.look_later(end, self.now + IDLE);
                self.stream_needs(StreamEvent::Close(end));
            }
        }
    }

    fn look_later(&mut self, end: EndId, at: Duration) {
        if let Some(stream) = self.streams.get_mut(&end) {
            stream.timed = true;
            self.happens(Event::Wait(CallTimer::Idle(end), at));
        }
    }

    /// A stream is over; its calls may have been done, unless it was refused.
    pub(crate) fn stream_over(
        &mut self,
        end: EndId,
        reason: Option<Reason>,
        effects: &mut Effects,
    ) {
        let Some(stream) = self.forget_stream(end) else { return };
        let text = "the callee ended before the answer";
        let reason = reason.unwrap_or_else(|| Reason::server(Code::PluginStopped, text));
        let refused = !stream.up && !is_loss(&reason);
        for call in stream.numbers.into_values() {
            match (&stream.part, refused) {
                (Part::Callee(..), _) => self.abandoned(call, effects),
                (Part::Caller(_), true) => {
                    self.answered(call, Outcome::Refused(reason.clone()), effects);
                }
                (Part::Caller(_), false) => {
                    self.answered(call, Outcome::Lost(reason.clone()), effects);
                }
            }
        }
    }

    pub(super) fn forget_stream(&mut self, end: EndId) -> Option<CallStream> {
        let stream = self.streams.remove(&end)?;
        if stream.timed {
            self.happens(Event::WaitNoLonger(CallTimer::Idle(end)));
        }
        if let Part::Caller(pair) = &stream.part
            && self.pairs.get(pair) == Some(&end)
        {
            self.pairs.remove(pair);
        }
        self.release(stream.charged, stream.plugin);
        Some(stream)
    }
}

/// Whether we have closed a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    No,
    ByUs,
}

/// Whether a stream that ended so may have carried calls.
fn is_loss(reason: &Reason) -> bool {
    const LOSSES: [Code; 7] = [
        Code::LinkLost,
        Code::HostLost,
        Code::PluginFailed,
        Code::PluginStopped,
        Code::TransportLost,
        Code::ProtocolViolation,
        Code::TooManyCalls,
    ];
    reason.by == By::Server && LOSSES.iter().any(|code| reason.is(*code))
}
