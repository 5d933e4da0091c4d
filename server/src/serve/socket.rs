//! Unix and TCP sockets for the loop: streams and listeners, and their options.

use mio::event::Source;
use mio::{Interest, Registry, Token};
use socket2::{Domain, SockAddr, Socket as Raw, TcpKeepalive, Type};
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// Connections that may wait in a listener's queue.
const BACKLOG: i32 = 1024;

/// Idle time after which TCP probes the peer. Links have heartbeats; this finds dead connections
/// before their handshake is complete.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// The congestion control of connections within this machine. Every kernel has it, and every user
/// may select it. The system's default may pace what it sends (`bbr`), and its timers would cost
/// more than the copying.
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
    /// A later dial `from` the same port to another address is possible. For hole punching, a host
    /// dials from the port of its link, because its router maps that port to an address that the
    /// server has seen.
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

    /// The result of connecting; `None` while it is in progress.
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

    /// Shuts down the writing half. The peer can still read what was written.
    pub(super) fn shut_down_writing(&self) {
        // An error means that the connection is closed already.
        let _ = match self {
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
        };
    }

    /// Writes a part of the slices, in order. A single slice is the usual case; a plain write of it
    /// costs less than a vectored one.
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
    /// Listens on a unix socket that only our user can open. A socket that a dead server left
    /// behind is replaced. If another server listens on it, that is an error.
    pub(super) fn unix(path: &Path) -> io::Result<Listener> {
        remove_dead_socket(path)?;
        let socket = Raw::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        // The mask sets the mode when the file is created, so it is never open to other users.
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
        // Accepted connections inherit it. Setting it after the first byte would not stop pacing.
        tune_for(&socket, addr);
        socket.set_reuse_address(true)?;
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG)?;
        Ok(Listener::Tcp(mio::net::TcpListener::from_std(socket.into())))
    }

    /// Accepts the next connection, with the peer's TCP address.
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

    /// The TCP port, which the system may have chosen.
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

/// Sets the congestion control for the address to which a socket connects, or on which it listens.
fn tune_for(socket: &Raw, addr: SocketAddr) {
    if addr.ip().is_loopback()
        && let Err(error) = socket.set_tcp_congestion(CONGESTION_ON_LOOPBACK)
    {
        log::debug!("congestion control on loopback cannot be set: {error}");
    }
}

fn remove_dead_socket(path: &Path) -> io::Result<()> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !std::os::unix::fs::FileTypeExt::is_socket(&metadata.file_type()) {
        let text = "a file that is not a socket has this path; remove it, or name another path";
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
