//! bymux under load: the order of streams, packets that are never split, and two ends that lose
//! nothing.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use trunkline_core::bymux::{
    Connection, Event, HIGH_WATER, LOW_WATER, MuxRole, PAYLOAD_MAX, Packet, Profile, QUANTUM,
    StreamId, Violation,
};

/// Enough credit that only room limits a write.
const AMPLE: u64 = 1 << 40;

const PROFILE: Profile =
    Profile { control_stream: Some(AMPLE), global_credit: 1 << 20, creator_credit: AMPLE };

/// An end with this many streams of its own, whose creation is already sent.
fn with_streams(count: usize) -> (Connection, Vec<StreamId>) {
    let mut connection = Connection::new(MuxRole::Dialler, PROFILE, 0);
    let ids = (0..count).map(|_| connection.create().unwrap()).collect();
    drain(&mut connection, usize::MAX);
    (connection, ids)
}

/// Takes at most that many bytes from the outbox, as a socket would.
fn drain(connection: &mut Connection, most: usize) -> Vec<u8> {
    let mut bytes = connection.outbox().slices().concat();
    assert_eq!(bytes.len(), connection.outbox().len());
    bytes.truncate(most);
    connection.outbox_mut().advance(bytes.len());
    bytes
}

/// The packets in bytes that hold whole packets only.
fn packets(mut bytes: &[u8]) -> Vec<Packet> {
    let mut packets = Vec::new();
    while !bytes.is_empty() {
        let (packet, header) = Packet::decode(bytes).unwrap().expect("half a header");
        let payload = match packet {
            Packet::Write { length, .. } => length as usize,
            _ => 0,
        };
        assert!(payload <= PAYLOAD_MAX, "a packet of {payload} bytes blocks the others");
        bytes = bytes.get(header + payload..).expect("half a payload");
        packets.push(packet);
    }
    packets
}

/// The payload bytes of each stream.
fn payloads(packets: &[Packet]) -> BTreeMap<StreamId, usize> {
    let mut sums = BTreeMap::new();
    for packet in packets {
        if let Packet::Write { stream, length } = packet {
            *sums.entry(*stream).or_default() += *length as usize;
        }
    }
    sums
}

#[test]
fn a_stream_gets_one_quantum_in_a_round() {
    let (mut connection, ids) = with_streams(1);
    let bulk = vec![7; 10 * QUANTUM];
    for round in 0..5 {
        assert_eq!(connection.write(ids[0], &bulk), QUANTUM, "round {round}");
        assert_eq!(connection.write(ids[0], &bulk), 0, "it waits for its turn");
        assert_eq!(connection.next_ready(), None, "nothing has been sent yet");
        drain(&mut connection, usize::MAX);
        assert_eq!(connection.write(ids[0], &bulk), 0, "its turn is not yet called");
        assert_eq!(connection.next_ready(), Some((ids[0], 0)));
        assert_eq!(connection.next_ready(), None, "each is named once");
    }
}

#[test]
fn many_small_writes_get_no_more_than_a_quantum_in_a_round() {
    let (mut connection, ids) = with_streams(1);
    let taken: usize = (0..100).map(|_| connection.write(ids[0], &[7; 1_000])).sum();
    assert_eq!(taken, QUANTUM);
    drain(&mut connection, 1);
    assert_eq!(connection.next_ready(), None, "at the low water still");
}

#[test]
fn a_flush_that_sends_nothing_begins_no_round() {
    let (mut connection, ids) = with_streams(1);
    assert_eq!(connection.write(ids[0], &[7; QUANTUM - 10]), QUANTUM - 10);
    connection.outbox_mut().advance(0);
    assert_eq!(connection.write(ids[0], &[7; QUANTUM]), 10);
}

#[test]
fn a_small_write_is_accepted_while_a_bulk_stream_waits() {
    let (mut connection, ids) = with_streams(2);
    connection.write(ids[0], &vec![7; 10 * QUANTUM]);
    assert_eq!(connection.write(ids[1], b"small"), 5);
    let sent = packets(&drain(&mut connection, usize::MAX));
    assert_eq!(sent.last(), Some(&Packet::Write { stream: ids[1], length: 5 }));
}

