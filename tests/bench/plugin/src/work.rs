//! The work of a callee whose call is measured: nothing, or a little.

use std::hint::black_box;

/// The sum so far.
#[derive(Default)]
pub(crate) struct Work(u64);

impl Work {
    /// Adds each byte to a sum that depends on their order.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        black_box(self.0);
    }
}
