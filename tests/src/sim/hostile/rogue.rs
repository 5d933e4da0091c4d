//! One connection of an attacker: valid packets and control messages, sent as fast as the victim
//! reads.

use super::attacks::Attack;
use super::socket::{CAPACITY, Pair};
use std::collections::VecDeque;
use std::num::NonZeroU64;
use trunkline_core::bymux::{Connection, Event, MuxRole, StreamId};
use trunkline_core::control::{
    Announced, Closing, FrameReader, Hello, MESSAGE_MAX, Message, Origin, PROTOCOL, Plugins,
    Preface, Request, Role,
};
use trunkline_core::key::Key;
use trunkline_core::link::PROFILE;
use trunkline_core::name::Name;
use trunkline_core::reason::Reason;

/// The machine of the victim and its hosts.
pub(super) const HERE: Key = Key([1; 32]);

/// Another machine. The machines of two plugins decide whether they are connected directly.
pub(super) const ELSEWHERE: Key = Key([2; 32]);

/// Whether an attacker reads, and gives credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// It reads all, and gives credit for it.
    All,
    /// It reads all, but only the attack grants credit.
    WithoutCredit,
    /// It reads nothing.
    Nothing,
}

/// What an attacker receives.
#[derive(Debug)]
pub enum RogueEvent {
    /// A control message.
    Message(Message),
    /// The victim opened a stream.
    Opened(StreamId),
    /// A stream has ended.
    Gone(StreamId),
}

/// One connection.
#[derive(Debug)]
pub struct Rogue {
    mux: Connection,
    control: FrameReader,
    /// What it reads.
    pub reads: Reads,
    /// Control bytes that wait for credit.
    waiting: VecDeque<u8>,
    /// The pair of sockets, of which it has side 0.
    pub(super) pair: usize,
    /// The connection is closed, by the victim or by the end of the attack.
    pub closed: bool,
    /// It closes the connection when its output is flushed, and connects again.
    pub closes: bool,
    key: Key,
    role: Role,
}

impl Rogue {
    /// A connection on which nothing has been sent.
    pub(super) fn new(pair: usize, key: Key, role: Role) -> Rogue {
        Rogue {
            mux: Connection::new(MuxRole::Dialler, PROFILE, 0),
            control: FrameReader::new(MESSAGE_MAX),
            reads: Reads::All,
            waiting: VecDeque::new(),
            pair,
            closed: false,
            closes: false,
            key,
            role,
        }
    }

    /// Sends hello with these plugins.
    pub fn send_hello(&mut self, plugins: Vec<Announced>) {
        let hello = Hello {
            protocol: PROTOCOL,
            role: self.role,
            key: self.key,
            name: format!("rogue-{}", self.key.0[0]),
            machine: ELSEWHERE,
            plugins,
            software: None,
            seen: None,
        };
        self.send_message(&Message::Hello(hello));
    }

    /// The key that it claims. Its names contain it, so they are unique.
    pub fn key(&self) -> Key {
        self.key
    }

    /// Sends a control message as soon as there is credit for it.
    pub fn send_message(&mut self, message: &Message) {
        self.waiting.extend(message.frame());
    }

    /// Announces plugins, in messages as long as allowed.
    pub fn announce(&mut self, plugins: &[Announced]) {
        /// Plugins in one message. Each takes less than 100 bytes.
        const EACH: usize = 600;
        for plugins in plugins.chunks(EACH) {
            self.send_message(&Message::Plugins(Plugins { plugins: plugins.to_vec() }));
        }
    }

    /// Control bytes that wait for credit.
    pub fn unsent(&self) -> usize {
        self.waiting.len()
    }

    /// Whether as many bytes wait as a socket holds.
    pub fn is_full(&self) -> bool {
        self.pending() >= CAPACITY
    }

    /// Opens a stream for a channel to a plugin; `with` changes the request.
    pub fn open(&mut self, to: &str, with: impl FnOnce(&mut Request)) -> Option<StreamId> {
        let stream = self.mux.create()?;
        let from = Origin::new(name("rogue"), 1);
        let mut request = Request::new(name(to), 0, from);
        with(&mut request);
        self.mux.write(stream, &Preface::channel(request).frame());
        Some(stream)
    }

    /// Opens a stream and writes this many bytes of a longer preface.
    pub fn open_half(&mut self, bytes: usize) -> Option<StreamId> {
        let stream = self.mux.create()?;
        let mut half = vec![0; bytes];
        half[..4].copy_from_slice(&4096u32.to_be_bytes());
        self.mux.write(stream, &half);
        Some(stream)
    }

    /// Writes to a stream as many bytes as there is credit for.
    pub fn write(&mut self, stream: StreamId, bytes: &[u8]) -> usize {
        self.mux.write(stream, bytes)
    }

