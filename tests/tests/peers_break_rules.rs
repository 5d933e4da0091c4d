//! Peers that send wrong bytes: each is disconnected with a reason, and no other peer is affected.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use trunkline_core::bymux::{Packet, StreamId};
use trunkline_core::control::{Answer, MESSAGE_MAX, Message, Origin, Preface, Request};
use trunkline_core::key::Key;
use trunkline_core::link::GLOBAL_CREDIT;
use trunkline_core::reason::Code;
use trunkline_tests::binaries::plugin;
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Peer, PeerEvent, RawPeer, Server, Setup, Socket, hello};

/// A server under test, another one linked to it, and a correct peer.
struct Scene {
    alpha: Server,
    beta: Server,
    good: Peer,
    _folder: Folder,
}

impl Scene {
    fn new() -> Scene {
        let folder = Folder::new();
        let echo = plugin("echo");
        let alpha = Server::start(&folder, &Setup::new("alpha").tcp().plugin(&echo, ""));
        let beta = Server::start(&folder, &Setup::new("beta").peer("alpha").plugin(&echo, ""));
        beta.wait_until("the two are linked", |status| status.link_to("alpha").is_some());
        let good = Peer::link(Socket::unix(&alpha), 9);
        Scene { alpha, beta, good, _folder: folder }
    }

    /// A peer that has sent nothing.
    fn stranger(&self) -> RawPeer {
        RawPeer::new(Socket::tcp(&self.alpha))
    }

    /// A peer that has sent hello and received the server's.
    fn greeted(&self, key: u8) -> RawPeer {
        let mut peer = self.stranger();
        peer.send_message(&Message::Hello(hello(Key([key; 32]))));
        peer.wait_for("hello", |message| matches!(message, Message::Hello(_)));
        self.alpha.log().wait_for(0, &format!("link to peer-{}", Key([key; 32]).short()));
        peer
    }

    /// Checks that the server has logged in one line why it ended a link, and that all other links
    /// stay.
    fn check(&mut self, what: &str, mark: usize, why: &str) {
        let line = self.alpha.log().wait_for(mark, " ended: ");
        assert!(line.contains(why), "{what}: the log says {line:?} and not {why:?}");
        self.good.echo("echo", what.as_bytes());
        let lines = self.alpha.log().since(mark);
        let ends = lines.iter().filter(|line| line.contains(" ended: ")).count();
        assert_eq!(ends, 1, "{what}: one line, about one link: {lines:#?}");
        assert!(!lines.iter().any(|line| line.contains("panicked")), "{what}: {lines:#?}");
    }

    /// Checks at the end that the link between the two servers has survived.
    fn finish(self) {
        let ended = |server: &Server, name: &str| {
            let log = server.log().text();
            log.lines()
                .any(|line| line.contains(&format!("link to {name}")) && line.contains("ended"))
        };
        assert!(!ended(&self.alpha, "beta"), "{}", self.alpha.log().text());
        assert!(!ended(&self.beta, "alpha"), "{}", self.beta.log().text());
        let status = self.alpha.status();
        assert!(status.link_to("beta").is_some() && status.knows_remote("echo"), "{status:#?}");
    }
}

fn id(stream: u64) -> StreamId {
    StreamId(stream)
}

/// The first frame of a stream to `echo`.
fn preface(to: &str) -> Vec<u8> {
    let name = |text: &str| text.parse().expect("a name");
    Preface::channel(Request::new(name(to), 0, Origin::new(name("test"), 1))).frame()
}

#[test]
fn garbage_is_answered_with_a_reason() {
    let mut scene = Scene::new();
    let garbage: Vec<u8> =
        (0u32..4096).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for (what, bytes, why) in [
        ("HTTP", &b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], "protocol-violation"),
        ("SSH", b"SSH-2.0-OpenSSH_9.9\r\n", "protocol-violation"),
        // Infinite credit for control, repeatedly, is legal; then there is half a packet.
        ("zeros", &[0; 4096], "transport-lost"),
        ("ones", &[0xff; 4096], "protocol-violation"),
        ("noise", &garbage, "protocol-violation"),
        ("a text as control message", b"\x20\x00\x08\x00\x00\x00\x04text", "cannot be read"),
    ] {
        let mark = scene.alpha.log().mark();
        let mut peer = scene.stranger();
        peer.send(bytes).finish();
        let goodbye = peer.goodbye();
        assert!(goodbye.is_none_or(|reason| reason.is(Code::ProtocolViolation)), "{what}");
        scene.check(what, mark, why);
    }
    scene.finish();
}

