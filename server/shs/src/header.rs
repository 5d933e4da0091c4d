//! The boxes of a direction's headers. Their keystream is computed a few frames ahead.

use zeroize::Zeroizing;

use crate::nonce;
use crate::primitives::{self, Nonce, Secret};
use crate::salsa::{self, Block, LANES};
use crate::{HEADER, primitives::Tag};

/// Bytes of a header inside its box: a length of 2 and the body's tag of 16.
pub(crate) const HEADER_PLAIN: usize = 18;

/// The difference between the nonces of consecutive headers: the nonce of a body lies between them.
const STEP: u8 = 2;

/// Key and nonce of one direction of a box stream, and the keystream of its next headers.
pub(crate) struct HeaderCipher {
    key: Secret,
    nonce: Nonce,
    subkey: Secret,
    /// The part of the nonce that `subkey` is for.
    subkey_prefix: Option<[u8; 16]>,
    blocks: Zeroizing<[Block; LANES]>,
    /// Of `blocks`, those in `next..filled` are for this header and the ones after it.
    next: usize,
    filled: usize,
}

impl HeaderCipher {
    pub(crate) fn new(key: &[u8; 32], nonce: &Nonce) -> HeaderCipher {
        HeaderCipher {
            key: Secret::new(*key),
            nonce: *nonce,
            subkey: Secret::default(),
            subkey_prefix: None,
            blocks: Zeroizing::new([[0; 64]; LANES]),
            next: 0,
            filled: 0,
        }
    }

    pub(crate) fn key(&self) -> &Secret {
        &self.key
    }

    /// The nonce of the next header.
    pub(crate) fn nonce(&self) -> &Nonce {
        &self.nonce
    }

    /// The nonce of the body that belongs to the next header.
    pub(crate) fn body_nonce(&self) -> Nonce {
        nonce::after(&self.nonce, 1)
    }

    /// Boxes the next header into `boxed`.
    pub(crate) fn seal(&mut self, plain: &[u8; HEADER_PLAIN], boxed: &mut [u8; HEADER]) {
        let (tag_key, stream) = halves(self.block());
        let (tag, sealed) = boxed.split_at_mut(HEADER - HEADER_PLAIN);
        for ((out, byte), key) in sealed.iter_mut().zip(plain).zip(stream) {
            *out = byte ^ key;
        }
        tag.copy_from_slice(&primitives::one_time_tag(tag_key, sealed));
        self.advance();
    }

    /// Opens the next header; `None` if it was not made for this place in the stream.
    pub(crate) fn open(&mut self, boxed: &[u8; HEADER]) -> Option<[u8; HEADER_PLAIN]> {
        let (tag_key, stream) = halves(self.block());
        let (tag, sealed) = boxed.split_first_chunk::<{ size_of::<Tag>() }>()?;
        if !primitives::is_one_time_tag(tag, tag_key, sealed) {
            return None;
        }
        let plain = core::array::from_fn(|i| sealed[i] ^ stream[i]);
        self.advance();
        Some(plain)
    }

    fn advance(&mut self) {
        nonce::advance(&mut self.nonce, STEP);
        self.next += 1;
    }

    fn block(&mut self) -> &Block {
        if self.next >= self.filled {
            self.fill();
        }
        &self.blocks[self.next]
    }

    /// Computes the keystream for the next headers, as far as their nonces share a subkey.
    fn fill(&mut self) {
        let (prefix, _) = parts(&self.nonce);
        if self.subkey_prefix != Some(prefix) {
            self.subkey = primitives::subkey(&self.key, &prefix);
            self.subkey_prefix = Some(prefix);
        }
        let nonces: [Nonce; LANES] =
            core::array::from_fn(|lane| nonce::after(&self.nonce, STEP * lane as u8));
        let ends = nonces.map(|nonce| parts(&nonce).1);
        salsa::first_blocks(&self.subkey, &ends, &mut self.blocks);
        self.next = 0;
        self.filled = nonces.iter().take_while(|nonce| parts(nonce).0 == prefix).count();
    }
}

/// The part of a nonce that goes into the subkey, and the part that goes into the cipher.
fn parts(nonce: &Nonce) -> ([u8; 16], [u8; 8]) {
    (core::array::from_fn(|i| nonce[i]), core::array::from_fn(|i| nonce[16 + i]))
}

/// The key of a box's tag, and the keystream for up to 32 bytes.
fn halves(block: &Block) -> (&[u8; 32], &[u8; 32]) {
    let (chunks, _) = block.as_chunks::<32>();
    (&chunks[0], &chunks[1])
}
