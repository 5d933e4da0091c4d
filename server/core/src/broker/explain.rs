//! Why two plugins are, or are not, connected: what was tried last, and what each rule says.

use super::Broker;
use crate::key::Key;
use crate::name::Name;
use crate::reason::Reason;
use crate::route::Route;
use core::time::Duration;

/// Failures that are remembered.
const FAILURES_MAX: usize = 256;

/// A route that was tried and did not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The plugin that opened the channel, and its server.
    pub from: (Name, Key),
    /// The plugin that it was opened to, and its server.
    pub to: (Name, Key),
    /// The route.
    pub route: Route,
    /// Why it did not work.
    pub reason: Reason,
    /// When, since the start.
    pub at: Duration,
}

impl Broker {
    /// Remembers that a route did not work; the oldest such memory goes.
    pub(super) fn note_failure(
        &mut self,
        from: (Name, Key),
        to: (Name, Key),
        route: Route,
        reason: Reason,
    ) {
        if self.failures.len() == FAILURES_MAX {
            self.failures.pop_front();
        }
        log::debug!("{} to {}: {} did not work: {reason}", from.0, to.0, route.as_str());
        self.failures.push_back(Failure { from, to, route, reason, at: self.now });
    }
}
