//! The streams on which the calls of a pair of plugins travel between processes. Each is a channel
//! whose ends belong to plugins, and of which the plugins are not told.

use super::{CallId, Calls, Outcome};
use crate::broker::{Broker, Caller, ConnId, PluginId, Target, TimerKey, Told};
use crate::calls::{CallMessage, CallReader, CallSender, CallSide, Kind};
use crate::control::Purpose;
use crate::ends::Flag;
use crate::ids::{EndId, Handle};
use crate::key::Key;
use crate::limits::Limit;
use crate::name::Name;
use crate::reason::{By, Code, Reason};
use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

/// A caller of this process, and its callee with the server of that.
pub(crate) type PairKey = (PluginId, Name, Key);

/// A stream without calls is closed after so long: a link is not kept for calls that are over, and
/// the next call costs no more than the first one.
const IDLE: Duration = Duration::from_secs(10);

/// Who has which end.
#[derive(Debug)]
enum Part {
    /// The caller of this pair is here.
    Caller(PairKey),
    /// The callee is here, and this is who calls.
    Callee(Caller),
}

/// One end of a stream of calls.
#[derive(Debug)]
pub(crate) struct CallStream {
    /// Whose end it is.
    pub(crate) plugin: PluginId,
    part: Part,
    sender: CallSender,
    reader: CallReader,
    /// The calls by their numbers on the stream.
    pub(crate) numbers: BTreeMap<u32, CallId>,
    next: u32,
    /// The other side has accepted it.
    up: bool,
    /// What its messages cost, and the connection on whose account; of the plugin's, if none.
    pub(crate) charged: (Option<ConnId>, u64),
    idle_since: Duration,
}

impl CallStream {
    fn new(plugin: PluginId, part: Part, now: Duration) -> CallStream {
        let side = match part {
            Part::Caller(_) => CallSide::Caller,
            Part::Callee(_) => CallSide::Callee,
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
        }
    }

    pub(crate) fn held(&self) -> u64 {
        self.sender.held() + self.reader.held()
    }

    /// Whether it is the callee's, and all answers are on their way.
    pub(crate) fn has_said_all(&self) -> bool {
        self.up && self.sender.is_empty() && matches!(self.part, Part::Callee(_))
    }

    /// A message that is being read of a call that is over, or of one whose request is here.
    pub(crate) fn misplaced(&self) -> Option<u32> {
        let waits = matches!(self.part, Part::Caller(_));
        self.reader.begun().find(|number| self.numbers.contains_key(number) != waits)
    }
}

impl Calls {
    pub(crate) fn call_streams_of(&self, plugin: PluginId) -> Vec<EndId> {
        let streams = self.streams.iter();
        streams.filter(|(_, stream)| stream.plugin == plugin).map(|(end, _)| *end).collect()
    }
}

impl Broker {
    /// The stream for calls of a plugin to another one, which is opened if there is none.
    pub(crate) fn stream_to(&mut self, plugin: PluginId, target: &Target) -> Result<EndId, Reason> {
        let entry = self.find(target)?;
        let pair = (plugin, entry.name.clone(), entry.server);
        let there = self.calls.pairs.get(&pair).copied().filter(|end| {
            let end = self.switch.end(*end);
            end.is_some_and(|end| !end.flags.has(Flag::Ending) && !end.flags.has(Flag::WriteOver))
        });
        if let Some(end) = there {
            return Ok(end);
        }
        let handle = self.open_to(plugin, target, entry, Purpose::Calls)?;
        let end = handle.id().ok_or_else(no_stream)?;
        let stream = CallStream::new(plugin, Part::Caller(pair.clone()), self.now);
        self.calls.streams.insert(end, stream);
        self.calls.pairs.insert(pair, end);
        self.timers.set(TimerKey::IdleCalls(end), self.now + IDLE);
        Ok(end)
    }

    /// The number of the next call on a stream, whose request has so many bytes.
    pub(crate) fn number_on(&mut self, end: EndId, length: usize) -> Result<u32, Reason> {
        let charged = self.charged(end);
        self.holds(charged, length)?;
        let Some(stream) = self.calls.streams.get_mut(&end) else { return Ok(0) };
        while stream.numbers.contains_key(&stream.next) {
            stream.next = stream.next.wrapping_add(1);
        }
        let number = stream.next;
        stream.next = number.wrapping_add(1);
        Ok(number)
    }

    pub(crate) fn send_request(&mut self, end: EndId, number: u32, call: CallId, bytes: Vec<u8>) {
        let Some(stream) = self.calls.streams.get_mut(&end) else { return };
        stream.numbers.insert(number, call);
        stream.sender.push(Kind::Request, number, bytes);
        self.pump_calls(end);
    }

    /// Nobody waits for the outcome of a call any more.
    pub(crate) fn withdraw_request(&mut self, end: EndId, number: u32) {
        let Some(stream) = self.calls.streams.get_mut(&end) else { return };
        stream.reader.forget(number);
        if stream.sender.withdraw(number) {
            stream.sender.push(Kind::Cancel, number, Vec::new());
        }
        self.pump_calls(end);
    }

