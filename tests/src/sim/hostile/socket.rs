//! The two buffers of a connected pair of sockets.

use std::collections::VecDeque;
use std::io::Read;

/// Bytes that one direction holds: as much as Linux gives a unix socket by default.
pub(super) const CAPACITY: usize = 208 * 1024;

/// One direction.
#[derive(Debug)]
pub(super) struct Way {
    bytes: VecDeque<u8>,
    /// Nothing more is written.
    pub(super) ended: bool,
}

impl Way {
    fn new() -> Way {
        // All at once, so that nothing of it is counted as the victim's memory.
        Way { bytes: VecDeque::with_capacity(CAPACITY), ended: false }
    }

    /// Bytes that can be written now. A closed side takes everything, and reads nothing.
    pub(super) fn room(&self) -> usize {
        if self.ended { usize::MAX } else { CAPACITY - self.bytes.len() }
    }

    /// Writes as much as there is room for, and gives how much that was.
    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.room());
        if !self.ended {
            self.bytes.extend(&bytes[..taken]);
        }
        taken
    }

    /// Reads what is there; `None` behind the last byte.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let count = self.bytes.read(buffer).unwrap_or(0);
        (count > 0 || !self.ended).then_some(count)
    }

    /// Whether a read brings bytes, or the end.
    pub(super) fn is_readable(&self) -> bool {
        !self.bytes.is_empty() || self.ended
    }
}

/// Both directions; `ways[side]` is written by that side.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) ways: [Way; 2],
}

impl Pair {
    pub(super) fn new() -> Pair {
        Pair { ways: [Way::new(), Way::new()] }
    }

    /// Both sides are gone, from one moment to the next.
    pub(super) fn cut(&mut self) {
        for way in &mut self.ways {
            way.bytes.clear();
            way.ended = true;
        }
    }
}
