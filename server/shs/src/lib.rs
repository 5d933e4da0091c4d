//! Secret Handshake (SHS1) and box stream as pure state machines: bytes in, bytes out.
//!
//! This crate has no socket, no clock and no source of randomness. The caller owns the buffers,
//! provides the ephemeral key of each [`Handshake`], and enforces the time-out: 5 s for the whole
//! handshake, which peers expect. For a peer that has not proved its key, nothing is kept beyond
//! the handshake's own messages.
//!
//! Either end drives a link like this:
//!
//! 1. [`Handshake::dial`] or [`Handshake::accept`].
//! 2. Whenever bytes arrive: [`Handshake::receive`], until it returns [`Progress::Done`]; send what
//!    it appends to `output`. What is left of the input belongs to the box stream.
//!    The acceptor gets [`Progress::Asks`] once: it calls [`Handshake::admit`], or drops the
//!    handshake and closes without another byte.
//!    The dialler may seal frames as soon as [`Handshake::sealer`] lends it the sealer.
//! 3. [`Session`]: a [`Sealer`] for what is sent and an [`Opener`] for what is received.
//!
//! After any [`Error`] the connection has to be closed without another byte.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

mod agreement;
mod error;
mod handshake;
mod header;
mod keys;
#[cfg(test)]
mod libsodium_tests;
mod messages;
mod nonce;
mod opener;
mod primitives;
mod reader;
mod salsa;
mod sealer;

pub use error::{Error, Misuse};
pub use handshake::{Handshake, Progress, Session};
pub use keys::{Ephemeral, Identity, NetworkId, PublicKey, SECRET_BYTES};
pub use opener::{Opened, Opener};
pub use reader::Reader;
pub use sealer::{Sealer, sealed_len};

/// HMAC-SHA-512 cut to 32 bytes, which only owners of the key can compute. It is the authenticator
/// of the handshake, offered for other uses.
pub fn keyed_hash(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    primitives::authenticator(key, message)
}

/// Longest body of a frame, in bytes. The protocol fixes it, so that a receiver needs no larger
/// buffer.
pub const BODY_MAX: usize = 4096;

/// Bytes in front of each body: a tag of 16 and, boxed, a length of 2 and the body's tag of 16.
pub const HEADER: usize = 34;

/// Bytes of the longest handshake message, the dialler's hello (message 3). No more than this is
/// ever kept for a peer that has not proved its key.
pub const MESSAGE_MAX: usize = 112;
