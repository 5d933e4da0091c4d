//! A byte pipe in place of a socket between two nodes. It delays, fills up, loses bytes and breaks.

use super::random::Random;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;
use trunkline_core::broker::{ConnId, Grants};

/// Bytes that are recorded at the start of a direction. They include a ticket.
const REMEMBERED: usize = 200;

/// One direction.
#[derive(Debug)]
pub struct Direction {
    chunks: VecDeque<(Duration, Vec<u8>)>,
    queued: usize,
    capacity: usize,
    last: Duration,
    /// The writer has closed. The reader sees the end after the last byte.
    ended: bool,
    /// Written bytes vanish, so the writer seems silent.
    pub silent: bool,
    /// Total of the written bytes.
    pub written: u64,
    /// The first bytes, if they are recorded.
    pub first: Option<Vec<u8>>,
}

/// The result of a read.
#[derive(Debug)]
pub enum Read {
    /// Bytes.
    Bytes(Vec<u8>),
    /// Nothing yet.
    Nothing,
    /// The writer has closed.
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
            silent: false,
            written: 0,
            first: None,
        }
    }

    /// Bytes that can be written now.
    pub fn room(&self) -> usize {
        if self.ended { usize::MAX } else { self.capacity.saturating_sub(self.queued) }
    }

    /// Whether a writer that found it full is notified: as for a socket, when half of it is free.
    pub fn is_writable(&self) -> bool {
        self.ended || self.queued <= self.capacity / 2
    }

    /// Bytes in flight.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Writes bytes that arrive at `at`. Returns how many were accepted.
    pub fn write(&mut self, bytes: &[u8], at: Duration) -> usize {
        let taken = bytes.len().min(self.room());
        self.written += taken as u64;
        if let Some(first) = self.first.as_mut().filter(|first| first.len() < REMEMBERED) {
            first.extend_from_slice(&bytes[..taken]);
        }
        if !self.silent && !self.ended && taken > 0 {
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

    /// Closes the direction; the written bytes still arrive. A silent one stays open for the
    /// reader.
    pub fn end(&mut self) {
        self.ended |= !self.silent;
    }

    /// Breaks: the bytes in flight are lost, except the first `keep` ones.
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

    /// Appends bytes that the writer has not written.
    pub fn inject(&mut self, bytes: &[u8]) {
        self.chunks.push_back((self.last, bytes.to_vec()));
        self.queued += bytes.len();
    }
}

/// Both directions, and the nodes at both sides. Side 0 has dialled.
#[derive(Debug)]
pub struct Pipe {
    /// The node and its connection at each side, until it has closed.
    pub ends: [Option<(usize, ConnId)>; 2],
    /// `ways[side]` is written by that side.
    pub ways: [Direction; 2],
    /// The latency.
    pub delay: Duration,
    /// A stranger has written or changed bytes.
    pub tainted: bool,
    /// It is encrypted.
    pub secured: bool,
    /// The roles that side 0 may have.
    pub grants: Grants,
    /// It is for one channel between two processes.
    pub direct: bool,
    /// The process that is dialled for that, and its generation.
    pub callee: Option<(usize, u64)>,
    /// The TCP address of side 0.
    pub from: Option<SocketAddr>,
    /// The host at side 0.
    pub host: Option<usize>,
    /// Side 0 has a key that is not listed.
    pub unlisted: bool,
}

impl Pipe {
    /// A plain pipe with a random capacity and latency.
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

    /// Whether both sides have closed.
    pub fn is_over(&self) -> bool {
        self.ends.iter().all(Option::is_none)
    }
}
