//! Encrypted links whose bytes are changed, replayed or cut in transit: each side logs why, and the
//! servers relink by themselves.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use std::io::Write;
use trunkline_core::bymux::{Packet, StreamId};
use trunkline_core::control::Message;
use trunkline_tests::binaries::plugin;
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{
    Direction, Peer, Proxy, Secured, Server, Setup, Socket, hello, key_of, wait_until,
};

/// Bytes of the four messages, added up for each direction: the frames begin at these offsets.
const FRAMES_TO_SERVER: u64 = 64 + 112;
const FRAMES_TO_CLIENT: u64 = 64 + 80;

/// Far behind the hellos, where only pings and pongs travel.
const LATER: u64 = 2000;

const LISTED: u8 = 9;

const CUT: &str = "transport-lost: the connection was cut, without goodbye: ";
const NETWORK: &str = "handshake-failed: the peer belongs to another network";
const FORGED: &str = "protocol-violation: a frame's ";

/// Two servers with a proxy between them, where alpha dials beta.
struct Scene {
    alpha: Server,
    beta: Server,
    proxy: Proxy,
    _folder: Folder,
}

impl Scene {
    /// `spoil` receives the proxy before the first connection.
    fn new(spoil: impl Fn(&Proxy)) -> Scene {
        let folder = Folder::new();
        let busy = "heartbeat-ms = 20\ndead-after-ms = 30000";
        let alpha = Setup::new("alpha").server(busy);
        let beta = Setup::new("beta").server(busy).secured().peer_key(alpha.key_in(&folder));
        let beta = Server::start(&folder, &beta.plugin(&plugin("echo"), ""));
        let proxy = Proxy::start(beta.tcp_address());
        spoil(&proxy);
        let alpha = Server::start(&folder, &alpha.peer_with(beta.key(), proxy.address()));
        Scene { alpha, beta, proxy, _folder: folder }
    }

    fn wait_for_link(&self) {
        self.alpha.wait_until("alpha has a link", |status| status.link_to("beta").is_some());
        self.beta.wait_until("beta has a link", |status| status.link_to("alpha").is_some());
        self.alpha.wait_until("alpha knows beta's echo", |status| status.knows_remote("echo"));
    }

    /// Checks why each side ended the first link, and that there is another one.
    fn check(&self, what: &str, alpha_says: &str, beta_says: &str) {
        for (server, name, text) in
            [(&self.alpha, "alpha", alpha_says), (&self.beta, "beta", beta_says)]
        {
            let line = first_end(server);
            assert!(line.contains(text), "{what}: {name} says {line:?} and not {text:?}");
        }
        self.wait_for_link();
        Peer::link(Socket::unix(&self.beta), 1).echo("echo", what.as_bytes());
        assert_eq!(self.proxy.connections(), 2, "{what}: the second connection is the good one");
    }
}

/// The first line that says why a connection ended, as a link or before it was one.
fn first_end(server: &Server) -> String {
    let is_end = |line: &String| line.contains(" ended: ") || line.contains("cannot link to ");
    let found = || server.log().since(0).into_iter().find(is_end);
    wait_until("the end of a connection is logged", || found().is_some());
    found().expect("it was there")
}

#[test]
fn a_flipped_bit_ends_the_link_and_the_next_one_works() {
    use Direction::{ToClient, ToServer};
    let greeted = "handshake-failed: the peer closed the connection; it is of another network";
    let asked = "handshake-failed: the peer closed the connection; it has another key";
    let unproved = "the peer closed the connection, before it had proved its key";
    for (what, direction, at, alpha_says, beta_says) in [
        ("message 1", ToServer, 10, greeted, NETWORK),
        ("message 3", ToServer, 64 + 10, asked, "handshake-failed: message 3 cannot be opened"),
        ("message 2", ToClient, 10, NETWORK, unproved),
        ("message 4", ToClient, 64 + 10, "handshake-failed: message 4 cannot be opened", CUT),
        ("beta's first frame", ToClient, FRAMES_TO_CLIENT, FORGED, CUT),
        ("a later frame to beta", ToServer, LATER, CUT, FORGED),
        ("a later frame to alpha", ToClient, LATER, FORGED, CUT),
    ] {
        let scene = Scene::new(|proxy| proxy.flip(direction, at));
        scene.check(what, alpha_says, beta_says);
        assert_eq!(scene.proxy.faults(), 1, "{what}: the bit was flipped");
    }
}

/// Beta fails on the first frame while its message 4 is on the way, or before. Alpha may not know
/// yet that it was admitted.
#[test]
fn a_flipped_bit_after_message_3_ends_the_link() {
    let scene = Scene::new(|proxy| proxy.flip(Direction::ToServer, FRAMES_TO_SERVER + 3));
    scene.check("alpha's first frame", "", FORGED);
    assert_eq!(scene.proxy.faults(), 1, "the bit was flipped");
}

#[test]
fn replayed_bytes_end_the_link_and_the_next_one_works() {
    for (what, direction, alpha_says, beta_says) in [
        ("to beta", Direction::ToServer, CUT, FORGED),
        ("to alpha", Direction::ToClient, FORGED, CUT),
    ] {
        let scene = Scene::new(|proxy| proxy.replay(direction, LATER..LATER + 100));
        scene.check(what, alpha_says, beta_says);
        assert_eq!(scene.proxy.faults(), 1, "{what}: the bytes were sent twice");
    }
}

#[test]
fn a_cut_is_transport_lost_and_the_next_link_works() {
    let scene = Scene::new(|_| ());
    scene.wait_for_link();
    scene.proxy.cut();
    scene.check("a cut", CUT, CUT);
}

#[test]
fn a_replayed_frame_ends_the_link() {
    let folder = Folder::new();
    let beta = Setup::new("beta").secured().peer_key(key_of(LISTED)).plugin(&plugin("echo"), "");
    let beta = Server::start(&folder, &beta);
    let mut peer = Secured::connect(&beta, LISTED).expect("the key is listed");
    let hello = Message::Hello(hello(key_of(LISTED))).frame();
    let length = hello.len() as u64;
    let header = Packet::Write { stream: StreamId::CONTROL, length }.encode();
    let mut frame = Vec::new();
    let plain = [header.as_bytes(), &hello].concat();
    peer.sealer().append(&plain, &mut frame).expect("a frame of a few bytes");
    peer.stream().write_all(&frame).expect("beta reads");
    beta.log().wait_for(0, "is up");
    peer.stream().write_all(&frame).expect("beta reads");
    let line = beta.log().wait_for(0, " ended: ");
    assert!(line.contains("protocol-violation: a frame's header is forged, repeated"), "{line}");
    Peer::link(Socket::shs(&beta, LISTED), LISTED).echo("echo", b"it may come again");
}
