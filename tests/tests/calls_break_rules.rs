//! Peers that break the rules of streams of calls: each loses that stream only, no other is
//! affected, and the server stays within its limits.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use trunkline_core::bymux::MuxRole;
use trunkline_core::control::{Announced, Hello, Message, Preface, Purpose};
use trunkline_core::key::Key;
use trunkline_core::limits::WINDOW;
use trunkline_core::reason::Code;
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Chan, Peer, PeerEvent, Server, Setup, Socket, hello};

const REQUEST: u8 = 1;
const CANCEL: u8 = 2;
const ANSWER: u8 = 3;
const REFUSED: u8 = 4;
const LOST: u8 = 5;
const CONTINUES: u8 = 0x40;
const MORE: u8 = 0x80;

/// The longest piece.
const PIECE: usize = 16 * 1024;

/// The most that calls of a link may have waiting, in the servers of these tests.
const LINK_WINDOW: u64 = 4 << 20;

fn piece(kind: u8, call: u32, bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a length of two bytes");
    [&[kind][..], &call.to_be_bytes(), &length.to_be_bytes(), bytes].concat()
}

/// A server with a plugin that answers calls, and a client that has it make some.
struct Scene {
    alpha: Server,
    good: Peer,
    chan: Chan,
    _folder: Folder,
}

impl Scene {
    fn new() -> Scene {
        let folder = Folder::new();
        let calls = fixtures::plugin(Api::Ours, "calls");
        let window = format!("stream-window-max = 65536\nlink-window = {LINK_WINDOW}");
        let setup = Setup::new("alpha").limit(&window).limit("call-size = 1000000");
        let alpha = Server::start(&folder, &setup.plugin(&calls, "name = \"callee\""));
        let mut good = Peer::link(Socket::unix(&alpha), 9);
        let chan = good.open("callee");
        Scene { alpha, good, chan, _folder: folder }
    }

    fn peer(&self, key: u8) -> Peer {
        Peer::link(Socket::unix(&self.alpha), key)
    }

    /// Others can still call, and the server has not panicked.
    fn check(&mut self, what: &str) {
        let answered = self.good.ask(self.chan, "call callee 10000 say hello");
        assert_eq!(answered, "later answered hello", "{what}");
        let log = self.alpha.log().text();
        assert!(!log.contains("panicked") && !log.contains("entered twice"), "{what}: {log}");
    }
}

/// Opens a stream of calls to the plugin, with credit for the answers.
fn open(peer: &mut Peer) -> Chan {
    let chan = peer.open_calls("callee");
    peer.grant(chan, WINDOW);
    peer.wait_for("accept", |event| matches!(event, PeerEvent::Answer(tag, _) if *tag == chan.tag));
    chan
}

/// The next bytes of a stream, this many.
fn bytes(peer: &mut Peer, chan: Chan, count: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < count {
        let is_write =
            |event: &PeerEvent| matches!(event, PeerEvent::Write(tag, _) if *tag == chan.tag);
        if let PeerEvent::Write(_, some) = peer.wait_for("bytes", is_write) {
            peer.grant(chan, some.len() as u64);
            all.extend(some);
        }
        peer.flush();
    }
    all
}

