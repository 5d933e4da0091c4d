//! Meetings: how a channel finds its route: tickets, attempts and direct connections.
//!
//! It decides which route of a channel is tried next, which stream gets the channel, and what a
//! ticket allows. It opens no stream and sends nothing: what others have to do is an
//! [`Event`], which the broker performs before it returns to the shell.

pub(crate) mod arrivals;
mod attempts;
pub(crate) mod direct;
#[cfg(test)]
mod tests;
pub(crate) mod tickets;
mod trying;

use crate::broker::{Effect, Settings};
use crate::control::Message;
use crate::ids::{ConnId, DirectId, Handle};
use crate::key::Key;
use crate::limits::Limit;
use crate::reason::Reason;
use crate::route::Route;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use arrivals::{Arrivals, Held, Presenting};
use attempts::Attempts;
use core::time::Duration;
use tickets::Tickets;

/// Channels that look for their route.
#[derive(Debug)]
pub(crate) struct Meetings {
    now: Duration,
    /// Channels of plugins of this process whose routes are being tried, by their ends.
    attempts: BTreeMap<Handle, Attempts>,
    /// When the next route of a channel starts.
    due: BTreeSet<(Duration, Handle)>,
    /// For which end each direct connection is being dialled.
    dials: BTreeMap<DirectId, Handle>,
    next_direct: u64,
    arrivals: Arrivals,
    tickets: Tickets,
    /// How many tickets this process has made, and what makes them hard to guess.
    tickets_given: u64,
    secret: [u8; 32],
    /// The deadline of which the broker was told.
    announced: Option<Duration>,
    events: VecDeque<Event>,
}

/// What others have to do.
#[derive(Debug)]
#[must_use]
pub(crate) enum Event {
    /// The shell has to do this.
    Do(Effect),
    /// From this time on, [`tick`](Meetings::tick) has something to do.
    Deadline(Option<Duration>),
    /// The servers are asked to pass this channel on, which is one of its routes.
    AskServers(Handle, Route),
    /// A route of a channel did not work.
    Failed(Handle, Route, Reason),
    /// No route of this channel is left, or its plugin says no.
    Refused(Handle, Reason),
    /// This stream does not get the channel.
    PassOver {
        /// The stream's end, which may be gone.
        far: Handle,
        /// Its connection, if that is a direct one.
        direct: Option<ConnId>,
    },
    /// A host is told something.
    Send(ConnId, Box<Message>),
    /// A process that waited for it may prove itself now, because it holds a ticket.
    LetIn(ConnId, Key),
    /// A direct connection that waited presents its ticket, which is known now.
    Present(Presenting),
    /// A limit was reached.
    Reached(Limit),
}

impl Meetings {
    /// No channel looks for a route, at time zero.
    pub(crate) fn new(settings: &Settings) -> Meetings {
        let (attempts, due, dials, events) = Default::default();
        Meetings {
            now: Duration::ZERO,
            attempts,
            due,
            dials,
            next_direct: 0,
            arrivals: Arrivals::default(),
            tickets: Tickets::new(settings.limits.tickets),
            tickets_given: 0,
            secret: settings.secret,
            announced: None,
            events,
        }
    }

    /// A turn of the loop begins.
    pub(crate) fn begin_turn(&mut self, now: Duration) {
        self.now = now;
    }

    /// The deadline has come: forgets tickets, and starts the next routes.
    pub(crate) fn tick(&mut self) {
        self.announced = None;
        self.tickets.expire(self.now);
        while let Some((at, near)) = self.due.first().copied()
            && at <= self.now
        {
            self.due.pop_first();
            self.next_route(near);
        }
        self.note_deadline();
    }

    /// Whether no event is queued.
    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        self.events.is_empty()
    }

    /// The next thing that others have to do.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn happens(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Tells of the time of the next ticket that expires, or route that starts, if it has changed.
    fn note_deadline(&mut self) {
        let route = self.due.first().map(|(at, _)| *at);
        let deadline = route.into_iter().chain(self.tickets.deadline()).min();
        if deadline != self.announced {
            self.announced = deadline;
            self.happens(Event::Deadline(deadline));
        }
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

    /// Whether a connection has presented a ticket that is not known.
    pub(crate) fn has_presented(&self, conn: ConnId) -> bool {
        self.arrivals.has_presented(conn)
    }

    /// A process that this one was not told of wants a direct connection.
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

    /// A connection ends: what waited on it is forgotten.
    pub(crate) fn conn_ends(&mut self, conn: ConnId) {
        self.arrivals.forget(conn);
    }

    /// A channel is over that was opened by a ticket of which this process was not told.
    pub(crate) fn channel_over(&mut self, channel: Handle) {
        self.tickets.channel_over(channel);
    }

    /// Forgets of which tickets a host that is gone was told.
    pub(crate) fn forget_host(&mut self, host: ConnId) {
        self.tickets.forget_host(host);
        self.note_deadline();
    }
}
