//! An [`Opener`] that keeps incomplete frames, so that bytes may arrive in pieces of any size.

use alloc::vec::Vec;

use crate::opener::Found;
use crate::{Error, Opened, Opener};

/// Opens a direction of a box stream from reads of any size. A frame that is complete in one read
/// is opened there; only a frame that is cut is copied, into a buffer of at most one body.
pub struct Reader {
    opener: Opener,
    /// The front of a header or of a body, whose rest has not arrived yet.
    partial: Vec<u8>,
    /// The caller has received the content of `partial`.
    spent: bool,
}

impl From<Opener> for Reader {
    fn from(opener: Opener) -> Reader {
        Reader { opener, partial: Vec::new(), spent: false }
    }
}

impl Reader {
    /// Opens the next frame from `input` and the kept bytes. Returns how many bytes of `input` are
    /// used up, and what was found. Call it again with the rest. When it waits, all bytes are used
    /// up.
    ///
    /// # Errors
    ///
    /// The peer broke the rules, or the bytes were changed.
    pub fn next<'a>(&'a mut self, input: &'a mut [u8]) -> Result<(usize, Opened<'a>), Error> {
        let mut used = 0;
        if core::mem::take(&mut self.spent) {
            self.partial.clear();
        }
        if !self.partial.is_empty() {
            used = self.fill(input);
            if self.partial.len() < self.opener.needed() {
                return Ok((used, Opened::Waiting));
            }
            // It is exactly a header or exactly a body.
            match self.opener.step(&mut self.partial)?.1 {
                Found::Body(length) => {
                    self.spent = true;
                    let start = self.partial.len() - length;
                    return Ok((used, Opened::Body(&mut self.partial[start..])));
                }
                Found::Goodbye => {
                    self.partial.clear();
                    return Ok((used, Opened::Goodbye));
                }
                Found::Waiting => self.partial.clear(),
            }
        }
        self.open_rest(input, used)
    }

    /// The transport has ended.
    ///
    /// # Errors
    ///
    /// It ended before goodbye.
    pub fn end(&self) -> Result<(), Error> {
        self.opener.end()
    }

    /// Whether the peer has said goodbye.
    pub fn has_ended(&self) -> bool {
        self.opener.has_ended()
    }

    /// Bytes that are kept: less than a frame.
    pub fn kept(&self) -> usize {
        if self.spent { 0 } else { self.partial.len() }
    }

    /// Opens what begins at `start` within the input, or keeps it.
    fn open_rest<'a>(
        &mut self,
        input: &'a mut [u8],
        start: usize,
    ) -> Result<(usize, Opened<'a>), Error> {
        let (used, found) = self.opener.step(&mut input[start..])?;
        let end = start + used;
        let opened = match found {
            Found::Body(length) => Opened::Body(&mut input[end - length..end]),
            Found::Goodbye => Opened::Goodbye,
            Found::Waiting => {
                self.keep(&input[end..]);
                return Ok((input.len(), Opened::Waiting));
            }
        };
        Ok((end, opened))
    }

    /// Keeps the front of a header or of a body. The buffer has room for the whole, and no more.
    fn keep(&mut self, front: &[u8]) {
        if !front.is_empty() {
            self.partial.reserve_exact(self.opener.needed());
            self.partial.extend_from_slice(front);
        }
    }

    /// Completes the partial header or body; returns how many bytes it took.
    fn fill(&mut self, input: &[u8]) -> usize {
        let missing = self.opener.needed().saturating_sub(self.partial.len());
        let taken = missing.min(input.len());
        self.partial.extend_from_slice(&input[..taken]);
        taken
    }
}
