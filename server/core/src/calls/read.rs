//! Reassembles messages from the pieces that arrive.

use super::MESSAGE_COST;
use super::frame::{HEADER, Kind, PieceHeader};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

/// Which end of a stream of calls reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallSide {
    /// Requests go out, and outcomes come.
    Caller,
    /// Requests come, and outcomes go out.
    Callee,
}

/// A received message.
#[derive(Debug, PartialEq, Eq)]
pub enum CallMessage {
    /// A complete message.
    Whole(Kind, u32, Vec<u8>),
    /// A message exceeds its limit, or there is no room for it. Its remaining pieces are dropped.
    TooMuch(Kind, u32),
}

/// How the other side broke the rules of a stream of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallViolation {
    /// An undefined header, or one that only the other side may send.
    BadHeader,
    /// A message begins before the last one of the same call is over.
    BeginsTwice(u32),
}

impl fmt::Display for CallViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallViolation::BadHeader => f.write_str("a stream of calls has an undefined header"),
            CallViolation::BeginsTwice(call) => write!(f, "call {call} begins twice"),
        }
    }
}

/// Reassembles messages.
#[derive(Debug)]
pub struct CallReader {
    side: CallSide,
    header: [u8; HEADER],
    /// Bytes of an incomplete header.
    known: usize,
    /// The current piece, and how much of it is missing.
    piece: Option<(PieceHeader, usize)>,
    /// Incomplete messages.
    parts: BTreeMap<u32, Vec<u8>>,
    held: u64,
}

impl CallReader {
    /// Reads what the other side writes; `side` is ours.
    pub fn new(side: CallSide) -> CallReader {
        let (header, parts) = ([0; HEADER], BTreeMap::new());
        CallReader { side, header, known: 0, piece: None, parts, held: 0 }
    }

    /// The cost of incomplete messages, in bytes.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// The calls with incomplete messages.
    pub fn begun(&self) -> impl Iterator<Item = u32> {
        self.parts.keys().copied()
    }

    /// Drops the received part of a message.
    pub fn forget(&mut self, call: u32) {
        if let Some(part) = self.parts.remove(&call) {
            self.held -= part.len() as u64 + MESSAGE_COST;
        }
    }

    /// The next message out of `input`, which is advanced; `None` when it is used up. A message may
    /// have at most `longest` bytes, and everything that are not whole may cost `room` together.
    /// `is_open` says of a call whether it is on its way: an answer to another one is dropped, and
    /// a request must not be of such a one.
    ///
    /// # Errors
    /// The other side broke a rule: reading has to end.
    pub fn read(
        &mut self,
        input: &mut &[u8],
        longest: usize,
        room: u64,
        is_open: impl Fn(u32) -> bool,
    ) -> Result<Option<CallMessage>, CallViolation> {
        loop {
            let (header, left, fresh) = match self.piece {
                Some((header, left)) => (header, left, false),
                None if input.is_empty() => return Ok(None),
                None => match self.next_header(input, &is_open)? {
                    Some(header) => (header, header.length, true),
                    None => return Ok(None),
                },
            };
            let (bytes, rest) = input.split_at(left.min(input.len()));
            *input = rest;
            let left = left - bytes.len();
            self.piece = (left > 0).then_some((header, left));
            let whole = left == 0 && header.last;
            let heard = self.side == CallSide::Callee || is_open(header.call);
            if whole && fresh && header.first && heard {
                // It came in one piece, as most messages do, so no part was begun for it.
                return Ok(Some(CallMessage::Whole(header.kind, header.call, bytes.to_vec())));
            }
            let Some(part) = self.parts.get_mut(&header.call) else {
                // The call is over, or the message exceeded a limit.
                if left > 0 && bytes.is_empty() {
                    return Ok(None);
                }
                continue;
            };
            if part.len() + bytes.len() > longest || self.held + bytes.len() as u64 > room {
                self.forget(header.call);
                return Ok(Some(CallMessage::TooMuch(header.kind, header.call)));
            }
            part.extend_from_slice(bytes);
            self.held += bytes.len() as u64;
            if whole && let Some(bytes) = self.parts.remove(&header.call) {
                self.held -= bytes.len() as u64 + MESSAGE_COST;
                return Ok(Some(CallMessage::Whole(header.kind, header.call, bytes)));
            }
            if left > 0 {
                return Ok(None);
            }
        }
    }

    /// Reads a header, and makes room for a message that begins with it and spans several pieces.
    fn next_header(
        &mut self,
        input: &mut &[u8],
        is_open: impl Fn(u32) -> bool,
    ) -> Result<Option<PieceHeader>, CallViolation> {
        let (bytes, rest) = input.split_at((HEADER - self.known).min(input.len()));
        self.header[self.known..self.known + bytes.len()].copy_from_slice(bytes);
        *input = rest;
        self.known += bytes.len();
        if self.known < HEADER {
            return Ok(None);
        }
        self.known = 0;
        let header = PieceHeader::decode(self.header).ok_or(CallViolation::BadHeader)?;
        let by_caller = matches!(header.kind, Kind::Request | Kind::Cancel);
        let cancel = PieceHeader { first: true, last: true, length: 0, ..header };
        if by_caller != (self.side == CallSide::Callee)
            || (header.kind == Kind::Cancel && header != cancel)
        {
            return Err(CallViolation::BadHeader);
        }
        if header.first && header.kind != Kind::Cancel {
            self.begin(header, header.last && input.len() >= header.length, is_open)?;
        }
        Ok(Some(header))
    }