    /// Says what came of a call. What finds no room is said in few words; who does not even read
    /// those has no more to do with us.
    pub(crate) fn send_outcome(&mut self, end: EndId, number: u32, outcome: Outcome) {
        let outcome = match (outcome, self.conn_behind(end)) {
            (Outcome::Lost(reason), Some(conn)) => {
                Outcome::Lost(self.switch.discreet(conn, reason))
            }
            (outcome, _) => outcome,
        };
        let Some((kind, bytes)) = outcome.into_message() else { return };
        let most = self.settings.limits.link_window;
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
            self.abort_calls(end, reason);
        } else if let Some((kind, bytes)) = told
            && let Some(stream) = self.calls.streams.get_mut(&end)
        {
            stream.sender.push(kind, number, bytes);
            self.pump_calls(end);
        }
    }

    /// A call has its outcome. A stream of which nobody waits for anything is closed in a while.
    pub(crate) fn forget_number(&mut self, end: EndId, number: u32) {
        let Some(stream) = self.calls.streams.get_mut(&end) else { return };
        stream.numbers.remove(&number);
        if stream.numbers.is_empty() && matches!(stream.part, Part::Caller(_)) {
            stream.idle_since = self.now;
            if !self.timers.is_set(&TimerKey::IdleCalls(end)) {
                self.timers.set(TimerKey::IdleCalls(end), self.now + IDLE);
            }
        }
    }

    /// Closes a stream that had no calls for a while.
    pub(crate) fn close_idle_calls(&mut self, end: EndId) {
        let Some(stream) = self.calls.streams.get(&end) else { return };
        let due = stream.idle_since + IDLE;
        let closed = self.switch.end(end).is_some_and(|end| end.flags.has(Flag::WriteOver));
        match stream.numbers.is_empty() {
            true if due > self.now => self.timers.set(TimerKey::IdleCalls(end), due),
            true if closed => {
                let text = "an idle stream of calls was not closed by the other side";
                self.abort_calls(end, Reason::server(Code::Silent, text));
            }
            true => {
                self.timers.set(TimerKey::IdleCalls(end), self.now + IDLE);
                self.close_calls(end);
            }
            false => {}
        }
    }

    fn close_calls(&mut self, end: EndId) {
        if let Some(end) = self.call_end(end) {
            self.switch.close_end(end, &mut self.effects);
        }
    }

    /// The end of a stream of calls, unless nothing but its last word is heard of it.
    fn call_end(&self, id: EndId) -> Option<EndId> {
        let end = self.switch.end(id)?;
        (!end.flags.has(Flag::Ending) && !end.flags.has(Flag::Muted)).then_some(id)
    }

    /// Whether an end carries calls, so that its plugin is not told of it.
    pub(crate) fn carries_calls(&self, handle: Handle) -> bool {
        self.switch.ends().live(handle).is_some_and(|end| end.flags.has(Flag::Calls))
    }

    /// What a plugin would be told of a channel, if it were one.
    pub(crate) fn calls_told(&mut self, plugin: PluginId, told: Told) {
        let Some(end) = told.channel().and_then(Handle::id) else { return };
        match told {
            Told::Open(_, caller) => {
                let mut stream = CallStream::new(plugin, Part::Callee(caller), self.now);
                stream.up = true;
                self.calls.streams.insert(end, stream);
                self.switch.accept_end(plugin, end, &mut self.effects);
            }
            Told::Opened(_) => {
                if let Some(stream) = self.calls.streams.get_mut(&end) {
                    stream.up = true;
                }
            }
            Told::Credit(_) => self.pump_calls(end),
            Told::Deliver(_) => {
                if let Some(end) = self.call_end(end) {
                    let bytes = self.switch.inbox_of(end);
                    self.calls_bytes(plugin, end, &bytes);
                }
            }
            // The caller closes when nothing is left to say.
            Told::Close(_) | Told::StopRead(_) => self.close_calls(end),
            Told::Ended(_, reason) => self.call_stream_over(end, reason),
            Told::Directory(_)
            | Told::Link(_)
            | Told::Timer(_)
            | Told::Call(..)
            | Told::Cancelled(_)
            | Told::Reply(..) => {}
        }
    }

    /// Bytes came on a stream of calls.
    pub(crate) fn calls_bytes(&mut self, plugin: PluginId, end: EndId, bytes: &[u8]) {
        let mut input = bytes;
        // What comes behind a broken rule is not read.
        while self.call_end(end).is_some() {
            let limits = &self.settings.limits;
            let (longest, most) = (limits.call_size, limits.link_window);
            let charged = self.charged(end);
            let Some(stream) = self.calls.streams.get_mut(&end) else { break };
            // The account is brought up to date when all is read.
            let others = charged.saturating_sub(stream.charged.1) + stream.sender.held();
            let room = most.saturating_sub(others);
            let CallStream { reader, sender, numbers, part, .. } = stream;
            let waits = matches!(part, Part::Callee(_));
            let is_open = |call| numbers.contains_key(&call) || (waits && sender.waits(call));
            match reader.read(&mut input, longest, room, is_open) {
                Ok(None) => break,
                Ok(Some(message)) => self.call_message(plugin, end, message),
                Err(violation) => {
                    let text = violation.to_string();
                    self.abort_calls(end, Reason::server(Code::ProtocolViolation, text));
                    break;
                }
            }
        }
        self.charge_calls(end);
        if let Some(end) = self.call_end(end) {
            self.switch.consumed_by(end, bytes.len(), &mut self.effects);
        }
    }

    fn call_message(&mut self, plugin: PluginId, end: EndId, message: CallMessage) {
        let Some(stream) = self.calls.streams.get_mut(&end) else { return };
        let known = |number| stream.numbers.get(&number).copied();
        match (message, &stream.part) {
            (CallMessage::Whole(Kind::Request, number, bytes), Part::Callee(caller)) => {
                let caller = caller.clone();
                self.take_request(plugin, end, number, caller, bytes);
            }
            (CallMessage::Whole(Kind::Cancel, number, _), _) => {
                let call = known(number);
                stream.reader.forget(number);
                stream.sender.withdraw(number);
                if let Some(call) = call {
                    self.call_abandoned(call);
                }
            }
            (CallMessage::Whole(kind, number, bytes), _) => {
                if let Some(call) = known(number) {
                    // An answer that did not wait for the end of its request.
                    let early = stream.sender.waits(number);
                    self.call_answered(call, Outcome::of_message(kind, bytes));
                    if early {
                        self.withdraw_request(end, number);
                    }
                }
            }
            (CallMessage::TooMuch(kind, number), _) => {
                let call = known(number);
                let text = "it is longer than the limit, or there is no room for it";
                let reason = self.limit_reached(Limit::CallSize, text);
                match (kind, call) {
                    (Kind::Request, None) => {
                        self.send_outcome(end, number, Outcome::Refused(reason));
                    }
                    (_, Some(call)) => {
                        self.call_answered(call, Outcome::Lost(reason));
                        self.withdraw_request(end, number);
                    }
                    (_, None) => {}
                }
            }
        }
    }

    fn take_request(
        &mut self,
        plugin: PluginId,
        end: EndId,
        number: u32,
        caller: Caller,
        bytes: Vec<u8>,
    ) {
        let asker = super::Asker::Stream(end, number);
        let shares = self.leaves_a_share(plugin, end);
        match shares.and_then(|()| self.queue_call(asker, plugin, caller, bytes)) {
            Ok(call) => {
                if let Some(stream) = self.calls.streams.get_mut(&end) {
                    stream.numbers.insert(number, call);
                }
            }
            Err(reason) => self.send_outcome(end, number, Outcome::Refused(reason)),
        }
    }

    /// Writes what waits, as far as there is room; `Credit` goes on.
    fn pump_calls(&mut self, end: EndId) {
        let Some(stream) = self.calls.streams.get_mut(&end) else { return };
        let mut sender = core::mem::take(&mut stream.sender);
        loop {
            let bytes = sender.bytes();
            if bytes.is_empty() {
                break;
            }
            let length = bytes.len();
            let written =
                self.call_end(end).map(|end| self.switch.write_end(end, bytes, &mut self.effects));
            // Nobody reads what is written to a stream that is over, or was closed.
            let taken = written.and_then(Result::ok).unwrap_or(length);
            sender.advance(taken);
            if taken < length {
                break;
            }
        }
        if let Some(stream) = self.calls.streams.get_mut(&end) {
            stream.sender = sender;
        }
        self.charge_calls(end);
    }

    fn abort_calls(&mut self, end: EndId, reason: Reason) {
        if let Some(end) = self.call_end(end) {
            self.switch.abort_from(end, reason, &mut self.effects);
        }
    }

    /// A stream is over; its calls may have been done, unless it was refused.
    fn call_stream_over(&mut self, end: EndId, reason: Option<Reason>) {
        let Some(stream) = self.forget_call_stream(end) else { return };
        let text = "the callee ended before the answer";
        let reason = reason.unwrap_or_else(|| Reason::server(Code::PluginStopped, text));
        let refused = !stream.up && !is_loss(&reason);
        for call in stream.numbers.into_values() {
            match (&stream.part, refused) {
                (Part::Callee(_), _) => self.call_abandoned(call),
                (Part::Caller(_), true) => {
                    self.call_answered(call, Outcome::Refused(reason.clone()));
                }
                (Part::Caller(_), false) => {
                    self.call_answered(call, Outcome::Lost(reason.clone()));
                }
            }
        }
    }

    pub(crate) fn forget_call_stream(&mut self, end: EndId) -> Option<CallStream> {
        let stream = self.calls.streams.remove(&end)?;
        self.timers.cancel(TimerKey::IdleCalls(end));
        if let Part::Caller(pair) = &stream.part
            && self.calls.pairs.get(pair) == Some(&end)
        {
            self.calls.pairs.remove(pair);
        }
        self.calls.release(stream.charged, stream.plugin);
        Some(stream)
    }
}

fn no_stream() -> Reason {
    Reason::server(Code::Refused, "there is no stream for the call")
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
