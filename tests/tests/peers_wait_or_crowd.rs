//! Silent peers, peers that fall silent, and far too many peers.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use socket2::{Domain, SockAddr, Socket as Raw, Type};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use trunkline_core::bymux::MuxRole;
use trunkline_core::control::Message;
use trunkline_core::key::Key;
use trunkline_core::reason::Code;
use trunkline_tests::binaries::plugin;
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Peer, PeerEvent, RawPeer, Server, Setup, Socket, hello};

/// A server with an echo, and a peer that is linked to it.
fn server(folder: &Folder, setup: Setup) -> (Server, Peer) {
    let server = Server::start(folder, &setup.tcp().plugin(&plugin("echo"), ""));
    let peer = Peer::link(Socket::tcp(&server), 9);
    (server, peer)
}

#[test]
fn a_silent_peer_is_disconnected() {
    let folder = Folder::new();
    let (alpha, mut good) = server(&folder, Setup::new("alpha").limit("handshake-ms = 300"));
    for connect in [Socket::tcp, Socket::unix] {
        let (mark, begun) = (alpha.log().mark(), Instant::now());
        let reason = RawPeer::new(connect(&alpha)).goodbye().expect("a goodbye is said");
        let took = begun.elapsed();
        assert!(reason.is(Code::HandshakeTimeout), "{reason}");
        assert!(took >= Duration::from_millis(300), "too early: after {took:?}");
        println!("a peer that said nothing was sent away after {took:?}");
        let line = alpha.log().wait_for(mark, " ended: ");
        assert!(line.contains("handshake-timeout: no hello came in time"), "{line}");
        good.echo("echo", b"who has said hello stays");
        let lines = alpha.log().since(mark);
        let ends = lines.iter().filter(|line| line.contains(" ended: ")).count();
        assert_eq!(ends, 1, "one line about one peer: {lines:#?}");
    }
}

#[test]
fn a_trickling_peer_gets_no_more_time_than_a_silent_one() {
    let folder = Folder::new();
    let (alpha, _good) = server(&folder, Setup::new("alpha").limit("handshake-ms = 300"));
    let mut peer = RawPeer::new(Socket::tcp(&alpha));
    // One byte at a time, for as long as the server reads.
    let begun = Instant::now();
    let frame = Message::Hello(hello(Key([3; 32]))).frame();
    for byte in [&[0x21, 0, 0, frame.len() as u8][..], &frame[..20]].concat() {
        peer.send(&[byte]);
    }
    let reason = peer.goodbye().expect("a goodbye is said");
    assert!(reason.is(Code::HandshakeTimeout), "{reason} after {:?}", begun.elapsed());
}

#[test]
fn a_linked_peer_that_falls_silent_is_disconnected_and_others_stay() {
    let folder = Folder::new();
    let fast = |name| Setup::new(name).server("heartbeat-ms = 100\ndead-after-ms = 600");
    let (alpha, mut silent) = server(&folder, fast("alpha"));
    let beta = fast("beta").peer("alpha").plugin(&plugin("echo"), "");
    let beta = Server::start(&folder, &beta);
    beta.wait_until("the two are linked", |status| status.link_to("alpha").is_some());
    let (mark, begun) = (alpha.log().mark(), Instant::now());
    silent.echo("echo", b"not silent yet");
    // From now on it reads nothing, and therefore answers no ping.
    let line = alpha.log().wait_for(mark, " ended: ");
    let took = begun.elapsed();
    println!("a silent peer was dropped after {took:?}");
    assert!(line.contains("silent: a ping was not answered in time"), "{line}");
    assert!(line.contains("link to peer-"), "it names the peer: {line}");
    assert!(took >= Duration::from_millis(600), "too early: after {took:?}");
    // Both servers answer each other's pings, and send nothing else.
    let status = alpha.status();
    let link = status.link_to("beta").expect("beta answers pings");
    assert!(link.rtt_us.is_some(), "a round trip was measured: {link:?}");
    for server in [&alpha, &beta] {
        let log = server.log().text();
        let ends = log.lines().filter(|line| line.contains(" ended: ")).count();
        assert_eq!(ends, usize::from(server.key() == alpha.key()), "{log}");
    }
}

#[test]
fn silent_half_open_connections_are_evicted_first() {
    let folder = Folder::new();
    let setup = Setup::new("alpha").limit("half-open = 4\nhandshake-ms = 60000");
    let (alpha, mut good) = server(&folder, setup);
    let before = alpha.descriptors();
    let begun = Instant::now();
    let crowd: Vec<Socket> = (0..12).map(|_| Socket::tcp(&alpha)).collect();
    good.echo("echo", b"links are not touched");
    Peer::link(Socket::tcp(&alpha), 7).echo("echo", b"it is let in at once");
    let took = begun.elapsed();
    println!("behind 12 silent peers, of which 4 may be half-open, a good one waited {took:?}");
    assert!(took < Duration::from_secs(60), "it waited until a silent one had had its time");
    let open = alpha.descriptors() - before;
    assert!(open <= 5, "{open} connections are open: the good one, and 4 may be half-open");
    let reached = alpha.status().limits["half-open"].reached;
    assert!(reached >= 8, "12 connections had 4 places, but the limit was reached {reached} times");
    drop(crowd);
}

