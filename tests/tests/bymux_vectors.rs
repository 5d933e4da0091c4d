//! bymux to the letter: the vectors, each also fed in pieces, and each violation with its rule.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::num::NonZeroU64;

use serde_json::{Value, json};
use trunkline_core::bymux::{
    Connection, Event, Level, MuxRole, Packet, Profile, StreamId, Violation,
};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../vectors/bymux.json")).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn from_hex(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "odd hex {hex}");
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

// ---- The codec ----

/// The meaning of each packet of the vectors. Those that are not in their shortest form have the
/// form that we send instead.
fn meanings() -> Vec<(&'static str, Packet, Option<&'static str>)> {
    use Packet::*;
    let id = StreamId;
    vec![
        ("000005", Credit { stream: id(0), amount: 5 }, None),
        ("000000", Credit { stream: id(0), amount: 0 }, None),
        ("06012c00010000", Credit { stream: id(300), amount: 65_536 }, None),
        (
            "0f0000000100000000fffffffffffffffe",
            Credit { stream: id(1 << 32), amount: u64::MAX - 1 },
            None,
        ),
        ("0e000000000000000000000005", Credit { stream: id(0), amount: 5 }, Some("000005")),
        ("100a", GlobalCredit(10), None),
        ("1c0a", GlobalCredit(10), Some("100a")),
        ("200203616263", Write { stream: id(2), length: 3 }, None),
        ("200200", Write { stream: id(2), length: 0 }, None),
        ("25012c0100", Write { stream: id(300), length: 256 }, None),
        ("3002", Create(id(2)), None),
        ("310100", Create(id(256)), None),
        ("33fffffffffffffffe", Create(id(u64::MAX - 1)), None),
        ("4002", Ping(id(2)), None),
        ("50", GlobalPing, None),
        ("4302", Ping(id(2)), Some("4002")),
        ("6002", Pong(id(2)), None),
        ("70", GlobalPong, None),
        ("8002", Close(id(2)), None),
        ("90", GlobalClose, None),
        ("a800011170", StopRead(id(70_000)), None),
        ("a002", StopRead(id(2)), None),
        ("b0", GlobalStopRead, None),
    ]
}

#[test]
fn the_vectors_packets_round_trip() {
    let vectors = vectors();
    let packets = list(&vectors["codec"]);
    assert_eq!(packets.len(), meanings().len(), "each packet of the vectors needs a meaning");
    for (vector, (hex, meaning, shortest)) in packets.iter().zip(meanings()) {
        let what = text(&vector["what"]);
        assert_eq!(text(&vector["hex"]), hex, "the order of the vectors: {what}");
        let bytes = from_hex(hex);
        let (packet, length) = Packet::decode(&bytes).unwrap().expect(what);
        assert_eq!(packet, meaning, "{what}");
        for cut in 0..length {
            assert_eq!(Packet::decode(&bytes[..cut]), Ok(None), "{what}, cut at {cut}");
        }
        let sent = shortest.map_or(bytes[..length].to_vec(), from_hex);
        assert_eq!(to_hex(meaning.encode().as_bytes()), to_hex(&sent), "{what}");
    }
}

#[test]
fn integers_are_sent_in_their_shortest_form_at_every_width() {
    let edges = [0, 0xff, 0x100, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000, u64::MAX];
    let width = |integer| match integer {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 4,
        _ => 8,
    };
    for (id, amount) in edges.iter().flat_map(|&id| edges.map(|amount| (id, amount))) {
        let packet = Packet::Credit { stream: StreamId(id), amount };
        let header = packet.encode();
        assert_eq!(header.as_bytes().len(), 1 + width(id) + width(amount), "{packet:?}");
        assert_eq!(Packet::decode(header.as_bytes()), Ok(Some((packet, header.as_bytes().len()))));
    }
}

// ---- The cases ----

/// How a `receive` of the vectors is fed.
#[derive(Clone, Copy, Debug)]
enum Feed {
    Whole,
    ByteByByte,
    /// The step with this number is split after this many bytes.
    Split(usize, usize),
}