#[test]
fn a_connection_cut_at_any_point_is_transport_lost() {
    let mut scene = Scene::new();
    let hello = Message::Hello(hello(Key([3; 32]))).frame();
    for (what, greeted, bytes) in [
        ("nothing at all", false, &[][..]),
        ("half a header", false, &[0x24, 0x00][..]),
        ("half a hello", false, &hello[..20]),
        ("half a packet after hello", true, &[0x20, 0x00, 200, 1, 2, 3]),
        ("an open stream", true, &[0x30, 0x02]),
    ] {
        let mark = scene.alpha.log().mark();
        let mut peer = if greeted { scene.greeted(3) } else { scene.stranger() };
        if what == "half a hello" {
            peer.packet(Packet::Write { stream: id(0), length: hello.len() as u64 });
        }
        peer.send(bytes).finish();
        peer.goodbye();
        scene.check(what, mark, "transport-lost: the peer closed the connection");
    }
    scene.finish();
}

/// Packets that break a rule after hello, and the rules that may be named. Where the server's own
/// answers have ended the stream, the stream is no longer active.
fn violations() -> Vec<(&'static str, Vec<Packet>, &'static [u8])> {
    use Packet::*;
    let write = |length| Write { stream: id(2), length };
    let credit = |amount| Credit { stream: id(2), amount };
    let create = Create(id(2));
    let creations = (1..=GLOBAL_CREDIT + 1).map(|n| Create(id(2 * n))).collect();
    vec![
        ("credit on no stream", vec![Credit { stream: id(40), amount: 1 }], &[4]),
        ("write on no stream", vec![Write { stream: id(40), length: 0 }], &[4]),
        ("ping on no stream", vec![Ping(id(40))], &[4]),
        ("pong on no stream", vec![Pong(id(40))], &[4]),
        ("close on no stream", vec![Close(id(40))], &[4]),
        ("stop-read on no stream", vec![StopRead(id(40))], &[4]),
        ("credit overflow", vec![create, credit(u64::MAX - 1), credit(2)], &[5]),
        ("credit on infinite", vec![create, credit(0), credit(1)], &[5]),
        ("global credit overflow", vec![GlobalCredit(u64::MAX)], &[5]),
        ("write beyond credit", vec![create, write(64 * 1024 + 1)], &[6]),
        ("control beyond credit", vec![Write { stream: id(0), length: 1 << 20 }], &[6]),
        ("write after close", vec![create, Close(id(2)), write(0)], &[7]),
        ("second close", vec![create, Close(id(2)), Close(id(2))], &[7]),
        ("credit after stop-read", vec![create, StopRead(id(2)), credit(1)], &[8]),
        ("second stop-read", vec![create, StopRead(id(2)), StopRead(id(2))], &[8]),
        ("ping after end", vec![create, Close(id(2)), StopRead(id(2)), Ping(id(2))], &[4, 9]),
        ("pong after end", vec![create, StopRead(id(2)), Close(id(2)), Pong(id(2))], &[4, 9]),
        ("create after global close", vec![GlobalClose, create], &[10]),
        ("second global close", vec![GlobalClose, GlobalClose], &[10]),
        ("credit after global stop-read", vec![GlobalStopRead, GlobalCredit(1)], &[10]),
        ("second global stop-read", vec![GlobalStopRead, GlobalStopRead], &[10]),
        ("global ping after end", vec![GlobalClose, GlobalStopRead, GlobalPing], &[10]),
        ("global pong after end", vec![GlobalStopRead, GlobalClose, GlobalPong], &[10]),
        ("id in use", vec![create, create], &[11]),
        ("control stream created", vec![Create(id(0))], &[11]),
        ("wrong parity", vec![Create(id(3))], &[11]),
        ("create without credit", creations, &[11]),
    ]
}

