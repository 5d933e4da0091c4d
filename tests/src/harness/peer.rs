//! A peer that speaks the protocol as it is, one thing at a time, from within a test.

// A test whose peer does not work must not go on.
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

/// One of the peer's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chan {
    /// What events name it by: 0, 1 and so on, in the order of opening.
    pub tag: u32,
    /// Its stream.
    pub stream: StreamId,
}

/// What the server did.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
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
    /// It no longer writes.
    Close(u32),
    /// It no longer reads.
    StopRead(u32),
    /// A channel is over.
    Gone(u32),
    /// It hung up.
    End,
}

/// A peer with a link to a server.
#[derive(Debug)]
pub struct Peer {
    socket: Socket,
    link: Link,
    heard: VecDeque<Heard>,
    /// The tags of streams that the server has opened, and that were not accepted.
    opened: BTreeMap<StreamId, u32>,
    next_tag: u32,
    ended: bool,
}

impl Peer {
    /// Links to a server as the server of this key, or of the one that the socket has proved, and
    /// waits for its hello.
    #[must_use]
    pub fn link(socket: Socket, key: u8) -> Peer {
        let key = socket.proved().unwrap_or(Key([key; 32]));
        let mut peer = Peer::say_hello(socket, MuxRole::Dialler, hello(key));
        peer.wait_for("hello", |heard| matches!(heard, Heard::Message(Message::Hello(_))));
        peer
    }

    /// As [`Peer::link`], as the server of this name.
    #[must_use]
    pub fn link_as(socket: Socket, key: u8, name: &str) -> Peer {
        let hello = Hello { name: name.into(), ..hello(Key([key; 32])) };
        let mut peer = Peer::say_hello(socket, MuxRole::Dialler, hello);
        peer.wait_for("hello", |heard| matches!(heard, Heard::Message(Message::Hello(_))));
        peer
    }

    /// Says hello over a connection, and waits for nothing.
    #[must_use]
    pub fn say_hello(socket: Socket, role: MuxRole, hello: Hello) -> Peer {
        let link = Link::new(role, Duration::ZERO, &Limits::default(), 0);
        let (heard, opened) = Default::default();
        let mut peer = Peer { socket, link, heard, opened, next_tag: 0, ended: false };
        peer.say(&Message::Hello(hello));
        peer
    }

    /// Sends a control message.
    pub fn say(&mut self, message: &Message) {
        self.link.send(message).expect("a message that fits");
        self.flush();
    }

    /// Opens a channel to a plugin, and grants it a window. Nothing is waited for.
    pub fn open(&mut self, to: &str) -> Chan {
        let chan = self.open_without_credit(to);
        self.grant(chan, WINDOW);
        chan
    }

    /// Opens a channel to a plugin that has no credit to write anything, its answer apart.
    pub fn open_without_credit(&mut self, to: &str) -> Chan {
        let from = Origin::new("test".parse().expect("a name"), 1);
        let request = Request::new(to.parse().expect("a name"), 0, from);
        let chan = self.create(&Preface::channel(request));
        self.flush();
        chan
    }

    fn create(&mut self, preface: &Preface) -> Chan {
        let tag = self.next_tag;
        self.next_tag += 1;
        let stream = self.link.open(tag).expect("the server allows one more stream");
        let frame = preface.frame();
        assert_eq!(self.link.mux().write(stream, &frame), frame.len(), "a preface fits");
        // As much as an accept takes.
        let chan = Chan { tag, stream };
        self.grant(chan, Answer::Accept(None).frame().len() as u64);
        chan
    }

    /// Opens a stream for calls of the plugin `test` to a plugin.
    pub fn open_calls(&mut self, to: &str) -> Chan {
        let from = Origin::new("test".parse().expect("a name"), 1);
        let request = Request::new(to.parse().expect("a name"), 0, from);
        let chan = self.create(&Preface::channel(Request { purpose: Purpose::Calls, ..request }));
        self.flush();
        chan
    }

    /// Accepts a stream that the server has opened, and grants it a window.
    ///
    /// # Panics
    ///
    /// When the server has opened no such stream.
    pub fn accept(&mut self, stream: StreamId) -> Chan {
        let tag = self.opened.remove(&stream).expect("the server has opened it");
        let chan = Chan { tag, stream };
        let frame = Answer::accept(None).frame();
        assert_eq!(self.link.mux().write(stream, &frame), frame.len(), "an answer fits");
        self.grant(chan, WINDOW);
        self.flush();
        chan
    }

    /// Lets the server write that many more bytes. It is sent with what is sent next.
    pub fn grant(&mut self, chan: Chan, bytes: u64) {
        if let Some(bytes) = NonZeroU64::new(bytes) {
            self.link.mux().credit(chan.stream, bytes);
        }
    }

    /// Writes as much as there is credit and room for, and gives how much that was.
    pub fn write(&mut self, chan: Chan, bytes: &[u8]) -> usize {
        let taken = self.link.mux().write(chan.stream, bytes);
        self.flush();
        taken
    }