#[test]
fn many_small_writes_get_a_quantum_after_each_flush() {
    let (mut connection, ids) = with_streams(1);
    for _ in 0..100 {
        let half = vec![7; QUANTUM / 2 + 1];
        assert_eq!(connection.write(ids[0], &half), half.len());
        drain(&mut connection, usize::MAX);
    }
}

#[test]
fn bulk_streams_take_turns_and_get_equal_shares() {
    let (mut connection, ids) = with_streams(10);
    let bulk = vec![7; 10 * QUANTUM];
    for (tag, &id) in ids.iter().enumerate() {
        connection.set_tag(id, tag as u32);
        connection.write(id, &bulk);
        assert!(connection.outbox().len() < HIGH_WATER + QUANTUM + 64, "the outbox has a bound");
    }
    let (mut sent, mut turns) = (Vec::new(), Vec::new());
    while turns.len() < 200 {
        sent.extend(drain(&mut connection, 100_000));
        while let Some((id, tag)) = connection.next_ready() {
            assert_eq!(ids[tag as usize], id);
            turns.push(id);
            connection.write(id, &bulk);
        }
    }
    sent.extend(drain(&mut connection, usize::MAX));
    for window in turns.windows(10) {
        let distinct: BTreeSet<_> = window.iter().collect();
        assert_eq!(distinct.len(), 10, "a stream had two turns before another had one");
    }
    let shares = payloads(&packets(&sent));
    let (least, most) = (shares.values().min().unwrap(), shares.values().max().unwrap());
    assert_eq!(shares.len(), 10);
    assert!(most - least <= 2 * QUANTUM, "shares from {least} to {most} bytes");
}

#[test]
fn the_next_round_begins_before_the_outbox_is_empty() {
    let (mut connection, ids) = with_streams(4);
    for &id in &ids {
        connection.write(id, &vec![7; 10 * QUANTUM]);
    }
    let waiting = connection.outbox().len();
    drain(&mut connection, waiting - LOW_WATER);
    assert_eq!(connection.next_ready(), None, "at the low water");
    drain(&mut connection, 1);
    assert_eq!(connection.next_ready(), Some((ids[0], 0)), "below the low water");
}

#[test]
fn a_write_limited_by_credit_does_not_wait_for_room() {
    let profile = Profile { creator_credit: 3, ..PROFILE };
    let mut connection = Connection::new(MuxRole::Dialler, profile, 0);
    let id = connection.create().unwrap();
    assert_eq!(connection.write(id, b"four"), 3);
    drain(&mut connection, usize::MAX);
    assert_eq!((connection.next_ready(), connection.writable(id)), (None, 0));
}

#[test]
fn a_stream_that_ends_while_it_waits_is_not_named() {
    let (mut connection, ids) = with_streams(2);
    for &id in &ids {
        connection.write(id, &vec![7; 10 * QUANTUM]);
    }
    connection.close(ids[0]);
    drain(&mut connection, usize::MAX);
    assert_eq!(connection.next_ready(), Some((ids[1], 0)));
    assert_eq!(connection.next_ready(), None);
}

#[test]
fn the_control_stream_waits_for_its_own_lane_only() {
    let (mut connection, ids) = with_streams(8);
    for &id in &ids {
        connection.write(id, &vec![7; 10 * QUANTUM]);
    }
    let control = vec![1; 2 * HIGH_WATER];
    assert_eq!(connection.write(StreamId::CONTROL, &control), HIGH_WATER);
    assert_eq!(connection.next_ready(), None);
    let control_len = connection.outbox().control_len();
    drain(&mut connection, control_len - LOW_WATER + 1);
    assert_eq!(connection.next_ready(), Some((StreamId::CONTROL, 0)), "before all data is sent");
    assert_eq!(connection.next_ready(), None, "data has not moved");
}