#[test]
fn each_bymux_violation_ends_its_link_and_is_named() {
    let mut scene = Scene::new();
    let mut cases: Vec<(&str, Vec<u8>, &[u8])> =
        vec![("undefined type 6", vec![0xc0, 0], &[1]), ("undefined type 7", vec![0xf0], &[1])];
    for (what, packets, rules) in violations() {
        let bytes = packets.iter().flat_map(|packet| packet.encode().as_bytes().to_vec());
        cases.push((what, bytes.collect(), rules));
    }
    for (what, bytes, rules) in cases {
        let mut peer = scene.greeted(3);
        let mark = scene.alpha.log().mark();
        peer.send(&bytes);
        let reason = peer.goodbye().unwrap_or_else(|| panic!("{what}: no goodbye was said"));
        assert!(reason.is(Code::ProtocolViolation), "{what}: {reason}");
        let named = rules.iter().any(|rule| reason.text.contains(&format!("bymux rule {rule})")));
        assert!(named, "{what}: rule {rules:?} was broken, but the reason is {reason}");
        scene.check(what, mark, &reason.text);
    }
    scene.finish();
}

/// The vectors that must end the connection, each with rule and packet types as in the table above.
#[test]
fn the_table_covers_every_violation_of_the_vectors() {
    let text = include_str!("../vectors/bymux.json");
    let vectors: serde_json::Value = serde_json::from_str(text).expect("the vectors are JSON");
    let cases = vectors["cases"].as_array().expect("a list of cases");
    let last = |steps: &serde_json::Value| steps.as_array().and_then(|all| all.last().cloned());
    let ending = cases.iter().filter_map(|case| last(&case["steps"]));
    let ending = ending.filter(|step| step["expect"] == "terminate");
    let ours = violations();
    for step in ending {
        let hex = step["receive"].as_str().expect("what is received");
        let kind = u8::from_str_radix(&hex[..1], 16).expect("hex");
        // Types 110 and 111 cannot be written as packets.
        let covered = kind >= 0b1100
            || ours.iter().any(|(_, packets, _)| {
                packets.last().is_some_and(|packet| packet.encode().as_bytes()[0] >> 4 == kind)
            });
        assert!(covered, "no case of the table ends with a packet like {step}");
    }
}

#[test]
fn control_messages_must_have_legal_length_and_order() {
    let mut scene = Scene::new();
    let frame = |message: Message| message.frame();
    let again = frame(Message::Hello(hello(Key([3; 32]))));
    let too_long = (MESSAGE_MAX as u32 + 1).to_be_bytes().to_vec();
    for (what, bytes, why) in [
        ("64 KiB and one byte", too_long, "a message of 65537 bytes is over the limit of 65536"),
        ("hello twice", again, "hello was said twice"),
        ("no CBOR", vec![0, 0, 0, 1, 0xff], "a message cannot be read"),
        ("an empty message", vec![0, 0, 0, 0], "a message cannot be read"),
        ("an array of three", vec![0, 0, 0, 4, 0x83, 1, 2, 3], "a message cannot be read"),
        ("no body", vec![0, 0, 0, 3, 0x82, 1, 2], "a message cannot be read"),
        (
            "endless nesting",
            [&[0, 0, 4, 0][..], &[0x81; 1024]].concat(),
            "a message cannot be read",
        ),
    ] {
        let mut peer = scene.greeted(3);
        let mark = scene.alpha.log().mark();
        peer.write(0, &bytes);
        let reason = peer.goodbye().unwrap_or_else(|| panic!("{what}: no goodbye was said"));
        assert!(reason.is(Code::ProtocolViolation), "{what}: {reason}");
        assert!(reason.text.contains(why), "{what}: {reason}");
        scene.check(what, mark, why);
    }
    scene.finish();
}

#[test]
fn an_unknown_message_of_64_kib_is_refused_and_the_link_stays() {
    let mut scene = Scene::new();
    // [99, {1: bytes}]
    let mut message = vec![0x82, 0x18, 99, 0xa1, 1, 0x5a];
    let rest = MESSAGE_MAX - message.len() - 4;
    message.extend((rest as u32).to_be_bytes());
    message.resize(MESSAGE_MAX, 0);
    let frame = [&(MESSAGE_MAX as u32).to_be_bytes()[..], &message].concat();
    let mut peer = scene.greeted(3);
    // Many of them, because credit for control messages comes back.
    for _ in 0..8 {
        peer.write(0, &frame);
        let answer = peer.wait_for("a refusal", |message| matches!(message, Message::Unknown(_)));
        assert_eq!(format!("{answer:?}"), "Unknown(Unknown { kind: 99 })");
    }
    scene.good.echo("echo", b"still there");
    let status = scene.alpha.status();
    assert_eq!(status.links.len(), 3, "beta and the two peers are linked: {:?}", status.links);
    scene.finish();
}

