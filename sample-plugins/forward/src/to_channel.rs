//! The other direction of a connection: from the socket to the channel.

use std::io::{self, ErrorKind, Read};
use std::net::TcpStream;

use crate::pump::{Pace, Pipe};

/// After this many bytes in one turn, other connections have their turn.
const BYTES_PER_TURN: usize = 256 * 1024;

/// The direction towards the channel.
#[derive(Debug, Default)]
pub(crate) struct ToChannel {
    /// Bytes that the channel has not taken, at most one chunk: nothing more is read before it
    /// takes them.
    rest: Vec<u8>,
    /// Whether a read is worth a try.
    readable: bool,
    progress: Progress,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Progress {
    #[default]
    Open,
    /// The socket has ended; the held bytes come first.
    Closing,
    /// The channel was closed.
    Over,
}

impl ToChannel {
    /// A direction that sends `first` before the bytes of the socket.
    pub(crate) fn new(first: &[u8]) -> Self {
        Self { rest: first.to_vec(), ..Self::default() }
    }

    /// The socket may have bytes.
    pub(crate) fn readable(&mut self) {
        // After the end, nothing more follows.
        self.readable = self.progress == Progress::Open;
    }

    /// Whether the channel was closed.
    pub(crate) fn is_over(&self) -> bool {
        self.progress == Progress::Over
    }

    /// Reads as much as the channel takes, and ends the channel's direction when the socket's has
    /// ended.
    pub(crate) fn advance(
        &mut self,
        socket: &TcpStream,
        pipe: &mut impl Pipe,
        chunk: &mut [u8],
    ) -> io::Result<Pace> {
        let mut left = BYTES_PER_TURN;
        loop {
            self.write_rest(pipe);
            if !self.rest.is_empty() || !self.readable {
                break;
            }
            if left == 0 {
                return Ok(Pace::MoreToDo);
            }
            let count = self.read(socket, chunk)?;
            self.write(pipe, &chunk[..count]);
            left = left.saturating_sub(count);
        }
        if self.progress == Progress::Closing && self.rest.is_empty() {
            pipe.close();
            self.progress = Progress::Over;
        }
        Ok(Pace::Waits)
    }

    /// Reads once. Zero bytes mean that there are none now, or that the socket has ended.
    fn read(&mut self, mut socket: &TcpStream, chunk: &mut [u8]) -> io::Result<usize> {
        match socket.read(chunk) {
            Ok(0) => {
                self.readable = false;
                self.progress = Progress::Closing;
                Ok(0)
            }
            Ok(count) => Ok(count),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                Ok(0)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(error),
        }
    }

    fn write(&mut self, pipe: &mut impl Pipe, bytes: &[u8]) {
        let taken = if bytes.is_empty() { 0 } else { pipe.write(bytes) };
        self.rest.extend_from_slice(&bytes[taken..]);
    }

    fn write_rest(&mut self, pipe: &mut impl Pipe) {
        if self.rest.is_empty() {
            return;
        }
        let taken = pipe.write(&self.rest);
        self.rest.drain(..taken);
        if self.rest.is_empty() {
            // An idle connection holds no memory.
            self.rest = Vec::new();
        }
    }
}
