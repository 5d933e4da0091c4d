//! Channels and routes that did not come about lately, for those who ask why.

use crate::control::{Message, Tried};
use crate::ids::ConnId;
use crate::key::Key;
use crate::name::Name;
use crate::reason::Reason;
use crate::route::Route;
use alloc::collections::{BTreeMap, VecDeque};
use core::time::Duration;

/// Failures that are remembered; each takes some 300 bytes.
const FAILURES_MAX: usize = 256;

/// A channel that did not come about, or a route of it that did not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) from: (Name, Key),
    pub(crate) to: (Name, Key),
    pub(crate) route: Route,
    pub(crate) reason: Reason,
    /// When, since the start.
    pub(crate) at: Duration,
}

impl Failure {
    /// What a host tells its server of a failure.
    pub(crate) fn tried(&self) -> Message {
        let (from, (to, server)) = (self.from.0.clone(), self.to.clone());
        let (route, reason) = (self.route, self.reason.clone());
        Message::Tried(Tried { from, to, server, route, reason })
    }
}

/// The teller of a failure: a host, or this process itself.
pub(crate) type Teller = Option<ConnId>;

/// The last failures, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    all: VecDeque<(Teller, Failure)>,
    /// How many are of each teller.
    counts: BTreeMap<Teller, usize>,
}

impl Failures {
    /// Remembers a failure. When there are too many, the oldest one goes of the teller with most,
    /// so that no teller evicts the failures of others that told less.
    pub(crate) fn add(&mut self, teller: Teller, failure: Failure) {
        if self.all.len() == FAILURES_MAX {
            self.forget_one(teller);
        }
        *self.counts.entry(teller).or_default() += 1;
        self.all.push_back((teller, failure));
    }

    fn forget_one(&mut self, teller: Teller) {
        // Of equals, who tells now gives way.
        let most = self.counts.iter().max_by_key(|(who, count)| (**count, **who == teller));
        let Some(who) = most.map(|(who, _)| *who) else { return };
        if let Some(oldest) = self.all.iter().position(|(of, _)| *of == who) {
            self.all.remove(oldest);
        }
        if let Some(count) = self.counts.get_mut(&who) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&who);
            }
        }
    }

    /// The last failure between two plugins of which something holds.
    pub(crate) fn last(
        &self,
        from: (&Name, Key),
        to: (&Name, Key),
        is_meant: impl Fn(&Failure) -> bool,
    ) -> Option<&Failure> {
        let is = |subject: &(Name, Key), meant: (&Name, Key)| {
            subject.0 == *meant.0 && subject.1 == meant.1
        };
        let between = |failure: &&Failure| is(&failure.from, from) && is(&failure.to, to);
        let all = self.all.iter().rev().map(|(_, failure)| failure);
        all.filter(between).find(|failure| is_meant(failure))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Code;
    use alloc::format;

    fn failure(from: usize) -> Failure {
        let name = |n: usize| format!("n{n}").parse::<Name>().expect("a name");
        let (from, to) = ((name(from), Key([1; 32])), (name(0), Key([2; 32])));
        let reason = Reason::server(Code::Refused, "");
        Failure { from, to, route: Route::Relay, reason, at: Duration::ZERO }
    }

    fn knows(failures: &Failures, from: usize) -> bool {
        let Failure { from, to, .. } = failure(from);
        failures.last((&from.0, from.1), (&to.0, to.1), |_| true).is_some()
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes when interpreted")]
    fn failures_of_one_host_do_not_evict_those_of_another() {
        let mut failures = Failures::default();
        for n in 0..100 {
            failures.add(Some(ConnId(1)), failure(n));
        }
        for n in 1_000..11_000 {
            failures.add(Some(ConnId(2)), failure(n));
        }
        assert!((0..100).all(|n| knows(&failures, n)), "the first teller is forgotten");
        assert!(knows(&failures, 10_999) && !knows(&failures, 1_000));
        for n in 100..1_000 {
            failures.add(Some(ConnId(1)), failure(n));
        }
        assert_eq!(failures.counts.values().copied().max(), Some(FAILURES_MAX / 2));
        assert_eq!(failures.all.len(), FAILURES_MAX);
    }
}
