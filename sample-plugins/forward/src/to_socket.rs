//! One direction of a connection: from the channel to the socket.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::net::{Shutdown, TcpStream};

use crate::pump::Pipe;
use crate::window::Window;

/// The direction towards the socket.
#[derive(Debug)]
pub(crate) struct ToSocket {
    /// Bytes that the socket has not taken, at most a window: without credit the channel brings no
    /// more.
    held: VecDeque<u8>,
    window: Window,
    /// Whether a write is worth a try.
    writable: bool,
    progress: Progress,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Progress {
    #[default]
    Open,
    /// The channel has closed; held bytes come first.
    Closing,
    /// The socket's direction was shut down.
    Over,
}

impl ToSocket {
    pub(crate) fn new(window: Window) -> Self {
        let (held, writable, progress) = Default::default();
        Self { held, window, writable, progress }
    }

    /// The socket may take bytes.
    pub(crate) fn writable(&mut self) {
        self.writable = true;
    }

    /// The channel has closed.
    pub(crate) fn close(&mut self) {
        if self.progress == Progress::Open {
            self.progress = Progress::Closing;
        }
    }

    /// Whether the socket's direction was shut down.
    pub(crate) fn is_over(&self) -> bool {
        self.progress == Progress::Over
    }

    /// This many bytes were consumed on their way to the socket.
    pub(crate) fn owe(&mut self, count: usize) {
        self.window.consume(count);
    }

    /// Takes bytes from the channel; mostly they are written at once.
    pub(crate) fn give(&mut self, socket: &TcpStream, bytes: &[u8]) -> io::Result<()> {
        let taken = if self.held.is_empty() { self.write(socket, bytes)? } else { 0 };
        self.held.extend(&bytes[taken..]);
        Ok(())
    }

    /// Writes held bytes, then shuts the socket's direction down if the channel has closed.
    pub(crate) fn advance(&mut self, socket: &TcpStream, pipe: &mut impl Pipe) -> io::Result<()> {
        self.flush(socket)?;
        if let Some(credit) = self.window.take_credit(self.held.is_empty()) {
            pipe.credit(credit);
        }
        if self.progress == Progress::Closing && self.held.is_empty() {
            socket.shutdown(Shutdown::Write)?;
            self.progress = Progress::Over;
        }
        Ok(())
    }

    fn flush(&mut self, socket: &TcpStream) -> io::Result<()> {
        while self.writable && !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            let taken = self.write(socket, held.as_slices().0);
            self.held = held;
            self.held.drain(..taken?);
        }
        if self.held.is_empty() {
            // An idle connection holds no memory.
            self.held = VecDeque::new();
        }
        Ok(())
    }

    /// Writes until everything is written or the socket takes no more; returns how much it took.
    fn write(&mut self, mut socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        while self.writable && taken < bytes.len() {
            match socket.write(&bytes[taken..]) {
                Ok(count) => taken += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.owe(taken);
        Ok(taken)
    }
}