impl Feed {
    fn pieces(self, step: usize, bytes: &[u8]) -> Vec<&[u8]> {
        match self {
            Feed::ByteByByte => bytes.chunks(1).collect(),
            Feed::Split(at_step, at) if at_step == step => vec![&bytes[..at], &bytes[at..]],
            Feed::Whole | Feed::Split(..) => vec![bytes],
        }
    }
}

#[test]
fn the_vectors_cases_hold_whatever_the_splits() {
    let vectors = vectors();
    let mut runs = 0;
    for case in list(&vectors["cases"]) {
        let mut feeds = vec![Feed::Whole, Feed::ByteByByte];
        for (number, step) in list(&case["steps"]).iter().enumerate() {
            let length = step["receive"].as_str().map_or(0, |hex| hex.len() / 2);
            feeds.extend((1..length).map(|at| Feed::Split(number, at)));
        }
        for feed in feeds {
            run(case, feed);
            runs += 1;
        }
    }
    assert!(runs > 200, "only {runs} runs: are the vectors there?");
}

fn run(case: &Value, feed: Feed) {
    let role = match text(&case["role"]) {
        "proactive" => MuxRole::Dialler,
        _ => MuxRole::Acceptor,
    };
    let mut connection = Connection::new(role, Profile::VANILLA, 0);
    // Our automatic answers: a `local` step that asks for the same must change nothing.
    let mut answered: Vec<String> = Vec::new();
    for (number, step) in list(&case["steps"]).iter().enumerate() {
        let context = format!("{} ({feed:?}), step {number}: {step}", text(&case["id"]));
        if let Some(local) = step["local"].as_array() {
            call(&mut connection, local);
            let sent = to_hex(&flush(&mut connection));
            match answered.iter().position(|answer| *answer == text(&step["sends"])) {
                Some(earlier) if sent.is_empty() => drop(answered.remove(earlier)),
                _ => assert_eq!(sent, text(&step["sends"]), "{context}"),
            }
            continue;
        }
        let bytes = from_hex(text(&step["receive"]));
        match receive(&mut connection, &feed.pieces(number, &bytes)) {
            Ok(events) => {
                assert_eq!(text(&step["expect"]), "ok", "{context}");
                assert_eq!(json!(events), step["events"], "{context}");
                let packets = packets(&flush(&mut connection));
                answered.extend(packets.iter().map(|packet| to_hex(packet.encode().as_bytes())));
                let answers: Vec<Value> = packets.into_iter().map(in_words).collect();
                assert_eq!(json!(answers), step["must_answer"], "{context}");
            }
            Err(violation) => {
                assert_eq!(text(&step["expect"]), "terminate", "{violation}: {context}");
                let rules = rules(text(&step["why"]));
                assert!(rules.contains(&violation.rule()), "{violation}: {context}");
            }
        }
    }
}

fn call(connection: &mut Connection, local: &[Value]) {
    let id = local[1].as_u64().map(StreamId);
    let amount = local.get(2).and_then(Value::as_u64).and_then(NonZeroU64::new);
    match (text(&local[0]), id, amount) {
        ("credit", None, Some(amount)) => drop(connection.global_credit(amount)),
        ("credit", Some(id), Some(amount)) => drop(connection.credit(id, amount)),
        ("credit", Some(id), None) => connection.credit_infinite(id),
        ("close", None, _) => connection.global_close(),
        ("close", Some(id), _) => connection.close(id),
        ("stop", None, _) => connection.global_stop_read(),
        ("stop", Some(id), _) => connection.stop_read(id),
        other => panic!("the vectors ask for something new: {other:?}"),
    }
}

/// The rules that a vector's reason may mean.
fn rules(why: &str) -> &'static [u8] {
    match why {
        "undefined packet type" => &[1],
        "inactive stream id" => &[4],
        "credit overflow / nonzero credit on infinite" | "global credit overflow" => &[5],
        "Write beyond credit" => &[6],
        "Write after Close" => &[7],
        "second Close" => &[7, 10],
        "Credit after StopRead" | "second StopRead" => &[8, 10],
        // On a stream that our answers have ended too, rule 4 is broken first.
        "Ping/Pong after Close and StopRead" => &[4, 10],
        "global Write after global Close" => &[10],
        "stream created without global credit" | "wrong id parity" | "id in use" => &[11],
        other => panic!("the vectors give a new reason: {other}"),
    }
}

