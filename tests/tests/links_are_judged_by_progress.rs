//! When a link ends for silence: if a ping stays unanswered although time and bytes pass, and not
//! because this process was stopped, or the path is slow.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use rustix::process::Signal;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};
use trunkline_core::bymux::Packet;
use trunkline_core::control::Message;
use trunkline_core::key::Key;
use trunkline_tests::binaries::plugin;
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{
    Peer, Process, Proxy, RawPeer, Server, Setup, Socket, Status, hello, wait_until,
};

const HEARTBEAT: &str = "heartbeat-ms = 200\ndead-after-ms = 1000";

/// The longest silence of a peer with that heartbeat.
const DEAD_AFTER: Duration = Duration::from_secs(1);

/// The time in which a peer without a pong is ended, on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// An unknown kind of control message.
const UNKNOWN: u64 = 99;

/// A peer that has sent hello, and received the server's and the first ping.
fn greeted(server: &Server) -> RawPeer {
    let mut peer = RawPeer::new(Socket::unix(server));
    peer.send_message(&Message::Hello(hello(Key([9; 32]))));
    peer.wait_for("hello", |message| matches!(message, Message::Hello(_)));
    peer.wait_for_pings(1);
    peer
}

/// Stops a process until `time` has passed. Checks meanwhile what holds.
fn stop_for(process: Process, time: Duration, holds: impl Fn()) {
    assert!(process.signal(Signal::STOP));
    wait_until("it is stopped", || process.state() == Some('T'));
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        holds();
        std::thread::park_timeout(left.min(Duration::from_millis(10)));
    }
    assert!(process.signal(Signal::CONT));
}

#[test]
fn a_server_that_was_stopped_keeps_its_processes() {
    let folder = Folder::new();
    let setup = Setup::new("alpha").server(HEARTBEAT);
    let setup = setup.plugin(&plugin("echo"), "placement = \"process\"");
    let alpha = Server::start(&folder, &setup);
    alpha.wait_until("it runs", |status| status.is("echo", "running"));
    let children = alpha.process().children();
    assert_eq!(children.len(), 1);
    let mark = alpha.log().mark();
    stop_for(alpha.process(), 3 * DEAD_AFTER, || {
        let state = children[0].state();
        assert!(state.is_some_and(|state| state != 'Z'), "it ended while its server was stopped");
    });
    Peer::link(Socket::unix(&alpha), 9).echo("echo", b"it went on");
    assert_eq!(alpha.process().children(), children);
    let lines = alpha.log().since(mark);
    let ended = lines.iter().find(|line| line.contains("the host of echo ended"));
    assert_eq!(ended, None);
}

#[test]
fn a_server_that_was_stopped_reads_before_it_gives_a_peer_up() {
    let folder = Folder::new();
    let alpha = Server::start(&folder, &Setup::new("alpha").server(HEARTBEAT));
    let mut peer = greeted(&alpha);
    peer.packet(Packet::GlobalPong);
    peer.wait_for_pings(2);
    // The pong comes while the server is stopped: it is late by the server's clock only.
    let answered = std::cell::Cell::new(false);
    let peer = std::cell::RefCell::new(peer);
    stop_for(alpha.process(), DEAD_AFTER + DEAD_AFTER / 4, || {
        if !answered.replace(true) {
            peer.borrow_mut().packet(Packet::GlobalPong);
        }
    });
    let mut peer = peer.into_inner();
    peer.send_message(&Message::Other(UNKNOWN));
    let answer = |message: &Message| matches!(message, Message::Unknown(it) if it.kind == UNKNOWN);
    peer.wait_for("an answer over the same link", answer);
}

#[test]
fn a_peer_that_says_something_but_answers_no_ping_is_ended() {
    let folder = Folder::new();
    let alpha = Server::start(&folder, &Setup::new("alpha").server(HEARTBEAT));
    let mark = alpha.log().mark();
    let mut peer = greeted(&alpha);
    let begun = Instant::now();
    // One byte at a time, each answered by a byte.
    while peer.packet(Packet::GlobalPing).read_on() {
        assert!(begun.elapsed() < SOON, "its link is kept");
        std::thread::park_timeout(Duration::from_millis(50));
    }
    println!("it was ended after {:?}", begun.elapsed());
    assert!(begun.elapsed() >= DEAD_AFTER - Duration::from_millis(250), "not before its time");
    alpha.log().wait_for(mark, "ended: silent: a ping was not answered in time");
}

/// Two servers whose link is slow, with a `forward` each: one listens, the other serves `web`.
struct Slow {
    proxy: Proxy,
    alpha: Server,
    beta: Server,
    at: SocketAddr,
}

impl Slow {
    fn start(folder: &Folder, heartbeat: &str, rate: usize, web: SocketAddr) -> Slow {
        let listen = "[[plugin.config.listen]]\naddress = \"127.0.0.1:0\"\nto = \"web\"";
        let beta = Setup::new("beta").server(heartbeat);
        let alpha = Setup::new("alpha").server(heartbeat).secured().peer_key(beta.key_in(folder));
        let alpha = Server::start(folder, &alpha.plugin(&plugin("forward"), listen));
        let proxy = Proxy::start(alpha.tcp_address()).slow(rate);
        let serve = format!("[plugin.config.serve]\nweb = \"{web}\"");
        let beta = beta.peer_with(alpha.key(), proxy.address());
        let beta = Server::start(folder, &beta.plugin(&plugin("forward"), &serve));
        let both = |status: &Status| status.knows_remote("forward");
        alpha.wait_until("both servers know both plugins", both);
        let line = alpha.log().wait_for(0, " for web");
        let text = line.split("listening on ").nth(1).and_then(|rest| rest.split(' ').next());
        let at = text.and_then(|text| text.parse().ok()).expect("the line names an address");
        Slow { proxy, alpha, beta, at }
    }
}

/// A link of 2 Mbit/s with a heartbeat of 0.5 s and 1.5 s is to these what one of 128 kbit/s is to
/// the defaults: 20 times faster.
#[test]
fn an_upload_over_a_slow_link_is_carried_to_its_end() {
    const RATE: usize = 250_000;
    const UPLOAD: usize = 2_500_000;
    let service = TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
    let web = service.local_addr().expect("a listener has an address");
    let folder = Folder::new();
    let slow = Slow::start(&folder, "heartbeat-ms = 500\ndead-after-ms = 1500", RATE, web);
    let begun = Instant::now();
    let at = slow.at;
    let upload = std::thread::spawn(move || {
        let mut client = TcpStream::connect(at).expect("forward listens");
        client.write_all(&vec![7; UPLOAD])
    });
    let (mut served, _) = service.accept().expect("forward dials the service");
    let (mut arrived, mut buffer) = (0, vec![0; 64 * 1024]);
    let ended = loop {
        match served.read(&mut buffer) {
            Ok(0) => break Ok(()),
            Ok(count) => arrived += count,
            Err(error) => break Err(error),
        }
    };
    println!("{arrived} bytes arrived in {:?}", begun.elapsed());
    for server in [&slow.alpha, &slow.beta] {
        let text = server.log().text();
        assert!(!text.contains("silent"), "{}: the link was given up:\n{text}", server.name());
    }
    assert!(ended.is_ok() && arrived == UPLOAD, "{ended:?}: {arrived} bytes");
    assert!(begun.elapsed() >= Duration::from_secs(5), "the link was not slow");
    assert_eq!(slow.proxy.connections(), 1, "one link");
    let uploaded = upload.join().expect("no panic");
    assert!(uploaded.is_ok(), "{uploaded:?}");
}
