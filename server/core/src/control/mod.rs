//! Everything that servers send each other besides the bytes of channels: frames, control messages
//! and the first bytes of a stream. PROTOCOL.md describes the same for a second implementation.

mod codec;
mod fields;
mod frame;
mod message;
mod preface;

pub use codec::DecodeError;
pub use fields::{ADDRESSES_MAX, Addresses, SocketName, Ticket};
pub use frame::{Frame, FrameReader, FrameTooLong, LENGTH_BYTES};
pub use message::{
    Announced, CloseLink, Closing, DirectChannel, Expect, Goodbye, Hello, Linked, Message,
    OpenLink, Plugins, Registration, Rejected, Role, Server, Tried, Unknown, Unlinked, Use, Wanted,
    Withdrawn,
};
pub use preface::{Answer, At, Invitation, Origin, Preface, Presented, Purpose, Request};

/// Version of the link protocol that this crate speaks.
pub const PROTOCOL: u64 = 1;

/// Longest body of a control message in bytes. A longer one is a protocol violation.
pub const MESSAGE_MAX: usize = 64 * 1024;

/// Longest preface or answer of a stream in bytes: names, keys and a reason fit, and so does an
/// invitation with all addresses that a field may hold.
pub const PREFACE_MAX: usize = 4 * 1024;