/// The events in the vectors' words, with adjacent bytes joined. `Gone` has no word there.
fn receive(connection: &mut Connection, pieces: &[&[u8]]) -> Result<Vec<Value>, Violation> {
    let mut events: Vec<Value> = Vec::new();
    for mut input in pieces.iter().copied() {
        while let Some(event) = connection.receive(&mut input)? {
            let told = match event {
                Event::Opened { stream } => json!(["opened", stream.0]),
                Event::Write { stream, bytes, .. } => {
                    assert!(!bytes.is_empty(), "an event without bytes");
                    match events.last_mut() {
                        Some(last) if last[0] == "data" && last[1] == stream.0 => {
                            last[2] = json!(format!("{}{}", text(&last[2]), to_hex(bytes)));
                            continue;
                        }
                        _ => json!(["data", stream.0, to_hex(bytes)]),
                    }
                }
                Event::Credit { stream, amount, .. } => json!(["credit", stream.0, amount]),
                Event::Close { stream, .. } => json!(["close", stream.0]),
                Event::StopRead { stream, .. } => json!(["stopread", stream.0]),
                Event::Ping { stream, .. } => json!(["ping", stream.0]),
                Event::Pong { stream, .. } => json!(["pong", stream.0]),
                Event::Gone { .. } => continue,
                Event::GlobalCredit(amount) => json!(["credit", null, amount]),
                Event::GlobalPing => json!(["ping", null]),
                Event::GlobalPong => json!(["pong", null]),
                Event::GlobalClose => json!(["close", null]),
                Event::GlobalStopRead => json!(["stopread", null]),
            };
            events.push(told);
        }
        assert!(input.is_empty(), "input left over without an event");
    }
    Ok(events)
}

fn in_words(packet: Packet) -> Value {
    match packet {
        Packet::Pong(stream) => json!(["pong", stream.0]),
        Packet::Close(stream) => json!(["close", stream.0]),
        Packet::StopRead(stream) => json!(["stopread", stream.0]),
        Packet::GlobalPong => json!(["pong", null]),
        Packet::GlobalClose => json!(["close", null]),
        Packet::GlobalStopRead => json!(["stopread", null]),
        other => panic!("no packet is answered by {other:?}"),
    }
}

/// Takes everything that waits to be sent.
fn flush(connection: &mut Connection) -> Vec<u8> {
    let bytes = connection.outbox().slices().concat();
    connection.outbox_mut().advance(bytes.len());
    assert!(connection.outbox().is_empty(), "something is left after all was sent");
    bytes
}

/// The packets in bytes that hold no payload.
fn packets(mut bytes: &[u8]) -> Vec<Packet> {
    let mut packets = Vec::new();
    while !bytes.is_empty() {
        let (packet, length) = Packet::decode(bytes).unwrap().expect("half a packet");
        packets.push(packet);
        bytes = &bytes[length..];
    }
    packets
}

// ---- Not covered by the vectors ----

/// An end that accepted, with stream 0 from the start, and with stream 2 opened by the peer.
fn accepted() -> Connection {
    let profile = Profile { control_stream: Some(8), global_credit: 2, creator_credit: 4 };
    let mut connection = Connection::new(MuxRole::Acceptor, profile, 0);
    assert_eq!(receive(&mut connection, &[&from_hex("3002")]), Ok(vec![json!(["opened", 2])]));
    connection
}