#[test]
fn anything_before_hello_is_a_violation() {
    let mut scene = Scene::new();
    let stream = [&[0x30, 2, 0x20, 2, preface("echo").len() as u8][..], &preface("echo")].concat();
    let withdrawn = Message::Other(99).frame();
    let message = [&[0x20, 0, withdrawn.len() as u8][..], &withdrawn].concat();
    for (what, bytes, why) in [
        ("a stream", stream, "a stream was opened before hello"),
        ("another message", message, "the first message was not hello"),
    ] {
        let mark = scene.alpha.log().mark();
        let mut peer = scene.stranger();
        peer.send(&bytes);
        let reason = peer.goodbye().unwrap_or_else(|| panic!("{what}: no goodbye was said"));
        assert!(
            reason.is(Code::ProtocolViolation) && reason.text.contains(why),
            "{what}: {reason}"
        );
        scene.check(what, mark, why);
    }
    scene.finish();
}

#[test]
fn an_unacceptable_hello_is_answered_with_the_reason() {
    let mut scene = Scene::new();
    let ours = scene.alpha.key();
    let fits = || hello(Key([3; 32]));
    let long = "n".repeat(65);
    for (what, hello, code, why) in [
        (
            "another version",
            trunkline_core::control::Hello { protocol: 2, ..fits() },
            Code::ProtocolVersion,
            "we speak version 1, you speak 2",
        ),
        ("our own key", hello(ours), Code::SelfLink, "this is the same server"),
        (
            "a long name",
            trunkline_core::control::Hello { name: long, ..fits() },
            Code::ProtocolViolation,
            "over 64 bytes",
        ),
        (
            "a command over TCP",
            trunkline_core::control::Hello {
                role: trunkline_core::control::Role::Command,
                ..fits()
            },
            Code::NotAllowed,
            "over unix sockets only",
        ),
    ] {
        let mark = scene.alpha.log().mark();
        let mut peer = scene.stranger();
        peer.send_message(&Message::Hello(hello));
        let reason = peer.goodbye().unwrap_or_else(|| panic!("{what}: no goodbye was said"));
        assert!(reason.is(code) && reason.text.contains(why), "{what}: {reason}");
        scene.check(what, mark, why);
    }
    scene.finish();
}

#[test]
fn unservable_streams_are_refused_and_the_link_stays() {
    let mut scene = Scene::new();
    let good = &mut scene.good;
    for to in ["nobody", "ech", "echo2"] {
        let chan = good.open(to);
        let is_answer =
            |event: &PeerEvent| matches!(event, PeerEvent::Answer(tag, _) if *tag == chan.tag);
        match good.wait_for("the answer", is_answer) {
            PeerEvent::Answer(_, Answer::Refuse(reason)) => {
                assert!(reason.is(Code::UnknownPlugin), "{to}: {reason}");
                assert!(reason.text.contains(to), "the reason names it: {reason}");
            }
            other => panic!("{to}: {other:?}"),
        }
    }
    good.echo("echo", b"the same link");

    // A preface of an unknown kind, and a command from a server. Of one peer, the log shows one
    // such line a second.
    let unknown = Preface::Other(77).frame();
    let command = Preface::Command { name: "stop".into() }.frame();
    let mut peers = Vec::new();
    for (key, frame, why) in [(3, unknown, "kind 77"), (4, command, "command line only")] {
        let (mark, stream) = (scene.alpha.log().mark(), 2);
        let mut peer = scene.greeted(key);
        peer.packet(Packet::Create(id(stream)))
            .packet(Packet::Credit { stream: id(stream), amount: 4096 });
        peer.write(stream, &frame);
        scene.alpha.log().wait_for(mark, why);
        peers.push(peer);
    }
    scene.good.echo("echo", b"all links live");
    assert!(scene.alpha.status().links.len() == 4, "{:?}", scene.alpha.status().links);
    scene.finish();
}