/// Why the server ends a stream.
fn closing(peer: &mut Peer, chan: Chan) -> trunkline_core::reason::Reason {
    let of_stream = |event: &PeerEvent| match event {
        PeerEvent::Message(Message::Closing(closing)) => closing.stream == chan.stream.0,
        _ => false,
    };
    match peer.wait_for("closing", of_stream) {
        PeerEvent::Message(Message::Closing(closing)) => closing.reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_caller_cannot_use_up_a_callees_calls() {
    let folder = Folder::new();
    let calls = fixtures::plugin(Api::Ours, "calls");
    let setup = Setup::new("alpha").limit("calls-per-plugin = 8");
    let alpha = Server::start(&folder, &setup.plugin(&calls, "name = \"callee\""));
    let mut peers = Vec::new();
    // Each sends requests that are never answered, until it is refused: the first may have half of
    // the calls and one, the next half of the rest and one.
    for (key, taken) in [(3, 5), (4, 2), (5, 1)] {
        let mut peer = Peer::link(Socket::unix(&alpha), key);
        let chan = open(&mut peer);
        for call in 0..=taken {
            peer.write(chan, &piece(REQUEST, call, b"never"));
        }
        let mut said = bytes(&mut peer, chan, 7);
        assert_eq!(said[..5], piece(REFUSED, taken, b"")[..5], "the last one is refused");
        let length = 7 + usize::from(said[6]);
        if said.len() < length {
            said.extend(bytes(&mut peer, chan, length - said.len()));
        }
        let reason = String::from_utf8_lossy(&said).into_owned();
        let why = format!("callee has {taken} of these calls to answer");
        assert!(reason.contains("too-many-calls") && reason.contains(&why), "{reason}");
        peers.push(peer);
    }
    assert_eq!(alpha.status().limits["calls-per-plugin"].reached, 3);
}

#[test]
fn a_caller_that_breaks_a_rule_loses_that_stream() {
    let mut scene = Scene::new();
    let mut peer = scene.peer(3);
    let header =
        |kind: u8, length: u16| [&[kind][..], &1_u32.to_be_bytes(), &length.to_be_bytes()].concat();
    let begun = piece(REQUEST | MORE, 1, b"say");
    let never = piece(REQUEST, 1, b"never");
    for (what, bytes) in [
        ("kind 0", piece(0, 1, b"")),
        ("kind 6", piece(6, 1, b"")),
        ("kind 63", piece(63, 1, b"x")),
        ("an answer of the caller", piece(ANSWER, 1, b"yes")),
        ("a refusal of the caller", piece(REFUSED, 1, b"no")),
        ("a loss of the caller", piece(LOST, 1, b"no")),
        ("a piece that is too long", header(REQUEST, PIECE as u16 + 1)),
        ("the longest piece that can be said", header(REQUEST, u16::MAX)),
        ("a cancel with a byte", piece(CANCEL, 1, b"x")),
        ("a cancel in pieces", piece(CANCEL | MORE, 1, b"")),
        ("a cancel that goes on", piece(CANCEL | CONTINUES, 1, b"")),
        ("a request within itself", [begun.clone(), begun].concat()),
        ("a request before it is over", [never.clone(), never.clone()].concat()),
        ("a request that begins before it is over", {
            [never, header(REQUEST | MORE, 0)].concat()
        }),
    ] {
        let chan = open(&mut peer);
        peer.write(chan, &bytes);
        let reason = closing(&mut peer, chan);
        assert!(reason.is(Code::ProtocolViolation), "{what}: {reason}");
        // The link stays, and so does another stream of the same two plugins.
        let chan = open(&mut peer);
        peer.write(chan, &piece(REQUEST, 1, b"say still"));
        assert_eq!(self::bytes(&mut peer, chan, 12), piece(ANSWER, 1, b"still"), "{what}");
        scene.check(what);
    }
}

#[test]
fn requests_behind_a_violation_are_not_run() {
    let mut scene = Scene::new();
    let mut peer = scene.peer(3);
    let chan = open(&mut peer);
    let behind = piece(REQUEST, 2, b"panic for nothing");
    peer.write(chan, &[piece(9, 1, b""), behind].concat());
    assert!(closing(&mut peer, chan).is(Code::ProtocolViolation));
    let twice = [piece(REQUEST, 1, b"never"), piece(REQUEST, 1, b"never")].concat();
    let chan = open(&mut peer);
    peer.write(chan, &[twice, piece(REQUEST, 2, b"panic for nothing")].concat());
    assert!(closing(&mut peer, chan).is(Code::ProtocolViolation));
    scene.check("the callee lives");
}

#[test]
fn messages_without_a_call_are_dropped_and_the_stream_stays() {
    let mut scene = Scene::new();
    let mut peer = scene.peer(3);
    let chan = open(&mut peer);
    for (number, what) in [
        piece(CANCEL, 77, b""),
        piece(REQUEST | CONTINUES | MORE, 78, b"the middle of nothing"),
        piece(REQUEST | CONTINUES, 79, b"the end of nothing"),
        [piece(REQUEST | MORE, 80, b"half"), piece(CANCEL, 80, b"")].concat(),
        [piece(REQUEST, 81, b"never"), piece(CANCEL, 81, b""), piece(CANCEL, 81, b"")].concat(),
    ]
    .into_iter()
    .enumerate()
    {
        peer.write(chan, &what);
        // A request is answered wherever it was cut.
        let request = piece(REQUEST, number as u32, b"say on");
        let (before, after) = request.split_at(number + 5);
        peer.write(chan, before);
        peer.write(chan, after);
        let answer = piece(ANSWER, number as u32, b"on");
        assert_eq!(bytes(&mut peer, chan, answer.len()), answer, "behind {what:?}");
    }
    scene.check("all of that was dropped");
}

#[test]
fn a_number_is_free_after_its_call_was_cancelled() {
    let mut scene = Scene::new();
    let mut peer = scene.peer(3);
    let chan = peer.open_calls("callee");
    // The answer has no credit, waits, and is dropped with its call.
    for _ in 0..20 {
        for said in [piece(REQUEST, 1, b"size 900000"), piece(CANCEL, 1, b"")] {
            assert_eq!(peer.write(chan, &said), said.len());
            scene.check("between the two");
        }
    }
    peer.write(chan, &piece(REQUEST, 2, b"say last"));
    peer.grant(chan, WINDOW);
    peer.flush();
    let (answer, mut all) = (piece(ANSWER, 2, b"last"), Vec::new());
    while !all.ends_with(&answer) {
        all.extend(bytes(&mut peer, chan, 1));
        assert!(all.len() < 100_000, "the answers of calls that are over are not sent");
    }
}

#[test]
fn endless_requests_cost_at_most_the_link_window() {
    let mut scene = Scene::new();
    let mut peer = scene.peer(3);
    let chan = open(&mut peer);
    let before = scene.alpha.memory();
    let mut said = Vec::new();
    for call in 0..8 * LINK_WINDOW / PIECE as u64 {
        let bytes = piece(REQUEST | MORE, call as u32, &[7; PIECE]);
        let mut left = &bytes[..];
        while !left.is_empty() {
            let taken = peer.write(chan, left);
            left = &left[taken..];
            if taken == 0 {
                match peer.next_event() {
                    PeerEvent::Write(tag, some) if tag == chan.tag => {
                        peer.grant(chan, some.len() as u64);
                        said.extend(some);
                        peer.flush();
                    }
                    PeerEvent::Credit(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    let (mut left, mut refused) = (&said[..], 0);
    while let Some((header, rest)) = left.split_first_chunk::<7>() {
        assert_eq!(header[0], REFUSED, "what was never whole was not done");
        let length = usize::from(u16::from_be_bytes([header[5], header[6]]));
        (left, refused) = (rest.get(length..).unwrap_or_default(), refused + 1);
    }
    scene.check("while requests of another one do not end");
    let grown = scene.alpha.memory().saturating_sub(before);
    eprintln!("{refused} were refused so far; the server grew by {grown} bytes");
    assert!(grown < 3 * LINK_WINDOW, "the server grew by {grown} bytes");
    assert!(refused > 100, "{refused} were refused");
    // Everything that the stream held is freed with it.
    peer.close(chan);
    let chan = open(&mut peer);
    peer.write(chan, &piece(REQUEST, 1, b"say again"));
    assert_eq!(bytes(&mut peer, chan, 12), piece(ANSWER, 1, b"again"));
}

/// Writes bytes as credit allows. Returns the reason if the server ends the stream.
fn write_all(
    peer: &mut Peer,
    chan: Chan,
    mut left: &[u8],
) -> Option<trunkline_core::reason::Reason> {
    loop {
        left = &left[peer.write(chan, left)..];
        if left.is_empty() {
            return None;
        }
        let event = peer.wait_for("credit or the end", |event| {
            matches!(event, PeerEvent::Credit(_) | PeerEvent::Message(Message::Closing(_)))
        });
        if let PeerEvent::Message(Message::Closing(closing)) = event {
            return Some(closing.reason);
        }
    }
}

#[test]
fn a_caller_that_never_reads_loses_its_stream_at_the_limit() {
    let mut scene = Scene::new();
    let before = scene.alpha.memory();
    for (key, request) in [(3, &b"size 900000"[..]), (4, b"say a word"), (5, b"refuse this")] {
        let mut peer = scene.peer(key);
        let chan = peer.open_calls("callee");
        let mut number = 0;
        let reason = loop {
            match write_all(&mut peer, chan, &piece(REQUEST, number, request)) {
                Some(reason) => break reason,
                None => number += 1,
            }
        };
        assert!(reason.is(Code::TooManyCalls), "{reason}");
        scene.check("while another one reads nothing");
        let grown = scene.alpha.memory().saturating_sub(before);
        eprintln!("after {number} calls, the server grew by {grown} bytes");
        assert!(grown < 4 * LINK_WINDOW, "the server grew by {grown} bytes");
    }
}

/// A peer with the plugin `theirs`, and the stream on which the server's plugin calls it.
fn called(scene: &mut Scene, key: u8) -> (Peer, Chan) {
    let plugin = Announced::new("theirs".parse().expect("a name"), 1);
    let hello = Hello { plugins: vec![plugin], ..hello(Key([key; 32])) };
    let mut peer = Peer::send_hello(Socket::unix(&scene.alpha), MuxRole::Dialler, hello);
    peer.wait_for("hello", |event| matches!(event, PeerEvent::Message(Message::Hello(_))));
    scene.alpha.wait_until("its plugin is known", |status| status.knows_remote("theirs"));
    ask(scene);
    let is_calls = |event: &PeerEvent| match event {
        PeerEvent::Preface(_, Preface::Channel(request)) => request.purpose == Purpose::Calls,
        _ => false,
    };
    match peer.wait_for("a stream of calls", is_calls) {
        PeerEvent::Preface(stream, _) => {
            let chan = peer.accept(stream);
            (peer, chan)
        }
        other => panic!("{other:?}"),
    }
}

/// The server's plugin calls the peer's.
fn ask(scene: &mut Scene) {
    let line = b"call theirs 60000 question\n";
    assert_eq!(scene.good.write(scene.chan, line), line.len());
}

#[test]
fn a_callee_that_breaks_a_rule_loses_the_calls_of_that_stream() {
    let mut scene = Scene::new();
    let violation = "later lost protocol-violation";
    let again = [piece(ANSWER | MORE, 0, b"a"), piece(ANSWER | MORE, 0, b"b")].concat();
    let reason = |code: &str| {
        let (length, text) = (0x60 | code.len() as u8, b"a text");
        [&[0xa3, 1, 1, 2, length][..], code.as_bytes(), &[3, 0x66], text].concat()
    };
    for (number, (what, said, expected)) in [
        ("a request", piece(REQUEST, 0, b"back"), violation),
        ("a cancel", piece(CANCEL, 0, b""), violation),
        ("kind 0", piece(0, 0, b""), violation),
        ("an answer within itself", again, violation),
        (
            "a refusal without a reason",
            piece(REFUSED, 0, b"no"),
            "later refused protocol-violation",
        ),
        ("a loss without a reason", piece(LOST, 0, b""), "later lost protocol-violation"),
        ("a refusal", piece(REFUSED, 0, &reason("not-now")), "later refused not-now: a text"),
        ("a loss", piece(LOST, 0, &reason("fell")), "later lost fell: a text"),
        (
            "answers to no call, then two",
            [
                piece(ANSWER, 9, b"what"),
                piece(ANSWER | MORE, 9, b"what"),
                piece(ANSWER | CONTINUES, 8, b"what"),
                piece(ANSWER, 0, b"first"),
                piece(ANSWER, 0, b"second"),
                piece(LOST, 0, b"third"),
            ]
            .concat(),
            "later answered first",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let (mut peer, chan) = called(&mut scene, 20 + number as u8);
        assert_eq!(bytes(&mut peer, chan, 15), piece(REQUEST, 0, b"question"), "{what}");
        peer.write(chan, &said);
        let line = scene.good.next_line(scene.chan);
        assert!(line.starts_with(expected), "{what}: {line}");
        scene.check(what);
        drop(peer);
        scene.alpha.wait_until("it is gone", |status| !status.knows_remote("theirs"));
    }
}

#[test]
fn a_stream_closed_without_an_answer_loses_the_call() {
    let mut scene = Scene::new();
    let (mut peer, chan) = called(&mut scene, 20);
    bytes(&mut peer, chan, 15);
    peer.close(chan);
    let line = scene.good.next_line(scene.chan);
    assert!(line.starts_with("later lost plugin-stopped: the callee ended"), "{line}");
    // The next call has a stream of its own.
    ask(&mut scene);
    let preface = peer.wait_for("a stream", |event| matches!(event, PeerEvent::Preface(..)));
    let PeerEvent::Preface(stream, _) = preface else { panic!("{preface:?}") };
    let chan = peer.accept(stream);
    bytes(&mut peer, chan, 15);
    peer.write(chan, &piece(ANSWER, 0, b"now"));
    assert_eq!(scene.good.next_line(scene.chan), "later answered now");
    scene.check("all goes on");
}

#[test]
fn an_early_answer_stops_the_rest_of_the_request() {
    let mut scene = Scene::new();
    let (mut peer, chan) = called(&mut scene, 20);
    bytes(&mut peer, chan, 15);
    peer.write(chan, &piece(ANSWER, 0, b"short"));
    assert_eq!(scene.good.next_line(scene.chan), "later answered short");
    let line = b"long theirs 900000\n";
    assert_eq!(scene.good.write(scene.chan, line), line.len());
    // The first piece is enough for a refusal; the rest of the message is not on its way yet.
    let first = bytes(&mut peer, chan, 7);
    assert_eq!(first[..5], [REQUEST | MORE, 0, 0, 0, 1]);
    peer.write(chan, &piece(ANSWER, 1, b"enough"));
    assert_eq!(scene.good.next_line(scene.chan), "later answered enough");
    let mut rest = first;
    while !rest.ends_with(&piece(CANCEL, 1, b"")) {
        rest.extend(bytes(&mut peer, chan, 1));
    }
    assert!(rest.len() < 500_000, "{} bytes were sent of it", rest.len());
    scene.check("it is over");
}
