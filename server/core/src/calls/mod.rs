//! Many calls over one byte stream: requests go one way, and their outcomes come back, in any
//! order. A long message is sent in pieces, between which others proceed.
//!
//! It knows numbers and bytes, not plugins. [`CallSender`] turns messages into bytes,
//! [`CallReader`] bytes into messages. PROTOCOL.md, section 12, describes both for a second
//! implementation.

mod frame;
mod read;
mod send;

pub use frame::{Kind, PIECE_MAX};
pub use read::{CallMessage, CallReader, CallSide, CallViolation};
pub use send::CallSender;

/// The cost of a waiting message in addition to its bytes, so that a bound on bytes bounds
/// messages.
pub const MESSAGE_COST: u64 = 64;
