//! The receiving direction of a box stream: frames in, bodies out, decrypted in place.

use crate::header::HeaderCipher;
use crate::primitives::{self, Nonce, Tag};
use crate::{BODY_MAX, Error, HEADER};

/// Opens the frames of one direction. After an error it repeats that error forever.
pub struct Opener {
    headers: HeaderCipher,
    state: State,
}

/// The next item in the bytes of a box stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Opened<'a> {
    /// The body of a frame. It is empty when a peer sends an empty frame, which is legal.
    Body(&'a mut [u8]),
    /// The peer has ended the stream.
    Goodbye,
    /// More bytes are needed.
    Waiting,
}

/// As [`Opened`], without a borrow.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found {
    /// The last bytes of those that were used up, this many, are a body.
    Body(usize),
    Goodbye,
    Waiting,
}

enum State {
    Header,
    Body(Expected),
    Ended,
    Broken(Error),
}

/// The claims of an authentic header about its body.
#[derive(Clone, Copy)]
struct Expected {
    length: usize,
    tag: Tag,
    nonce: Nonce,
}

impl Opener {
    /// Begins a direction with the key and the first nonce, which both ends know.
    pub fn new(key: &[u8; 32], nonce: &[u8; 24]) -> Opener {
        Opener { headers: HeaderCipher::new(key, nonce), state: State::Header }
    }

    /// Opens the first frame of `input` in place. Returns how many bytes of `input` are used up and
    /// what they are; call it again with the rest until it waits. While it waits, the unused rest
    /// (less than [`needed`](Self::needed)) has to be kept and given again with what follows it:
    /// nothing of a body is known before all of it is there. [`Reader`](crate::Reader) does that.
    ///
    /// # Errors
    ///
    /// The peer broke the rules, or the bytes were changed.
    pub fn open<'a>(&mut self, input: &'a mut [u8]) -> Result<(usize, Opened<'a>), Error> {
        let (used, found) = self.step(input)?;
        let opened = match found {
            Found::Body(length) => Opened::Body(&mut input[used - length..used]),
            Found::Goodbye => Opened::Goodbye,
            Found::Waiting => Opened::Waiting,
        };
        Ok((used, opened))
    }

    /// How many bytes the next step needs: those of a header or of a body; 0 after goodbye.
    pub fn needed(&self) -> usize {
        match &self.state {
            State::Header => HEADER,
            State::Body(expected) => expected.length,
            State::Ended | State::Broken(_) => 0,
        }
    }

    /// The transport has ended.
    ///
    /// # Errors
    ///
    /// It ended before goodbye.
    pub fn end(&self) -> Result<(), Error> {
        match self.state {
            State::Ended => Ok(()),
            State::Broken(error) => Err(error),
            State::Header | State::Body(_) => Err(Error::Truncated),
        }
    }

    /// Whether the peer has said goodbye.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Key and next nonce. They are secret; conformance suites compare them.
    pub fn export(&self) -> ([u8; 32], [u8; 24]) {
        (**self.headers.key(), *self.headers.nonce())
    }

    /// As [`open`](Self::open); a body is what was used up last.
    pub(crate) fn step(&mut self, input: &mut [u8]) -> Result<(usize, Found), Error> {
        let found = self.advance(input);
        if let Err(error) = found {
            self.state = State::Broken(error);
        }
        found
    }

    fn advance(&mut self, input: &mut [u8]) -> Result<(usize, Found), Error> {
        let (used, expected) = match self.state {
            State::Broken(error) => return Err(error),
            State::Ended if input.is_empty() => return Ok((0, Found::Waiting)),
            State::Ended => return Err(Error::AfterGoodbye),
            State::Body(expected) => (0, expected),
            State::Header => {
                let Some(header) = input.first_chunk() else { return Ok((0, Found::Waiting)) };
                let Some(expected) = self.open_header(header)? else {
                    self.state = State::Ended;
                    return Ok((HEADER, Found::Goodbye));
                };
                self.state = State::Body(expected);
                (HEADER, expected)
            }
        };
        let end = used + expected.length;
        let Some(body) = input.get_mut(used..end) else { return Ok((used, Found::Waiting)) };
        if !primitives::open(body, &expected.tag, &expected.nonce, self.headers.key()) {
            return Err(Error::Body);
        }
        self.state = State::Header;
        Ok((end, Found::Body(expected.length)))
    }

    /// The header's claims about its body; `None` if it is the goodbye.
    fn open_header(&mut self, boxed: &[u8; HEADER]) -> Result<Option<Expected>, Error> {
        let nonce = self.headers.body_nonce();
        let plain = self.headers.open(boxed).ok_or(Error::Header)?;
        if plain.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let length = u16::from_be_bytes([plain[0], plain[1]]);
        if usize::from(length) > BODY_MAX {
            return Err(Error::BodyTooLong(length));
        }
        let tag = core::array::from_fn(|i| plain[2 + i]);
        Ok(Some(Expected { length: usize::from(length), tag, nonce }))
    }
}
