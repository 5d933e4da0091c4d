//! A peer that sends any bytes, right or wrong, and reads the server's answers.

// A test that cannot reach its server must fail.
#![allow(clippy::expect_used)]

use super::{PATIENCE, Socket};
use std::io::{ErrorKind, Read, Write};
use std::time::Instant;
use trunkline_core::bymux::{Packet, StreamId};
use trunkline_core::control::{FrameReader, MESSAGE_MAX, Message};
use trunkline_core::reason::Reason;

/// A connection whose bytes are made by hand.
#[derive(Debug)]
pub struct RawPeer {
    socket: Socket,
    /// Received bytes that are not a complete packet yet.
    rest: Vec<u8>,
    control: FrameReader,
    /// Control messages that arrived and were not taken yet.
    messages: Vec<Message>,
    /// Pings that arrived. They are not answered.
    pings: usize,
    ended: bool,
}

impl RawPeer {
    /// A peer that has sent nothing.
    #[must_use]
    pub fn new(socket: Socket) -> RawPeer {
        let control = FrameReader::new(MESSAGE_MAX);
        let (rest, messages) = Default::default();
        RawPeer { socket, rest, control, messages, pings: 0, ended: false }
    }

    /// Sends bytes. A server that closes meanwhile is no error: its last messages are read later.
    pub fn send(&mut self, bytes: &[u8]) -> &mut RawPeer {
        match self.socket.write_all(bytes) {
            Err(error) if !is_closed(error.kind()) => panic!("the server does not read: {error}"),
            _ => self,
        }
    }

    /// Sends a packet's header.
    pub fn packet(&mut self, packet: Packet) -> &mut RawPeer {
        self.send(packet.encode().as_bytes())
    }

    /// Sends bytes on a stream.
    pub fn write(&mut self, stream: u64, bytes: &[u8]) -> &mut RawPeer {
        let length = bytes.len() as u64;
        let header = Packet::Write { stream: StreamId(stream), length }.encode();
        self.send(&[header.as_bytes(), bytes].concat())
    }

    /// Sends a control message.
    pub fn send_message(&mut self, message: &Message) -> &mut RawPeer {
        self.write(0, &message.frame())
    }

    /// Ends the sending direction.
    pub fn finish(&mut self) -> &mut RawPeer {
        self.socket.finish();
        self
    }

    /// Waits for a control message.
    ///
    /// # Panics
    ///
    /// When the server closes or is silent instead.
    pub fn wait_for(&mut self, what: &str, wanted: impl Fn(&Message) -> bool) -> Message {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = self.messages.iter().position(&wanted) {
                return self.messages.remove(found);
            }
            assert!(!self.ended, "the server closed before {what} arrived: {:?}", self.messages);
            assert!(Instant::now() < deadline, "{what} did not arrive: {:?}", self.messages);
            self.read();
        }
    }

    /// Waits until this many pings have arrived. They are not answered.
    ///
    /// # Panics
    ///
    /// When the server closes or is silent instead.
    pub fn wait_for_pings(&mut self, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.pings < count {
            assert!(!self.ended, "the server closed before ping {count}: {:?}", self.messages);
            assert!(Instant::now() < deadline, "only {} pings arrived", self.pings);
            self.read();
        }
    }

    /// Waits until the server sends something, and takes it. Returns whether the server has not
    /// closed.
    pub fn read_on(&mut self) -> bool {
        self.read();
        !self.ended
    }

    /// Waits until the server closes; returns the reason of its goodbye.
    ///
    /// # Panics
    ///
    /// When the server does not close.
    pub fn goodbye(&mut self) -> Option<Reason> {
        let deadline = Instant::now() + PATIENCE;
        while !self.ended {
            assert!(Instant::now() < deadline, "the server does not close: {:?}", self.messages);
            self.read();
        }
        self.messages.iter().rev().find_map(|message| match message {
            Message::Goodbye(goodbye) => Some(goodbye.reason.clone()),
            _ => None,
        })
    }

    fn read(&mut self) {
        let mut buffer = [0; 64 * 1024];
        match self.socket.read(&mut buffer) {
            Ok(0) => self.ended = true,
            Ok(count) => {
                self.rest.extend_from_slice(&buffer[..count]);
                self.decode();
            }
            Err(error) if is_closed(error.kind()) => self.ended = true,
            Err(error) => {
                panic!("the server is silent: {error}; its messages: {:?}", self.messages)
            }
        }
    }

    /// Takes complete packets off the received bytes, and keeps the bytes of the control stream.
    fn decode(&mut self) {
        let bytes = std::mem::take(&mut self.rest);
        let mut left = &bytes[..];
        while let Some((packet, header)) = Packet::decode(left).expect("the server's own packet") {
            let length = match packet {
                Packet::Write { length, .. } => usize::try_from(length).expect("a length"),
                _ => 0,
            };
            let Some(payload) = left.get(header..header + length) else { break };
            if matches!(packet, Packet::Write { stream: StreamId::CONTROL, .. }) {
                self.control_bytes(payload);
            }
            self.pings += usize::from(matches!(packet, Packet::GlobalPing));
            left = &left[header + length..];
        }
        self.rest = left.to_vec();
    }

    fn control_bytes(&mut self, mut bytes: &[u8]) {
        while let Some(frame) = self.control.read(&mut bytes).expect("the server's own message") {
            let message = Message::decode(frame.as_slice());
            self.messages.push(message.expect("the server's own message"));
        }
    }
}

/// Whether an error only means that the other side has closed the connection.
fn is_closed(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}
