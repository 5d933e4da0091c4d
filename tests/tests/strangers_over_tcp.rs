//! Unknown peers at the TCP port of a server with keys: what they receive, how long they may stay,
//! and that they affect no other.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use dryoc::classic::crypto_auth::crypto_auth;
use dryoc::classic::crypto_secretbox::crypto_secretbox_easy;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use trunkline_core::key::NETWORK;
use trunkline_shs::{Handshake, Identity, Sealer};
use trunkline_tests::binaries::plugin;
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{PATIENCE, Peer, Secured, Server, Setup, Socket, fresh, key_of};

/// A peer that may link, and keeps its link all the time.
const GOOD: u8 = 9;
/// Another one, which breaks rules.
const BAD: u8 = 10;

/// How long a handshake may take in these tests.
const HANDSHAKE: Duration = Duration::from_millis(300);

struct Scene {
    beta: Server,
    good: Peer,
    _folder: Folder,
}

impl Scene {
    fn new() -> Scene {
        let folder = Folder::new();
        let setup = Setup::new("beta").secured().limit("handshake-ms = 300");
        let setup = setup.peer_key(key_of(GOOD)).peer_key(key_of(BAD));
        let beta = Server::start(&folder, &setup.plugin(&plugin("echo"), ""));
        let good = Peer::link(Socket::shs(&beta, GOOD), GOOD);
        Scene { beta, good, _folder: folder }
    }

    fn stranger(&self) -> TcpStream {
        let stream = TcpStream::connect(self.beta.tcp_address()).expect("the server listens");
        stream.set_nodelay(true).expect("a socket takes this");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time-out");
        stream
    }

    /// Checks that the server has logged in one line why it ended a link, and that others continue.
    fn check(&mut self, what: &str, mark: usize, why: &str) {
        let line = self.beta.log().wait_for(mark, " ended: ");
        assert!(line.contains(why), "{what}: the log says {line:?} and not {why:?}");
        self.good.echo("echo", what.as_bytes());
        let lines = self.beta.log().since(mark);
        let ends = lines.iter().filter(|line| line.contains(" ended: ")).count();
        assert_eq!(ends, 1, "{what}: one line, about one link: {lines:#?}");
    }
}

/// Everything that arrives until the server closes, in either way.
fn all_that_comes(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the server does not hang up: {error}"),
    }
    all
}

/// Message 1 to this server, and the handshake that continues from it.
fn message_1(server: &Server, seed: u8) -> (Handshake, Vec<u8>) {
    let us = Identity::from_seed(&[seed; 32]);
    let mut first = Vec::new();
    let handshake = Handshake::dial(&NETWORK, &us, &server.key().0, fresh(), &mut first)
        .expect("the server's key is a key");
    (handshake, first)
}

/// Sends single bytes, each after a pause, while the server reads; returns how many were sent, and
/// what arrived meanwhile.
fn trickle(stream: &mut TcpStream, bytes: &[u8]) -> (usize, Vec<u8>) {
    const PAUSE: Duration = Duration::from_millis(30);
    stream.set_read_timeout(Some(PAUSE)).expect("a socket takes a time-out");
    let mut heard = Vec::new();
    for (sent, byte) in bytes.iter().enumerate() {
        if stream.write_all(&[*byte]).is_err() {
            return (sent, heard);
        }
        let mut buffer = [0; 256];
        match stream.read(&mut buffer) {
            Ok(0) => return (sent, heard),
            Ok(count) => heard.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return (sent, heard),
        }
    }
    (bytes.len(), heard)
}

#[test]
fn a_dialler_without_a_key_is_closed_in_time_without_a_byte() {
    let mut scene = Scene::new();
    let (mark, begun) = (scene.beta.log().mark(), Instant::now());
    let mut silent = scene.stranger();
    let heard = all_that_comes(&mut silent);
    let took = begun.elapsed();
    println!("who said nothing was sent away after {took:?}");
    assert!(took >= HANDSHAKE, "too early: after {took:?}");
    assert!(heard.is_empty(), "who has proved no key heard {heard:?}");
    scene.check("silence", mark, "handshake-timeout: no hello came in time");
    let reached = scene.beta.status().limits["handshake-us"].reached;
    assert_eq!(reached, 1, "the time-out is counted");
}

#[test]
fn a_trickling_dialler_gets_no_more_time_than_a_silent_one() {
    let mut scene = Scene::new();
    // From the first byte on.
    let (mark, begun) = (scene.beta.log().mark(), Instant::now());
    let (_, first) = message_1(&scene.beta, GOOD);
    let mut stream = scene.stranger();
    let (sent, heard) = trickle(&mut stream, &[&first[..], &[0; 112]].concat());
    println!("who trickled from the start had time for {sent} bytes, in {:?}", begun.elapsed());
    assert!(begun.elapsed() >= HANDSHAKE, "too early: after {:?}", begun.elapsed());
    assert!(sent < 64 + 112, "each byte gained time");
    assert!(heard.is_empty(), "the greeting was not whole, and {heard:?} was heard");
    scene.check("trickling", mark, "handshake-timeout: no hello came in time");
    // And from message 3 on.
    let (mark, begun) = (scene.beta.log().mark(), Instant::now());
    let (mut handshake, first) = message_1(&scene.beta, BAD);
    let mut stream = scene.stranger();
    stream.write_all(&first).expect("message 1 is sent");
    let mut second = [0; 64];
    stream.read_exact(&mut second).expect("message 2 comes");
    let mut third = Vec::new();
    let progress = handshake.receive(&mut &second[..], &mut third);
    assert_eq!(third.len(), 112, "message 2 is right: {progress:?}");
    let (sent, heard) = trickle(&mut stream, &third);
    println!("who trickled message 3 had time for {sent} bytes, in {:?}", begun.elapsed());
    assert!(begun.elapsed() >= HANDSHAKE, "too early: after {:?}", begun.elapsed());
    assert!(sent < 112, "each byte gained time");
    assert!(heard.is_empty(), "behind message 2, {heard:?} was heard");
    scene.check("trickling message 3", mark, "handshake-timeout: no hello came in time");
}

