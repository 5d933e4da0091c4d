//! Far too many unknown connections at the TCP port of a server with keys: how many it keeps at a
//! time, what they cost, and that servers link nevertheless.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};
use trunkline_tests::binaries::plugin;
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{PATIENCE, Peer, Secured, Server, Setup, Socket, key_of, message_3};

const LISTED: u8 = 9;
/// A key that no server lists.
const STRANGER: u8 = 10;

/// Lets this process have this many files open at a time.
fn allow_descriptors(count: u64) {
    let limit = getrlimit(Resource::Nofile);
    let enough = limit.maximum.is_none_or(|most| most >= count);
    assert!(enough, "this test needs {count} open files; raise `ulimit -Hn`, which is {limit:?}");
    let raised = Rlimit { current: Some(count.max(limit.current.unwrap_or(0))), ..limit };
    setrlimit(Resource::Nofile, raised).expect("the limit can be raised to its maximum");
}

fn server(folder: &Folder, setup: Setup) -> Server {
    let setup = setup.secured().peer_key(key_of(LISTED)).plugin(&plugin("echo"), "");
    Server::start(folder, &setup)
}

fn stranger(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.tcp_address()).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time-out");
    stream
}

/// A dialler that has sent message 1 and all of message 3 but its last byte, and has received
/// message 2.
fn half_open(server: &Server) -> TcpStream {
    let mut stream = stranger(server);
    let third = message_3(&mut stream, server, STRANGER).expect("message 2 is right");
    stream.write_all(&third[..111]).expect("message 3 is sent");
    stream
}

#[test]
fn a_server_links_despite_a_thousand_silent_connections() {
    const CROWD: usize = 1000;
    allow_descriptors(CROWD as u64 + 200);
    let folder = Folder::new();
    let beta = Setup::new("beta");
    let setup = Setup::new("alpha").limit("handshake-ms = 60000").peer_key(beta.key_in(&folder));
    let alpha = server(&folder, setup);
    let mut good = Peer::link(Socket::shs(&alpha, LISTED), LISTED);
    good.echo("echo", &vec![5; 1 << 20]);
    let (memory, descriptors) = (alpha.memory(), alpha.descriptors());
    let begun = Instant::now();
    let crowd: Vec<TcpStream> = (0..CROWD).map(|_| stranger(&alpha)).collect();
    let beta = beta.peer_with(alpha.key(), alpha.tcp_address());
    let beta = Server::start(&folder, &beta);
    beta.wait_until("beta is linked", |status| status.knows_remote("echo"));
    let (took, open) = (begun.elapsed(), alpha.descriptors() - descriptors);
    good.echo("echo", &vec![5; 1 << 20]);
    let grown = alpha.memory().saturating_sub(memory);
    let half_open = alpha.status().limits["half-open"].reached;
    println!(
        "behind {CROWD} silent strangers, a server was linked after {took:?}; {open} connections \
         more were open, memory grew by {} KiB, the limit was reached {half_open} times",
        grown / 1024
    );
    assert!(took < Duration::from_secs(30), "it waited for the time of strangers: {took:?}");
    // The 64, and beta's link.
    assert!(open <= 65, "{open} connections more are open, and 64 may be half-open");
    assert!(grown < 4 << 20, "memory grew by {grown} bytes");
    assert!(half_open >= 900, "{CROWD} had 64 places, but the limit was reached {half_open} times");
    assert_eq!(crowd.len(), CROWD);
    let log = beta.log().text();
    assert!(!log.contains(" ended: "), "the first attempt was the good one:\n{log}");
}

#[test]
fn connections_that_prove_the_network_id_are_not_evicted() {
    const TIME: Duration = Duration::from_millis(2000);
    allow_descriptors(300);
    let folder = Folder::new();
    let alpha = server(&folder, Setup::new("alpha").limit("handshake-ms = 2000"));
    let mut good = Peer::link(Socket::unix(&alpha), 1);
    let (descriptors, begun) = (alpha.descriptors(), Instant::now());
    let crowd: Vec<TcpStream> = (0..64).map(|_| half_open(&alpha)).collect();
    println!("64 strangers had said message 1 after {:?}", begun.elapsed());
    let late = Secured::connect(&alpha, LISTED).expect("its turn comes");
    let took = begun.elapsed();
    println!("the 65th was served after {took:?}, when the first had had its time");
    assert!(took >= TIME, "the 65th did not wait: it took {took:?}");
    assert!(alpha.descriptors() - descriptors <= 64, "at most 64 are open at a time");
    good.echo("echo", b"links are not touched");
    Peer::link(Socket::Shs(Box::new(late)), LISTED).echo("echo", b"nor is who was late");
    drop(crowd);
}

/// The most that an unproved connection can make the server hold, in bytes: its half of the
/// handshake, a timer, and the cost of each connection.
const MOST_HELD: u64 = 4096;

#[test]
fn an_unproved_connection_costs_at_most_four_kibibytes() {
    const CROWD: usize = 1000;
    allow_descriptors(CROWD as u64 + 200);
    let folder = Folder::new();
    let setup = Setup::new("alpha").limit("half-open = 1000\nhandshake-ms = 60000");
    let alpha = server(&folder, setup);
    // What is allocated once for all exists when the first has been served.
    Peer::link(Socket::shs(&alpha, LISTED), LISTED).echo("echo", &vec![5; 1 << 20]);
    drop((0..10).map(|_| half_open(&alpha)).collect::<Vec<_>>());
    let before = alpha.memory();
    let crowd: Vec<TcpStream> = (0..CROWD).map(|_| half_open(&alpha)).collect();
    let open = alpha.descriptors();
    assert!(open >= CROWD, "all of them are open at a time, not only {open}");
    let grown = alpha.memory().saturating_sub(before);
    let each = grown / CROWD as u64;
    println!("{CROWD} half-open handshakes cost {} KiB, {each} bytes each", grown / 1024);
    assert!(each <= MOST_HELD, "{each} bytes are held for each, and {MOST_HELD} are allowed");
    drop(crowd);
}
