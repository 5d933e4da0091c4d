//! Bytes that arrived for an end and that its owner could not take at once.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// A queue of bytes that costs eight bytes while it is empty, as almost all are.
#[derive(Debug, Default)]
pub(crate) struct Inbox(Option<Box<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    /// Bytes at the front that are taken. The rest moves down when half of them are.
    taken: usize,
}

impl Inbox {
    pub(crate) const EMPTY: Inbox = Inbox(None);

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |kept| kept.bytes.len() - kept.taken)
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.0.get_or_insert_default().bytes.extend_from_slice(bytes);
        }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |kept| &kept.bytes[kept.taken..])
    }

    /// Forgets the first `count` bytes.
    pub(crate) fn advance(&mut self, count: usize) {
        let Some(kept) = &mut self.0 else { return };
        kept.taken = (kept.taken + count).min(kept.bytes.len());
        if kept.taken == kept.bytes.len() {
            self.0 = None;
        } else if kept.taken * 2 > kept.bytes.len() {
            kept.bytes.drain(..kept.taken);
            kept.taken = 0;
        }
    }

    /// Takes all bytes.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let Some(mut kept) = self.0.take() else { return Vec::new() };
        kept.bytes.drain(..kept.taken);
        kept.bytes
    }

    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_the_order_in_which_they_came() {
        let mut inbox = Inbox::default();
        inbox.push(b"abcdef");
        inbox.advance(1);
        inbox.push(b"gh");
        inbox.advance(4);
        assert_eq!((inbox.as_slice(), inbox.len()), (&b"fgh"[..], 3));
        assert_eq!(inbox.take(), b"fgh");
        assert!(inbox.is_empty());
    }
}