/// Two packets of 5 and 3 bytes on two streams, and a Close: 8 + 6 + 2 bytes of data.
fn with_queued_data() -> (Connection, Vec<StreamId>) {
    let (mut connection, ids) = with_streams(2);
    connection.write(ids[0], b"first");
    connection.write(ids[1], b"two");
    connection.close(ids[1]);
    (connection, ids)
}

#[test]
fn control_overtakes_queued_data_but_never_splits_a_packet() {
    // The ends of the data packets, as `with_queued_data` makes them.
    let boundaries = [0, 8, 14, 16];
    for cut in 0..=16 {
        let (mut connection, ids) = with_queued_data();
        let mut sent = drain(&mut connection, cut);
        connection.ping(ids[0]);
        connection.write(StreamId::CONTROL, b"hello");
        let place = boundaries.into_iter().find(|&end| end >= cut).unwrap();
        sent.extend(drain(&mut connection, usize::MAX));
        let control = [Packet::Ping(ids[0]), Packet::Write { stream: StreamId(0), length: 5 }];
        let mut expected = vec![
            Packet::Write { stream: ids[0], length: 5 },
            Packet::Write { stream: ids[1], length: 3 },
            Packet::Close(ids[1]),
        ];
        let index = boundaries.iter().position(|&end| end == place).unwrap();
        expected.splice(index..index, control);
        assert_eq!(packets(&sent), expected, "{cut} bytes of data were sent before");
    }
}

#[test]
fn a_partial_flush_continues_where_it_stopped() {
    let whole = drain(&mut with_all_lanes(), usize::MAX);
    for first in 0..=whole.len() {
        for second in 0..=whole.len() - first {
            let mut connection = with_all_lanes();
            let mut sent = drain(&mut connection, first);
            sent.extend(drain(&mut connection, second));
            sent.extend(drain(&mut connection, usize::MAX));
            assert_eq!(sent, whole, "flushed {first}, {second} and the rest");
        }
    }
}

/// Control before, between and behind a data packet whose first two bytes have been sent.
fn with_all_lanes() -> Connection {
    let (mut connection, _) = with_queued_data();
    drain(&mut connection, 2);
    connection.global_ping();
    connection.write(StreamId::CONTROL, b"abc");
    connection
}

#[test]
fn advancing_past_the_end_empties_the_outbox() {
    let (mut connection, _) = with_queued_data();
    connection.outbox_mut().advance(usize::MAX);
    assert!(connection.outbox().is_empty());
    assert_eq!(connection.outbox().slices().concat(), b"");
}

#[test]
fn close_never_overtakes_its_streams_data() {
    let (mut connection, ids) = with_streams(3);
    for &id in &ids {
        connection.write(id, &vec![7; 3 * PAYLOAD_MAX]);
        connection.close(id);
        connection.stop_read(id);
    }
    connection.write(StreamId::CONTROL, b"bye");
    connection.close(StreamId::CONTROL);
    let sent = packets(&drain(&mut connection, usize::MAX));
    for id in ids.into_iter().chain([StreamId::CONTROL]) {
        let close = sent.iter().position(|packet| *packet == Packet::Close(id));
        let is_data = |p: &Packet| matches!(p, Packet::Write { stream, .. } if *stream == id);
        let last = sent.iter().rposition(is_data);
        assert!(last < close, "stream {id}: close at {close:?}, data up to {last:?}");
    }
}

#[test]
fn the_answer_to_stop_read_flushes_queued_data_only() {
    let (mut connection, ids) = with_streams(1);
    connection.write(ids[0], &vec![7; 2 * QUANTUM]);
    let stop_read = Packet::StopRead(ids[0]).encode();
    let told = connection.receive(&mut stop_read.as_bytes());
    assert_eq!(told, Ok(Some(Event::StopRead { stream: ids[0], tag: 0 })));
    assert_eq!(connection.write(ids[0], b"too late"), 0);
    let sent = packets(&drain(&mut connection, usize::MAX));
    assert_eq!(payloads(&sent)[&ids[0]], QUANTUM);
    assert_eq!(sent.last(), Some(&Packet::Close(ids[0])));
    assert_eq!(connection.next_ready(), None);
}

