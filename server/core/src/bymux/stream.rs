//! What is known of one stream: credit both ways, who has ended what, and its turn in the outbox.

use super::outbox::{Lane, Outbox, QUANTUM};

/// Bytes that one end may still write: finite up to 2^64-2, and 2^64-1 is infinite (rule 15), which
/// makes a sum of exactly 2^64-1 infinite without a special case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Credit(u64);

/// Why credit cannot be added (rule 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CreditError {
    Overflow,
    OnInfinite,
}

impl Credit {
    pub(super) const INFINITE: Credit = Credit(u64::MAX);
    /// The most that is not infinite.
    const FINITE_MAX: u64 = u64::MAX - 1;

    /// Credit that a profile gives; never infinite, since we never give that.
    pub(super) fn finite(bytes: u64) -> Credit {
        Credit(bytes.min(Credit::FINITE_MAX))
    }

    /// Bytes; `u64::MAX` stands for infinite.
    pub(super) fn bytes(self) -> u64 {
        self.0
    }

    /// As many of `length` bytes as there is credit for.
    #[inline]
    pub(super) fn limit(self, length: usize) -> usize {
        usize::try_from(self.0).map_or(length, |credit| credit.min(length))
    }

    /// How much can be added so that it stays finite.
    pub(super) fn headroom(self) -> u64 {
        Credit::FINITE_MAX.saturating_sub(self.0)
    }

    /// What a Credit packet does: 0 makes infinite, and is ignored on infinite.
    pub(super) fn add(self, amount: u64) -> Result<Credit, CreditError> {
        match amount {
            0 => Ok(Credit::INFINITE),
            _ if self == Credit::INFINITE => Err(CreditError::OnInfinite),
            _ => self.0.checked_add(amount).map(Credit).ok_or(CreditError::Overflow),
        }
    }

    /// What a Write costs; `None` when there is less credit than that (rule 6).
    pub(super) fn spend(self, bytes: u64) -> Option<Credit> {
        match self {
            Credit::INFINITE => Some(self),
            Credit(left) => left.checked_sub(bytes).map(Credit),
        }
    }
}

/// What one end has said for the last time: two of the four facts of a stream, or of the global
/// level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Side {
    /// It sent Close: it writes no more.
    pub(super) closed: bool,
    /// It sent StopRead: it gives no more credit.
    pub(super) stopped: bool,
}

impl Side {
    /// It sent both, and so sends nothing more, no ping and no pong either.
    pub(super) fn ended(self) -> bool {
        self.closed && self.stopped
    }
}

/// One active stream.
#[derive(Debug)]
pub(super) struct Stream {
    /// What we may still write.
    pub(super) writable: Credit,
    /// What the peer may still write.
    pub(super) granted: Credit,
    pub(super) ours: Side,
    pub(super) theirs: Side,
    /// The owner's number.
    pub(super) tag: u32,
    pub(super) lane: Lane,
    /// A write was cut short by room, and `Connection::next_ready` has not named the stream since.
    pub(super) waiting: bool,
    /// The outbox's round in which the stream last wrote.
    round: u64,
    /// Bytes written in that round, at most `QUANTUM`.
    spent: usize,
}

// 65,536 streams of a link have to stay small: an idle channel may cost 256 bytes in all layers
// together.
const _: () = assert!(size_of::<Stream>() <= 64);

impl Stream {
    pub(super) fn new(lane: Lane, writable: Credit, granted: Credit) -> Stream {
        let (ours, theirs) = (Side::default(), Side::default());
        Stream { writable, granted, ours, theirs, tag: 0, lane, waiting: false, round: 0, spent: 0 }
    }

    /// Bytes that the stream may put in the outbox now. A stream that waits gets none before it is
    /// named, and keeps the round in which it was cut short, so that asking early does not put off
    /// its turn.
    #[inline]
    pub(super) fn room(&mut self, outbox: &Outbox) -> usize {
        if self.waiting {
            return 0;
        }
        if self.round != outbox.round() {
            self.round = outbox.round();
            self.spent = 0;
        }
        match self.lane {
            Lane::Control => outbox.control_room(),
            Lane::Data if outbox.takes_data() => QUANTUM.saturating_sub(self.spent),
            Lane::Data => 0,
        }
    }

    /// Charges bytes that went into the outbox, which credit and [`Stream::room`] allowed.
    #[inline]
    pub(super) fn charge(&mut self, bytes: usize) {
        self.spent = self.spent.saturating_add(bytes);
        self.writable = self.writable.spend(bytes as u64).unwrap_or(Credit::finite(0));
    }

    /// The tag of who reads what comes; `None` after our StopRead.
    #[inline]
    pub(super) fn reader(&self) -> Option<u32> {
        (!self.ours.stopped).then_some(self.tag)
    }

    /// Whether a waiting stream's turn has come.
    pub(super) fn has_turn(&self, outbox: &Outbox) -> bool {
        match self.lane {
            Lane::Control => outbox.control_drained(),
            Lane::Data => self.round != outbox.round() && outbox.takes_data(),
        }
    }
}
