//! Channels and routes that did not come about lately, for those who ask why.

use crate::key::Key;
use crate::name::Name;
use crate::reason::Reason;
use crate::route::Route;
use alloc::collections::VecDeque;
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

/// The last failures, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Failures(VecDeque<Failure>);

impl Failures {
    /// Remembers a failure; the oldest one goes when there are too many.
    pub(crate) fn add(&mut self, failure: Failure) {
        if self.0.len() == FAILURES_MAX {
            self.0.pop_front();
        }
        self.0.push_back(failure);
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
        self.0.iter().rev().filter(between).find(|failure| is_meant(failure))
    }
}