    /// Grants the victim credit for this many bytes.
    pub fn grant(&mut self, stream: StreamId, bytes: u64) {
        if let Some(bytes) = NonZeroU64::new(bytes) {
            self.mux.credit(stream, bytes);
        }
    }

    /// Pings the victim.
    pub fn ping(&mut self) {
        self.mux.global_ping();
    }

    /// Closes the writing direction of a stream.
    pub fn close(&mut self, stream: StreamId) {
        self.mux.close(stream);
    }

    /// Ends a stream in both directions, in order.
    pub fn end(&mut self, stream: StreamId) {
        self.mux.close(stream);
        self.mux.stop_read(stream);
    }

    /// Ends a stream in both directions, for a reason.
    pub fn abort(&mut self, stream: StreamId) {
        let reason = Reason::plugin("enough", "it was only a joke");
        self.send_message(&Message::Closing(Closing { stream: stream.0, reason }));
        self.end(stream);
    }

    /// Reads what has arrived, and sends at most `pace` bytes, as far as they fit into the socket.
    pub(super) fn act(&mut self, attack: &mut dyn Attack, pair: &mut Pair, pace: usize) {
        if self.closed {
            return;
        }
        self.read(attack, pair);
        let (begun, mut before) = (self.pending(), usize::MAX);
        while !self.is_full()
            && !self.closes
            && self.pending() < begun + pace
            && before != self.pending()
        {
            before = self.pending();
            attack.send_more(self);
            self.pump();
        }
        self.flush(pair);
        if self.closes && self.outbox() == 0 {
            self.closed = true;
            pair.ways[0].ended = true;
        }
    }

    /// Bytes that wait for credit or for the socket.
    fn pending(&self) -> usize {
        self.waiting.len() + self.outbox()
    }

    fn outbox(&self) -> usize {
        self.mux.outbox().len()
    }

    /// Moves as many control bytes to the outbox as there is credit for.
    fn pump(&mut self) {
        let (bytes, _) = self.waiting.as_slices();
        let taken = self.mux.write(StreamId::CONTROL, bytes);
        self.waiting.drain(..taken);
        while self.mux.next_ready().is_some() {}
    }

    fn flush(&mut self, pair: &mut Pair) {
        loop {
            self.pump();
            let taken: usize =
                self.mux.outbox().slices().iter().map(|slice| pair.ways[0].write(slice)).sum();
            self.mux.outbox_mut().advance(taken);
            if taken == 0 {
                return;
            }
        }
    }

    fn read(&mut self, attack: &mut dyn Attack, pair: &mut Pair) {
        if self.reads == Reads::Nothing {
            return;
        }
        let mut buffer = [0; 64 * 1024];
        loop {
            match pair.ways[1].read(&mut buffer) {
                Some(0) => return,
                Some(count) => self.receive(attack, &buffer[..count]),
                None => {
                    self.closed = true;
                    return;
                }
            }
        }
    }

    fn receive(&mut self, attack: &mut dyn Attack, mut input: &[u8]) {
        // Violations by the victim are checked by other tests.
        while let Ok(Some(event)) = self.mux.receive(&mut input) {
            match event {
                Event::Write { stream, bytes, .. } if stream == StreamId::CONTROL => {
                    let messages = self.messages(bytes);
                    self.give_back(stream, bytes.len());
                    for message in messages {
                        attack.receive(self, RogueEvent::Message(message));
                    }
                }
                Event::Write { stream, bytes, .. } => self.give_back(stream, bytes.len()),
                Event::Opened { stream } => attack.receive(self, RogueEvent::Opened(stream)),
                Event::Gone { stream, .. } => attack.receive(self, RogueEvent::Gone(stream)),
                _ => {}
            }
        }
    }

    fn give_back(&mut self, stream: StreamId, bytes: usize) {
        if self.reads == Reads::All {
            self.grant(stream, bytes as u64);
        }
    }

    fn messages(&mut self, mut bytes: &[u8]) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Ok(Some(frame)) = self.control.read(&mut bytes) {
            messages.extend(Message::decode(frame.as_slice()));
        }
        messages
    }
}

/// A name of the script.
///
/// # Panics
///
/// If it is not a valid name.
#[must_use]
pub(super) fn name(text: &str) -> Name {
    text.parse().unwrap_or_else(|error| panic!("{text} is not a name: {error:?}"))
}

/// Plugins of one attacker with unique names. Another `set` gives other names.
#[must_use]
pub(super) fn plugins(key: Key, set: char, count: usize) -> Vec<Announced> {
    let named = |number| name(&format!("x{}-{set}-{number}", key.0[0]));
    (0..count).map(|number| Announced::new(named(number), 1)).collect()
}
