//! The two buffers of a connected pair of sockets.

use std::collections::VecDeque;
use std::io::Read;

/// Bytes that one direction holds: the default of a unix socket on Linux.
pub(super) const CAPACITY: usize = 208 * 1024;

/// One direction.
#[derive(Debug)]
pub(super) struct Way {
    bytes: VecDeque<u8>,
    /// The writer has closed.
    pub(super) ended: bool,
}

impl Way {
    fn new() -> Way {
        // Allocated at once, so that it is not counted as memory of the victim.
        Way { bytes: VecDeque::with_capacity(CAPACITY), ended: false }
    }

    /// Bytes that can be written now. After a close, written bytes vanish.
    pub(super) fn room(&self) -> usize {
        if self.ended { usize::MAX } else { CAPACITY - self.bytes.len() }
    }

    /// Writes as many bytes as fit, and returns their number.
    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.room());
        if !self.ended {
            self.bytes.extend(&bytes[..taken]);
        }
        taken
    }

    /// Reads the available bytes; `None` after the last one.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let count = self.bytes.read(buffer).unwrap_or(0);
        (count > 0 || !self.ended).then_some(count)
    }

    /// Whether a read returns bytes, or the end.
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

    /// Closes both sides at once; bytes in flight are lost.
    pub(super) fn cut(&mut self) {
        for way in &mut self.ways {
            way.bytes.clear();
            way.ended = true;
        }
    }
}