#[test]
fn each_violation_names_its_rule() {
    use Violation::*;
    let stream = Level::Stream(StreamId(2));
    let id = StreamId(2);
    let cases = [
        ("df", 1, UndefinedType { first: 0xdf }),
        ("e0", 1, UndefinedType { first: 0xe0 }),
        ("6004", 4, InactiveStream(StreamId(4))),
        ("0302fffffffffffffffe000202", 5, CreditOverflow(stream)),
        ("0302ffffffffffffffff000201", 5, CreditOnInfinite(id)),
        ("000200000201", 5, CreditOnInfinite(id)),
        ("13fffffffffffffffe", 5, CreditOverflow(Level::Global)),
        ("200205", 6, WriteBeyondCredit { stream: id, length: 5, credit: 4 }),
        ("20020361626320020261", 6, WriteBeyondCredit { stream: id, length: 2, credit: 1 }),
        ("8002200200", 7, WriteAfterClose(stream)),
        ("80028002", 7, SecondClose(stream)),
        ("a002000200", 8, CreditAfterStopRead(stream)),
        ("a002a002", 8, SecondStopRead(stream)),
        ("903004", 10, WriteAfterClose(Level::Global)),
        ("9090", 10, SecondClose(Level::Global)),
        ("b01000", 10, CreditAfterStopRead(Level::Global)),
        ("b0b0", 10, SecondStopRead(Level::Global)),
        ("90b050", 10, PingAfterEnd(Level::Global)),
        ("b09070", 10, PingAfterEnd(Level::Global)),
        ("3002", 11, IdInUse(id)),
        ("3000", 11, IdInUse(StreamId(0))),
        ("3003", 11, WrongParity(StreamId(3))),
        ("30043006", 11, CreatedWithoutCredit(StreamId(6))),
    ];
    for (hex, rule, violation) in cases {
        let bytes = from_hex(hex);
        for pieces in [vec![&bytes[..]], bytes.chunks(1).collect()] {
            let mut connection = accepted();
            assert_eq!(receive(&mut connection, &pieces), Err(violation), "{hex}");
            let again = connection.receive(&mut [0x50].as_slice());
            assert_eq!(again, Err(violation), "{hex}: nothing is received after a violation");
        }
        assert_eq!(violation.rule(), rule, "{violation}");
        assert!(violation.to_string().ends_with(&format!("(bymux rule {rule})")), "{violation}");
    }
}

#[test]
fn the_end_of_the_transport_is_legal_only_between_packets_and_without_streams() {
    let control_only = Profile { control_stream: Some(8), ..Profile::VANILLA };
    let fresh = Connection::new(MuxRole::Dialler, control_only, 0);
    assert_eq!(fresh.end_of_transport(), Ok(()));
    let open = accepted();
    assert_eq!(open.end_of_transport(), Err(Violation::EndedWithStreams { open: 1 }));
    for cut in ["20", "2002", "200203", "20020361"] {
        let mut connection = accepted();
        assert!(receive(&mut connection, &[&from_hex(cut)]).is_ok());
        assert_eq!(connection.end_of_transport(), Err(Violation::EndedInPacket), "{cut}");
    }
    let mut ended = accepted();
    assert!(receive(&mut ended, &[&from_hex("8002a002")]).is_ok());
    assert_eq!(ended.end_of_transport(), Ok(()));
}

#[test]
fn a_stream_ends_when_both_sides_closed_and_stopped_and_is_reported_once() {
    let id = StreamId(2);
    let mut connection = accepted();
    connection.set_tag(id, 77);
    connection.close(id);
    connection.stop_read(id);
    assert_eq!((connection.streams(), connection.next_gone()), (1, None));
    let bytes = from_hex("a0028002");
    let mut input = bytes.as_slice();
    let expected = [
        Event::StopRead { stream: id, tag: 77 },
        Event::Close { stream: id, tag: 77 },
        Event::Gone { stream: id, tag: 77 },
    ];
    for event in expected {
        assert_eq!(connection.receive(&mut input), Ok(Some(event)));
    }
    assert_eq!(connection.receive(&mut input), Ok(None));
    assert_eq!((connection.streams(), connection.next_gone()), (0, None));
}

#[test]
fn nothing_is_sent_on_a_stream_after_both_our_close_and_stop_read() {
    let id = StreamId(2);
    let mut connection = accepted();
    connection.close(id);
    connection.stop_read(id);
    assert_eq!(to_hex(&flush(&mut connection)), "a0028002");
    connection.ping(id);
    connection.close(id);
    connection.stop_read(id);
    assert_eq!(connection.credit(id, NonZeroU64::MIN), 0);
    connection.credit_infinite(id);
    assert_eq!(connection.write(id, b"late"), 0);
    let told = receive(&mut connection, &[&from_hex("4002000209")]).unwrap();
    assert_eq!(told, [json!(["ping", 2]), json!(["credit", 2, 9])]);
    assert_eq!(to_hex(&flush(&mut connection)), "", "not even a pong (rule 20)");
}