/// A message 1 with the right proof of the network id, and any point in place of a key.
fn greeting(point: [u8; 32]) -> Vec<u8> {
    let mut proof = [0; 32];
    crypto_auth(&mut proof, &point, &NETWORK);
    [proof, point].concat()
}

#[test]
fn garbage_gets_no_answer() {
    let mut scene = Scene::new();
    let (mut one, mut minus_one) = ([0; 32], [0xff; 32]);
    one[0] = 1;
    (minus_one[0], minus_one[31]) = (0xec, 0x7f);
    let noise: Vec<u8> =
        (0..4096u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let network = "handshake-failed: the peer belongs to another network, or does not speak";
    let low = "handshake-failed: the peer's key is of low order";
    let early = "handshake-failed: the peer closed the connection, before it had proved its key";
    for (what, bytes, why) in [
        ("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), early),
        ("noise", noise, network),
        ("zeros", vec![0; 64], network),
        ("the point 0", greeting([0; 32]), low),
        ("the point 1", greeting(one), low),
        ("the point -1", greeting(minus_one), low),
    ] {
        let mark = scene.beta.log().mark();
        let mut stream = scene.stranger();
        stream.write_all(&bytes).expect("the server reads");
        // The server notices the errors of complete messages itself.
        if why == early {
            stream.shutdown(std::net::Shutdown::Write).expect("the end is sent");
        }
        let heard = all_that_comes(&mut stream);
        assert!(heard.is_empty(), "{what}: who has proved no key heard {heard:?}");
        scene.check(what, mark, why);
    }
}

/// A connection whose peer has proved its key and sent nothing else, with the key and the next
/// nonce of its frames.
fn proved(scene: &Scene) -> (Secured, [u8; 32], [u8; 24]) {
    let mut peer = Secured::connect(&scene.beta, BAD).expect("the key is listed");
    let (key, nonce) = peer.sealer().export();
    (peer, key, nonce)
}

/// A nonce that comes later.
fn later(mut nonce: [u8; 24], by: u8) -> [u8; 24] {
    let mut carry = u16::from(by);
    for byte in nonce.iter_mut().rev() {
        carry += u16::from(*byte);
        *byte = (carry & 0xff) as u8;
        carry >>= 8;
    }
    nonce
}

/// A frame that announces any length, as no sealer would make it.
fn forged(key: &[u8; 32], nonce: [u8; 24], length: u16, body: &[u8]) -> Vec<u8> {
    let mut boxed = vec![0; body.len() + 16];
    crypto_secretbox_easy(&mut boxed, body, &later(nonce, 1), key).expect("there is room");
    let header = [&length.to_be_bytes()[..], &boxed[..16]].concat();
    let mut frame = vec![0; 34];
    crypto_secretbox_easy(&mut frame, &header, &nonce, key).expect("there is room");
    frame.extend_from_slice(&boxed[16..]);
    frame
}

#[test]
fn illegal_frames_end_the_link() {
    let mut scene = Scene::new();
    let mark = scene.beta.log().mark();
    let (peer, key, nonce) = proved(&scene);
    peer.stream().write_all(&forged(&key, nonce, 4097, &[7; 4097])).expect("the server reads");
    let why = "protocol-violation: a frame's body of 4097 bytes is over the limit of 4096";
    scene.check("a frame of 4097 bytes", mark, why);

    let mark = scene.beta.log().mark();
    let (mut peer, key, nonce) = proved(&scene);
    let goodbye = peer.sealer().goodbye().expect("nothing was said before");
    let mut behind = Vec::new();
    let mut sealer = Sealer::new(&key, &later(nonce, 2));
    sealer.append(b"one more thing", &mut behind).expect("a short frame");
    peer.stream().write_all(&[&goodbye[..], &behind].concat()).expect("the server reads");
    let why = "protocol-violation: there are bytes after goodbye";
    scene.check("a frame behind goodbye", mark, why);
}

#[test]
fn an_empty_frame_has_no_effect() {
    let mut scene = Scene::new();
    let mark = scene.beta.log().mark();
    let (mut peer, key, nonce) = proved(&scene);
    peer.stream().write_all(&forged(&key, nonce, 0, &[])).expect("the server reads");
    *peer.sealer() = Sealer::new(&key, &later(nonce, 2));
    let mut peer = Peer::link(Socket::Shs(Box::new(peer)), BAD);
    peer.echo("echo", b"what comes behind an empty frame is heard");
    scene.good.echo("echo", b"others go on");
    let lines = scene.beta.log().since(mark);
    assert!(!lines.iter().any(|line| line.contains(" ended: ")), "{lines:#?}");
}
