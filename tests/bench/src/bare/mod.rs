//! The bare machine: plain sockets between two processes, in a minimal epoll loop written for the
//! comparison.
//!
//! The first byte of a connection is its purpose, as for the channels of the measuring plugin:
//! [`ECHO`] echoes all bytes, [`COUNT`] sends their number at the end.

pub(crate) mod child;
mod client;
mod socket;

pub(crate) use client::{flood, ping};
pub(crate) use socket::{Place, Socket};
#[cfg(feature = "peers")]
pub(crate) use socket::{connect, listen};

/// The first byte of a connection whose bytes are echoed.
pub(crate) const ECHO: u8 = b'e';
/// The first byte of a connection whose bytes are counted, including this one.
pub(crate) const COUNT: u8 = b'c';

/// Bytes of one read, the same as in a Trunkline server.
pub(crate) const READ: usize = 128 * 1024;
