//! The memory that is in use, where the program has an allocator that counts it.

use std::sync::OnceLock;

static IN_USE: OnceLock<fn() -> i64> = OnceLock::new();

/// Lets targets ask how many bytes are in use. A program whose allocator counts them says this
/// first; without it, targets judge no memory.
pub fn measure(in_use: fn() -> i64) {
    IN_USE.get_or_init(|| in_use);
}

/// Bytes that are in use, if that is known.
pub(crate) fn in_use() -> Option<i64> {
    IN_USE.get().map(|in_use| in_use())
}
