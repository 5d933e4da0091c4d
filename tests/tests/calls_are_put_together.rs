//! The bytes of a stream of calls: whatever the cuts, messages are reassembled or a violation is
//! named, and nothing is kept beyond the limits.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use std::collections::BTreeSet;
use trunkline_core::calls::{
    CallMessage, CallReader, CallSender, CallSide, CallViolation, Kind, MESSAGE_COST, PIECE_MAX,
};
use trunkline_tests::sim::random::Random;

const SEEDS: u64 = 400;

/// Longer messages exceed the limit.
const LONGEST: usize = 40_000;

/// Room for everything that these tests send.
const ROOM: u64 = 1 << 30;

/// The messages that a reader finds in bytes that arrive in chunks.
fn read<'a>(
    side: CallSide,
    room: u64,
    chunks: impl Iterator<Item = &'a [u8]>,
) -> (Vec<CallMessage>, Option<CallViolation>, CallReader) {
    let (mut reader, mut messages) = (CallReader::new(side), Vec::new());
    for mut chunk in chunks {
        loop {
            match reader.read(&mut chunk, LONGEST, room, |call| call == 2) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(violation) => return (messages, Some(violation), reader),
            }
            assert!(reader.held() <= room, "{} bytes are held", reader.held());
        }
        assert!(chunk.is_empty(), "what is not read is lost");
        assert!(reader.held() <= room + MESSAGE_COST, "{} bytes are held", reader.held());
    }
    (messages, None, reader)
}

/// Valid pieces, invalid pieces, and noise.
fn pieces(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..random.size(1, 12) {
        let kind = match random.below(12) {
            0 => random.below(64) as u8,
            1..4 => 2,
            _ => 1 + 2 * random.below(2) as u8,
        };
        let flags = random.pick(&[0, 0, 0x40, 0x80, 0x80, 0xc0]);
        let length = match (kind, random.below(30)) {
            (2, 1..) => 0,
            (_, 0) => PIECE_MAX + random.below(2) as usize,
            _ => random.size(0, 30) as usize,
        };
        bytes.push(kind | flags);
        bytes.extend((random.below(3) as u32).to_be_bytes());
        bytes.extend((length as u16).to_be_bytes());
        bytes.extend((0..length).map(|_| random.bits() as u8));
    }
    bytes
}

#[test]
fn reassembly_does_not_depend_on_the_cuts() {
    for seed in 0..SEEDS {
        let bytes = pieces(&mut Random::new(seed));
        for side in [CallSide::Caller, CallSide::Callee] {
            let (messages, violation, reader) = read(side, ROOM, std::iter::once(&bytes[..]));
            let same = |what: String, chunks: &mut dyn Iterator<Item = &[u8]>| {
                let (again, broken, other) = read(side, ROOM, chunks);
                assert_eq!((&again, broken), (&messages, violation), "seed {seed}, {what}");
                if broken.is_none() {
                    assert_eq!(other.held(), reader.held(), "seed {seed}, {what}");
                }
            };
            // Every cut of short messages; of long ones, the cuts near the headers.
            for at in (0..=bytes.len()).filter(|at| bytes.len() < 1000 || at % 97 == 0) {
                let (before, after) = bytes.split_at(at);
                same(format!("cut at {at}"), &mut [before, after].into_iter());
            }
            for step in [1, 2, 3, 7, 8] {
                same(format!("in steps of {step}"), &mut bytes.chunks(step));
            }
        }
    }
}