    /// Writes everything that there is credit for, as long as anything is taken.
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

    /// Writes no more.
    pub fn close(&mut self, chan: Chan) {
        self.link.mux().close(chan.stream);
        self.flush();
    }

    /// Reads no more.
    pub fn stop_read(&mut self, chan: Chan) {
        self.link.mux().stop_read(chan.stream);
        self.flush();
    }

    /// Sends everything that waits. A server that has hung up is no error: it is heard later.
    pub fn flush(&mut self) {
        let bytes = self.link.outbox().slices().concat();
        if self.socket.write_all(&bytes).is_err() {
            self.link.mux().outbox_mut().advance(bytes.len());
            return;
        }
        self.link.mux().outbox_mut().advance(bytes.len());
    }

    /// The next thing that the server does. It waits for it.
    ///
    /// # Panics
    ///
    /// When the server does nothing for too long, or breaks the protocol.
    pub fn hear(&mut self) -> Heard {
        // Pings are answered without being heard, so that reading alone proves nothing.
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(heard) = self.heard.pop_front() {
                return heard;
            }
            if self.ended {
                return Heard::End;
            }
            self.read();
        }
        panic!("the server says nothing but pings");
    }

    /// Hears until something wanted comes, and gives that.
    ///
    /// # Panics
    ///
    /// When it does not come.
    pub fn wait_for(&mut self, what: &str, wanted: impl Fn(&Heard) -> bool) -> Heard {
        let deadline = Instant::now() + PATIENCE;
        let mut others = Vec::new();
        while Instant::now() < deadline {
            let heard = self.hear();
            if wanted(&heard) {
                return heard;
            }
            assert!(heard != Heard::End, "the server hung up before {what} came: {others:?}");
            others.push(heard.in_short());
        }
        panic!("{what} did not come in time, but {others:?}");
    }

    /// Sends bytes through a new channel to the plugin and reads as many of them back.
    ///
    /// # Panics
    ///
    /// When something else comes back.
    pub fn echo(&mut self, to: &str, bytes: &[u8]) {
        let chan = self.open(to);
        let (mut sent, mut back) = (0, Vec::new());
        while back.len() < bytes.len() {
            sent += self.write(chan, &bytes[sent..]);
            match self.hear() {
                Heard::Write(tag, some) if tag == chan.tag => {
                    self.grant(chan, some.len() as u64);
                    back.extend(some);
                    self.flush();
                }
                Heard::Answer(tag, Answer::Refuse(why)) if tag == chan.tag => {
                    panic!("{to} refused: {why}")
                }
                Heard::End => panic!("the server hung up after {} bytes", back.len()),
                _ => {}
            }
        }
        assert!(back == bytes, "{to} gave other bytes back");
        self.close(chan);
        self.wait_for("the end of the channel", |heard| *heard == Heard::Gone(chan.tag));
    }

    /// Writes a line, and gives the line that comes back.
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
    /// When something else comes.
    pub fn next_line(&mut self, chan: Chan) -> String {
        let mut back = Vec::new();
        while back.last() != Some(&b'\n') {
            match self.hear() {
                Heard::Write(tag, some) if tag == chan.tag => {
                    self.grant(chan, some.len() as u64);
                    back.extend(some);
                    self.flush();
                }
                Heard::Answer(tag, Answer::Refuse(why)) if tag == chan.tag => {
                    panic!("it was refused: {why}")
                }
                Heard::End => panic!("the server hung up before a line came"),
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
            hear_event(event, &mut self.heard);
            if let Some((stream, rest)) = opened {
                self.link.mux().set_tag(stream, self.next_tag);
                self.opened.insert(stream, self.next_tag);
                self.heard.push_back(Heard::Write(self.next_tag, rest));
                self.next_tag += 1;
            }
        }
        // Answers that bymux gives by itself.
        self.flush();
    }
}

impl Heard {
    /// For messages: bytes are counted and not shown.
    fn in_short(&self) -> String {
        match self {
            Heard::Write(tag, bytes) => format!("Write({tag}, {} bytes)", bytes.len()),
            other => format!("{other:?}"),
        }
    }
}

fn hear_event(event: Event<'_>, heard: &mut VecDeque<Heard>) {
    match event {
        Event::Messages(messages) => heard.extend(messages.into_iter().map(Heard::Message)),
        Event::Preface { stream, preface, .. } => heard.push_back(Heard::Preface(stream, preface)),
        Event::Answer { tag, answer, rest, .. } => {
            heard.push_back(Heard::Answer(tag, answer));
            if !rest.is_empty() {
                heard.push_back(Heard::Write(tag, rest.to_vec()));
            }
        }
        Event::Write { tag, bytes } => heard.push_back(Heard::Write(tag, bytes.to_vec())),
        Event::Credit { tag } => heard.push_back(Heard::Credit(tag)),
        Event::Close { tag } => heard.push_back(Heard::Close(tag)),
        Event::StopRead { tag } => heard.push_back(Heard::StopRead(tag)),
        Event::Gone { tag } => heard.push_back(Heard::Gone(tag)),
    }
}
