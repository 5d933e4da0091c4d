//! Sockets of either kind as the loop uses them: streams, listeners, and how they are made.

use mio::event::Source;
use mio::{Interest, Registry, Token};
use socket2::{Domain, SockAddr, Socket as Raw, TcpKeepalive, Type};
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// Connections that the system may hold for us while we do not accept.
const BACKLOG: i32 = 1024;

/// How long a TCP connection may be idle before the system asks whether the peer is there. Links
/// have heartbeats of their own; this finds the dead ones among the half-open.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// The congestion control of connections within this machine, where there is no path whose capacity
/// is to be found: the plainest, which every kernel has and lets everybody use. The system's choice
/// may be one that paces what it sends (`bbr`); its timers then cost more than the copying.
const CONGESTION_ON_LOOPBACK: &[u8] = b"reno";

/// A connected stream.
#[derive(Debug)]
pub(super) enum Stream {
    Unix(mio::net::UnixStream),
    Tcp(mio::net::TcpStream),
}

/// A listening socket.
#[derive(Debug)]
pub(super) enum Listener {
    Unix(mio::net::UnixListener),
    Tcp(mio::net::TcpListener),
}

impl Stream {
    /// Begins to connect to a unix socket.
    pub(super) fn dial_unix(path: &Path) -> io::Result<Stream> {
        mio::net::UnixStream::connect(path).map(Stream::Unix)
    }

    /// Begins to connect over TCP.
    ///
    /// The port may be used again by a dial `from` it, as long as the two go to different places:
    /// so a host can be dialled through its router by the address at which its server sees it.
    pub(super) fn dial_tcp(addr: SocketAddr, from: Option<SocketAddr>) -> io::Result<Stream> {
        let socket = Raw::new(Domain::for_address(addr), Type::STREAM.nonblocking(), None)?;
        tune(&socket)?;
        tune_for(&socket, addr);
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        if let Some(from) = from {
            socket.bind(&from.into())?;
        }
        match socket.connect(&addr.into()) {
            Err(error)
                if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) =>
            {
                Err(error)
            }
            _ => Ok(Stream::Tcp(mio::net::TcpStream::from_std(socket.into()))),
        }
    }

    /// Whether a connection that was begun is up; `None` while it is on its way.
    pub(super) fn connected(&self) -> io::Result<Option<()>> {
        let (error, named) = match self {
            Stream::Unix(stream) => (stream.take_error()?, stream.peer_addr().map(drop)),
            Stream::Tcp(stream) => (stream.take_error()?, stream.peer_addr().map(drop)),
        };
        match (error, named) {
            (Some(error), _) => Err(error),
            (None, Ok(())) => Ok(Some(())),
            (None, Err(error)) if error.kind() == io::ErrorKind::NotConnected => Ok(None),
            (None, Err(error)) => Err(error),
        }
    }

    /// The TCP addresses of both ends: ours, and the peer's.
    pub(super) fn tcp_addrs(&self) -> Option<(SocketAddr, SocketAddr)> {
        match self {
            Stream::Unix(_) => None,
            Stream::Tcp(stream) => Some((stream.local_addr().ok()?, stream.peer_addr().ok()?)),
        }
    }

    /// Writes no more. The other side reads what is on the way.
    pub(super) fn shut_down_writing(&self) {
        // A connection that is gone already needs no shutting down.
        let _ = match self {
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
        };
    }

    /// Writes some of the slices, in order. Most often all but one are empty, and a plain write
    /// costs the system less than a vectored one.
    pub(super) fn write_slices(&mut self, slices: [&[u8]; 3]) -> io::Result<usize> {
        let mut full = slices.iter().filter(|slice| !slice.is_empty());
        if let (Some(only), None) = (full.next(), full.next()) {
            return match self {
                Stream::Unix(stream) => stream.write(only),
                Stream::Tcp(stream) => stream.write(only),
            };
        }
        let slices = slices.map(IoSlice::new);
        match self {
            Stream::Unix(stream) => stream.write_vectored(&slices),
            Stream::Tcp(stream) => stream.write_vectored(&slices),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.read(buffer),
            Stream::Tcp(stream) => stream.read(buffer),
        }
    }
}

impl Listener {
    /// Listens on a unix socket that only our user can open. A socket that a dead server left is
    /// taken over; a live server's is an error.
    pub(super) fn unix(path: &Path) -> io::Result<Listener> {
        remove_dead_socket(path)?;
        let socket = Raw::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        // The file gets its mode from the mask, so that it is never open to others.
        let mask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
        let bound = socket.bind(&SockAddr::unix(path)?);
        rustix::process::umask(mask);
        bound?;
        socket.listen(BACKLOG)?;
        Ok(Listener::Unix(mio::net::UnixListener::from_std(socket.into())))
    }

    /// Listens on a TCP address.
    pub(super) fn tcp(addr: SocketAddr) -> io::Result<Listener> {
        let socket = Raw::new(Domain::for_address(addr), Type::STREAM.nonblocking(), None)?;
        // What is accepted inherits it before its first byte; changed later, it would go on pacing.
        tune_for(&socket, addr);
        socket.set_reuse_address(true)?;
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG)?;
        Ok(Listener::Tcp(mio::net::TcpListener::from_std(socket.into())))
    }

    /// The next connection, and the TCP address from which it came.
    pub(super) fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match self {
            Listener::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                Ok((Stream::Unix(stream), None))
            }
            Listener::Tcp(listener) => {
                let (stream, from) = listener.accept()?;
                tune(&socket2::SockRef::from(&stream))?;
                Ok((Stream::Tcp(stream), Some(from)))
            }
        }
    }

    /// The port that the system chose, where that was left to it.
    pub(super) fn port(&self) -> Option<u16> {
        match self {
            Listener::Unix(_) => None,
            Listener::Tcp(listener) => listener.local_addr().ok().map(|addr| addr.port()),
        }
    }
}

fn tune(socket: &Raw) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))
}

/// Prepares a socket for the address to which it will connect, or at which it will listen.
fn tune_for(socket: &Raw, addr: SocketAddr) {
    if addr.ip().is_loopback()
        && let Err(error) = socket.set_tcp_congestion(CONGESTION_ON_LOOPBACK)
    {
        log::debug!("congestion control on loopback stays as it is: {error}");
    }
}

fn remove_dead_socket(path: &Path) -> io::Result<()> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !std::os::unix::fs::FileTypeExt::is_socket(&metadata.file_type()) {
        let text = "a file that is no socket is in the way; remove it or name another path";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        _ => {
            let text = "another server listens there; stop it or name another path";
            Err(io::Error::new(io::ErrorKind::AddrInUse, text))
        }
    }
}

macro_rules! source {
    ($kind:ident) => {
        impl Source for $kind {
            fn register(&mut self, r: &Registry, t: Token, i: Interest) -> io::Result<()> {
                match self {
                    $kind::Unix(socket) => socket.register(r, t, i),
                    $kind::Tcp(socket) => socket.register(r, t, i),
                }
            }

            fn reregister(&mut self, r: &Registry, t: Token, i: Interest) -> io::Result<()> {
                match self {
                    $kind::Unix(socket) => socket.reregister(r, t, i),
                    $kind::Tcp(socket) => socket.reregister(r, t, i),
                }
            }

            fn deregister(&mut self, r: &Registry) -> io::Result<()> {
                match self {
                    $kind::Unix(socket) => socket.deregister(r),
                    $kind::Tcp(socket) => socket.deregister(r),
                }
            }
        }
    };
}

source!(Stream);
source!(Listener);
