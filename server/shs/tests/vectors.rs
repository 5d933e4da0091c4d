//! The recorded handshakes and box streams of other implementations, split at every byte.
#![allow(clippy::expect_used, clippy::unwrap_used)] // Helpers of tests may panic as well.

use std::collections::BTreeMap;

use serde::Deserialize;
use trunkline_shs::{Ephemeral, Handshake, Identity, Opened, Opener, Progress, Reader, Sealer};

#[derive(Deserialize)]
struct Vectors {
    shs: Vec<BTreeMap<String, serde_json::Value>>,
    r#box: Vec<Stream>,
}

#[derive(Deserialize)]
struct Stream {
    name: String,
    key: String,
    nonce: String,
    plain: Vec<String>,
    frames: Vec<Piece>,
}

/// A header, or a body: long ones are named by their length, beginning and hash.
#[derive(Deserialize)]
#[serde(untagged)]
enum Piece {
    Bytes(String),
    Long { len: usize, head16: String, sha256: String },
}

fn vectors() -> Vectors {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/shs.json");
    let text = std::fs::read_to_string(path).expect("tests/vectors/shs.json can be read");
    serde_json::from_str(&text).expect("shs.json has the shape that this test knows")
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("hex"))
        .collect()
}

fn array<const N: usize>(text: &str) -> [u8; N] {
    unhex(text).try_into().expect("the vector has the right length")
}

/// One recorded handshake.
struct Recorded(BTreeMap<String, serde_json::Value>);

impl Recorded {
    fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_else(|| panic!("{name} is not a text"))
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        unhex(self.text(name))
    }

    fn dial(&self) -> (Handshake, Vec<u8>) {
        let mut first = Vec::new();
        let us = Identity::from_seed(&array(self.text("client_seed")));
        assert_eq!(us.public()[..], self.bytes("client_pk"));
        let handshake = Handshake::dial(
            &array(self.text("app")),
            &us,
            &array(self.text("server_pk")),
            Ephemeral::from_secret(&array(self.text("client_eph_sk"))),
            &mut first,
        );
        (handshake.expect("the server's key is good"), first)
    }

    fn accept(&self) -> Handshake {
        let us = Identity::from_seed(&array(self.text("server_seed")));
        assert_eq!(us.public()[..], self.bytes("server_pk"));
        let ephemeral = Ephemeral::from_secret(&array(self.text("server_eph_sk")));
        Handshake::accept(&array(self.text("app")), &us, ephemeral)
    }

    /// Key and nonce of the direction that the dialler sends (`enc`) or receives (`dec`).
    fn outcome(&self, direction: &str) -> ([u8; 32], [u8; 24]) {
        let outcome = &self.0["client_outcome"];
        let text = |what| outcome[format!("{direction}_{what}")].as_str().expect("a text");
        (array(text("key")), array(text("nonce")))
    }
}

/// Gives `message` in two parts; the last progress and everything that is sent.
fn give(to: &mut Handshake, message: &[u8], split: usize) -> (Progress, Vec<u8>) {
    let (front, back) = message.split_at(split);
    let mut output = Vec::new();
    let progress = to.receive(&mut &front[..], &mut output).expect("the recorded bytes are good");
    assert!(matches!(progress, Progress::Waiting) && output.is_empty(), "after {split} bytes");
    let progress = to.receive(&mut &back[..], &mut output).expect("the recorded bytes are good");
    (progress, output)
}

#[test]
fn recorded_handshakes_split_at_every_byte() {
    for recorded in vectors().shs.into_iter().map(Recorded) {
        for split in 0..trunkline_shs::MESSAGE_MAX {
            check_handshake(&recorded, split);
        }
    }
}

