//! Switch: the ends of channels, how they are joined, their credit, and the links that carry
//! them. It knows numbers only: it looks up no name, and calls no other owner.
//!
//! The direct outcome of a method is its result. What follows from it for other owners is an
//! [`Event`], which the broker hands on before it returns to the shell. What plugins are told goes
//! into the queue of effects, because its order among all effects counts.

pub(crate) mod audit;
mod calls;
pub(crate) mod channels;
pub(crate) mod credit;
pub(crate) mod ending;
pub(crate) mod join;
pub(crate) mod lines;
pub(crate) mod opening;
pub(crate) mod reading;
mod room;
pub(crate) mod streams;
#[cfg(test)]
mod tests;
pub(crate) mod writing;

use crate::ends::{ChannelInfo, End, Ends, Lookup, Pairs};
use crate::ids::{ConnId, EndId, Handle, PluginId};
use crate::limits::{Limit, Limits};
use crate::link::{Fault, Link};
use crate::reason::Reason;
use crate::turn_budget::TurnBudget;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use lines::{Line, Lines};

/// All ends of channels, and all connections as far as they carry bytes.
#[derive(Debug)]
pub(crate) struct Switch {
    limits: Limits,
    now: Duration,
    ends: Ends,
    /// Between whom channels are, each pair once.
    pairs: Pairs,
    lines: Lines,
    /// Connections that may have something to write.
    touched: Vec<ConnId>,
    /// A buffer for the connection that encrypts next.
    spare: Vec<u8>,
    /// What is left of this turn, and connections that have said more than it had room for.
    turn: TurnBudget,
    behind: Vec<ConnId>,
    events: VecDeque<Event>,
}

/// What others have to hear of. Ends are named by handles, because a place in the table may have
/// been taken again by the time that the event is handled.
#[derive(Debug)]
#[must_use]
pub(crate) enum Event {
    /// The routes of this channel need not be tried any longer.
    GivenUp(Handle),
    /// A stream that might have got the channel of `near` is over.
    CandidateLost {
        /// The stream's end, which may be gone.
        far: Handle,
        /// The end of the plugin that waits.
        near: Handle,
        /// Why.
        reason: Reason,
    },
    /// A channel that a plugin asked for did not come about.
    Failed(Arc<ChannelInfo>, Reason),
    /// A channel over a connection of its own is over, of one of these plugins or of another one.
    DirectOver(Vec<PluginId>, Arc<ChannelInfo>),
    /// An end is over for which a ticket is remembered.
    TicketOver(Handle),
    /// A limit was reached.
    Reached(Limit),
    /// The peer of a link broke a rule: the link has to end.
    Faulted(ConnId, Fault),
}

impl Switch {
    /// No channels and no connections, at time zero.
    pub(crate) fn new(limits: &Limits) -> Switch {
        Switch {
            limits: limits.clone(),
            now: Duration::ZERO,
            ends: Ends::default(),
            pairs: Pairs::default(),
            lines: Lines::new(),
            touched: Vec::new(),
            spare: Vec::new(),
            turn: TurnBudget::new(),
            behind: Vec::new(),
            events: VecDeque::new(),
        }
    }

    /// A turn of the loop begins.
    pub(crate) fn begin_turn(&mut self, now: Duration) {
        self.now = now;
        self.turn.begin_turn();
    }

    /// Whether no event is queued.
    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        self.events.is_empty()
    }

    /// The next thing that others have to hear of.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if let Some(Event::Faulted(conn, _)) = event
            && let Some(line) = self.lines.get_mut(&conn)
        {
            line.faulted = false;
        }
        event
    }

    /// All ends, to look at.
    pub(crate) fn ends(&self) -> &Ends {
        &self.ends
    }

    /// An end, to look at.
    pub(crate) fn end(&self, id: EndId) -> Option<&End> {
        self.ends.get(id)
    }

    /// The handle of an end.
    pub(crate) fn handle(&self, id: EndId) -> Handle {
        self.ends.handle(id)
    }

    /// The end that a handle names, if it still exists.
    pub(crate) fn live(&self, handle: Handle) -> Option<EndId> {
        match self.ends.lookup(handle) {
            Lookup::Live(id) => Some(id),
            Lookup::Past | Lookup::Never => None,
        }
    }

    /// A connection as it is carried, to look at.
    pub(crate) fn line(&self, id: ConnId) -> Option<&Line> {
        self.lines.get(&id)
    }

    /// All connections, to look at.
    pub(crate) fn lines(&self) -> &Lines {
        &self.lines
    }

    /// The link of a connection, which will be looked at for something to write.
    fn link_of(&mut self, id: ConnId) -> Option<&mut Link> {
        self.lines.touch(id, &mut self.touched).map(|line| &mut line.link)
    }

    fn happens(&mut self, event: Event) {
        self.events.push_back(event);
    }
}
