//! A blocking connection to a server over any kind of socket.

// A test that cannot reach its server must fail.
#![allow(clippy::expect_used)]

use super::{PATIENCE, Secured, Server};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use trunkline_core::key::Key;

/// A connected socket. Reading and writing give up after [`PATIENCE`].
#[derive(Debug)]
pub enum Socket {
    /// Over a unix socket.
    Unix(UnixStream),
    /// Over loopback.
    Tcp(TcpStream),
    /// Over loopback, encrypted.
    Shs(Box<Secured>),
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

    /// Connects to a server's TCP port with the key of this seed, which the server has to admit.
    #[must_use]
    pub fn shs(server: &Server, seed: u8) -> Socket {
        let secured = Secured::connect(server, seed).expect("the server lets this key in");
        let socket = Socket::Shs(Box::new(secured));
        socket.set_patience(PATIENCE);
        socket
    }

    /// The key that it has proved to the server, if any.
    #[must_use]
    pub fn proved(&self) -> Option<Key> {
        match self {
            Socket::Shs(secured) => Some(secured.key()),
            Socket::Unix(_) | Socket::Tcp(_) => None,
        }
    }

    /// Ends the sending direction.
    pub fn finish(&mut self) {
        // A server that has closed has ended it already.
        let _ = match self {
            Socket::Unix(stream) => stream.shutdown(Shutdown::Write),
            Socket::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Socket::Shs(secured) => secured.send_goodbye(),
        };
    }

    fn set_patience(&self, most: Duration) {
        let of_tcp = |stream: &TcpStream| {
            stream.set_read_timeout(Some(most)).and_then(|()| stream.set_write_timeout(Some(most)))
        };
        let set = match self {
            Socket::Unix(stream) => stream
                .set_read_timeout(Some(most))
                .and_then(|()| stream.set_write_timeout(Some(most))),
            Socket::Tcp(stream) => of_tcp(stream),
            Socket::Shs(secured) => of_tcp(secured.stream()),
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
            Socket::Shs(secured) => secured.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Unix(stream) => stream.write(bytes),
            Socket::Tcp(stream) => stream.write(bytes),
            Socket::Shs(secured) => secured.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
