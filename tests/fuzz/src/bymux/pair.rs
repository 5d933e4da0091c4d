//! Two ends that speak to each other, whatever their owners say: neither breaks a rule, the bytes
//! of each stream come in order, and both keep the same accounts.

use super::Script;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use trunkline_core::bymux::{Connection, Event, HIGH_WATER, MuxRole, Profile, QUANTUM, StreamId};
use trunkline_core::link::PROFILE;

/// One end, with what it has written, read and opened.
struct Side {
    end: Connection,
    written: BTreeMap<StreamId, u64>,
    read: BTreeMap<StreamId, u64>,
    known: BTreeSet<StreamId>,
    gone: BTreeSet<StreamId>,
    /// Streams that wait for room, as far as their owner knows, with how much is left to write.
    waiting: BTreeMap<StreamId, usize>,
    /// It reads no more of these.
    deaf: BTreeSet<StreamId>,
}

impl Side {
    fn new(role: MuxRole, profile: Profile) -> Side {
        Side {
            end: Connection::new(role, profile, 5),
            written: BTreeMap::new(),
            read: BTreeMap::new(),
            known: profile.control_stream.map(|_| StreamId::CONTROL).into_iter().collect(),
            gone: BTreeSet::new(),
            waiting: BTreeMap::new(),
            deaf: BTreeSet::new(),
        }
    }

    /// Byte `at` of what this side's peer is told on a stream.
    fn byte(&self, role: u8, stream: StreamId, at: u64) -> u8 {
        (stream.0.wrapping_mul(31) ^ at.wrapping_mul(7) ^ at >> 8) as u8 ^ role
    }

    fn write(&mut self, role: u8, stream: StreamId, count: usize) {
        let from = self.written.get(&stream).copied().unwrap_or(0);
        let bytes: Vec<u8> = (0..count as u64).map(|n| self.byte(role, stream, from + n)).collect();
        let writable = self.end.writable(stream);
        let taken = self.end.write(stream, &bytes);
        assert!(taken as u64 <= writable, "{taken} bytes are taken, {writable} may be");
        *self.written.entry(stream).or_default() += taken as u64;
        let within_credit = usize::try_from(writable).map_or(count, |most| most.min(count));
        match within_credit - taken {
            0 => self.waiting.remove(&stream),
            cut_by_room => self.waiting.insert(stream, cut_by_room),
        };
    }

    /// Streams whose turn it is go on; without data in the outbox, that is each of them.
    fn turns(&mut self, role: u8) {
        let mut named = BTreeSet::new();
        while let Some((stream, _)) = self.end.next_ready() {
            assert!(named.insert(stream), "{stream} has its turn twice");
            let Some(left) = self.waiting.remove(&stream) else { continue };
            self.write(role, stream, left);
        }
    }

    fn check_outbox(&self) {
        let outbox = self.end.outbox();
        let data = outbox.len() - outbox.control_len();
        // Headers of packets, and the Close of each stream.
        let most = HIGH_WATER + QUANTUM + 64 * 1024;
        assert!(data <= most, "{data} bytes of data wait");
    }

    fn event(&mut self, role: u8, event: &Event<'_>) {
        match event {
            Event::Opened { stream } => {
                assert!(self.known.insert(*stream), "{stream} is opened twice");
            }
            Event::Write { stream, bytes, .. } => {
                assert!(!self.deaf.contains(stream), "{stream} is not read any more");
                let from = self.read.get(stream).copied().unwrap_or(0);
                for (at, byte) in (from..).zip(bytes.iter()) {
                    assert_eq!(*byte, self.byte(role ^ 1, *stream, at), "byte {at} of {stream}");
                }
                self.read.insert(*stream, from + bytes.len() as u64);
            }
            Event::Gone { stream, .. } => {
                assert!(self.known.contains(stream) && self.gone.insert(*stream));
                self.waiting.remove(stream);
            }
            _ => {}
        }
    }
}

/// The two ends.
struct Pair {
    sides: [Side; 2],
}

pub(super) fn talk(script: &mut Script<'_>) {
    let profile = script.pick(&[PROFILE, Profile::VANILLA]);
    let [a, b] = [MuxRole::Dialler, MuxRole::Acceptor].map(|role| Side::new(role, profile));
    let mut pair = Pair { sides: [a, b] };
    for _ in 0..256 {
        if script.is_over() {
            break;
        }
        pair.step(script);
        pair.sides.iter().for_each(Side::check_outbox);
        pair.check_accounts();
    }
    pair.finish();
}

