//! Datagrams to a unix socket of another program, such as the journal's.

use rustix::net::{SendFlags, SocketAddrUnix, sendto};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::path::Path;

/// Bytes that may wait in the kernel, as far as the system allows it. Each is that of a line that
/// need not wait in this process.
const SEND_BUFFER: usize = 1 << 20;

/// A socket for datagrams to one path. The path is looked up each time, because its owner may
/// start anew.
#[derive(Debug)]
pub struct Datagrams {
    socket: Socket,
    to: SocketAddrUnix,
}

impl Datagrams {
    /// Prepares datagrams to the socket at a path, on which a program must receive now.
    ///
    /// # Errors
    ///
    /// `NotFound` or `ConnectionRefused` if none does; or why it cannot be reached.
    pub fn to(path: &Path) -> io::Result<Datagrams> {
        Socket::new(Domain::UNIX, Type::DGRAM, None)?.connect(&SockAddr::unix(path)?)?;
        let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
        // A small buffer only makes the sender wait more often.
        let _ = socket.set_send_buffer_size(SEND_BUFFER);
        Ok(Datagrams { socket, to: SocketAddrUnix::new(path)? })
    }

    /// Sends a datagram, and waits as long as the receiver has no room.
    ///
    /// # Errors
    ///
    /// No program receives there, or it is too large.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.send_with(bytes, SendFlags::NOSIGNAL)
    }

    /// Sends a datagram without waiting.
    ///
    /// # Errors
    ///
    /// As of [`send`](Self::send); `WouldBlock` if the receiver has no room.
    pub fn send_at_once(&self, bytes: &[u8]) -> io::Result<()> {
        self.send_with(bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
    }

    fn send_with(&self, bytes: &[u8], flags: SendFlags) -> io::Result<()> {
        loop {
            match sendto(&self.socket, bytes, flags, &self.to) {
                Err(rustix::io::Errno::INTR) => {}
                sent => return Ok(sent.map(drop)?),
            }
        }
    }
}