/// Both roles, each fed with what the other has sent in the recording.
fn check_handshake(recorded: &Recorded, split: usize) {
    let at = |message: &[u8]| split.min(message.len() - 1);
    let [first, second, third, fourth] =
        ["msg1", "msg2", "msg3", "msg4"].map(|name| recorded.bytes(name));
    let (mut dialler, sent) = recorded.dial();
    assert_eq!(sent, first, "message 1");
    assert_eq!(give(&mut dialler, &second, at(&second)).1, third, "message 3");
    let Progress::Done(dialled) = give(&mut dialler, &fourth, at(&fourth)).0 else {
        panic!("the dialler is not done after message 4")
    };
    let mut acceptor = recorded.accept();
    assert_eq!(give(&mut acceptor, &first, at(&first)).1, second, "message 2");
    let (progress, nothing) = give(&mut acceptor, &third, at(&third));
    assert!(matches!(progress, Progress::Asks(key) if key[..] == recorded.bytes("client_pk")));
    assert!(nothing.is_empty(), "the acceptor answered before it was told to");
    let mut sent = Vec::new();
    let accepted = acceptor.admit(&mut sent).expect("the dialler asks");
    assert_eq!(sent, fourth, "message 4");
    for (sealer, opener, direction) in
        [(&dialled.sealer, &accepted.opener, "enc"), (&accepted.sealer, &dialled.opener, "dec")]
    {
        assert_eq!(sealer.export(), recorded.outcome(direction), "{direction}");
        assert_eq!(opener.export(), recorded.outcome(direction), "{direction}");
    }
    assert_eq!(accepted.peer[..], recorded.bytes("client_pk"));
    assert_eq!(dialled.peer[..], recorded.bytes("server_pk"));
}

#[test]
fn recorded_streams_are_sealed_byte_by_byte_the_same() {
    for stream in vectors().r#box {
        let wire = sealed(&stream);
        let mut rest = &wire[..];
        for (number, piece) in stream.frames.iter().enumerate() {
            let what = format!("{}: piece {number}", stream.name);
            let length = match piece {
                Piece::Bytes(text) => text.len() / 2,
                Piece::Long { len, .. } => *len,
            };
            let (front, back) = rest.split_at(length);
            match piece {
                Piece::Bytes(text) => assert_eq!(front, unhex(text), "{what}"),
                Piece::Long { head16, sha256, .. } => {
                    assert_eq!(front[..16], unhex(head16), "{what}");
                    let hash = libsodium_rs::crypto_hash::hash_sha256(front);
                    assert_eq!(hash[..], unhex(sha256), "{what}");
                }
            }
            rest = back;
        }
        assert!(rest.is_empty(), "{}: {} bytes too many", stream.name, rest.len());
    }
}

#[test]
fn recorded_streams_split_at_every_byte() {
    for stream in vectors().r#box {
        let wire = sealed(&stream);
        let plain = stream.plain.iter().flat_map(|text| unhex(text)).collect::<Vec<u8>>();
        for split in 0..wire.len() {
            let mut reader = Reader::from(Opener::new(&array(&stream.key), &array(&stream.nonce)));
            let mut bodies = Vec::new();
            for part in [&wire[..split], &wire[split..]] {
                let mut part = part.to_vec();
                let mut at = 0;
                while let (used, Opened::Body(body)) =
                    reader.next(&mut part[at..]).expect("recorded bytes are good")
                {
                    bodies.extend_from_slice(body);
                    at += used;
                }
            }
            assert!(bodies == plain, "{}: split after {split}", stream.name);
            assert_eq!(reader.end(), Ok(()), "{}: split after {split}", stream.name);
        }
    }
}

fn sealed(stream: &Stream) -> Vec<u8> {
    let mut sealer = Sealer::new(&array(&stream.key), &array(&stream.nonce));
    let mut wire = Vec::new();
    for plain in &stream.plain {
        sealer.append(&unhex(plain), &mut wire).expect("goodbye was not said");
    }
    wire.extend_from_slice(&sealer.goodbye().expect("goodbye was not said"));
    wire
}