#[test]
fn incomplete_messages_never_exceed_their_room() {
    for seed in 0..SEEDS {
        let mut random = Random::new(seed);
        let mut bytes = Vec::new();
        // Messages that begin and never end.
        for call in (10..).take(2000) {
            let length = random.size(0, 100) as u16;
            bytes.push(0x81);
            bytes.extend(u32::to_be_bytes(call));
            bytes.extend(length.to_be_bytes());
            bytes.resize(bytes.len() + usize::from(length), 7);
        }
        let room = random.size(100, 50_000);
        let step = random.size(1, 10_000) as usize;
        let (messages, violation, reader) = read(CallSide::Callee, room, bytes.chunks(step));
        assert_eq!(violation, None, "seed {seed}");
        let too_much = messages.iter().filter(|m| matches!(m, CallMessage::TooMuch(..))).count();
        let most = (room / MESSAGE_COST) as usize;
        assert!(too_much >= 2000 - most, "seed {seed}: {too_much} were too much");
        let kept = 2000 - too_much;
        assert!(reader.held() >= kept as u64 * MESSAGE_COST, "seed {seed}: each one has its cost");
        let mut reader = reader;
        (10..2010).for_each(|call| reader.forget(call));
        assert_eq!(reader.held(), 0, "seed {seed}: nothing is left of what was forgotten");
    }
}

/// What is sent of a message, and for which call.
fn of_call(call: u32, length: usize) -> Vec<u8> {
    (0..length).map(|at| (at as u32).wrapping_mul(31).wrapping_add(call) as u8).collect()
}

/// Requests on their way from a sender to a reader.
struct Transfer {
    sender: CallSender,
    reader: CallReader,
    waiting: BTreeSet<u32>,
    /// Those whose last piece may be on its way.
    withdrawn: BTreeSet<u32>,
    next: u32,
}

impl Transfer {
    fn new() -> Transfer {
        let (sender, reader) = (CallSender::default(), CallReader::new(CallSide::Callee));
        let (waiting, withdrawn) = Default::default();
        Transfer { sender, reader, waiting, withdrawn, next: 0 }
    }

    fn push(&mut self, length: usize) {
        self.sender.push(Kind::Request, self.next, of_call(self.next, length));
        self.waiting.insert(self.next);
        self.next += 1;
    }

    fn withdraw(&mut self, call: u32) {
        if self.sender.withdraw(call) {
            self.sender.push(Kind::Cancel, call, Vec::new());
        }
        self.waiting.remove(&call);
        self.withdrawn.insert(call);
    }

    /// The other side takes up to that many bytes.
    fn take(&mut self, mut budget: usize) {
        while budget > 0 && !self.sender.bytes().is_empty() {
            let bytes = self.sender.bytes();
            let bytes = bytes[..budget.min(bytes.len())].to_vec();
            let mut input = &bytes[..];
            let next = |reader: &mut CallReader, input: &mut &[u8]| {
                reader.read(input, LONGEST, ROOM, |_| false).expect("our own bytes")
            };
            while let Some(message) = next(&mut self.reader, &mut input) {
                self.comes(message);
            }
            self.sender.advance(bytes.len());
            budget -= bytes.len();
        }
    }

    fn comes(&mut self, message: CallMessage) {
        match message {
            CallMessage::Whole(Kind::Request, call, bytes) => {
                let known = self.waiting.remove(&call) || self.withdrawn.remove(&call);
                assert!(known, "call {call} came again");
                assert!(bytes == of_call(call, bytes.len()), "call {call} has other bytes");
            }
            CallMessage::Whole(Kind::Cancel, call, _) => {
                self.withdrawn.remove(&call);
                self.reader.forget(call);
            }
            other => panic!("{other:?} was not sent"),
        }
    }
}

#[test]
fn sent_messages_arrive_once_and_withdrawn_ones_end() {
    for seed in 0..SEEDS {
        println!("seed {seed}");
        let (mut random, mut transfer) = (Random::new(seed), Transfer::new());
        for _ in 0..300 {
            let calls: Vec<u32> = transfer.waiting.iter().copied().collect();
            match random.below(4) {
                0 => transfer.push(random.size(0, LONGEST as u64) as usize),
                1 if !calls.is_empty() => transfer.withdraw(random.pick(&calls)),
                _ => {}
            }
            transfer.take(random.size(0, 60_000) as usize);
        }
        transfer.take(usize::MAX);
        let Transfer { sender, reader, waiting, .. } = transfer;
        assert!(waiting.is_empty(), "{waiting:?} never came");
        assert!(sender.is_empty() && sender.held() == 0, "{sender:?}");
        assert_eq!(reader.held(), 0, "nothing is left");
    }
}