// ---- Two ends piped together ----

/// A small generator (SplitMix64): the same seed gives the same run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        hash(self.0)
    }

    /// Less than `bound`.
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// Mostly small, sometimes as large as `most`.
    fn size(&mut self, most: usize) -> usize {
        let bits = self.below(usize::BITS as usize - most.leading_zeros() as usize + 1);
        self.below(1 << bits).min(most)
    }
}

fn hash(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

/// Byte `at` of what `writer` writes on a stream, so that checking needs no copy.
fn byte(writer: usize, stream: StreamId, at: u64) -> u8 {
    hash(at ^ stream.0 << 40 ^ (writer as u64) << 63) as u8
}

/// What one end itself counts for a stream, to compare with the connection.
#[derive(Default)]
struct Account {
    written: u64,
    read: u64,
    closed: bool,
    stopped: bool,
    gone: bool,
}

struct End {
    connection: Connection,
    /// Bytes on their way to the other end.
    pipe: Vec<u8>,
    accounts: BTreeMap<StreamId, Account>,
}

struct World {
    random: Random,
    ends: [End; 2],
}

impl World {
    fn new(seed: u64) -> World {
        let profile =
            Profile { control_stream: Some(5_000), global_credit: 3, creator_credit: 1_000 };
        let end = |role| {
            let accounts = BTreeMap::from([(StreamId::CONTROL, Account::default())]);
            End { connection: Connection::new(role, profile, 0), pipe: Vec::new(), accounts }
        };
        World { random: Random(seed), ends: [end(MuxRole::Dialler), end(MuxRole::Acceptor)] }
    }

    /// One call, or one movement of bytes, at one of the ends.
    fn step(&mut self) {
        let end = self.random.below(2);
        let ids: Vec<StreamId> = self.ends[end].accounts.keys().copied().collect();
        let id = ids[self.random.below(ids.len())];
        let choice = self.random.below(100);
        let amount = NonZeroU64::MIN.saturating_add(self.random.size(200_000) as u64);
        let End { connection, accounts, .. } = &mut self.ends[end];
        let account = accounts.get_mut(&id).unwrap();
        match choice {
            0..3 => {
                if let Some(created) = connection.create() {
                    assert!(accounts.insert(created, Account::default()).is_none());
                }
            }
            3..35 => self.write(end, id),
            35..50 => drop(connection.credit(id, amount)),
            50 => {
                connection.close(id);
                account.closed = true;
            }
            51 => {
                connection.stop_read(id);
                account.stopped = true;
            }
            52..54 => connection.ping(id),
            54 => connection.global_ping(),
            55..57 => drop(connection.global_credit(NonZeroU64::MIN)),
            57..80 => self.flush(end),
            _ => self.deliver(end),
        }
        self.hear_local_ends(end);
    }

    fn write(&mut self, writer: usize, id: StreamId) {
        let length = self.random.size(300_000);
        let End { connection, accounts, .. } = &mut self.ends[writer];
        let account = accounts.get_mut(&id).unwrap();
        let bytes: Vec<u8> =
            (account.written..).take(length).map(|at| byte(writer, id, at)).collect();
        let writable = connection.writable(id);
        let taken = connection.write(id, &bytes);
        assert!(taken <= length && taken as u64 <= writable, "more was taken than there is credit");
        assert!(taken == 0 || !account.closed, "stream {id} took bytes after its close");
        account.written += taken as u64;
    }

    /// Sends a part of the outbox, and lets waiting streams write.
    fn flush(&mut self, end: usize) {
        let most = self.random.size(400_000);
        let sent = drain(&mut self.ends[end].connection, most);
        self.ends[end].pipe.extend(sent);
        while let Some((id, _)) = self.ends[end].connection.next_ready() {
            self.write(end, id);
        }
    }

    /// Delivers a part of the bytes from `from` to the other end.
    fn deliver(&mut self, from: usize) {
        let length = self.random.size(400_000).min(self.ends[from].pipe.len());
        let bytes: Vec<u8> = self.ends[from].pipe.drain(..length).collect();
        let mut input = bytes.as_slice();
        loop {
            match self.ends[1 - from].connection.receive(&mut input) {
                Ok(Some(event)) => self.hear(1 - from, event),
                Ok(None) => break,
                Err(violation) => panic!("end {from} broke a rule: {violation}"),
            }
        }
        assert!(input.is_empty());
    }

    fn hear(&mut self, end: usize, event: Event<'_>) {
        let [first, second] = &mut self.ends;
        let (end_of_reader, peer) = if end == 0 { (first, second) } else { (second, first) };
        let accounts = &mut end_of_reader.accounts;
        match event {
            Event::Opened { stream } => {
                assert!(accounts.insert(stream, Account::default()).is_none(), "{stream} again");
            }
            Event::Write { stream, bytes, .. } => {
                let account = accounts.get_mut(&stream).unwrap();
                assert!(!account.stopped, "stream {stream}: bytes after stop-read");
                for (at, &got) in (account.read..).zip(bytes) {
                    assert_eq!(got, byte(1 - end, stream, at), "stream {stream}, byte {at}");
                }
                account.read += bytes.len() as u64;
            }
            Event::Close { stream, .. } => {
                let account = accounts.get_mut(&stream).unwrap();
                let written = peer.accounts[&stream].written;
                assert!(account.stopped || account.read == written, "close overtook its data");
                account.stopped = true;
            }
            Event::StopRead { stream, .. } => accounts.get_mut(&stream).unwrap().closed = true,
            Event::Gone { stream, .. } => gone(accounts, stream),
            _ => {}
        }
    }

    fn hear_local_ends(&mut self, end: usize) {
        let End { connection, accounts, .. } = &mut self.ends[end];
        while let Some((stream, _)) = connection.next_gone() {
            gone(accounts, stream);
        }
    }

    /// Delivers all bytes, and then compares both ends' view of each credit.
    fn settle(&mut self) {
        for end in [0, 1, 0, 1] {
            let sent = drain(&mut self.ends[end].connection, usize::MAX);
            self.ends[end].pipe.extend(sent);
            while !self.ends[end].pipe.is_empty() {
                self.deliver(end);
            }
        }
        // Answers to the last answers may remain, which change no credit; pongs have none.
        let [first, second] = &self.ends;
        for (&id, account) in &first.accounts {
            if account.gone || account.closed || account.stopped {
                continue;
            }
            let (one, other) = (&first.connection, &second.connection);
            assert_eq!(one.writable(id), other.granted(id), "stream {id}, from 0 to 1");
            assert_eq!(other.writable(id), one.granted(id), "stream {id}, from 1 to 0");
        }
    }

    /// Ends all streams, and checks that nothing of them remains.
    fn end(&mut self) {
        for end in 0..2 {
            let ids: Vec<StreamId> = self.ends[end].accounts.keys().copied().collect();
            for id in ids {
                self.ends[end].connection.close(id);
                self.ends[end].connection.stop_read(id);
                let account = self.ends[end].accounts.get_mut(&id).unwrap();
                (account.closed, account.stopped) = (true, true);
            }
            self.hear_local_ends(end);
        }
        for _ in 0..3 {
            self.settle();
        }
        for End { connection, accounts, pipe } in &mut self.ends {
            assert!(pipe.is_empty() && connection.outbox().is_empty());
            assert_eq!((connection.streams(), connection.next_ready()), (0, None));
            assert_eq!(connection.end_of_transport(), Ok(()));
            for (id, account) in accounts {
                assert!(account.gone, "nobody said that stream {id} is gone");
            }
        }
    }
}

fn gone(accounts: &mut BTreeMap<StreamId, Account>, stream: StreamId) {
    let account = accounts.get_mut(&stream).expect("a stream that never was is gone");
    assert!(!account.gone, "stream {stream} is gone twice");
    assert!(account.closed && account.stopped, "stream {stream} is gone too early");
    account.gone = true;
}

#[test]
fn two_ends_lose_nothing_whatever_the_splits() {
    let (mut bytes, mut streams) = (0, 0);
    for seed in 0..24 {
        let mut world = World::new(seed);
        for step in 0..600 {
            world.step();
            if step % 100 == 99 {
                world.settle();
            }
        }
        world.end();
        let accounts = world.ends.iter().flat_map(|end| end.accounts.values());
        bytes += accounts.map(|account| account.read).sum::<u64>();
        streams += world.ends[0].accounts.len();
    }
    assert!(bytes > 5_000_000 && streams > 120, "only {bytes} bytes on {streams} streams");
}

// ---- Garbage ----

/// Packets of all kinds on few streams, most of them legal for a while, and sometimes plain noise.
fn garbage(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..random.below(20) {
        let stream = StreamId(random.below(3) as u64 * 2);
        let amount = random.size(40) as u64;
        let packet = match random.below(100) {
            0..15 => Packet::Credit { stream, amount },
            15..40 => Packet::Write { stream, length: amount },
            40..48 => Packet::Ping(stream),
            48..53 => Packet::Pong(stream),
            53..56 => Packet::Close(stream),
            56..59 => Packet::StopRead(stream),
            59..80 => Packet::Create(stream),
            80..90 => Packet::GlobalPing,
            90..97 => Packet::GlobalCredit(amount),
            97 => Packet::GlobalClose,
            98 => Packet::GlobalStopRead,
            _ => {
                bytes.extend((0..random.below(20)).map(|_| random.next() as u8));
                continue;
            }
        };
        bytes.extend_from_slice(packet.encode().as_bytes());
        if let Packet::Write { length, .. } = packet {
            bytes.extend((0..length).map(|at| at as u8));
        }
    }
    bytes
}

/// Everything observable of an end that was fed these pieces: what it received, what it sends, how
/// it stopped.
fn fed(pieces: &[&[u8]]) -> (BTreeMap<StreamId, Vec<u8>>, usize, Vec<u8>, Option<Violation>) {
    let profile = Profile { control_stream: Some(50), global_credit: 3, creator_credit: 60 };
    let mut connection = Connection::new(MuxRole::Acceptor, profile, 0);
    let (mut taken, mut others) = (BTreeMap::<_, Vec<u8>>::new(), 0);
    let mut violation = None;
    for mut input in pieces.iter().copied() {
        loop {
            match connection.receive(&mut input) {
                Ok(Some(Event::Write { stream, bytes, .. })) => {
                    taken.entry(stream).or_default().extend_from_slice(bytes);
                }
                Ok(Some(_)) => others += 1,
                Ok(None) => break,
                Err(error) => {
                    violation = Some(error);
                    break;
                }
            }
        }
    }
    (taken, others, connection.outbox().slices().concat(), violation)
}

#[test]
fn garbage_never_panics_and_fails_alike_whatever_the_splits() {
    let mut random = Random(1);
    let (mut legal, mut illegal) = (0, 0);
    for _ in 0..20_000 {
        let bytes = garbage(&mut random);
        let whole = fed(&[&bytes]);
        assert_eq!(fed(&bytes.chunks(1).collect::<Vec<_>>()), whole, "{bytes:02x?}");
        let size = 1 + random.below(7);
        assert_eq!(fed(&bytes.chunks(size).collect::<Vec<_>>()), whole, "{bytes:02x?}");
        match whole.3 {
            None => legal += 1,
            Some(_) => illegal += 1,
        }
    }
    assert!(legal > 1_000 && illegal > 1_000, "{legal} legal, {illegal} illegal inputs");
}
