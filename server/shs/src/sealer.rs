//! The sending direction of a box stream: bodies in, frames out. It keeps no data.

use alloc::vec::Vec;

use crate::header::{HEADER_PLAIN, HeaderCipher};
use crate::primitives::{self, Tag};
use crate::{BODY_MAX, HEADER, Misuse};

/// Makes the frames of one direction. All methods leave it unchanged when they fail.
pub struct Sealer {
    headers: HeaderCipher,
    ended: bool,
}

/// The length on the wire of `length` bytes in as few frames as possible, without the goodbye.
pub const fn sealed_len(length: usize) -> usize {
    length + length.div_ceil(BODY_MAX) * HEADER
}

impl Sealer {
    /// Begins a direction with the key and the first nonce, which both ends know.
    pub fn new(key: &[u8; 32], nonce: &[u8; 24]) -> Sealer {
        Sealer { headers: HeaderCipher::new(key, nonce), ended: false }
    }

    /// Writes the frame of `body`, 1 to 4,096 bytes, to the front of `frame` and returns its
    /// length, which is that of the body plus [`HEADER`].
    ///
    /// # Errors
    ///
    /// A body that is empty or too long, a `frame` that is too short, or a frame after goodbye.
    pub fn seal(&mut self, body: &[u8], frame: &mut [u8]) -> Result<usize, Misuse> {
        self.check(body.len())?;
        let length = body.len() + HEADER;
        let room = frame.len();
        let frame = frame.get_mut(..length).ok_or(Misuse::Room(room))?;
        let (header, boxed) = split(frame)?;
        let tag =
            primitives::seal_from(body, boxed, &self.headers.body_nonce(), self.headers.key());
        self.seal_header(body.len(), &tag, header);
        Ok(length)
    }

    /// Turns `frame`, which is [`HEADER`] bytes of room and then the body, into a frame in place.
    ///
    /// # Errors
    ///
    /// A body that is empty or too long, a `frame` shorter than a header, or a frame after goodbye.
    pub fn seal_in_place(&mut self, frame: &mut [u8]) -> Result<(), Misuse> {
        let (header, body) = split(frame)?;
        self.check(body.len())?;
        let tag = primitives::seal(body, &self.headers.body_nonce(), self.headers.key());
        self.seal_header(body.len(), &tag, header);
        Ok(())
    }

    /// Appends the frames of `bytes`, which may have any length, to `output`, which grows by
    /// [`sealed_len`]. Without bytes there is no frame.
    ///
    /// # Errors
    ///
    /// Goodbye was sent already.
    pub fn append(&mut self, bytes: &[u8], output: &mut Vec<u8>) -> Result<(), Misuse> {
        self.append_joined(&[bytes], output)
    }

    /// As [`append`](Self::append) for the concatenation of all slices: a frame may hold the end of
    /// one slice and the front of the next.
    ///
    /// # Errors
    ///
    /// Goodbye was sent already.
    pub fn append_joined(&mut self, slices: &[&[u8]], output: &mut Vec<u8>) -> Result<(), Misuse> {
        if self.ended {
            return Err(Misuse::AfterGoodbye);
        }
        let mut left: usize = slices.iter().map(|slice| slice.len()).sum();
        output.reserve(sealed_len(left));
        let mut slices = slices.iter().copied();
        let mut slice: &[u8] = &[];
        while left > 0 {
            let start = output.len();
            let end = start + HEADER + left.min(BODY_MAX);
            output.extend_from_slice(&[0; HEADER]);
            while output.len() < end {
                if slice.is_empty() {
                    // The slices hold exactly as many bytes as remain to be sealed.
                    slice = slices.next().unwrap_or_default();
                    continue;
                }
                let (front, rest) = slice.split_at(slice.len().min(end - output.len()));
                output.extend_from_slice(front);
                slice = rest;
            }
            left -= end - start - HEADER;
            self.seal_in_place(&mut output[start..])?;
        }
        Ok(())
    }

    /// The last frame of this direction.
    ///
    /// # Errors
    ///
    /// Goodbye was sent already.
    pub fn goodbye(&mut self) -> Result<[u8; HEADER], Misuse> {
        self.check(1)?;
        let mut frame = [0; HEADER];
        self.headers.seal(&[0; HEADER_PLAIN], &mut frame);
        self.ended = true;
        Ok(frame)
    }

    /// Whether goodbye was sent.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Key and next nonce. They are secret; conformance suites compare them.
    pub fn export(&self) -> ([u8; 32], [u8; 24]) {
        (**self.headers.key(), *self.headers.nonce())
    }

    fn check(&self, body: usize) -> Result<(), Misuse> {
        if self.ended {
            Err(Misuse::AfterGoodbye)
        } else if body == 0 || body > BODY_MAX {
            Err(Misuse::BodyLength(body))
        } else {
            Ok(())
        }
    }

    fn seal_header(&mut self, length: usize, tag: &Tag, boxed: &mut [u8; HEADER]) {
        let mut plain = [0; HEADER_PLAIN];
        // `check` has verified that the length is at most 4,096.
        plain[..2].copy_from_slice(&(length as u16).to_be_bytes());
        plain[2..].copy_from_slice(tag);
        self.headers.seal(&plain, boxed);
    }
}

fn split(frame: &mut [u8]) -> Result<(&mut [u8; HEADER], &mut [u8]), Misuse> {
    let room = frame.len();
    frame.split_first_chunk_mut().ok_or(Misuse::Room(room))
}
