//! The state of one stream: credit both ways, which ends have closed, and its turn in the outbox.

use super::StreamId;
use super::outbox::{Lane, Outbox, QUANTUM};

/// Bytes that one end may still write: finite up to 2^64-2. 2^64-1 is infinite (rule 15), so a sum
/// of exactly 2^64-1 becomes infinite without a special case.
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
    /// The largest finite credit.
    const FINITE_MAX: u64 = u64::MAX - 1;

    /// Credit that a profile gives. It is never infinite, because we never give infinite credit.
    pub(super) fn finite(bytes: u64) -> Credit {
        Credit(bytes.min(Credit::FINITE_MAX))
    }

    /// Bytes; `u64::MAX` stands for infinite.
    pub(super) fn bytes(self) -> u64 {
        self.0
    }

    /// The part of `length` bytes that the credit covers.
    #[inline]
    pub(super) fn limit(self, length: usize) -> usize {
        usize::try_from(self.0).map_or(length, |credit| credit.min(length))
    }

    /// How much can be added while the sum stays finite.
    pub(super) fn headroom(self) -> u64 {
        Credit::FINITE_MAX.saturating_sub(self.0)
    }

    /// The effect of a Credit packet: 0 makes infinite, and is ignored on infinite.
    pub(super) fn add(self, amount: u64) -> Result<Credit, CreditError> {
        match amount {
            0 => Ok(Credit::INFINITE),
            _ if self == Credit::INFINITE => Err(CreditError::OnInfinite),
            _ => self.0.checked_add(amount).map(Credit).ok_or(CreditError::Overflow),
        }
    }

    /// The credit left after a Write; `None` if there is too little (rule 6).
    pub(super) fn spend(self, bytes: u64) -> Option<Credit> {
        match self {
            Credit::INFINITE => Some(self),
            Credit(left) => left.checked_sub(bytes).map(Credit),
        }
    }
}

/// Which of Close and StopRead one end has sent: two of the four facts of a stream, or of the
/// global level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct EndFacts {
    /// It sent Close: it no longer writes.
    pub(super) closed: bool,
    /// It sent StopRead: it gives no more credit.
    pub(super) stopped: bool,
}

impl EndFacts {
    /// It sent both, and therefore sends nothing more, no ping and no pong either.
    pub(super) fn ended(self) -> bool {
        self.closed && self.stopped
    }
}

/// A fact of a stream that is true or not, by its bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Fact {
    /// We sent Close.
    WeClosed = 1 << 0,
    /// We sent StopRead.
    WeStopped = 1 << 1,
    /// The peer sent Close.
    TheyClosed = 1 << 2,
    /// The peer sent StopRead.
    TheyStopped = 1 << 3,
    /// A write was cut short for lack of room, and `Connection::next_ready` has not named the
    /// stream since.
    Waits = 1 << 4,
    /// It has begun its turn in this round.
    HasBegun = 1 << 5,
}

/// One active stream. There may be 65,536 on each link, so it is packed.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: StreamId,
    /// What we may still write.
    pub(super) writable: Credit,
    /// What the peer may still write.
    pub(super) granted: Credit,
    /// The owner's number.
    pub(super) tag: u32,
    /// Bytes left of its turn, once that has begun; fewer than `QUANTUM` then.
    left: u16,
    facts: u8,
    pub(super) lane: Lane,
}

// An idle channel may cost 256 bytes in all layers together, and a relayed one has two streams.
const _: () = assert!(size_of::<Stream>() <= 32);

// The rest of a turn that has begun fits `Stream::left`.
const _: () = assert!(QUANTUM - 1 <= u16::MAX as usize);

impl Stream {
    pub(super) fn new(id: StreamId, lane: Lane, writable: Credit, granted: Credit) -> Stream {
        Stream { id, writable, granted, tag: 0, left: 0, facts: 0, lane }
    }

    #[inline]
    pub(super) fn is(&self, fact: Fact) -> bool {
        self.facts & fact as u8 != 0
    }

    /// Makes a fact true; returns whether it was false.
    pub(super) fn begins(&mut self, fact: Fact) -> bool {
        let news = !self.is(fact);
        self.facts |= fact as u8;
        news
    }

    pub(super) fn ends(&mut self, fact: Fact) {
        self.facts &= !(fact as u8);
    }

    /// We sent both Close and StopRead.
    pub(super) fn we_ended(&self) -> bool {
        self.is(Fact::WeClosed) && self.is(Fact::WeStopped)
    }

    /// The peer sent both Close and StopRead.
    pub(super) fn they_ended(&self) -> bool {
        self.is(Fact::TheyClosed) && self.is(Fact::TheyStopped)
    }

    /// Bytes that the stream may put in the outbox now. A stream that waits gets none before it is
    /// named. Its turn in this round is then over, so that asking early does not delay the next
    /// one.
    #[inline]
    pub(super) fn room(&self, outbox: &Outbox) -> usize {
        match self.lane {
            _ if self.is(Fact::Waits) => 0,
            Lane::Control => outbox.control_room(),
            Lane::Data if !outbox.takes_data() => 0,
            Lane::Data if self.is(Fact::HasBegun) => usize::from(self.left),
            Lane::Data => QUANTUM,
        }
    }

    /// Charges bytes that went into the outbox, which credit and [`Stream::room`] allowed. Returns
    /// whether this began the stream's turn.
    #[inline]
    pub(super) fn charge(&mut self, bytes: usize) -> bool {
        self.writable = self.writable.spend(bytes as u64).unwrap_or(Credit::finite(0));
        if bytes == 0 || self.lane == Lane::Control {
            return false;
        }
        let before = if self.is(Fact::HasBegun) { usize::from(self.left) } else { QUANTUM };
        self.left = u16::try_from(before.saturating_sub(bytes)).unwrap_or(u16::MAX);
        self.begins(Fact::HasBegun)
    }

    /// The stream's write was cut short: its turn is over. Returns whether the turn had not begun.
    pub(super) fn wait(&mut self) -> bool {
        self.begins(Fact::Waits);
        self.left = 0;
        self.begins(Fact::HasBegun)
    }

    /// The tag of the reader of incoming bytes; `None` after our StopRead.
    #[inline]
    pub(super) fn reader(&self) -> Option<u32> {
        (!self.is(Fact::WeStopped)).then_some(self.tag)
    }

    /// Whether a waiting stream's turn has arrived.
    pub(super) fn has_turn(&self, outbox: &Outbox) -> bool {
        match self.lane {
            Lane::Control => outbox.control_drained(),
            Lane::Data => !self.is(Fact::HasBegun) && outbox.takes_data(),
        }
    }
}