#[test]
fn data_after_our_stop_read_is_dropped_but_counted() {
    let mut connection = accepted();
    // Stop in the middle of a payload: the rest of it is dropped.
    let told = receive(&mut connection, &[&from_hex("20020361")]).unwrap();
    assert_eq!(told, [json!(["data", 2, "61"])]);
    connection.stop_read(StreamId(2));
    let told = receive(&mut connection, &[&from_hex("62632002016470")]).unwrap();
    assert_eq!(told, [json!(["pong", null])]);
    let beyond = Violation::WriteBeyondCredit { stream: StreamId(2), length: 1, credit: 0 };
    assert_eq!(receive(&mut connection, &[&from_hex("20020165")]), Err(beyond));
}

#[test]
fn creation_needs_credit_and_never_reuses_an_id() {
    let profile = Profile { control_stream: Some(8), global_credit: 1, creator_credit: 4 };
    for (role, ids) in [(MuxRole::Dialler, [2, 4]), (MuxRole::Acceptor, [1, 3])] {
        let mut connection = Connection::new(role, profile, 0);
        let first = connection.create().unwrap();
        assert_eq!((first, connection.create()), (StreamId(ids[0]), None));
        assert_eq!(connection.write(first, b"starting credit"), 4);
        let end = [Packet::Close(first), Packet::StopRead(first), Packet::GlobalCredit(1)];
        let end: Vec<u8> = end.iter().flat_map(|p| p.encode().as_bytes().to_vec()).collect();
        assert!(receive(&mut connection, &[&end]).is_ok());
        assert_eq!((connection.streams(), connection.creatable()), (0, 1));
        assert_eq!(connection.create(), Some(StreamId(ids[1])));
        assert!(receive(&mut connection, &[&from_hex("100a90b0")]).is_ok());
        assert_eq!((connection.create(), connection.creatable()), (None, 0), "after the end");
    }
    assert_eq!(Connection::new(MuxRole::Dialler, Profile::VANILLA, 0).create(), None);
}

#[test]
fn granted_streams_may_be_created_after_our_global_stop_read() {
    let mut connection = accepted();
    connection.global_stop_read();
    assert_eq!(connection.global_credit(NonZeroU64::MIN), 0);
    let told = receive(&mut connection, &[&from_hex("3004")]);
    assert_eq!(told, Ok(vec![json!(["opened", 4])]));
}

#[test]
fn granted_credit_stays_finite() {
    let id = StreamId(2);
    let mut connection = accepted();
    assert_eq!(connection.credit(id, NonZeroU64::MAX), u64::MAX - 1 - 4);
    assert_eq!(connection.credit(id, NonZeroU64::MAX), 0);
    assert_eq!(connection.granted(id), u64::MAX - 1);
    assert_eq!(connection.global_credit(NonZeroU64::MAX), u64::MAX - 1);
    assert_eq!(connection.global_credit(NonZeroU64::MAX), 0);
}

#[test]
fn global_credit_of_zero_and_empty_writes_are_ignored() {
    let mut connection = accepted();
    let told =
        receive(&mut connection, &[&from_hex("10002002002f0000000000000002000000000000000070")]);
    assert_eq!(told, Ok(vec![json!(["pong", null])]));
    assert_eq!(connection.creatable(), 2);
    assert_eq!(connection.write(StreamId(2), b""), 0);
    assert!(connection.outbox().is_empty(), "an empty write is never sent");
}

#[test]
fn operations_on_inactive_streams_have_no_effect() {
    let mut connection = accepted();
    let id = StreamId(9);
    connection.set_tag(id, 5);
    connection.close(id);
    connection.stop_read(id);
    connection.ping(id);
    connection.credit_infinite(id);
    assert_eq!(connection.credit(id, NonZeroU64::MIN), 0);
    assert_eq!(connection.write(id, b"x"), 0);
    assert_eq!((connection.tag(id), connection.writable(id), connection.granted(id)), (None, 0, 0));
    assert!(connection.outbox().is_empty());
}
