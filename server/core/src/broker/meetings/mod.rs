//! Meetings: how a channel finds its route: tickets, attempts and direct connections.

pub(crate) mod attempts;
pub(crate) mod direct;
pub(crate) mod opening;
pub(crate) mod requests;
pub(crate) mod tickets;

use crate::ids::{ConnId, DirectId, EndId, Handle};
use crate::key::Key;
use alloc::collections::BTreeMap;
use attempts::Attempts;
use tickets::Tickets;

/// Channels that look for their route.
#[derive(Debug)]
pub(crate) struct Meetings {
    /// Channels of plugins of this process whose routes are being tried, by their ends.
    attempts: BTreeMap<EndId, Attempts>,
    /// For which end each direct connection is being dialled.
    dials: BTreeMap<DirectId, EndId>,
    next_direct: u64,
    tickets: Tickets,
    /// How many tickets this process has made.
    tickets_given: u64,
}

impl Meetings {
    /// No channel looks for a route; so many tickets may be out at a time.
    pub(crate) fn new(tickets: usize) -> Meetings {
        let (attempts, dials) = (BTreeMap::new(), BTreeMap::new());
        let tickets = Tickets::new(tickets);
        Meetings { attempts, dials, next_direct: 0, tickets, tickets_given: 0 }
    }

    /// Channels whose routes are being tried.
    pub(crate) fn attempts(&self) -> usize {
        self.attempts.len()
    }

    /// Tickets that are remembered.
    pub(crate) fn tickets(&self) -> usize {
        self.tickets.count()
    }

    /// Whether a process holds a ticket, used or not.
    pub(crate) fn holds_ticket(&self, process: Key) -> bool {
        self.tickets.holds(process)
    }

    /// A channel is over that was opened by a ticket of which nobody had told.
    pub(crate) fn channel_over(&mut self, channel: Handle) {
        self.tickets.channel_over(channel);
    }

    /// Forgets of which tickets a host that is gone was told.
    pub(crate) fn forget_host(&mut self, host: ConnId) {
        self.tickets.forget_host(host);
    }
}
