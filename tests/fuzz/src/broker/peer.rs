//! A hostile peer's side of a connection: it knows the protocol well enough to keep to it wherever
//! it wants to, and holds the broker to it.

use super::super::words::{identity, key};
use std::collections::BTreeMap;
use trunkline_core::broker::{ConnId, Opened, PeerProcess, Security};
use trunkline_core::bymux::{Packet, StreamId};
use trunkline_core::control::{
    Answer, FrameReader, MESSAGE_MAX, Message, PREFACE_MAX, Preface, Ticket,
};
use trunkline_core::key::NETWORK;
use trunkline_core::limits::WINDOW;
use trunkline_core::link::PROFILE;
use trunkline_shs::{Ephemeral, Handshake, Opened as Frame, Progress, Reader, Sealer, Session};

/// How its bytes are protected.
pub(super) enum Line {
    Plain,
    Shaking(Box<Handshake>),
    Up(Box<(Sealer, Reader)>),
    Broken,
}

/// What both sides may still say on a stream, as the peer knows it.
#[derive(Debug)]
struct Stream {
    writable: u64,
    granted: u64,
    closed: bool,
    stopped: bool,
    frames: FrameReader,
    /// The first frame has come.
    begun: bool,
    /// The broker offered it, and takes no invitation.
    stays: bool,
}

impl Stream {
    fn new(writable: u64, granted: u64) -> Stream {
        let frames = FrameReader::new(PREFACE_MAX);
        let (closed, stopped, begun, stays) = (false, false, false, false);
        Stream { writable, granted, closed, stopped, frames, begun, stays }
    }
}

/// One connection of a hostile peer.
pub(super) struct Peer {
    pub(super) node: usize,
    pub(super) id: ConnId,
    /// Whose key it has.
    pub(super) who: usize,
    pub(super) direct: bool,
    /// It reads what it is told; it lets the broker write more.
    pub(super) reads: bool,
    pub(super) grants: bool,
    /// Bytes that arrive together.
    pub(super) cut: usize,
    line: Line,
    next: u64,
    streams: BTreeMap<u64, Stream>,
    control: FrameReader,
    /// What it says next, and what it was told in part.
    out: Vec<u8>,
    rest: Vec<u8>,
    /// It has broken the rules, and knows no more where it stands.
    wild: bool,
}

/// Both sides of how a connection is protected.
pub(super) struct Protection {
    broker: Security,
    line: Line,
    out: Vec<u8>,
}

impl Protection {
    /// The broker's side, and the peer's.
    pub(super) fn split(self) -> (Security, (Line, Vec<u8>)) {
        (self.broker, (self.line, self.out))
    }

    pub(super) fn none() -> Protection {
        Protection { broker: Security::NoAuth, line: Line::Plain, out: Vec::new() }
    }

    /// A handshake between `who` and one of our processes; `n` makes it another one each time.
    pub(super) fn shs(who: usize, node: usize, how: Opened, n: u8) -> Protection {
        let mut out = Vec::new();
        let ours = Ephemeral::from_secret(&[n | 64; 32]);
        let accepts = matches!(how, Opened::Dialled(_) | Opened::DirectDial(_));
        let line = match accepts {
            true => Ok(Handshake::accept(&NETWORK, identity(who), ours)),
            false => {
                let node = identity(node).public();
                Handshake::dial(&NETWORK, identity(who), node, ours, &mut out)
            }
        };
        let line = line.map_or(Line::Broken, |line| Line::Shaking(Box::new(line)));
        let ephemeral = Ephemeral::from_secret(&[n | 128; 32]);
        let expected = accepts.then(|| key(who));
        Protection { broker: Security::Shs { expected, ephemeral }, line, out }
    }
}

/// A peer's identity, and how its connection is made.
pub(super) struct Origin {
    pub(super) node: usize,
    pub(super) who: usize,
    pub(super) how: Opened,
    pub(super) process: PeerProcess,
}

impl Peer {
    /// A peer with what it says first; the broker has its own side of the protection already.
    pub(super) fn new(id: ConnId, origin: &Origin, line: (Line, Vec<u8>)) -> Peer {
        let control = PROFILE.control_stream.unwrap_or(0);
        let dials = matches!(origin.how, Opened::Accepted | Opened::Child(_) | Opened::Direct);
        Peer {
            node: origin.node,
            id,
            who: origin.who,
            direct: matches!(origin.how, Opened::Direct | Opened::DirectDial(_)),
            reads: true,
            grants: true,
            cut: usize::MAX,
            line: line.0,
            next: if dials { 2 } else { 1 },
            streams: BTreeMap::from([(0, Stream::new(control, control))]),
            control: FrameReader::new(MESSAGE_MAX),
            out: line.1,
            rest: Vec::new(),
            wild: false,
        }
    }

