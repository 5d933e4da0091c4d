//! Outgoing messages, sent piece by piece, in turns.

use super::MESSAGE_COST;
use super::frame::{HEADER, Kind, PIECE_MAX, PieceHeader};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

/// A message of which at least the last piece has not been made.
#[derive(Debug)]
struct Waiting {
    kind: Kind,
    bytes: Vec<u8>,
    /// Bytes for which pieces have been made.
    sent: usize,
}

impl Waiting {
    fn cost(&self) -> u64 {
        self.bytes.len() as u64 + MESSAGE_COST
    }
}

/// Messages that wait to be written.
#[derive(Debug, Default)]
pub struct CallSender {
    /// By call; each call has one message at a time.
    waiting: BTreeMap<u32, Waiting>,
    /// The calls in the order of their turns. Some may no longer be waiting.
    turns: VecDeque<u32>,
    /// The piece that is being written.
    piece: Vec<u8>,
    /// Bytes of it that are written.
    written: usize,
    held: u64,
}

impl CallSender {
    /// Queues a message. It is written after one piece of each message that waits already.
    pub fn push(&mut self, kind: Kind, call: u32, bytes: Vec<u8>) {
        let waiting = Waiting { kind, bytes, sent: 0 };
        self.held += waiting.cost();
        if let Some(old) = self.waiting.insert(call, waiting) {
            self.held -= old.cost();
        }
        if self.turns.len() > 2 * self.waiting.len() {
            self.turns.retain(|call| self.waiting.contains_key(call));
        }
        self.turns.push_back(call);
    }

    /// Whether a message of a call waits.
    pub fn waits(&self, call: u32) -> bool {
        self.waiting.contains_key(&call)
    }

    /// Drops the unwritten part of a message. Returns whether some of it was written, so that the
    /// other side has to be notified.
    pub fn withdraw(&mut self, call: u32) -> bool {
        match self.waiting.remove(&call) {
            Some(waiting) => {
                self.held -= waiting.cost();
                waiting.sent > 0
            }
            None => true,
        }
    }

    /// The bytes to write next; empty if nothing waits.
    pub fn bytes(&mut self) -> &[u8] {
        if self.written == self.piece.len() {
            self.next_piece();
        }
        &self.piece[self.written..]
    }

    /// So many of [`bytes`](Self::bytes) were written.
    pub fn advance(&mut self, count: usize) {
        self.written = (self.written + count).min(self.piece.len());
    }

    /// The cost of waiting messages, in bytes.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// Whether everything is written.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.written == self.piece.len()
    }

    fn next_piece(&mut self) {
        self.piece.clear();
        self.written = 0;
        let (call, waiting) = loop {
            let Some(call) = self.turns.pop_front() else { return };
            if let Some(waiting) = self.waiting.get_mut(&call) {
                break (call, waiting);
            }
        };
        let left = waiting.bytes.len() - waiting.sent;
        let length = left.min(PIECE_MAX);
        let (first, last) = (waiting.sent == 0, length == left);
        let header = PieceHeader { kind: waiting.kind, first, last, call, length };
        self.piece.reserve(HEADER + length);
        self.piece.extend_from_slice(&header.encode());
        self.piece.extend_from_slice(&waiting.bytes[waiting.sent..waiting.sent + length]);
        waiting.sent += length;
        if last {
            self.held -= waiting.cost();
            self.waiting.remove(&call);
        } else {
            self.turns.push_back(call);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(sender: &mut CallSender) -> Vec<u8> {
        let bytes = sender.bytes().to_vec();
        sender.advance(bytes.len());
        bytes
    }

    #[test]
    fn a_short_message_waits_for_one_piece_of_a_long_one() {
        let mut sender = CallSender::default();
        sender.push(Kind::Request, 1, alloc::vec![7; 3 * PIECE_MAX]);
        assert_eq!(written(&mut sender)[..5], [0x81, 0, 0, 0, 1]);
        sender.push(Kind::Request, 2, b"ab".to_vec());
        assert_eq!(written(&mut sender)[..5], [0xc1, 0, 0, 0, 1]);
        assert_eq!(written(&mut sender), [1, 0, 0, 0, 2, 0, 2, b'a', b'b']);
        assert_eq!(written(&mut sender)[..5], [0x41, 0, 0, 0, 1]);
        assert!(sender.bytes().is_empty() && sender.is_empty());
        assert_eq!(sender.held(), 0);
    }

    #[test]
    fn an_unsent_request_is_dropped_silently() {
        let mut sender = CallSender::default();
        sender.push(Kind::Request, 1, alloc::vec![7; PIECE_MAX + 1]);
        sender.push(Kind::Request, 2, Vec::new());
        assert!(!sender.withdraw(2));
        written(&mut sender);
        assert!(sender.withdraw(1));
        assert!(sender.withdraw(9));
        assert!(sender.is_empty());
        assert_eq!(sender.held(), 0);
    }

    #[test]
    fn a_message_that_takes_the_place_of_another_one_costs_what_it_has() {
        let mut sender = CallSender::default();
        sender.push(Kind::Answer, 1, alloc::vec![7; 1000]);
        sender.push(Kind::Answer, 1, alloc::vec![7; 10]);
        assert_eq!(sender.held(), 10 + MESSAGE_COST);
        assert_eq!(written(&mut sender).len(), HEADER + 10);
        assert!(sender.bytes().is_empty() && !sender.waits(1));
        assert_eq!(sender.held(), 0);
    }
}
