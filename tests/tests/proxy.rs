//! The proxy between two servers changes their bytes as a test asks, and in no other way.
#![allow(clippy::expect_used)] // Helpers of tests may panic as well.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};
use trunkline_tests::harness::{Direction, PATIENCE, Proxy};

/// Both ends of a connection through the proxy.
fn connect(proxy: &Proxy, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(proxy.address()).expect("the proxy listens");
    let (server, _) = listener.accept().expect("the proxy connects");
    for socket in [&client, &server] {
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket has time-outs");
        socket.set_write_timeout(Some(PATIENCE)).expect("a socket has time-outs");
    }
    (client, server)
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
    let address = listener.local_addr().expect("a listener has an address");
    (listener, address)
}

/// Sends bytes and their end; returns what arrives.
fn send(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            from.write_all(bytes).expect("the proxy takes it");
            from.shutdown(Shutdown::Write).expect("the proxy is there");
        });
        let mut arrived = Vec::new();
        to.read_to_end(&mut arrived).expect("the proxy delivers it");
        arrived
    })
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

fn is_closed(socket: &mut TcpStream) -> bool {
    match socket.read(&mut [0; 100]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn both_directions_arrive_unchanged_and_are_recorded() {
    let (listener, address) = listener();
    let proxy = Proxy::start(address);
    for round in 1..=3 {
        let (mut client, mut server) = connect(&proxy, &listener);
        let (up, down) = (pattern(1_000_000), pattern(300_001));
        assert!(send(&mut client, &mut server, &up) == up, "the client's bytes are others");
        assert!(send(&mut server, &mut client, &down) == down, "the server's bytes are others");
        let recorded = proxy.recorded();
        assert!(recorded.to_server == up.repeat(round), "the record of the client is wrong");
        assert!(recorded.to_client == down.repeat(round), "the record of the server is wrong");
        assert_eq!(proxy.connections(), round);
    }
    assert_eq!(proxy.faults(), 0);
}

#[test]
fn a_delayed_link_still_carries_bulk() {
    let (listener, address) = listener();
    let delay = Duration::from_millis(200);
    let proxy = Proxy::start(address).delay(delay);
    let (mut client, mut server) = connect(&proxy, &listener);
    let start = Instant::now();
    client.write_all(b"ping").expect("the proxy takes it");
    server.read_exact(&mut [0; 4]).expect("the proxy delivers it");
    assert!(start.elapsed() >= delay, "it took only {:?}", start.elapsed());
    server.write_all(b"pong").expect("the proxy takes it");
    client.read_exact(&mut [0; 4]).expect("the proxy delivers it");
    assert!(start.elapsed() >= 2 * delay, "back and forth took only {:?}", start.elapsed());

    let bytes = pattern(16 * 1024 * 1024);
    let start = Instant::now();
    assert!(send(&mut client, &mut server, &bytes) == bytes, "other bytes arrived");
    // One delay for each 64 KiB would be 51 s.
    assert!(start.elapsed() < Duration::from_secs(25), "bulk took {:?}", start.elapsed());
}

#[test]
fn exactly_one_bit_is_flipped_in_one_connection() {
    let (listener, address) = listener();
    let proxy = Proxy::start(address);
    proxy.flip(Direction::ToServer, 70_000);
    let bytes = pattern(200_000);
    let (mut client, mut server) = connect(&proxy, &listener);
    let arrived = send(&mut client, &mut server, &bytes);
    let flipped =
        |(at, (sent, got)): (usize, (&u8, &u8))| (sent != got).then_some((at, sent ^ got));
    let changed: Vec<_> = bytes.iter().zip(&arrived).enumerate().filter_map(flipped).collect();
    assert_eq!(arrived.len(), bytes.len());
    assert_eq!(changed.len(), 1, "changed are {changed:?}");
    assert_eq!((changed[0].0, changed[0].1.count_ones()), (70_000, 1));
    assert!(send(&mut server, &mut client, &bytes) == bytes, "the other direction is spoiled");
    assert_eq!(proxy.faults(), 1);
    assert!(proxy.recorded().to_server == bytes, "what was sent is what is recorded");

    let (mut client, mut server) = connect(&proxy, &listener);
    assert!(send(&mut client, &mut server, &bytes) == bytes, "the next one is spoiled, too");
}

#[test]
fn a_replayed_range_follows_itself() {
    let (listener, address) = listener();
    let proxy = Proxy::start(address);
    proxy.replay(Direction::ToClient, 60_000..140_000);
    let (mut client, mut server) = connect(&proxy, &listener);
    let bytes = pattern(200_000);
    let arrived = send(&mut server, &mut client, &bytes);
    let wanted = [&bytes[..140_000], &bytes[60_000..140_000], &bytes[140_000..]].concat();
    assert!(arrived == wanted, "{} bytes arrived, of {}", arrived.len(), wanted.len());
    assert_eq!(proxy.faults(), 1);
}

#[test]
fn a_swallowed_direction_leaves_the_other_one_working() {
    let (listener, address) = listener();
    let proxy = Proxy::start(address);
    let (mut client, mut server) = connect(&proxy, &listener);
    proxy.swallow(Direction::ToServer);
    client.write_all(b"is anybody there?").expect("the proxy takes it");
    assert!(send(&mut server, &mut client, b"yes") == b"yes", "the other direction is swallowed");
    drop(client);
    let time = Duration::from_millis(100);
    server.set_read_timeout(Some(time)).expect("a socket has time-outs");
    let heard = server.read(&mut [0; 100]).map_err(|error| error.kind());
    assert_eq!(heard, Err(ErrorKind::WouldBlock), "the server must hear nothing, not even an end");
    assert_eq!(proxy.recorded().to_server, b"is anybody there?");
}

#[test]
fn a_cut_closes_both_sides_and_the_next_connection_works() {
    let (listener, address) = listener();
    // Bytes on their way must not keep a connection open.
    let proxy = Proxy::start(address).delay(10 * PATIENCE);
    let mut ends = Vec::new();
    for _ in 0..3 {
        let (mut client, server) = connect(&proxy, &listener);
        client.write_all(b"late").expect("the proxy takes it");
        ends.extend([client, server]);
    }
    proxy.cut();
    assert!(ends.iter_mut().all(is_closed), "something came through");
    let (client, mut server) = connect(&proxy, &listener);
    server.set_read_timeout(Some(Duration::from_millis(50))).expect("a socket has time-outs");
    assert!(!is_closed(&mut server), "the next connection was cut as well");
    drop(client);
    assert_eq!(proxy.connections(), 4);
}

#[test]
fn a_dropped_proxy_ends_its_connections_and_stops_listening() {
    let (listener, address) = listener();
    let proxy = Proxy::start(address).delay(10 * PATIENCE);
    let (mut client, mut server) = connect(&proxy, &listener);
    client.write_all(b"late").expect("the proxy takes it");
    let (address, start) = (proxy.address(), Instant::now());
    drop(proxy);
    assert!(start.elapsed() < PATIENCE, "it took {:?}", start.elapsed());
    assert!(is_closed(&mut client) && is_closed(&mut server), "a side is still open");
    let error = TcpStream::connect(address).map_err(|error| error.kind());
    assert_eq!(error.err(), Some(ErrorKind::ConnectionRefused));
}

#[test]
fn a_missing_server_closes_the_clients_connection() {
    let (listener, address) = listener();
    drop(listener);
    let proxy = Proxy::start(address);
    let mut client = TcpStream::connect(proxy.address()).expect("the proxy listens");
    client.set_read_timeout(Some(PATIENCE)).expect("a socket has time-outs");
    assert!(is_closed(&mut client), "something came through");
    assert_eq!(proxy.connections(), 1);
}

#[test]
#[should_panic(expected = "more than 67108864 bytes went through the proxy")]
fn exceeding_the_recording_limit_fails_the_test() {
    let (listener, address) = listener();
    let proxy = Proxy::start(address);
    let (mut client, mut server) = connect(&proxy, &listener);
    std::thread::scope(|scope| {
        scope.spawn(|| std::io::copy(&mut server, &mut std::io::sink()));
        let block = vec![0; 1024 * 1024];
        // The proxy cuts it off.
        for _ in 0..80 {
            if client.write_all(&block).is_err() {
                break;
            }
        }
        let _ = client.shutdown(Shutdown::Both);
    });
    drop(proxy);
}