    /// The streams, but for the control stream.
    pub(super) fn streams(&self) -> Vec<u64> {
        self.streams.keys().copied().filter(|stream| *stream > 0).collect()
    }

    /// Whether it may answer a stream by an invitation.
    pub(super) fn may_invite(&self, stream: u64) -> bool {
        self.streams.get(&stream).is_some_and(|stream| !stream.stays)
    }

    /// What goes over the wire next.
    pub(super) fn take_out(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// The transport has no room for these bytes yet.
    pub(super) fn put_back(&mut self, mut bytes: Vec<u8>) {
        bytes.append(&mut self.out);
        self.out = bytes;
    }

    /// Says any bytes, and knows no more where it stands.
    pub(super) fn say_raw(&mut self, bytes: &[u8]) {
        self.wild = true;
        self.seal(bytes);
    }

    /// Puts any bytes on the wire, below the box stream.
    pub(super) fn say_unsealed(&mut self, bytes: &[u8]) {
        self.wild = true;
        self.out.extend_from_slice(bytes);
    }

    fn seal(&mut self, bytes: &[u8]) {
        let sealed = match &mut self.line {
            Line::Plain => {
                self.out.extend_from_slice(bytes);
                return;
            }
            Line::Shaking(handshake) => handshake.sealer(),
            Line::Up(up) => Some(&mut up.0),
            Line::Broken => None,
        };
        if let Some(sealer) = sealed {
            // After goodbye there is nothing to say.
            let _ = sealer.append(bytes, &mut self.out);
        }
    }

    fn packet(&mut self, packet: Packet, payload: &[u8]) {
        let mut bytes = packet.encode().as_bytes().to_vec();
        bytes.extend_from_slice(payload);
        self.seal(&bytes);
    }

    /// Says a packet that needs no account.
    pub(super) fn say(&mut self, packet: Packet) {
        self.packet(packet, &[]);
    }

    /// Opens a stream, and lets the broker write to it.
    pub(super) fn open(&mut self, window: u64) -> u64 {
        let stream = self.next;
        self.next += 2;
        self.streams.insert(stream, Stream::new(WINDOW, 0));
        self.say(Packet::Create(StreamId(stream)));
        self.credit(stream, window);
        stream
    }

    /// Writes as much as it may.
    pub(super) fn write(&mut self, stream: u64, bytes: &[u8]) {
        let Some(known) = self.streams.get_mut(&stream) else { return };
        let count = usize::try_from(known.writable).unwrap_or(usize::MAX).min(bytes.len());
        if known.closed || count == 0 {
            return;
        }
        known.writable -= count as u64;
        let packet = Packet::Write { stream: StreamId(stream), length: count as u64 };
        self.packet(packet, &bytes[..count]);
    }

    /// Lets the broker write more.
    pub(super) fn credit(&mut self, stream: u64, amount: u64) {
        let Some(known) = self.streams.get_mut(&stream) else { return };
        let sum = known.granted.checked_add(amount).filter(|sum| *sum < u64::MAX);
        if let Some(sum) = sum
            && amount > 0
            && !known.stopped
        {
            known.granted = sum;
            self.say(Packet::Credit { stream: StreamId(stream), amount });
        }
    }

    pub(super) fn close(&mut self, stream: u64) {
        if let Some(known) = self.streams.get_mut(&stream)
            && !std::mem::replace(&mut known.closed, true)
        {
            self.say(Packet::Close(StreamId(stream)));
            self.forget_if_over(stream);
        }
    }

    pub(super) fn stop_read(&mut self, stream: u64) {
        if let Some(known) = self.streams.get_mut(&stream)
            && !std::mem::replace(&mut known.stopped, true)
        {
            self.say(Packet::StopRead(StreamId(stream)));
            self.forget_if_over(stream);
        }
    }

    /// The broker answers Close and StopRead at once, so that nothing may be said after both.
    fn forget_if_over(&mut self, stream: u64) {
        if self.streams.get(&stream).is_some_and(|known| known.closed && known.stopped) {
            self.streams.remove(&stream);
        }
    }

    /// Hears what came over the wire.
    pub(super) fn hear(&mut self, bytes: &mut [u8], tickets: &mut Vec<Ticket>) {
        let mut input = bytes;
        while let Line::Shaking(handshake) = &mut self.line {
            let mut rest: &[u8] = input;
            let before = rest.len();
            let progress = handshake.receive(&mut rest, &mut self.out);
            let used = before - rest.len();
            input = &mut std::mem::take(&mut input)[used..];
            let session = match progress {
                Ok(Progress::Waiting) => return,
                Ok(Progress::Asks(_)) => handshake.admit(&mut self.out).ok(),
                Ok(Progress::Done(session)) => Some(session),
                Err(_) => None,
            };
            self.line = match session {
                Some(Session { sealer, opener, .. }) => {
                    Line::Up(Box::new((sealer, Reader::from(opener))))
                }
                None => Line::Broken,
            };
        }
        match &mut self.line {
            Line::Plain => self.rest.extend_from_slice(input),
            Line::Up(up) => loop {
                let used = match up.1.next(input) {
                    Ok((used, Frame::Body(body))) => {
                        self.rest.extend_from_slice(body);
                        used
                    }
                    Ok((used, Frame::Goodbye)) => used,
                    Ok((_, Frame::Waiting)) => break,
                    Err(error) => panic!("the broker breaks the box stream: {error}"),
                };
                input = &mut std::mem::take(&mut input)[used..];
            },
            Line::Shaking(_) | Line::Broken => {}
        }
        self.understand(tickets);
    }

    /// Reads the packets that are there. The broker keeps the rules, whatever it is told.
    fn understand(&mut self, tickets: &mut Vec<Ticket>) {
        let bytes = std::mem::take(&mut self.rest);
        let mut left = &bytes[..];
        loop {
            let found = Packet::decode(left).expect("the broker's packets are defined");
            let Some((packet, header)) = found else { break };
            let length = match packet {
                Packet::Write { length, .. } => length as usize,
                _ => 0,
            };
            let Some(payload) = left.get(header..header + length) else { break };
            left = &left[header + length..];
            self.told(packet, payload, tickets);
        }
        self.rest = left.to_vec();
    }

    fn told(&mut self, packet: Packet, payload: &[u8], tickets: &mut Vec<Ticket>) {
        match packet {
            Packet::Create(stream) => {
                let news = self.streams.insert(stream.0, Stream::new(0, WINDOW));
                assert!(news.is_none() || self.wild, "{stream} is created twice");
                if self.grants {
                    self.credit(stream.0, WINDOW);
                }
            }
            Packet::Write { stream, length } => self.written(stream.0, length, payload, tickets),
            Packet::Credit { stream, amount } => {
                if let Some(known) = self.streams.get_mut(&stream.0) {
                    known.writable = known.writable.saturating_add(amount);
                }
            }
            Packet::Close(stream) if self.grants => self.stop_read(stream.0),
            Packet::StopRead(stream) if self.grants => self.close(stream.0),
            Packet::StopRead(stream) => {
                if let Some(known) = self.streams.get_mut(&stream.0) {
                    known.writable = 0;
                }
            }
            Packet::GlobalPing if self.grants => self.say(Packet::GlobalPong),
            _ => {}
        }
    }

    fn written(&mut self, stream: u64, length: u64, payload: &[u8], tickets: &mut Vec<Ticket>) {
        let Some(known) = self.streams.get_mut(&stream) else { return };
        let within = known.granted.checked_sub(length);
        assert!(within.is_some() || self.wild, "{length} bytes on {stream}, over what was granted");
        known.granted = within.unwrap_or(0);
        if stream == 0 {
            let mut input = payload;
            while let Some(frame) = self.control.read(&mut input).expect("within the limit") {
                let message = Message::decode(frame.as_slice());
                if let Message::Expect(expect) = message.expect("the broker's message is read") {
                    tickets.push(expect.ticket);
                }
            }
        } else if !known.begun {
            let mut input = payload;
            if let Ok(Some(frame)) = known.frames.read(&mut input) {
                known.begun = true;
                if let Ok(Answer::Direct(invitation)) = Answer::decode(frame.as_slice()) {
                    tickets.push(invitation.ticket);
                }
                if let Ok(Preface::Channel(request)) = Preface::decode(frame.as_slice()) {
                    known.stays = request.stays;
                    tickets.extend(request.ticket);
                }
            }
        }
        if self.grants {
            self.credit(stream, length);
        }
    }
}
