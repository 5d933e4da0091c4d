//! What a fuzzer's bytes stand for: decisions, read from front to back.
//!
//! Each decision is a byte where that is enough, so that a changed byte changes one decision and a
//! removed piece removes a step. When the bytes are used up, each decision is 0.

/// The decisions that are left of an input.
#[derive(Clone, Debug)]
pub(crate) struct Script<'a> {
    left: &'a [u8],
}

impl<'a> Script<'a> {
    /// All decisions of an input.
    pub(crate) fn new(input: &'a [u8]) -> Script<'a> {
        Script { left: input }
    }

    /// Whether nothing is left.
    pub(crate) fn is_over(&self) -> bool {
        self.left.is_empty()
    }

    /// The next byte.
    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, left)) = self.left.split_first() else { return 0 };
        self.left = left;
        *first
    }

    /// Yes or no.
    pub(crate) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// One of the first `count` numbers; 0 when there is none.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        match count {
            0 | 1 => 0,
            2..=256 => usize::from(self.byte()) % count,
            _ => (usize::from(self.byte()) << 8 | usize::from(self.byte())) % count,
        }
    }

    /// One of several things.
    ///
    /// # Panics
    /// When there are none.
    pub(crate) fn pick<T: Clone>(&mut self, things: &[T]) -> T {
        things[self.below(things.len())].clone()
    }

    /// Any number; most are small, and those near the ends of integers are as easy to reach.
    pub(crate) fn number(&mut self) -> u64 {
        match self.byte() {
            small @ 0..=0xef => u64::from(small),
            0xf0..=0xf3 => u64::from(self.byte()) << 8 | u64::from(self.byte()),
            0xf4..=0xf7 => u64::from(u32::MAX) - u64::from(self.byte()),
            0xf8..=0xfb => u64::MAX - u64::from(self.byte()),
            _ => (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte())),
        }
    }

    /// As many of the next bytes as there are, at most `count`.
    pub(crate) fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (bytes, left) = self.left.split_at(count.min(self.left.len()));
        self.left = left;
        bytes
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.left)
    }

    /// The lengths of the pieces in which bytes arrive, without an end: one length, or one for
    /// each piece.
    pub(crate) fn cuts(&mut self) -> Cuts<'a> {
        match self.byte() {
            0 => Cuts { lengths: Script::new(&[]), otherwise: usize::MAX },
            0xff => {
                let count = self.below(32);
                Cuts { lengths: Script::new(self.bytes(count)), otherwise: usize::MAX }
            }
            length => Cuts { lengths: Script::new(&[]), otherwise: usize::from(length) },
        }
    }
}

/// Where bytes are cut into pieces.
#[derive(Clone, Debug)]
pub(crate) struct Cuts<'a> {
    lengths: Script<'a>,
    otherwise: usize,
}

impl Cuts<'_> {
    /// Calls `take` with each piece of the bytes, until it gives `false`.
    pub(crate) fn pieces<'b>(&mut self, bytes: &'b [u8], mut take: impl FnMut(&'b [u8]) -> bool) {
        let mut left = bytes;
        while !left.is_empty() {
            let length = match self.lengths.is_over() {
                true => self.otherwise,
                false => usize::from(self.lengths.byte()) + 1,
            };
            let (piece, rest) = left.split_at(length.min(left.len()));
            left = rest;
            if !take(piece) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_come_in_order_and_are_0_at_the_end() {
        let mut script = Script::new(&[7, 1, 0xf0, 1, 2, 0xf8, 0, 9, 9]);
        assert_eq!((script.byte(), script.flag()), (7, true));
        assert_eq!((script.number(), script.number()), (0x102, u64::MAX));
        assert_eq!(script.bytes(5), [9, 9]);
        assert!(script.is_over());
        assert_eq!((script.below(300), script.number(), script.flag()), (0, 0, false));
    }

    #[test]
    fn pieces_are_all_of_the_bytes_in_order() {
        for input in [&[0][..], &[1], &[3], &[0xff, 3, 0, 4, 200]] {
            let mut all = Vec::new();
            Script::new(input).cuts().pieces(b"abcdefghijklm", |piece| {
                assert!(!piece.is_empty());
                all.extend_from_slice(piece);
                true
            });
            assert_eq!(all, b"abcdefghijklm");
        }
    }
}
