//! A connection to a process whose other side a test plays, message by message, and the turns of
//! that process.

// A test whose link does not work must not go on.
#![allow(clippy::expect_used)]

use crate::harness::hello;
use crate::processes::Processes;
use std::time::Duration;
use trunkline_core::broker::{
    ConnId, Effect, Grants, Opened, Opening, PeerProcess, Security, Step,
};
use trunkline_core::bymux::MuxRole;
use trunkline_core::control::{Hello, Message, Preface, Role};
use trunkline_core::key::Key;
use trunkline_core::limits::Limits;
use trunkline_core::link::{Event, Link};

/// A connection to process 0, which it accepted.
#[derive(Debug)]
pub struct PlayedLink {
    /// The number of the connection there.
    pub conn: ConnId,
    link: Link,
}

/// What the process said.
#[derive(Debug)]
pub enum Said {
    /// A control message.
    Message(Message),
    /// It opened a stream.
    Preface(Preface),
}

impl PlayedLink {
    /// Connects to process 0.
    pub fn connect(all: &mut Processes) -> PlayedLink {
        let (how, grants) = (Opened::Accepted, Grants::Everything);
        let (address, security) = ("played".into(), Security::NoAuth);
        let (from, process) = (None, PeerProcess::Foreign);
        let opening = Opening { how, grants, address, security, from, process };
        let conn = all.all[0].broker.connected(opening);
        let link = Link::new(MuxRole::Dialler, Duration::ZERO, &Limits::default(), 0);
        PlayedLink { conn, link }
    }

    /// Says hello, and takes the answer.
    pub fn greet(&mut self, all: &mut Processes, number: u8, role: Role) {
        self.say(&[Message::Hello(Hello { role, ..hello(Key([number; 32])) })]);
        let bytes = self.bytes();
        turn(all, &[(self.conn, bytes)]);
        self.take(all);
    }

    /// Sends messages. The process gets them with the next [`bytes`](PlayedLink::bytes).
    pub fn say(&mut self, messages: &[Message]) {
        messages.iter().for_each(|message| self.link.send(message).expect("it fits"));
    }

    /// What the link has to write, with the credit for what it took.
    pub fn bytes(&mut self) -> Vec<u8> {
        let bytes = self.link.outbox().slices().concat();
        self.link.mux().outbox_mut().advance(bytes.len());
        bytes
    }

    /// Takes what the process has said since.
    pub fn take(&mut self, all: &mut Processes) -> Vec<Said> {
        let bytes = all.all[0].send(self.conn);
        let (mut input, mut said) = (&bytes[..], Vec::new());
        while let Some(event) = self.link.receive(Duration::ZERO, &mut input).expect("no fault") {
            match event {
                Event::Message(message) => {
                    if let Message::Goodbye(goodbye) = &*message {
                        panic!("it is refused: {}", goodbye.reason);
                    }
                    said.push(Said::Message(*message));
                }
                Event::Preface { preface, .. } => said.push(Said::Preface(*preface)),
                _ => {}
            }
        }
        said
    }
}

/// One turn of the loop of process 0, in which connections bring bytes. How many times a plugin was
/// notified.
pub fn turn(all: &mut Processes, brought: &[(ConnId, Vec<u8>)]) -> usize {
    let broker = &mut all.all[0].broker;
    broker.tick(Duration::ZERO);
    let unread = broker.take_unread();
    for (conn, bytes) in unread.iter().chain(brought) {
        let mut input = &bytes[..];
        loop {
            match broker.receive(*conn, &mut input) {
                Step::Done => break,
                Step::More => {}
                Step::Write { .. } => panic!("no peer writes"),
            }
        }
    }
    let mut told = 0;
    while let Some(effect) = broker.next_effect() {
        told += usize::from(matches!(effect, Effect::Tell(..)));
    }
    broker.take_touched(&mut Vec::new());
    told
}
