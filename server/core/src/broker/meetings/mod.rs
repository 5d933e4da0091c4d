//! Meetings: how a channel finds its route: tickets, attempts and direct connections.

pub(crate) mod arrivals;
mod attempts;
pub(crate) mod direct;
pub(crate) mod opening;
pub(crate) mod requests;
pub(crate) mod tickets;
pub(crate) mod trying;

use crate::ids::{ConnId, DirectId, Handle};
use crate::key::Key;
use crate::route::Route;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use arrivals::{Arrivals, Held};
use attempts::Attempts;
use tickets::Tickets;

/// Channels that look for their route.
#[derive(Debug)]
pub(crate) struct Meetings {
    /// Channels of plugins of this process whose routes are being tried, by their ends.
    attempts: BTreeMap<Handle, Attempts>,
    /// For which end each direct connection is being dialled.
    dials: BTreeMap<DirectId, Handle>,
    next_direct: u64,
    /// The routes that direct connections are, which this process dialled.
    dialled: BTreeMap<ConnId, Route>,
    arrivals: Arrivals,
    tickets: Tickets,
    /// How many tickets this process has made.
    tickets_given: u64,
}

impl Meetings {
    /// No channel looks for a route; so many tickets may be out at a time.
    pub(crate) fn new(tickets: usize) -> Meetings {
        let (attempts, dials, dialled) = Default::default();
        let (arrivals, tickets) = (Arrivals::default(), Tickets::new(tickets));
        Meetings { attempts, dials, next_direct: 0, dialled, arrivals, tickets, tickets_given: 0 }
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

    /// Direct connections that wait until the servers tell of them.
    pub(crate) fn arrivals(&self) -> impl Iterator<Item = ConnId> {
        self.arrivals.conns()
    }

    /// The number of the next direct connection that is dialled.
    fn number_dial(&mut self) -> DirectId {
        let id = DirectId(self.next_direct);
        self.next_direct += 1;
        id
    }

    /// The route that a direct connection is, which this process dialled.
    fn route_of(&self, conn: ConnId) -> Option<Route> {
        self.dialled.get(&conn).copied()
    }

    /// Whether a connection has presented a ticket that is not known.
    pub(crate) fn has_presented(&self, conn: ConnId) -> bool {
        self.arrivals.has_presented(conn)
    }

    /// A process of which nobody has told wants a direct connection.
    pub(crate) fn asks(&mut self, conn: ConnId, process: Key) {
        self.arrivals.ask(conn, process);
    }

    /// Keeps what a process says behind its handshake, if it waits to be let in.
    pub(crate) fn hold(&mut self, conn: ConnId, bytes: &[u8]) -> Held {
        self.arrivals.hold(conn, bytes)
    }

    /// A process is let in: what it has said meanwhile.
    pub(crate) fn let_in(&mut self, conn: ConnId) -> Vec<u8> {
        self.arrivals.let_in(conn)
    }

    /// A connection ends: nobody waits on it any more.
    pub(crate) fn conn_ends(&mut self, conn: ConnId) {
        self.arrivals.forget(conn);
    }

    /// A connection is gone.
    pub(crate) fn conn_gone(&mut self, conn: ConnId) {
        self.dialled.remove(&conn);
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
