//! The only random number generator of a run. Equal seeds give equal runs.

use trunkline_shs::Ephemeral;

/// A small generator (splitmix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator for a seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 to `end - 1`; 0 when `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.bits() % end.max(1)
    }

    /// A number from `low` to `high`. Small distances from `low` are likely, because each power of
    /// two is as likely as the next.
    pub fn size(&mut self, low: u64, high: u64) -> u64 {
        let span = 64 - (high - low).leading_zeros() as u64;
        let limit = 1u64 << self.below(span + 1);
        low + self.below(limit.min(high - low + 1))
    }

    /// True with this probability, in thousandths.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// One of several.
    pub fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    /// A key pair for one handshake.
    pub fn ephemeral(&mut self) -> Ephemeral {
        let words: Vec<u8> = (0..4).flat_map(|_| self.bits().to_le_bytes()).collect();
        Ephemeral::from_secret(&std::array::from_fn(|at| words[at]))
    }
}
