//! Makes, accepts and dials the sockets of a server and of plugins: the only place that does, so
//! that all sockets have the same options. It knows no event loop, no protocol and no log.
//!
//! All sockets are non-blocking and close-on-exec, and are types of the standard library, for any
//! event loop. The exception is [`unix::connect_within`], for the command line.

#![forbid(unsafe_code)]

mod accepting;
mod credentials;
pub mod datagram;
mod lock;
pub mod tcp;
pub mod unix;

pub use accepting::Accepted;
pub use credentials::{Credentials, credentials};
pub use lock::{FileLock, Holder};
