//! A byte pipe between two servers, instead of a socket: it delays, fills up, loses and breaks.

use super::random::Random;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;
use trunkline_core::broker::{ConnId, Grants};

/// Bytes of a first write that are remembered: a ticket is among them.
const REMEMBERED: usize = 200;

/// One direction.
#[derive(Debug)]
pub struct Direction {
    chunks: VecDeque<(Duration, Vec<u8>)>,
    queued: usize,
    capacity: usize,
    last: Duration,
    /// Nothing more is written; the reader is told behind the last byte.
    ended: bool,
    /// What is written vanishes: the peer is silent.
    pub swallows: bool,
    /// Bytes that were written in all.
    pub written: u64,
    /// The first write, where it is remembered.
    pub first: Option<Vec<u8>>,
}

/// What a read brought.
#[derive(Debug)]
pub enum Read {
    /// Bytes.
    Bytes(Vec<u8>),
    /// Nothing yet.
    Nothing,
    /// The other side is gone.
    End,
}

impl Direction {
    fn new(capacity: usize) -> Direction {
        let (chunks, last) = (VecDeque::new(), Duration::ZERO);
        Direction {
            chunks,
            queued: 0,
            capacity,
            last,
            ended: false,
            swallows: false,
            written: 0,
            first: None,
        }
    }

    /// Bytes that can be written now.
    pub fn room(&self) -> usize {
        if self.ended { usize::MAX } else { self.capacity.saturating_sub(self.queued) }
    }

    /// Whether who found it full may try again: as with a socket, when there is some room.
    pub fn is_writable(&self) -> bool {
        self.ended || self.queued <= self.capacity / 2
    }

    /// Bytes under way.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Writes bytes that arrive at `at`; how many were taken.
    pub fn write(&mut self, bytes: &[u8], at: Duration) -> usize {
        let taken = bytes.len().min(self.room());
        self.written += taken as u64;
        if let Some(first) = self.first.as_mut().filter(|first| first.len() < REMEMBERED) {
            first.extend_from_slice(&bytes[..taken]);
        }
        if !self.swallows && !self.ended && taken > 0 {
            self.last = self.last.max(at);
            self.chunks.push_back((self.last, bytes[..taken].to_vec()));
            self.queued += taken;
        }
        taken
    }

    /// Reads at most `most` bytes that have arrived.
    pub fn read(&mut self, now: Duration, most: usize) -> Read {
        let mut bytes = Vec::new();
        while let Some((at, chunk)) = self.chunks.front_mut()
            && *at <= now
            && bytes.len() < most
        {
            let rest = chunk.split_off(chunk.len().min(most - bytes.len()));
            bytes.append(chunk);
            if rest.is_empty() {
                self.chunks.pop_front();
            } else {
                *chunk = rest;
            }
        }
        self.queued -= bytes.len();
        match (bytes.is_empty(), self.chunks.is_empty() && self.ended) {
            (false, _) => Read::Bytes(bytes),
            (true, true) => Read::End,
            (true, false) => Read::Nothing,
        }
    }

    /// When the next bytes or the end can be read.
    pub fn readable_at(&self) -> Option<Duration> {
        match self.chunks.front() {
            Some((at, _)) => Some(*at),
            None => self.ended.then_some(Duration::ZERO),
        }
    }

    /// Ends in order: what was written arrives. Of who is silent, nobody hears that.
    pub fn end(&mut self) {
        self.ended |= !self.swallows;
    }

    /// Breaks: what is under way is lost, but for its first `keep` bytes.
    pub fn cut(&mut self, keep: usize) {
        let mut left = keep;
        for (_, chunk) in &mut self.chunks {
            chunk.truncate(left);
            left -= chunk.len();
        }
        self.chunks.retain(|(_, chunk)| !chunk.is_empty());
        self.queued = self.chunks.iter().map(|(_, chunk)| chunk.len()).sum();
        self.ended = true;
    }

    /// Puts bytes behind what is under way, that nobody wrote.
    pub fn inject(&mut self, bytes: &[u8]) {
        self.chunks.push_back((self.last, bytes.to_vec()));
        self.queued += bytes.len();
    }
}

/// Both directions, with who is at which side. Side 0 dialled.
#[derive(Debug)]
pub struct Pipe {
    /// The server and its connection at each side, until it has hung up.
    pub ends: [Option<(usize, ConnId)>; 2],
    /// `ways[side]` is written by that side.
    pub ways: [Direction; 2],
    /// How long a byte takes.
    pub delay: Duration,
    /// Somebody who is no server wrote or changed bytes.
    pub tainted: bool,
    /// It runs Secret Handshake and box stream.
    pub secured: bool,
    /// What side 0 may be.
    pub grants: Grants,
    /// It is for one channel between two processes.
    pub direct: bool,
    /// The process that is dialled for that, and how often it was started by then.
    pub callee: Option<(usize, u64)>,
    /// The address from which side 0 comes, over TCP.
    pub from: Option<SocketAddr>,
    /// The host at side 0.
    pub host: Option<usize>,
    /// Side 0 has a key that nobody lists.
    pub unlisted: bool,
}

impl Pipe {
    /// A plain pipe between two servers, somehow wide and long.
    pub fn draw(random: &mut Random) -> Pipe {
        let capacity = random.size(8_000, 256 * 1024) as usize;
        Pipe {
            ends: [None, None],
            ways: [Direction::new(capacity), Direction::new(capacity)],
            delay: Duration::from_micros(random.size(0, 100_000)),
            tainted: false,
            secured: false,
            grants: Grants::Server,
            direct: false,
            callee: None,
            from: None,
            host: None,
            unlisted: false,
        }
    }

    /// A pipe between a server and a host that it starts.
    pub fn to_child(random: &mut Random) -> Pipe {
        Pipe { delay: Duration::ZERO, grants: Grants::Everything, ..Pipe::draw(random) }
    }

    /// Whether nothing happens on it any more.
    pub fn is_over(&self) -> bool {
        self.ends.iter().all(Option::is_none)
    }
}
