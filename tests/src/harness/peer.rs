//! A peer that speaks the protocol correctly, one step at a time, under a test's control.

// A test whose peer does not work must fail.
#![allow(clippy::expect_used)]

use super::{PATIENCE, Socket, hello};
use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::num::NonZeroU64;
use std::time::{Duration, Instant};
use trunkline_core::bymux::{MuxRole, StreamId};
use trunkline_core::control::{Answer, Hello, Message, Origin, Preface, Purpose, Request};
use trunkline_core::key::Key;
use trunkline_core::limits::{Limits, WINDOW};
use trunkline_core::link::{Event, Link};

/// An unknown kind of control message.
const UNKNOWN: u64 = 99;

/// One of the peer's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chan {
    /// Its number in events: 0, 1 and so on, in the order of opening.
    pub tag: u32,
    /// Its stream.
    pub stream: StreamId,
}

/// What the server did.
#[derive(Clone, Debug, PartialEq)]
pub enum PeerEvent {
    /// It sent a control message.
    Message(Message),
    /// It opened a stream.
    Preface(StreamId, Preface),
    /// It answered a channel.
    Answer(u32, Answer),
    /// It wrote.
    Write(u32, Vec<u8>),
    /// It gave credit.
    Credit(u32),
    /// It closed its direction.
    Close(u32),
    /// It stopped reading.
    StopRead(u32),
    /// A channel has ended.
    Gone(u32),
    /// It closed the connection.
    End,
}

/// A peer with a link to a server.
#[derive(Debug)]
pub struct Peer {
    socket: Socket,
    link: Link,
    events: VecDeque<PeerEvent>,
    /// The tags of streams that the server has opened, and that are not accepted yet.
    opened: BTreeMap<StreamId, u32>,
    next_tag: u32,
    ended: bool,
}

impl Peer {
    /// Links to a server with this key, or with the one that the socket has proved, and waits for
    /// the server's hello.
    #[must_use]
    pub fn link(socket: Socket, key: u8) -> Peer {
        let key = socket.proved().unwrap_or(Key([key; 32]));
        let mut peer = Peer::send_hello(socket, MuxRole::Dialler, hello(key));
        peer.wait_for("hello", |event| matches!(event, PeerEvent::Message(Message::Hello(_))));
        peer
    }

    /// As [`Peer::link`], as the server of this name.
    #[must_use]
    pub fn link_as(socket: Socket, key: u8, name: &str) -> Peer {
        let key = socket.proved().unwrap_or(Key([key; 32]));
        let hello = Hello { name: name.into(), ..hello(key) };
        let mut peer = Peer::send_hello(socket, MuxRole::Dialler, hello);
        peer.wait_for("hello", |event| matches!(event, PeerEvent::Message(Message::Hello(_))));
        peer
    }

    /// Sends hello over a connection, without waiting.
    #[must_use]
    pub fn send_hello(socket: Socket, role: MuxRole, hello: Hello) -> Peer {
        let link = Link::new(role, Duration::ZERO, &Limits::default(), 0);
        let (events, opened) = Default::default();
        let mut peer = Peer { socket, link, events, opened, next_tag: 0, ended: false };
        peer.send_message(&Message::Hello(hello));
        peer
    }

    /// Sends a control message.
    pub fn send_message(&mut self, message: &Message) {
        self.link.send(message).expect("a message that fits");
        self.flush();
    }

    /// Sends a control message many times in one write, as soon as the server has given credit for
    /// all earlier ones. Returns whether the link is still up.
    pub fn send_repeatedly(&mut self, message: &Message, times: usize) -> bool {
        while self.link.control_waiting() > 0 && !self.ended {
            self.read();
        }
        for _ in 0..times {
            self.link.send(message).expect("less than may wait");
        }
        self.flush();
        !self.ended
    }

    /// Sends control messages as the server gives credit for them. Returns whether the link is
    /// still up.
    pub fn send_all(&mut self, messages: &[Message]) -> bool {
        messages.iter().all(|message| self.send_repeatedly(message, 1))
    }

    /// Waits until the server has read all that was sent. Returns whether the link is still up.
    pub fn catch_up(&mut self) -> bool {
        self.send_repeatedly(&Message::Other(UNKNOWN), 1);
        loop {
            match self.next_event() {
                PeerEvent::Message(Message::Unknown(answer)) if answer.kind == UNKNOWN => {
                    return true;
                }
                PeerEvent::End => return false,
                _ => {}
            }
        }
    }

    /// Opens a channel to a plugin, and grants it a window, without waiting.
    pub fn open(&mut self, to: &str) -> Chan {
        let chan = self.open_without_credit(to);
        self.grant(chan, WINDOW);
        chan
    }

