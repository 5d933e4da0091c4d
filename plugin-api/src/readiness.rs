//! The readiness of a file descriptor: what a plugin waits for, and what it is notified of.

use core::ops::BitOr;

/// Which readiness of a file descriptor a plugin wants to be notified of.
///
/// ```
/// use trunkline_plugin::Interest;
///
/// let both = Interest::READABLE | Interest::WRITABLE;
/// assert!(both.contains(Interest::WRITABLE));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Interest(pub(crate) u8);

impl Interest {
    /// There is something to read, or the other side has stopped writing.
    pub const READABLE: Self = Self(1);
    /// There is room to write, or a pending connection is up.
    pub const WRITABLE: Self = Self(2);

    /// Whether all of `other` is in it.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Interest {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What changed about a watched file descriptor.
///
/// It is an edge, as in `epoll` with `EPOLLET`: after it, read or write until `WouldBlock`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Readiness(pub(crate) u8);

impl Readiness {
    /// There is something to read.
    pub const READABLE: Self = Self(1);
    /// There is room to write.
    pub const WRITABLE: Self = Self(2);
    /// The other side has stopped writing.
    pub const READ_CLOSED: Self = Self(4);
    /// The other side has stopped reading.
    pub const WRITE_CLOSED: Self = Self(8);
    /// The descriptor has an error, which the next read or write returns.
    pub const ERROR: Self = Self(16);

    /// Whether a read is worth a try: bytes, an end or an error may be waiting.
    #[must_use]
    pub const fn is_readable(self) -> bool {
        self.0 & (Self::READABLE.0 | Self::READ_CLOSED.0 | Self::ERROR.0) != 0
    }

    /// Whether a write is worth a try: there may be room or an error.
    #[must_use]
    pub const fn is_writable(self) -> bool {
        self.0 & (Self::WRITABLE.0 | Self::WRITE_CLOSED.0 | Self::ERROR.0) != 0
    }

    /// Whether all of `other` is in it.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Readiness {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
