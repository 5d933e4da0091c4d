//! The other direction of a connection: what the socket sends goes into a channel.

use std::io::{self, ErrorKind, Read};
use std::net::TcpStream;

use crate::pump::{Pace, Pipe};

/// After so many bytes in one turn, other connections come first.
const BYTES_PER_TURN: usize = 256 * 1024;

/// The direction towards the channel.
#[derive(Debug, Default)]
pub(crate) struct ToChannel {
    /// What the channel did not take, at most one chunk: nothing is read before it is gone.
    rest: Vec<u8>,
    /// Whether reading is worth a try.
    readable: bool,
    progress: Progress,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Progress {
    #[default]
    Open,
    /// The socket sends no more; the rest comes first.
    Closing,
    /// The channel was told.
    Over,
}

impl ToChannel {
    /// A direction in which `first` goes before all that the socket sends.
    pub(crate) fn new(first: &[u8]) -> Self {
        Self { rest: first.to_vec(), ..Self::default() }
    }

    /// The socket may have sent something.
    pub(crate) fn readable(&mut self) {
        // After the end, there is nothing more to find.
        self.readable = self.progress == Progress::Open;
    }

    /// Whether the channel was told that no more comes.
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

    /// Reads once. Zero bytes mean that there are none now, or no more at all.
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
            // Who waits for nobody holds no memory.
            self.rest = Vec::new();
        }
    }
}
