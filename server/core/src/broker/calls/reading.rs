//! What comes on streams of calls: requests for callees of this process, and outcomes for callers.

use super::streams::{CallStream, Part};
use super::{Asker, Calls, Outcome, StreamEvent};
use crate::broker::effect::{Caller, Effects};
use crate::calls::{CallMessage, Kind};
use crate::ids::{EndId, PluginId};
use crate::limits::Limit;
use crate::reason::{Code, Reason};
use alloc::string::ToString;
use alloc::vec::Vec;

/// Whether there may be more to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Read {
    /// A message was read.
    Message,
    /// The bytes are used up.
    All,
    /// A rule is broken: what comes behind that is not read.
    Violation,
}

impl Calls {
    /// Reads the next message out of bytes that came on a stream. When all is read, or has been
    /// written of what came of it, the account is to be brought up to date with
    /// [`charge_stream`](Calls::charge_stream).
    pub(crate) fn read(&mut self, end: EndId, input: &mut &[u8], effects: &mut Effects) -> Read {
        let (longest, most) = (self.limits.call_size, self.limits.link_window);
        let charged = self.charged(end);
        let Some(stream) = self.streams.get_mut(&end) else { return Read::All };
        // The account is brought up to date when all is read.
        let others = charged.saturating_sub(stream.charged.1) + stream.sender.held();
        let room = most.saturating_sub(others);
        let CallStream { reader, sender, numbers, part, .. } = stream;
        let waits = matches!(part, Part::Callee(..));
        let is_open = |call| numbers.contains_key(&call) || (waits && sender.waits(call));
        match reader.read(input, longest, room, is_open) {
            Ok(None) => Read::All,
            Ok(Some(message)) => {
                self.message(end, message, effects);
                Read::Message
            }
            Err(violation) => {
                let reason = Reason::server(Code::ProtocolViolation, violation.to_string());
                self.stream_needs(StreamEvent::Abort(end, reason));
                Read::Violation
            }
        }
    }

    fn message(&mut self, end: EndId, message: CallMessage, effects: &mut Effects) {
        let Some(stream) = self.streams.get_mut(&end) else { return };
        let known = |number| stream.numbers.get(&number).copied();
        match (message, &stream.part) {
            (CallMessage::Whole(Kind::Request, number, bytes), Part::Callee(caller, _)) => {
                let (callee, caller) = (stream.plugin, caller.clone());
                self.take_request((callee, end), number, caller, bytes, effects);
            }
            (CallMessage::Whole(Kind::Cancel, number, _), _) => {
                let call = known(number);
                stream.reader.forget(number);
                stream.sender.withdraw(number);
                if let Some(call) = call {
                    self.abandoned(call, effects);
                }
            }
            (CallMessage::Whole(kind, number, bytes), _) => {
                if let Some(call) = known(number) {
                    // An answer that did not wait for the end of its request.
                    let early = stream.sender.waits(number);
                    self.answered(call, Outcome::of_message(kind, bytes), effects);
                    if early {
                        self.withdraw_request(end, number);
                    }
                }
            }
            (CallMessage::TooMuch(kind, number), _) => self.too_much(end, kind, number, effects),
        }
    }

    /// A message is longer than the limit, or there is no room for it.
    fn too_much(&mut self, end: EndId, kind: Kind, number: u32, effects: &mut Effects) {
        let stream = self.streams.get(&end);
        let call = stream.and_then(|stream| stream.numbers.get(&number).copied());
        let text = "it is longer than the limit, or there is no room for it";
        let reason = self.limit_reached(Limit::CallSize, text);
        match (kind, call) {
            (Kind::Request, None) => self.send_outcome(end, number, Outcome::Refused(reason)),
            (_, Some(call)) => {
                self.answered(call, Outcome::Lost(reason), effects);
                self.withdraw_request(end, number);
            }
            (_, None) => {}
        }
    }

    fn take_request(
        &mut self,
        (callee, end): (PluginId, EndId),
        number: u32,
        caller: Caller,
        bytes: Vec<u8>,
        effects: &mut Effects,
    ) {
        let asker = Asker::Stream(end, number);
        let shares = self.leaves_a_share(callee, end);
        match shares.and_then(|()| self.queue_call(asker, callee, caller, bytes, effects)) {
            Ok(call) => {
                if let Some(stream) = self.streams.get_mut(&end) {
                    stream.numbers.insert(number, call);
                }
            }
            Err(reason) => self.send_outcome(end, number, Outcome::Refused(reason)),
        }
    }
}
