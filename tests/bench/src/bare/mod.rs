//! The bare machine: what an event loop of nobody's does with a socket between two processes.
//!
//! Each connection says with its first byte what it is for, as the channels of the measuring plugin
//! do: [`ECHO`] gives back what comes, [`COUNT`] tells at the end how many bytes came.

pub(crate) mod child;
mod client;
mod socket;

pub(crate) use client::{flood, ping};
pub(crate) use socket::{Place, Socket};
#[cfg(feature = "peers")]
pub(crate) use socket::{connect, listen};

/// The first byte of a connection on which all is given back.
pub(crate) const ECHO: u8 = b'e';
/// The first byte of a connection whose bytes are counted, this one too.
pub(crate) const COUNT: u8 = b'c';

/// What is read from a socket at once, in bytes: as much as a Trunkline server reads at once.
pub(crate) const READ: usize = 128 * 1024;