    /// Opens a channel to a plugin, which gets credit for its answer only.
    pub fn open_without_credit(&mut self, to: &str) -> Chan {
        let chan = self.create(&Preface::channel(request(to)));
        self.flush();
        chan
    }

    /// Opens the channel of a request, with credit for any answer.
    pub fn open_for_answer(&mut self, request: Request) -> Chan {
        let chan = self.create(&Preface::channel(request));
        self.grant(chan, WINDOW);
        self.flush();
        chan
    }

    fn create(&mut self, preface: &Preface) -> Chan {
        let tag = self.next_tag;
        self.next_tag += 1;
        let stream = self.link.open(tag).expect("the server allows one more stream");
        let frame = preface.frame();
        assert_eq!(self.link.mux().write(stream, &frame), frame.len(), "a preface fits");
        // Enough for an accept.
        let chan = Chan { tag, stream };
        self.grant(chan, Answer::Accept(None).frame().len() as u64);
        chan
    }

    /// Opens a stream for calls of the plugin `test` to a plugin.
    pub fn open_calls(&mut self, to: &str) -> Chan {
        let request = Request { purpose: Purpose::Calls, ..request(to) };
        let chan = self.create(&Preface::channel(request));
        self.flush();
        chan
    }

    /// Accepts a stream that the server has opened, and grants it a window.
    ///
    /// # Panics
    ///
    /// When the server has opened no such stream.
    pub fn accept(&mut self, stream: StreamId) -> Chan {
        self.answer(stream, &Answer::accept(None))
    }

    /// Answers a stream that the server has opened, and grants it a window.
    ///
    /// # Panics
    ///
    /// When the server has opened no such stream.
    pub fn answer(&mut self, stream: StreamId, answer: &Answer) -> Chan {
        let tag = self.opened.remove(&stream).expect("the server has opened it");
        let chan = Chan { tag, stream };
        let frame = answer.frame();
        assert_eq!(self.link.mux().write(stream, &frame), frame.len(), "an answer fits");
        self.grant(chan, WINDOW);
        self.flush();
        chan
    }

    /// Lets the server write that many more bytes. It is sent with the next bytes.
    pub fn grant(&mut self, chan: Chan, bytes: u64) {
        if let Some(bytes) = NonZeroU64::new(bytes) {
            self.link.mux().credit(chan.stream, bytes);
        }
    }

    /// Writes as much as credit and room allow; returns how much that was.
    pub fn write(&mut self, chan: Chan, bytes: &[u8]) -> usize {
        let taken = self.link.mux().write(chan.stream, bytes);
        self.flush();
        taken
    }

    /// Writes as long as bytes are taken.
    pub fn write_out(&mut self, chan: Chan) -> u64 {
        let bytes = [7; 16 * 1024];
        let mut total = 0;
        loop {
            let taken = self.write(chan, &bytes);
            total += taken as u64;
            // The link takes turns; with nothing else to write, the next turn is ours.
            if taken == 0 && self.link.next_ready().is_none() {
                return total;
            }
        }
    }

    /// How many bytes it could write now.
    #[must_use]
    pub fn credit_of(&mut self, chan: Chan) -> u64 {
        self.link.mux().writable(chan.stream)
    }

    /// Closes its direction.
    pub fn close(&mut self, chan: Chan) {
        self.link.mux().close(chan.stream);
        self.flush();
    }

    /// Stops reading.
    pub fn stop_read(&mut self, chan: Chan) {
        self.link.mux().stop_read(chan.stream);
        self.flush();
    }

    /// Sends everything that waits. A server that has closed is no error: the end is read later.
    pub fn flush(&mut self) {
        let bytes = self.link.outbox().slices().concat();
        if self.socket.write_all(&bytes).is_err() {
            self.link.mux().outbox_mut().advance(bytes.len());
            return;
        }
        self.link.mux().outbox_mut().advance(bytes.len());
    }

