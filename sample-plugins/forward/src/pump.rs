//! A TCP connection and a channel, forwarded into each other. It knows neither services nor peers.

use std::io;
use std::net::TcpStream;

use trunkline_plugin::{Channel, Host, Readiness};

use crate::to_channel::ToChannel;
use crate::to_socket::ToSocket;
use crate::window::Window;

/// What a pump needs of its channel.
pub(crate) trait Pipe {
    /// Writes, and returns how many bytes were taken.
    fn write(&mut self, bytes: &[u8]) -> usize;
    /// Lets the other end write that many more bytes.
    fn credit(&mut self, amount: u64);
    /// Closes the channel's direction.
    fn close(&mut self);
}

impl Pipe for (&Host, Channel) {
    fn write(&mut self, bytes: &[u8]) -> usize {
        self.0.write(self.1, bytes)
    }

    fn credit(&mut self, amount: u64) {
        self.0.credit(self.1, amount);
    }

    fn close(&mut self) {
        self.0.close(self.1);
    }
}

/// The state of a pump after it did what it could.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// It waits for the socket or for the channel.
    Waits,
    /// It has more work, but others have their turn first.
    MoreToDo,
    /// Both directions have ended in order.
    Over,
}

/// A TCP connection with its two directions. An error of any method is the connection's reset.
#[derive(Debug)]
pub(crate) struct Pump {
    socket: TcpStream,
    to_channel: ToChannel,
    to_socket: ToSocket,
}

impl Pump {
    /// A pump whose socket is not known to be ready; `first` is written to the channel first.
    pub(crate) fn new(socket: TcpStream, window: Window, first: &[u8]) -> Self {
        let (to_channel, to_socket) = (ToChannel::new(first), ToSocket::new(window));
        Self { socket, to_channel, to_socket }
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Assumes that the socket is ready in both directions; only a try can tell.
    pub(crate) fn assume_ready(&mut self) {
        self.to_channel.readable();
        self.to_socket.writable();
    }

    /// Notes the socket's readiness. Finds an error even while nothing is read or written.
    pub(crate) fn ready(&mut self, readiness: Readiness) -> io::Result<()> {
        if readiness.is_readable() {
            self.to_channel.readable();
        }
        if readiness.is_writable() {
            self.to_socket.writable();
        }
        match readiness.contains(Readiness::ERROR) {
            true => self.socket.take_error()?.map_or(Ok(()), Err),
            false => Ok(()),
        }
    }

    /// This many bytes of the channel were consumed before there was a pump.
    pub(crate) fn owe(&mut self, count: usize) {
        self.to_socket.owe(count);
    }

    /// Whether the channel was closed from here.
    pub(crate) fn has_closed(&self) -> bool {
        self.to_channel.is_over()
    }

    /// The channel brings bytes.
    pub(crate) fn give(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to_socket.give(&self.socket, bytes)
    }

    /// The channel has closed.
    pub(crate) fn close(&mut self) {
        self.to_socket.close();
    }

    /// Forwards towards the socket.
    pub(crate) fn advance_to_socket(&mut self, pipe: &mut impl Pipe) -> io::Result<Pace> {
        self.to_socket.advance(&self.socket, pipe)?;
        Ok(self.or_over(Pace::Waits))
    }

    /// Forwards towards the channel; `chunk` is the buffer to read into.
    pub(crate) fn advance_to_channel(
        &mut self,
        pipe: &mut impl Pipe,
        chunk: &mut [u8],
    ) -> io::Result<Pace> {
        let pace = self.to_channel.advance(&self.socket, pipe, chunk)?;
        Ok(self.or_over(pace))
    }

    fn or_over(&self, pace: Pace) -> Pace {
        if self.to_channel.is_over() && self.to_socket.is_over() { Pace::Over } else { pace }
    }
}

#[cfg(test)]
#[path = "pump_tests.rs"]
mod tests;
