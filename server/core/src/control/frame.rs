//! Length-prefixed frames: how control messages, prefaces and answers are delimited in a stream.

use alloc::vec::Vec;

/// Bytes of a frame's length: a big-endian `u32`.
pub const LENGTH_BYTES: usize = 4;

/// A frame's announced length is over the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameTooLong {
    /// The length that the peer announced, in bytes.
    pub announced: u32,
    /// The most that this reader accepts, in bytes.
    pub limit: usize,
}

/// The body of a frame, borrowed if it arrived in one piece.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// The whole frame was in the input.
    Borrowed(&'a [u8]),
    /// The frame arrived in pieces.
    Owned(Vec<u8>),
}

impl Frame<'_> {
    /// The body.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Frame::Borrowed(bytes) => bytes,
            Frame::Owned(bytes) => bytes,
        }
    }
}

/// Collects frames of at most `limit` bytes from pieces of any size.
#[derive(Debug)]
pub struct FrameReader {
    limit: usize,
    /// Length and body as far as they have arrived.
    kept: Vec<u8>,
}

impl FrameReader {
    /// A reader that takes frames of at most `limit` bytes.
    pub fn new(limit: usize) -> FrameReader {
        FrameReader { limit, kept: Vec::new() }
    }

    /// Takes bytes from `input` until one frame is complete; `None` when the input is used up.
    pub fn read<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Frame<'a>>, FrameTooLong> {
        if self.kept.is_empty()
            && let Some(body) = self.whole(input)?
        {
            return Ok(Some(Frame::Borrowed(body)));
        }
        self.keep_until(LENGTH_BYTES, input);
        let Some(length) = self.length(&self.kept)? else { return Ok(None) };
        self.keep_until(LENGTH_BYTES + length, input);
        if self.kept.len() < LENGTH_BYTES + length {
            return Ok(None);
        }
        let mut frame = core::mem::take(&mut self.kept);
        frame.drain(..LENGTH_BYTES);
        Ok(Some(Frame::Owned(frame)))
    }

    /// Whether a frame has begun and is not complete.
    pub fn in_frame(&self) -> bool {
        !self.kept.is_empty()
    }

    fn whole<'a>(&self, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, FrameTooLong> {
        let Some(length) = self.length(input)? else { return Ok(None) };
        let Some((frame, rest)) = input.split_at_checked(LENGTH_BYTES + length) else {
            return Ok(None);
        };
        *input = rest;
        Ok(Some(&frame[LENGTH_BYTES..]))
    }

    fn length(&self, bytes: &[u8]) -> Result<Option<usize>, FrameTooLong> {
        let Some(head) = bytes.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let announced = u32::from_be_bytes(*head);
        match usize::try_from(announced) {
            Ok(length) if length <= self.limit => Ok(Some(length)),
            _ => Err(FrameTooLong { announced, limit: self.limit }),
        }
    }

    fn keep_until(&mut self, total: usize, input: &mut &[u8]) {
        let missing = total.saturating_sub(self.kept.len()).min(input.len());
        let (taken, rest) = input.split_at(missing);
        self.kept.extend_from_slice(taken);
        *input = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_the_same_however_it_is_split() {
        let wire = [0, 0, 0, 3, b'a', b'b', b'c', 0, 0, 0, 0];
        for cut in 0..=wire.len() {
            let mut reader = FrameReader::new(3);
            let mut got: Vec<Vec<u8>> = Vec::new();
            for mut piece in [&wire[..cut], &wire[cut..]] {
                while let Some(frame) = reader.read(&mut piece).expect("a legal frame") {
                    got.push(frame.as_slice().to_vec());
                }
            }
            assert_eq!(got, [b"abc".to_vec(), Vec::new()], "cut at {cut}");
            assert!(!reader.in_frame());
        }
    }

    #[test]
    fn one_byte_too_long_is_refused_on_the_length_alone() {
        let mut input: &[u8] = &[0, 0, 0, 4];
        let error = FrameReader::new(3).read(&mut input);
        assert_eq!(error, Err(FrameTooLong { announced: 4, limit: 3 }));
    }
}