    /// The next event of the server. It waits for it.
    ///
    /// # Panics
    ///
    /// When the server does nothing for too long, or breaks the protocol.
    pub fn next_event(&mut self) -> PeerEvent {
        // Pings are answered without an event, so reading alone proves nothing.
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            if self.ended {
                return PeerEvent::End;
            }
            self.read();
        }
        panic!("the server sends nothing but pings");
    }

    /// Waits for the wanted event, and returns it.
    ///
    /// # Panics
    ///
    /// When it does not arrive.
    pub fn wait_for(&mut self, what: &str, wanted: impl Fn(&PeerEvent) -> bool) -> PeerEvent {
        let deadline = Instant::now() + PATIENCE;
        let mut others = Vec::new();
        while Instant::now() < deadline {
            let event = self.next_event();
            if wanted(&event) {
                return event;
            }
            assert!(event != PeerEvent::End, "the server closed before {what} arrived: {others:?}");
            others.push(event.in_short());
        }
        panic!("{what} did not arrive in time, but {others:?}");
    }

    /// Sends bytes through a new channel to the plugin and reads as many of them back.
    ///
    /// When other bytes come back.
    ///
    /// When something else comes back.
    pub fn echo(&mut self, to: &str, bytes: &[u8]) {
        let chan = self.open(to);
        let (mut sent, mut back) = (0, Vec::new());
        while back.len() < bytes.len() {
            sent += self.write(chan, &bytes[sent..]);
            match self.next_event() {
                PeerEvent::Write(tag, some) if tag == chan.tag => {
                    self.grant(chan, some.len() as u64);
                    back.extend(some);
                    self.flush();
                }
                PeerEvent::Answer(tag, Answer::Refuse(why)) if tag == chan.tag => {
                    panic!("{to} refused: {why}")
                }
                PeerEvent::End => panic!("the server closed after {} bytes", back.len()),
                _ => {}
            }
        }
        assert!(back == bytes, "{to} gave other bytes back");
        self.close(chan);
        self.wait_for("the end of the channel", |event| *event == PeerEvent::Gone(chan.tag));
    }

    /// Writes a line; returns the line that comes back.
    ///
    /// # Panics
    ///
    /// When something else comes back.
    pub fn ask(&mut self, chan: Chan, line: &str) -> String {
        let line = format!("{line}\n");
        assert_eq!(self.write(chan, line.as_bytes()), line.len(), "a line fits");
        self.next_line(chan)
    }

    /// The next line that comes on a channel.
    ///
    /// # Panics
    ///
    /// When something else arrives.
    pub fn next_line(&mut self, chan: Chan) -> String {
        let mut back = Vec::new();
        while back.last() != Some(&b'\n') {
            match self.next_event() {
                PeerEvent::Write(tag, some) if tag == chan.tag => {
                    self.grant(chan, some.len() as u64);
                    back.extend(some);
                    self.flush();
                }
                PeerEvent::Answer(tag, Answer::Refuse(why)) if tag == chan.tag => {
                    panic!("it was refused: {why}")
                }
                PeerEvent::End => panic!("the server closed before a line arrived"),
                _ => {}
            }
        }
        String::from_utf8_lossy(&back).trim_end().to_string()
    }

    fn read(&mut self) {
        let mut buffer = [0; 256 * 1024];
        let count = match self.socket.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("the server is silent: {error}"),
        };
        if count == 0 {
            self.ended = true;
        }
        let mut input = &buffer[..count];
        while let Some(event) = self.link.receive(Duration::ZERO, &mut input).expect("no violation")
        {
            let opened = match &event {
                Event::Preface { stream, rest, .. } => Some((*stream, rest.to_vec())),
                _ => None,
            };
            push_event(event, &mut self.events);
            if let Some((stream, rest)) = opened {
                self.link.mux().set_tag(stream, self.next_tag);
                self.opened.insert(stream, self.next_tag);
                self.events.push_back(PeerEvent::Write(self.next_tag, rest));
                self.next_tag += 1;
            }
        }
        // Automatic answers of bymux.
        self.flush();
    }
}

impl PeerEvent {
    /// For messages: bytes are counted, not shown.
    fn in_short(&self) -> String {
        match self {
            PeerEvent::Write(tag, bytes) => format!("Write({tag}, {} bytes)", bytes.len()),
            other => format!("{other:?}"),
        }
    }
}

/// The request of the peer's inline plugin `test` for a channel to a plugin of the server.
///
/// # Panics
///
/// If `to` is not a valid name.
#[must_use]
pub fn request(to: &str) -> Request {
    let from = Origin::new("test".parse().expect("a name"), 1);
    Request::new(to.parse().expect("a name"), 0, from)
}

fn push_event(event: Event<'_>, events: &mut VecDeque<PeerEvent>) {
    match event {
        Event::Message(message) => events.push_back(PeerEvent::Message(*message)),
        Event::Preface { stream, preface, .. } => {
            events.push_back(PeerEvent::Preface(stream, *preface))
        }
        Event::Answer { tag, answer, rest, .. } => {
            events.push_back(PeerEvent::Answer(tag, answer));
            if !rest.is_empty() {
                events.push_back(PeerEvent::Write(tag, rest.to_vec()));
            }
        }
        Event::Write { tag, bytes } => events.push_back(PeerEvent::Write(tag, bytes.to_vec())),
        Event::Credit { tag } => events.push_back(PeerEvent::Credit(tag)),
        Event::Close { tag } => events.push_back(PeerEvent::Close(tag)),
        Event::StopRead { tag } => events.push_back(PeerEvent::StopRead(tag)),
        Event::Gone { tag } => events.push_back(PeerEvent::Gone(tag)),
        // A server writes its first frames in one piece.
        Event::FirstFrameLost { tag, .. } => events.push_back(PeerEvent::Gone(tag)),
    }
}
