//! A TCP connection and a channel, carried into each other. It knows neither services nor peers.

use std::io;
use std::net::TcpStream;

use trunkline_plugin::{Channel, Host, Readiness};

use crate::to_channel::ToChannel;
use crate::to_socket::ToSocket;
use crate::window::Window;

/// What a pump asks of its channel.
pub(crate) trait Pipe {
    /// Writes, and tells how many bytes were taken.
    fn write(&mut self, bytes: &[u8]) -> usize;
    /// Lets the other end write so many bytes more.
    fn credit(&mut self, amount: u64);
    /// Says that no more is written.
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

/// How a pump stands after it did what it could.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// It waits for the socket or for the channel.
    Waits,
    /// It could go on, but others come first.
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
    /// A pump whose socket is not known to be ready; `first` is what the channel is written first.
    pub(crate) fn new(socket: TcpStream, window: Window, first: &[u8]) -> Self {
        let (to_channel, to_socket) = (ToChannel::new(first), ToSocket::new(window));
        Self { socket, to_channel, to_socket }
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Takes the socket for ready in both directions: only trying tells.
    pub(crate) fn assume_ready(&mut self) {
        self.to_channel.readable();
        self.to_socket.writable();
    }

    /// Notes the socket's readiness; an error is found here even while nothing is read or written.
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

    /// So many bytes of the channel were consumed before there was a pump.
    pub(crate) fn owe(&mut self, count: usize) {
        self.to_socket.owe(count);
    }

    /// Whether the channel was told that no more comes from here.
    pub(crate) fn has_closed(&self) -> bool {
        self.to_channel.is_over()
    }

    /// The channel brings bytes.
    pub(crate) fn give(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to_socket.give(&self.socket, bytes)
    }

    /// The channel brings no more.
    pub(crate) fn close(&mut self) {
        self.to_socket.close();
    }

    /// Carries towards the socket.
    pub(crate) fn advance_to_socket(&mut self, pipe: &mut impl Pipe) -> io::Result<Pace> {
        self.to_socket.advance(&self.socket, pipe)?;
        Ok(self.or_over(Pace::Waits))
    }

    /// Carries towards the channel; `chunk` is where bytes are read to.
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