#[test]
fn unread_bytes_protect_from_eviction() {
    let folder = Folder::new();
    let setup = Setup::new("alpha").limit("half-open = 4\nhandshake-ms = 60000");
    let (alpha, mut old) = server(&folder, setup);
    // All of this is waiting when the server runs again, between and before silent peers.
    alpha.signal(Signal::STOP);
    let dial = || Socket::tcp(&alpha);
    let say = |key| Peer::send_hello(dial(), MuxRole::Dialler, hello(Key([key; 32])));
    let crowd = |count: usize| (0..count).map(|_| dial()).collect::<Vec<Socket>>();
    let mut good = vec![say(1)];
    let silent = crowd(6);
    good.push(say(2));
    let more = crowd(6);
    alpha.signal(Signal::CONT);
    for peer in &mut good {
        peer.wait_for("hello", |event| matches!(event, PeerEvent::Message(Message::Hello(_))));
        peer.echo("echo", b"it spoke in time");
    }
    old.echo("echo", b"links are not touched");
    let reached = alpha.status().limits["half-open"].reached;
    assert!(
        reached >= 8,
        "12 silent peers had 4 places, and the limit was reached {reached} times"
    );
    drop((silent, more));
}

#[test]
fn half_open_connections_that_sent_bytes_are_not_evicted() {
    let folder = Folder::new();
    let setup = Setup::new("alpha").limit("half-open = 4\nhandshake-ms = 1000");
    let (alpha, mut good) = server(&folder, setup);
    let before = alpha.descriptors();
    let mut crowd: Vec<RawPeer> = (0..4).map(|_| RawPeer::new(Socket::tcp(&alpha))).collect();
    let begun = Instant::now();
    // The first byte of a hello.
    for peer in &mut crowd {
        peer.send(&[0x21]);
    }
    good.echo("echo", b"links are not touched");
    Peer::link(Socket::tcp(&alpha), 7).echo("echo", b"its turn has come");
    let took = begun.elapsed();
    println!("behind 4 peers with 1 s each, a good one waited {took:?}");
    assert!(took >= Duration::from_millis(500), "the limit was not kept: {took:?}");
    assert!(alpha.descriptors() - before <= 5, "who had its time is gone");
}

/// Begins to connect, without waiting.
fn dial(to: SocketAddr) -> Raw {
    let socket = Raw::new(Domain::IPV4, Type::STREAM.nonblocking(), None).expect("a socket");
    // Without a listener's answer, it is on its way.
    let _ = socket.connect(&SockAddr::from(to));
    socket
}

#[test]
fn ten_thousand_connections_at_once_do_no_harm() {
    const WANTED: usize = 10_000;
    /// Descriptors that the test needs for itself.
    const OURS: usize = 200;
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).expect("the limit can be raised to its maximum");
    let most = limit.maximum.map_or(usize::MAX, |most| most as usize).saturating_sub(OURS);
    let count = WANTED.min(most);
    if count < WANTED {
        println!("only {count} of {WANTED} connections: the limit of open files is {most}");
    }

    let folder = Folder::new();
    let (alpha, mut good) = server(&folder, Setup::new("alpha"));
    let beta = Setup::new("beta").peer("alpha").plugin(&plugin("echo"), "");
    let beta = Server::start(&folder, &beta);
    beta.wait_until("the two are linked", |status| status.link_to("alpha").is_some());
    let (memory, descriptors) = (alpha.memory(), alpha.descriptors());

    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, alpha.port()));
    let begun = Instant::now();
    let crowd: Vec<Raw> = (0..count).map(|_| dial(to)).collect();
    println!("{count} connections were begun in {:?}", begun.elapsed());
    let data = vec![5; 1 << 20];
    for _ in 0..4 {
        good.echo("echo", &data);
    }
    let (open, now) = (alpha.descriptors() - descriptors, alpha.memory());
    println!(
        "in the crowd, a link carried 4 MiB and back within {:?}; the server held {open} \
         connections more; memory {} -> {} KiB",
        begun.elapsed(),
        memory / 1024,
        now / 1024
    );
    // One more exists for a moment: it is accepted before the one that it evicts is closed.
    assert!(open <= 64 + 1, "{open} connections are open, and 64 may be half-open");
    assert!(now < memory + (16 << 20), "memory grew from {memory} to {now}");
    let status = alpha.status();
    assert!(status.link_to("beta").is_some(), "the command line is served too: {status:#?}");

    drop(crowd);
    let gone = Instant::now();
    Peer::link(Socket::tcp(&alpha), 7).echo("echo", b"there is room again");
    println!("after the crowd had gone, a new peer was served within {:?}", gone.elapsed());
    good.echo("echo", b"the old link has lived through it");
    let ended = |server: &Server, name: &str| {
        let log = server.log().text();
        log.lines().any(|line| line.contains(&format!("link to {name}")) && line.contains("ended"))
    };
    assert!(!ended(&alpha, "beta") && !ended(&beta, "alpha"), "{}", beta.log().text());
}

#[test]
fn servers_beyond_the_link_limit_wait_but_the_command_line_works() {
    let folder = Folder::new();
    let (alpha, mut good) = server(&folder, Setup::new("alpha").limit("links = 3"));
    let second = Peer::link(Socket::tcp(&alpha), 1);
    let third = Peer::link(Socket::tcp(&alpha), 2);
    let mut fourth = RawPeer::new(Socket::tcp(&alpha));
    fourth.send_message(&Message::Hello(hello(Key([4; 32]))));
    good.echo("echo", b"the links that there are");
    let status = alpha.status();
    assert_eq!(status.links.len(), 3, "three links may be up: {:?}", status.links);
    drop(second);
    fourth.wait_for("its turn", |message| matches!(message, Message::Hello(_)));
    drop(third);
}