impl Pair {
    fn step(&mut self, script: &mut Script<'_>) {
        let (what, role) = (script.byte(), script.below(2));
        let known: Vec<StreamId> = self.sides[role].known.iter().copied().collect();
        let stream = if known.is_empty() { StreamId(9) } else { script.pick(&known) };
        let side = &mut self.sides[role];
        match what % 16 {
            0 | 1 => {
                if let Some(stream) = side.end.create() {
                    assert!(side.known.insert(stream), "{stream} is used again");
                }
            }
            2 | 3 => side.write(role as u8, stream, script.below(2000)),
            4 => side.write(role as u8, stream, script.below(300) * 1000),
            5 | 6 => {
                let amount = NonZeroU64::new(script.number()).unwrap_or(NonZeroU64::MIN);
                side.end.credit(stream, amount);
            }
            7 if script.below(32) == 0 => side.end.credit_infinite(stream),
            8 => side.end.close(stream),
            9 => {
                side.end.stop_read(stream);
                if side.known.contains(&stream) {
                    side.deaf.insert(stream);
                }
            }
            10 => side.end.ping(stream),
            11 => {
                let streams = NonZeroU64::new(script.number()).unwrap_or(NonZeroU64::MIN);
                side.end.global_credit(streams);
            }
            12 => match script.below(8) {
                0 => side.end.global_close(),
                1 => side.end.global_stop_read(),
                _ => side.end.global_ping(),
            },
            _ => {
                let most = script.below(70_000);
                self.transfer(role, most, script);
            }
        }
    }

    /// Some of what one end has said reaches the other, in pieces.
    fn transfer(&mut self, role: usize, most: usize, script: &mut Script<'_>) {
        let mut bytes = self.sides[role].end.outbox().slices().concat();
        bytes.truncate(most);
        self.sides[role].end.outbox_mut().advance(bytes.len());
        self.sides[role].turns(role as u8);
        let mut cuts = script.cuts();
        cuts.pieces(&bytes, |piece| {
            self.read(1 - role, piece);
            true
        });
    }

    fn read(&mut self, role: usize, piece: &[u8]) {
        let side = &mut self.sides[role];
        let mut input = piece;
        loop {
            match side.end.receive(&mut input) {
                // A borrow of the input, not of the end.
                Ok(Some(event)) => side.event(role as u8, &event),
                Ok(None) => break,
                Err(violation) => panic!("our own bytes break a rule: {violation}"),
            }
        }
    }

    /// What one end may write is granted by the other.
    fn check_accounts(&self) {
        for (ours, theirs) in [(0, 1), (1, 0)] {
            let (ours, theirs) = (&self.sides[ours], &self.sides[theirs]);
            for stream in &ours.known {
                if theirs.end.tag(*stream).is_none() || ours.end.tag(*stream).is_none() {
                    continue;
                }
                let (writable, granted) = (ours.end.writable(*stream), theirs.end.granted(*stream));
                assert!(writable <= granted, "{stream}: {writable} writable, {granted} granted");
            }
        }
    }

    /// All that was said arrives: both ends know the same streams, with the same accounts.
    fn finish(&mut self) {
        while self.sides.iter().any(|side| !side.end.outbox().is_empty()) {
            for role in 0..2 {
                self.transfer(role, usize::MAX, &mut Script::new(&[]));
            }
        }
        for side in &mut self.sides {
            while let Some((stream, _)) = side.end.next_gone() {
                assert!(side.gone.insert(stream), "{stream} is gone twice");
            }
            assert!(side.waiting.keys().all(|stream| side.end.writable(*stream) == 0));
        }
        let [a, b] = &self.sides;
        assert!(a.end.open().map(|(id, _)| id).eq(b.end.open().map(|(id, _)| id)), "streams");
        assert_eq!(a.gone, b.gone, "streams that are gone");
        for (ours, theirs) in [(a, b), (b, a)] {
            for (stream, _) in ours.end.open() {
                assert_eq!(ours.end.writable(stream), theirs.end.granted(stream), "{stream}");
            }
            for (stream, written) in &ours.written {
                let read = theirs.read.get(stream).copied().unwrap_or(0);
                let all = read == *written || theirs.deaf.contains(stream);
                assert!(all && read <= *written, "{stream}: {read} of {written} bytes are read");
            }
        }
    }
}
