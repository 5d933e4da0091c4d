//! A pump between a real socket and a channel that the test simulates.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::*;
use crate::CHUNK;
use crate::window::{FIRST, Spare, Window};
use trunkline_net::tcp;

/// A channel with this much room.
#[derive(Default)]
struct FakeChannel {
    room: usize,
    written: Vec<u8>,
    credit: u64,
    closed: bool,
}

impl Pipe for FakeChannel {
    fn write(&mut self, bytes: &[u8]) -> usize {
        assert!(!self.closed, "nothing may be written after the close");
        let taken = bytes.len().min(self.room);
        self.room -= taken;
        self.written.extend_from_slice(&bytes[..taken]);
        taken
    }

    fn credit(&mut self, amount: u64) {
        self.credit += amount;
    }

    fn close(&mut self) {
        assert!(!std::mem::replace(&mut self.closed, true), "closed twice");
    }
}

/// A pump, its channel, and the TCP client at the other side.
struct Setup {
    pump: Pump,
    channel: FakeChannel,
    client: TcpStream,
    chunk: Vec<u8>,
}

impl Setup {
    fn new(room: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let (socket, _) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        let channel = FakeChannel { room, ..FakeChannel::default() };
        Self {
            pump: Pump::new(socket, Window::new(&Spare::default()), b""),
            channel,
            client,
            chunk: vec![0; CHUNK],
        }
    }

    /// Reacts to an edge of the socket.
    fn turn(&mut self) -> io::Result<Pace> {
        self.pump.assume_ready();
        let _ = self.pump.advance_to_socket(&mut self.channel)?;
        self.pump.advance_to_channel(&mut self.channel, &mut self.chunk)
    }

    /// Turns until the condition holds.
    fn until(&mut self, what: &str, so: impl Fn(&FakeChannel, Pace) -> bool) {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let pace = self.turn().unwrap();
            if so(&self.channel, pace) {
                return;
            }
            assert!(Instant::now() < end, "waited 10 s until {what}");
            std::thread::yield_now();
        }
    }
}

#[test]
fn the_end_of_one_direction_leaves_the_other_open() {
    let mut setup = Setup::new(1 << 20);
    setup.client.write_all(b"request").unwrap();
    setup.client.shutdown(Shutdown::Write).unwrap();
    setup.until("the channel is closed", |channel, _| channel.closed);
    assert_eq!(setup.channel.written, b"request");
    let _ = setup.turn().unwrap();
    setup.pump.give(b"answer").unwrap();
    setup.pump.close();
    setup.until("both directions are over", |_, pace| pace == Pace::Over);
    let mut answer = Vec::new();
    setup.client.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"answer");
}

#[test]
fn at_most_one_chunk_is_read_beyond_what_the_channel_takes() {
    let mut setup = Setup::new(1000);
    let mut sent = 0;
    setup.client.set_nonblocking(true).unwrap();
    let quiet = Instant::now() + Duration::from_secs(10);
    // The client writes until two kernel buffers and one chunk are full.
    let mut stuck = 0;
    while stuck < 100 {
        assert!(Instant::now() < quiet, "the socket is read although the channel takes nothing");
        match setup.client.write(&[7; 4096]) {
            Ok(count) => (sent, stuck) = (sent + count, 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                stuck += 1;
                std::thread::yield_now();
            }
            Err(error) => panic!("{error}"),
        }
        let _ = setup.turn().unwrap();
    }
    assert_eq!(setup.channel.written.len(), 1000);
    setup.channel.room = usize::MAX;
    setup.until("all has come", |channel, _| channel.written.len() == sent);
    assert!(setup.channel.written.iter().all(|byte| *byte == 7));
}

#[test]
fn credit_is_given_only_for_what_the_socket_has_taken() {
    let mut setup = Setup::new(0);
    let mut given = 0_usize;
    let block: Vec<u8> = (0..=250).cycle().take(CHUNK).collect();
    while setup.channel.credit + (CHUNK as u64) > given as u64 {
        setup.pump.give(&block).unwrap();
        given += block.len();
        let _ = setup.turn().unwrap();
        assert!(given < 1 << 30, "a client that never reads stops the credit");
    }
    setup.pump.close();
    setup.client.set_nonblocking(true).unwrap();
    let mut received = Vec::new();
    let end = Instant::now() + Duration::from_secs(20);
    while received.len() < given {
        assert!(Instant::now() < end, "{} of {given} bytes came in 20 s", received.len());
        match setup.client.read(&mut setup.chunk) {
            Ok(count) => received.extend_from_slice(&setup.chunk[..count]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        let _ = setup.turn().unwrap();
    }
    assert!(received.chunks(CHUNK).all(|piece| piece == block), "the bytes came in order");
    assert!(setup.channel.credit + FIRST / 2 > given as u64, "all credit but a piece was given");
}

#[test]
fn a_reset_is_an_error() {
    let mut setup = Setup::new(0);
    tcp::reset_on_drop(&setup.client).unwrap();
    drop(std::mem::replace(&mut setup.client, loose_end()));
    let end = Instant::now() + Duration::from_secs(10);
    let error = loop {
        match setup.turn() {
            Err(error) => break error,
            Ok(_) => assert!(Instant::now() < end, "no reset was seen in 10 s"),
        }
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn the_first_bytes_of_the_channel_precede_those_of_the_socket() {
    let setup = Setup::new(1);
    let socket = setup.pump.socket().try_clone().unwrap();
    let mut pump = Pump::new(socket, Window::new(&Spare::default()), &[9, 8]);
    let (mut channel, mut chunk, mut client) = (setup.channel, setup.chunk, setup.client);
    client.write_all(b"x").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let _ = pump.advance_to_channel(&mut channel, &mut chunk).unwrap();
    assert_eq!(channel.written, [9], "no more than there was room for");
    channel.room = 10;
    let end = Instant::now() + Duration::from_secs(10);
    while !channel.closed {
        pump.assume_ready();
        let _ = pump.advance_to_channel(&mut channel, &mut chunk).unwrap();
        assert!(Instant::now() < end, "the end did not come in 10 s");
    }
    assert_eq!(channel.written, [9, 8, b'x']);
}

/// A socket to put in the place of one that is dropped.
fn loose_end() -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    TcpStream::connect(listener.local_addr().unwrap()).unwrap()
}
