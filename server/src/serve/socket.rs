//! Unix and TCP sockets for the loop: streams and listeners of either kind. `trunkline-net` makes
//! them and sets their options.

use mio::event::Source;
use mio::{Interest, Registry, Token};
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use trunkline_net::Accepted;
use trunkline_net::tcp::{self, Families, LocalPort};
use trunkline_net::unix::{self, SocketFile};

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

/// Where the name of a socket's file comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SocketFileName {
    /// The configuration, so another process may want it too.
    Configured,
    /// A random number.
    Random,
}

impl Stream {
    /// Connects to a unix socket, which succeeds or fails at once.
    pub(super) fn dial_unix(path: &Path) -> io::Result<Stream> {
        unix::dial(path).map(|stream| Stream::Unix(mio::net::UnixStream::from_std(stream)))
    }

    /// Begins to connect over TCP.
    ///
    /// A later dial `from` the same port to another address is possible. For hole punching, a host
    /// dials from the port of its link, because its router maps that port to an address that the
    /// server has seen.
    pub(super) fn dial_tcp(addr: SocketAddr, from: Option<SocketAddr>) -> io::Result<Stream> {
        let stream = tcp::dial(addr, from.map_or(LocalPort::Shared, LocalPort::From))?;
        Ok(Stream::Tcp(mio::net::TcpStream::from_std(stream)))
    }

    /// The result of connecting; `None` while it is in progress.
    pub(super) fn connected(&self) -> io::Result<Option<()>> {
        match self {
            Stream::Unix(stream) => tcp::connected(stream),
            Stream::Tcp(stream) => tcp::connected(stream),
        }
    }

    /// The TCP addresses of both ends: ours, and the peer's.
    pub(super) fn tcp_addrs(&self) -> Option<(SocketAddr, SocketAddr)> {
        match self {
            Stream::Unix(_) => None,
            Stream::Tcp(stream) => tcp::addresses(stream).ok(),
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

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Unix(stream) => stream.as_fd(),
            Stream::Tcp(stream) => stream.as_fd(),
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
    /// Listens on a TCP address.
    pub(super) fn tcp(addr: SocketAddr, families: Families) -> io::Result<Listener> {
        let listener = tcp::listen_at_start(addr, families)?;
        Ok(Listener::Tcp(mio::net::TcpListener::from_std(listener)))
    }

    /// Listens on a unix socket that only our user can open, with the file that it makes.
    pub(super) fn unix(path: &Path, name: SocketFileName) -> io::Result<(Listener, SocketFile)> {
        let (listener, file) = match name {
            SocketFileName::Configured => unix::listen(path)?,
            SocketFileName::Random => unix::listen_at_random_name(path)?,
        };
        Ok((Listener::Unix(mio::net::UnixListener::from_std(listener)), file))
    }

    /// Accepts the next connection, with the peer's TCP address.
    pub(super) fn accept(&self) -> Accepted<(Stream, Option<SocketAddr>)> {
        match self {
            Listener::Unix(listener) => unix::accept(listener).map(|stream| {
                let stream = mio::net::UnixStream::from_std(stream);
                (Stream::Unix(stream), None)
            }),
            Listener::Tcp(listener) => tcp::accept(listener).map(|(stream, from)| {
                let stream = mio::net::TcpStream::from_std(stream);
                (Stream::Tcp(stream), Some(from))
            }),
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
