//! A blocking connection to a server over either kind of socket.

// A test that cannot reach its server must not go on.
#![allow(clippy::expect_used)]

use super::{PATIENCE, Server};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// A connected socket. Reading and writing give up after [`PATIENCE`].
#[derive(Debug)]
pub enum Socket {
    /// Over a unix socket.
    Unix(UnixStream),
    /// Over loopback.
    Tcp(TcpStream),
}

impl Socket {
    /// Connects to a server's unix socket.
    #[must_use]
    pub fn unix(server: &Server) -> Socket {
        Socket::from(UnixStream::connect(server.socket()).expect("the server listens"))
    }

    /// Connects to a server's TCP port.
    #[must_use]
    pub fn tcp(server: &Server) -> Socket {
        let stream = TcpStream::connect(("127.0.0.1", server.port())).expect("the server listens");
        let socket = Socket::Tcp(stream);
        socket.set_patience(PATIENCE);
        socket
    }

    /// Writes no more.
    pub fn finish(&self) {
        // A server that has hung up has already done so.
        let _ = match self {
            Socket::Unix(stream) => stream.shutdown(Shutdown::Write),
            Socket::Tcp(stream) => stream.shutdown(Shutdown::Write),
        };
    }

    fn set_patience(&self, most: Duration) {
        let set = match self {
            Socket::Unix(stream) => stream
                .set_read_timeout(Some(most))
                .and_then(|()| stream.set_write_timeout(Some(most))),
            Socket::Tcp(stream) => stream
                .set_read_timeout(Some(most))
                .and_then(|()| stream.set_write_timeout(Some(most))),
        };
        set.expect("a socket takes a time-out");
    }
}

impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Socket {
        let socket = Socket::Unix(stream);
        socket.set_patience(PATIENCE);
        socket
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Unix(stream) => stream.read(buffer),
            Socket::Tcp(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Unix(stream) => stream.write(bytes),
            Socket::Tcp(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
