//! What a peer may say to one end: any bytes, and packets that are legal one by one.

use super::Script;
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use trunkline_core::bymux::{Connection, Event, MuxRole, Packet, Profile, StreamId, Violation};
use trunkline_core::link::PROFILE;

/// What an end told of a peer's bytes, where the pieces of a payload count as one.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    events: Vec<Vec<u8>>,
    bytes_of: Option<StreamId>,
    violation: Option<Violation>,
}

impl Told {
    fn note(&mut self, event: &Event<'_>) {
        if let Event::Write { stream, bytes, .. } = event {
            if self.bytes_of != Some(*stream) {
                self.events.push(stream.to_string().into_bytes());
            }
            self.bytes_of = Some(*stream);
            if let Some(last) = self.events.last_mut() {
                last.extend_from_slice(bytes);
            }
            return;
        }
        self.bytes_of = None;
        self.events.push(format!("{event:?}").into_bytes());
    }

    fn read(&mut self, end: &mut Connection, piece: &[u8]) -> bool {
        let mut input = piece;
        loop {
            match end.receive(&mut input) {
                Ok(Some(event)) => self.note(&event),
                Ok(None) => return true,
                Err(violation) => {
                    self.violation = Some(violation);
                    assert_eq!(end.receive(&mut &[][..]), Err(violation), "it stays broken");
                    return false;
                }
            }
        }
    }
}

/// An end, its profile, and the streams that its peer may open.
fn end(script: &mut Script<'_>) -> (Connection, Profile, u64) {
    let role = script.pick(&[MuxRole::Dialler, MuxRole::Acceptor]);
    let profile = script.pick(&[PROFILE, Profile::VANILLA]);
    let mut end = Connection::new(role, profile, u64::from(script.byte()));
    let more = NonZeroU64::new(u64::from(script.byte()));
    let more = more.map_or(0, |streams| end.global_credit(streams));
    (end, profile, profile.global_credit + more)
}

/// Where the bytes are cut makes no difference, to what is told and to what is answered.
pub(super) fn cut_bytes(script: &mut Script<'_>) {
    let mut same = script.clone();
    let ((mut whole, ..), (mut pieces, ..)) = (end(script), end(&mut same));
    let (mut cuts, bytes) = (script.cuts(), script.rest());
    let (mut expected, mut found) = (Told::default(), Told::default());
    let legal = expected.read(&mut whole, bytes);
    cuts.pieces(bytes, |piece| found.read(&mut pieces, piece));
    assert_eq!(found, expected, "the cuts make no difference");
    let sent = |end: &Connection| end.outbox().slices().concat();
    assert_eq!(sent(&pieces), sent(&whole), "the cuts make no difference to the answers");
    if legal {
        assert_eq!(pieces.end_of_transport(), whole.end_of_transport());
    }
}

/// An end that answers a peer, with its own account of what that was granted.
struct Answering {
    end: Connection,
    /// Bytes that the peer may still write on each stream, by our own account.
    granted: BTreeMap<StreamId, u64>,
    /// Streams that the peer may still open.
    streams: u64,
    creator: u64,
    /// Bytes that were said, and bytes that we said of our own accord.
    said: u64,
    ours: u64,
}

/// The longest header, and so the most that one of our own words takes.
const WORD: u64 = 17;

/// A peer cannot write what it was not granted, and what it makes us say is no more than it said.
pub(super) fn answer(script: &mut Script<'_>) {
    let (end, profile, streams) = end(script);
    let control = profile.control_stream.map(|bytes| (StreamId::CONTROL, bytes));
    let mut answering = Answering {
        end,
        granted: control.into_iter().collect(),
        streams,
        creator: profile.creator_credit,
        said: 0,
        ours: WORD,
    };
    while !script.is_over() {
        let bytes = packets(script);
        answering.said += bytes.len() as u64;
        let mut input = &bytes[..];
        if !answering.take(&mut input, script) {
            return;
        }
        let answers = answering.end.outbox().len() as u64;
        let most = answering.said + answering.ours;
        assert!(answers <= most, "{answers} bytes of answers, of at most {most}");
    }
}

/// A few packets, or bytes that are none.
fn packets(script: &mut Script<'_>) -> Vec<u8> {
    let stream = StreamId(script.number());
    let amount = script.number();
    let packet = match script.below(14) {
        0 => Packet::Credit { stream, amount },
        1 | 2 => {
            let length = amount % 300;
            let mut bytes = Packet::Write { stream, length }.encode().as_bytes().to_vec();
            bytes.resize(bytes.len() + length as usize, 7);
            return bytes;
        }
        3 => Packet::Ping(stream),
        4 => Packet::Pong(stream),
        5 => Packet::Close(stream),
        6 => Packet::StopRead(stream),
        7 => Packet::GlobalCredit(amount),
        8 | 9 => Packet::Create(stream),
        10 => Packet::GlobalPing,
        11 => Packet::GlobalClose,
        12 => Packet::GlobalStopRead,
        _ => return script.bytes(stream.0 as usize % 64).to_vec(),
    };
    packet.encode().as_bytes().to_vec()
}

impl Answering {
    fn take(&mut self, input: &mut &[u8], script: &mut Script<'_>) -> bool {
        loop {
            match self.end.receive(input) {
                Ok(Some(event)) => self.event(&event, script),
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }

    fn event(&mut self, event: &Event<'_>, script: &mut Script<'_>) {
        match event {
            Event::Opened { stream } => {
                let left = self.streams.checked_sub(1);
                self.streams = left.expect("no more streams than were granted");
                self.granted.insert(*stream, self.creator);
                self.end.set_tag(*stream, stream.0 as u32);
            }
            Event::Write { stream, tag, bytes } => {
                assert!(*tag == stream.0 as u32, "the tag is that of the stream");
                let granted = self.granted.entry(*stream).or_default();
                let left = granted.checked_sub(bytes.len() as u64);
                *granted = left.expect("no more bytes than were granted");
                if script.flag() {
                    self.ours += 64 + bytes.len() as u64;
                    self.end.write(*stream, bytes);
                }
            }
            Event::Gone { stream, .. } => {
                self.granted.remove(stream);
                assert_eq!(self.end.tag(*stream), None, "a stream that is gone is not there");
            }
            Event::Credit { stream, .. } | Event::Ping { stream, .. } => {
                self.ours += WORD;
                let amount = NonZeroU64::MIN.saturating_add(u64::from(script.byte()));
                let granted = self.end.credit(*stream, amount);
                *self.granted.entry(*stream).or_default() += granted;
            }
            _ => {}
        }
        if script.below(16) == 15 {
            self.ours += WORD;
            if let Some(stream) = self.end.create() {
                self.granted.insert(stream, 0);
                self.end.set_tag(stream, stream.0 as u32);
            }
        }
    }
}
