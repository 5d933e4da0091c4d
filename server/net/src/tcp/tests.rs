//! Tests of TCP sockets, on loopback.

use super::*;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

const PATIENCE: Duration = Duration::from_secs(10);

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// Accepts, with a deadline.
fn wait_for(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        match accept(listener) {
            Accepted::Connection(accepted) => return accepted,
            Accepted::Nobody => std::thread::park_timeout(Duration::from_millis(1)),
            Accepted::Short(error) => panic!("{error}"),
        }
    }
    panic!("nobody connects");
}

fn wait_until_connected(socket: &TcpStream) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if connected(socket)?.is_some() {
            return Ok(());
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    panic!("neither connected nor refused");
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = listen(loopback(), Families::Both).unwrap();
    let ours = dial(listener.local_addr().unwrap(), LocalPort::Any).unwrap();
    wait_until_connected(&ours).unwrap();
    (ours, wait_for(&listener).0)
}

#[test]
fn dialled_and_accepted_sockets_have_the_same_options() {
    let (ours, theirs) = pair();
    for (side, socket) in [("dialled", &ours), ("accepted", &theirs)] {
        let socket = SockRef::from(socket);
        assert!(socket.tcp_nodelay().unwrap(), "{side}");
        assert!(socket.keepalive().unwrap(), "{side}");
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_AFTER, "{side}");
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_EVERY, "{side}");
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE_PROBES, "{side}");
        assert!(socket.out_of_band_inline().unwrap(), "{side}");
        let flags = rustix::io::fcntl_getfd(&*socket).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC), "{side}");
        assert!(socket.nonblocking().unwrap(), "{side}");
        let congestion = socket.tcp_congestion().unwrap();
        assert!(congestion.starts_with(CONGESTION_ON_LOOPBACK), "{side}: {congestion:?}");
    }
}

#[test]
fn an_urgent_byte_stays_in_its_place() {
    let (mut ours, mut theirs) = pair();
    ours.write_all(b"abc").unwrap();
    SockRef::from(&ours).send_out_of_band(b"!").unwrap();
    ours.write_all(b"def").unwrap();
    drop(ours);
    theirs.set_nonblocking(false).unwrap();
    theirs.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut heard = String::new();
    theirs.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "abc!def");
}

#[test]
fn a_connection_to_itself_is_refused_and_its_port_is_free_at_once() {
    let socket = stream_socket(loopback()).unwrap();
    socket.bind(&loopback().into()).unwrap();
    let own = socket.local_addr().unwrap();
    // The kernel connects a socket that dials its own address to itself.
    let _ = socket.connect(&own);
    let socket = TcpStream::from(socket);
    let error = wait_until_connected(&socket).expect_err("nothing listens there");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    drop(socket);
    // Without SO_REUSEADDR, so that a connection in TIME_WAIT would count.
    let service = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    service.bind(&own).expect("the service takes its port");
}

#[test]
fn an_ipv6_listener_takes_ipv4_unless_another_listener_does() {
    let any6 = |port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let any4 = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    assert_eq!(Families::of(any6(8), &[any6(8), any4(9)]), Families::Both);
    assert_eq!(Families::of(any6(8), &[any6(8), any4(8)]), Families::V6Only);
    assert_eq!(Families::of(any4(8), &[any6(8), any4(8)]), Families::Both);
    assert_eq!(Families::of(any6(0), &[any6(0), any4(0)]), Families::Both);

    let Ok(both) = listen(any6(0), Families::Both) else { return };
    let port = both.local_addr().unwrap().port();
    let ours = dial((Ipv4Addr::LOCALHOST, port).into(), LocalPort::Any).unwrap();
    wait_until_connected(&ours).unwrap();
    let (theirs, from) = wait_for(&both);
    assert_eq!(from, ours.local_addr().unwrap(), "IPv4 addresses are reported as such");
    let (local, peer) = addresses(&theirs).unwrap();
    assert_eq!((local, peer), (ours.peer_addr().unwrap(), from));
    drop((ours, theirs, both));

    let v6 = listen(any6(0), Families::V6Only).unwrap();
    let port = v6.local_addr().unwrap().port();
    listen(any4(port), Families::Both).expect("both families have a listener");
}

#[test]
fn an_address_that_is_about_to_become_free_is_waited_for() {
    let predecessor = listen(loopback(), Families::Both).unwrap();
    let addr = predecessor.local_addr().unwrap();
    assert!(listen(addr, Families::Both).is_err_and(|error| is_in_use(&error)));
    let ends = std::thread::spawn(move || {
        std::thread::park_timeout(Duration::from_millis(50));
        drop(predecessor);
    });
    listen_at_start(addr, Families::Both).expect("it is free in time");
    ends.join().unwrap();
    let other = listen(loopback(), Families::Both).unwrap();
    let error = listen_at_start(other.local_addr().unwrap(), Families::Both);
    assert!(error.is_err_and(|error| is_in_use(&error)), "it is not free");
}

#[test]
fn two_dials_can_share_a_local_port() {
    let [first, second] = [(); 2].map(|()| listen(loopback(), Families::Both).unwrap());
    let ours = dial(first.local_addr().unwrap(), LocalPort::Shared).unwrap();
    let from = ours.local_addr().unwrap();
    let again = dial(second.local_addr().unwrap(), LocalPort::From(from)).unwrap();
    wait_until_connected(&again).unwrap();
    assert_eq!(wait_for(&second).1, from);
}

#[test]
fn a_socket_that_is_reset_is_seen_as_reset() {
    let (ours, mut theirs) = pair();
    reset_on_drop(&ours).unwrap();
    drop(ours);
    theirs.set_nonblocking(false).unwrap();
    let error = theirs.read(&mut [0]).expect_err("the connection was reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}
