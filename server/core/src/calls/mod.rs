//! Many calls over one byte stream: requests go one way, and what became of them comes back, in any
//! order. A long message travels in pieces, between which others go on.
//!
//! It knows numbers and bytes, not plugins. [`Sender`] makes bytes out of messages, [`Reader`]
//! messages out of bytes; PROTOCOL.md, section 12, describes both for a second implementation.

mod frame;
mod read;
mod send;

pub use frame::{Kind, PIECE_MAX};
pub use read::{Message, Reader, Side, Violation};
pub use send::Sender;

/// What a message that waits costs beside its own bytes: so that a bound on bytes bounds messages.
pub const MESSAGE_COST: u64 = 64;
