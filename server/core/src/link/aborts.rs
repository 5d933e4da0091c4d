//! Streams that are being ended, with the reasons that the peer has still to be told. A peer that
//! gives no credit for them makes us keep the streams, but not a text for each.

use crate::bymux::StreamId;
use crate::reason::Reason;
use alloc::collections::VecDeque;
use alloc::string::String;

/// The streams, the one that is told next first.
#[derive(Debug)]
pub(super) struct Aborts {
    waiting: VecDeque<(StreamId, Reason)>,
    /// Bytes of their texts, and the most that they may be: reasons beyond are only codes.
    texts: usize,
    texts_max: usize,
}

impl Aborts {
    pub(super) fn new(texts_max: usize) -> Aborts {
        Aborts { waiting: VecDeque::new(), texts: 0, texts_max }
    }

    pub(super) fn push(&mut self, stream: StreamId, mut reason: Reason) {
        if self.texts + reason.text.len() > self.texts_max {
            reason.text = String::new();
        }
        self.texts += reason.text.len();
        self.waiting.push_back((stream, reason));
    }

    pub(super) fn pop(&mut self) -> Option<(StreamId, Reason)> {
        let (stream, reason) = self.waiting.pop_front()?;
        self.texts -= reason.text.len();
        Some((stream, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes when interpreted")]
    fn what_a_peer_does_not_hear_is_kept_as_codes_once_there_is_too_much_text() {
        let long = Reason::plugin("enough", &"x".repeat(1000));
        let mut aborts = Aborts::new(10_000);
        (0..60_000).for_each(|n| aborts.push(StreamId(n), long.clone()));
        let kept: usize = aborts.waiting.iter().map(|(_, reason)| reason.text.capacity()).sum();
        assert_eq!(kept, 10_000);
        assert_eq!(aborts.pop(), Some((StreamId(0), long.clone())));
        aborts.push(StreamId(60_000), long.clone());
        let last = core::iter::from_fn(|| aborts.pop()).last();
        assert_eq!(last, Some((StreamId(60_000), long)), "there is room for a text again");
        assert_eq!(aborts.texts, 0);
    }
}
