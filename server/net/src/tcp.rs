//! TCP sockets: listening, accepting, dialling, and the options that all of them have.

use crate::accepting::{self, Accepted};
use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Connections that may wait to be accepted: the kernel's usual bound.
const BACKLOG: i32 = 4096;

/// Idle time after which the kernel probes the peer. Without probes, a peer that vanished would
/// never be noticed.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);

/// Time between two probes.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);

/// Unanswered probes that end a connection: a peer that vanished is noticed after 90 s.
const KEEPALIVE_PROBES: u32 = 6;

/// Bytes that may wait in the kernel until the network takes them. The kernel's own bound is some
/// megabytes, and what is urgent waits behind them: at 128 kbit/s a ping would wait for minutes.
/// Behind these it waits for 8 s. Fewer bytes would cost a wakeup for each of a few segments.
/// Loopback is no exception: behind it may be a tunnel to a slow path.
const UNSENT_MAX: u32 = 128 * 1024;

/// The congestion control of connections within this machine. Every kernel has it, and every user
/// may select it. The system's default may pace what it sends (`bbr`), and its timers would cost
/// more than the copying.
const CONGESTION_ON_LOOPBACK: &[u8] = b"reno";

/// How long children of a killed server may keep its listeners: six times the longest that was
/// measured on a busy machine.
const PREDECESSOR_ENDS: Duration = Duration::from_millis(500);

/// The pause between two attempts to listen.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Which connections an IPv6 listener on all addresses takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    /// Those of IPv6 and those of IPv4.
    Both,
    /// Those of IPv6 only, because another listener takes those of IPv4.
    V6Only,
}

/// The local port of a connection that is dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalPort {
    /// Any free port.
    Any,
    /// Any free port, from which later dials [`From`](LocalPort::From) it are possible.
    Shared,
    /// This address, which a connection of ours has already: for hole punching.
    From(SocketAddr),
}

impl Families {
    /// What a listener on `addr` takes, if the process also listens on the addresses `listed`.
    #[must_use]
    pub fn of(addr: SocketAddr, listed: &[SocketAddr]) -> Families {
        let takes_v4 = |other: &SocketAddr| other.is_ipv4() && other.port() == addr.port();
        match addr.is_ipv6() && addr.port() != 0 && listed.iter().any(takes_v4) {
            true => Families::V6Only,
            false => Families::Both,
        }
    }
}

/// Listens on an address; port 0 is any free port. The options of accepted connections are set
/// here, because they inherit them before their first byte.
///
/// # Errors
///
/// When the address cannot be used.
pub fn listen(addr: SocketAddr, families: Families) -> io::Result<TcpListener> {
    let socket = stream_socket(addr)?;
    // Without this option, the address stays in use for a minute after its connections have ended.
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(families == Families::V6Only)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// As [`listen`], while a process starts: waits for up to half a second until the address is free.
/// A child that a killed server was just starting has a copy of its listener until it calls `exec`.
///
/// # Errors
///
/// As of [`listen`].
pub fn listen_at_start(addr: SocketAddr, families: Families) -> io::Result<TcpListener> {
    let deadline = Instant::now() + PREDECESSOR_ENDS;
    loop {
        match listen(addr, families) {
            Err(error) if is_in_use(&error) && Instant::now() < deadline => {
                std::thread::park_timeout(LOOK_AGAIN);
            }
            listener => return listener,
        }
    }
}

fn is_in_use(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

/// Accepts the next connection, with the address of the peer.
pub fn accept(listener: impl AsFd) -> Accepted<(TcpStream, SocketAddr)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    accepting::accept(|| {
        let (socket, from) = acceptfrom_with(&listener, flags)?;
        // Linux gives no address of a connection that was reset meanwhile.
        let from = from.and_then(|from| SocketAddr::try_from(from).ok());
        let from = from.ok_or(rustix::io::Errno::CONNABORTED)?;
        Ok((TcpStream::from(socket), canonical(from)))
    })
}

/// Begins to connect. When the socket becomes writable, [`connected`] gives the outcome.
///
/// # Errors
///
/// When it fails at once.
pub fn dial(addr: SocketAddr, port: LocalPort) -> io::Result<TcpStream> {
    let socket = stream_socket(addr)?;
    if port != LocalPort::Any {
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
    }
    if let LocalPort::From(from) = port {
        socket.bind(&from.into())?;
    }
    match socket.connect(&addr.into()) {
        Err(error) if error.raw_os_error() != Some(IN_PROGRESS) => Err(error),
        _ => Ok(socket.into()),
    }
}

const IN_PROGRESS: i32 = rustix::io::Errno::INPROGRESS.raw_os_error();

/// The outcome of connecting a TCP or unix socket; `None` while it is in progress.
///
/// # Errors
///
/// Why it failed. A connection to itself is `ConnectionRefused`: if nothing listens on a port from
/// which the kernel also takes local ports, it may connect a socket to that same socket.
pub fn connected(socket: impl AsFd) -> io::Result<Option<()>> {
    let socket = SockRef::from(&socket);
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    let peer = match socket.peer_addr() {
        Ok(peer) => peer.as_socket(),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(None),
        Err(error) => return Err(error),
    };
    if peer.is_some() && socket.local_addr()?.as_socket() == peer {
        // An orderly end would keep the port of the service in use for a minute.
        socket.set_linger(Some(Duration::ZERO))?;
        return Err(rustix::io::Errno::CONNREFUSED.into());
    }
    Ok(Some(()))
}

/// The addresses of both ends of a connection: ours, and the peer's.
///
/// # Errors
///
/// When it is not connected.
pub fn addresses(socket: impl AsFd) -> io::Result<(SocketAddr, SocketAddr)> {
    let socket = SockRef::from(&socket);
    let of = |addr: socket2::SockAddr| addr.as_socket().map(canonical);
    let both = of(socket.local_addr()?).zip(of(socket.peer_addr()?));
    both.ok_or_else(|| io::Error::other("not a TCP connection"))
}

/// The address in its shortest form. A listener for both families reports IPv4 addresses as IPv6
/// ones (`::ffff:10.0.0.1`), from which an IPv4 socket cannot be bound or dialled.
#[must_use]
pub fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        ip if ip == addr.ip() => addr,
        ip => SocketAddr::new(ip, addr.port()),
    }
}

/// Makes the peer see a reset, not an orderly end, when the socket is dropped.
///
/// # Errors
///
/// When the kernel refuses it; the connection then ends in order.
pub fn reset_on_drop(socket: impl AsFd) -> io::Result<()> {
    SockRef::from(&socket).set_linger(Some(Duration::ZERO))
}

/// A socket with the options that listeners pass on to accepted connections.
fn stream_socket(addr: SocketAddr) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking();
    let socket = Socket::new(Domain::for_address(addr), kind, Some(Protocol::TCP))?;
    // Small messages are sent at once: what can wait is collected by us.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(UNSENT_MAX)?;
    // Urgent data stays in its place in the stream. Otherwise a forwarded byte would be lost.
    socket.set_out_of_band_inline(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY)
        .with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    if addr.ip().to_canonical().is_loopback() {
        // It only makes transfers slower if the kernel refuses it.
        let _ = socket.set_tcp_congestion(CONGESTION_ON_LOOPBACK);
    }
    Ok(socket)
}

#[cfg(test)]
mod tests;
