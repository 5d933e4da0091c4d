//! The bytes of a run: byte `k` of a channel is `k` modulo 251, so that neither sending nor
//! checking needs a copy.

/// A prime, so that a byte lost, doubled or shifted by any power of two shows at the next one.
const PERIOD: u64 = 251;

/// The most bytes that are written or checked at once: the first window of a channel.
pub(crate) const PIECE: usize = 64 * 1024;

/// A stretch of the pattern in which a piece can begin at any place of the period.
pub(crate) struct Pattern {
    bytes: Vec<u8>,
}

/// A byte that is not what it should be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// Its place in the channel, from 0.
    pub(crate) at: u64,
    pub(crate) expected: u8,
    pub(crate) found: u8,
}

impl Pattern {
    pub(crate) fn new() -> Self {
        let period = 0..=(PERIOD - 1) as u8;
        Self { bytes: period.cycle().take(PERIOD as usize + PIECE).collect() }
    }

    /// The bytes from place `at` on: `length` of them, or a whole piece if that is less.
    pub(crate) fn piece(&self, at: u64, length: u64) -> &[u8] {
        let from = (at % PERIOD) as usize;
        let length = length.min(PIECE as u64) as usize;
        &self.bytes[from..from + length]
    }

    /// Compares received bytes with the pattern at place `at`.
    pub(crate) fn check(&self, at: u64, bytes: &[u8]) -> Result<(), Mismatch> {
        let mut at = at;
        for found in bytes.chunks(PIECE) {
            let expected = self.piece(at, found.len() as u64);
            if found != expected {
                return Err(first_mismatch(at, expected, found));
            }
            at += found.len() as u64;
        }
        Ok(())
    }
}

/// The first byte that differs between two pieces.
#[cold]
fn first_mismatch(at: u64, expected: &[u8], found: &[u8]) -> Mismatch {
    let mut pairs = expected.iter().zip(found);
    let same = pairs.by_ref().take_while(|(expected, found)| expected == found).count();
    Mismatch { at: at + same as u64, expected: expected[same], found: found[same] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_piece_continues_the_one_before() {
        let pattern = Pattern::new();
        let mut at = 0;
        for length in [1, 250, 251, 252, 65_536, 65_536] {
            let piece = pattern.piece(at, length);
            assert_eq!(piece.len() as u64, length);
            for (k, byte) in (at..).zip(piece) {
                assert_eq!(u64::from(*byte), k % 251, "byte {k}");
            }
            assert_eq!(pattern.check(at, piece), Ok(()));
            at += length;
        }
        assert_eq!(pattern.piece(0, 1 << 30).len(), PIECE);
    }

    #[test]
    fn a_wrong_byte_is_found_wherever_it_is() {
        let pattern = Pattern::new();
        let mut bytes: Vec<u8> = (0..200_000_u64).map(|k| ((k + 7) % 251) as u8).collect();
        assert_eq!(pattern.check(7, &bytes), Ok(()));
        for place in [0, 1, 65_535, 65_536, 199_999] {
            let expected = bytes[place];
            bytes[place] = 255;
            let at = 7 + place as u64;
            assert_eq!(pattern.check(7, &bytes), Err(Mismatch { at, expected, found: 255 }));
            bytes[place] = expected;
        }
    }
}