    /// A message begins, and may be complete in one piece.
    fn begin(
        &mut self,
        header: PieceHeader,
        in_one: bool,
        is_open: impl Fn(u32) -> bool,
    ) -> Result<(), CallViolation> {
        let (by_caller, call) = (header.kind == Kind::Request, header.call);
        if self.parts.contains_key(&call) || (by_caller && is_open(call)) {
            return Err(CallViolation::BeginsTwice(call));
        }
        if !in_one && (by_caller || is_open(call)) {
            self.parts.insert(call, Vec::new());
            self.held += MESSAGE_COST;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CallSender, PIECE_MAX};
    use super::*;

    fn messages(reader: &mut CallReader, bytes: &[u8], step: usize) -> Vec<CallMessage> {
        let mut found = Vec::new();
        let waits = reader.side == CallSide::Caller;
        let is_open = |_| waits;
        for mut input in bytes.chunks(step) {
            while let Some(message) =
                reader.read(&mut input, 100_000, 200_000, is_open).expect("our own bytes")
            {
                found.push(message);
            }
            assert!(input.is_empty(), "all is read");
        }
        found
    }

    fn bytes_of(sender: &mut CallSender) -> Vec<u8> {
        let mut all = Vec::new();
        while !sender.is_empty() {
            let piece = sender.bytes().to_vec();
            sender.advance(piece.len());
            all.extend(piece);
        }
        all
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes when interpreted")]
    fn messages_are_reassembled_whatever_the_cuts() {
        let mut sender = CallSender::default();
        let long: Vec<u8> = (0..50_000_u32).map(|n| n as u8).collect();
        sender.push(Kind::Answer, 1, long.clone());
        sender.push(Kind::Answer, 2, Vec::new());
        sender.push(Kind::Refused, 3, b"no".to_vec());
        let bytes = bytes_of(&mut sender);
        for step in [1, 2, 6, 7, 8, PIECE_MAX, 1 << 20] {
            let mut reader = CallReader::new(CallSide::Caller);
            let expected = [
                CallMessage::Whole(Kind::Answer, 2, Vec::new()),
                CallMessage::Whole(Kind::Refused, 3, b"no".to_vec()),
                CallMessage::Whole(Kind::Answer, 1, long.clone()),
            ];
            assert_eq!(messages(&mut reader, &bytes, step), expected, "in steps of {step}");
            assert_eq!(reader.held(), 0, "nothing is left");
        }
    }

    #[test]
    fn a_cut_between_a_header_and_its_bytes_leaves_nothing_behind() {
        let mut sender = CallSender::default();
        sender.push(Kind::Answer, 1, b"yes".to_vec());
        let bytes = bytes_of(&mut sender);
        let (header, rest) = bytes.split_at(HEADER);
        let mut reader = CallReader::new(CallSide::Caller);
        assert_eq!(messages(&mut reader, header, HEADER), []);
        let expected = [CallMessage::Whole(Kind::Answer, 1, b"yes".to_vec())];
        assert_eq!(messages(&mut reader, rest, rest.len()), expected);
        assert_eq!((reader.held(), reader.begun().count()), (0, 0));
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes when interpreted")]
    fn a_message_over_the_limit_is_dropped_and_later_ones_are_read() {
        let mut sender = CallSender::default();
        sender.push(Kind::Request, 1, alloc::vec![1; 150_000]);
        sender.push(Kind::Request, 2, alloc::vec![2; 3]);
        let bytes = bytes_of(&mut sender);
        for step in [5, 4096, 1 << 20] {
            let mut reader = CallReader::new(CallSide::Callee);
            let expected = [
                CallMessage::Whole(Kind::Request, 2, alloc::vec![2; 3]),
                CallMessage::TooMuch(Kind::Request, 1),
            ];
            assert_eq!(messages(&mut reader, &bytes, step), expected, "in steps of {step}");
            assert_eq!(reader.held(), 0, "nothing is left");
        }
    }

    #[test]
    fn an_answer_to_a_finished_call_is_not_kept() {
        let mut reader = CallReader::new(CallSide::Caller);
        let mut input = &[0x83, 0, 0, 0, 1, 0, 1, 7, 0x43, 0, 0, 0, 1, 0, 1, 7][..];
        assert_eq!(reader.read(&mut input, 100, 1000, |_| false), Ok(None));
        assert_eq!(reader.held(), 0);
    }

    #[test]
    fn violations_name_the_broken_rule() {
        let read = |bytes: &[u8]| {
            let mut reader = CallReader::new(CallSide::Callee);
            let mut input = bytes;
            while reader.read(&mut input, 100, 1000, |call| call == 7)?.is_some() {}
            Ok(())
        };
        assert_eq!(read(&[9, 0, 0, 0, 1, 0, 0]), Err(CallViolation::BadHeader));
        assert_eq!(read(&[3, 0, 0, 0, 1, 0, 0]), Err(CallViolation::BadHeader));
        let begun = [0x81, 0, 0, 0, 1, 0, 1, 7, 0x81, 0, 0, 0, 1, 0, 1, 7];
        assert_eq!(read(&begun), Err(CallViolation::BeginsTwice(1)));
        assert_eq!(read(&[1, 0, 0, 0, 7, 0, 0]), Err(CallViolation::BeginsTwice(7)));
        let orphan = [0x41, 0, 0, 0, 1, 0, 1, 7];
        assert_eq!(read(&orphan), Ok(()));
    }
}
