//! The tickets of this process: what each allows, until when, and on whose account it is kept.

use crate::broker::Caller;
use crate::broker::registry::partners::Index;
use crate::control::{Purpose, Ticket};
use crate::ids::{ConnId, Handle};
use crate::key::Key;
use crate::name::Name;
use crate::reason::{Code, Reason};
use crate::shares::Shares;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use core::time::Duration;

/// How long a ticket can be used.
const TICKET_TIME: Duration = Duration::from_secs(30);

/// How long it is remembered that a ticket was used: as long as a connection may take that presents
/// it on another route.
const USED_TIME: Duration = Duration::from_secs(5);

/// What a ticket allows.
#[derive(Clone, Debug)]
pub(crate) struct Ticketed {
    pub(crate) to: Name,
    pub(crate) caller: Caller,
    /// The key of the process that presents it on a direct connection.
    pub(crate) process: Key,
    pub(crate) purpose: Purpose,
}

#[derive(Debug)]
struct Known {
    good_for: Ticketed,
    until: Duration,
    used: bool,
}

/// The tickets that this process takes, and those that its hosts were told of.
#[derive(Debug)]
pub(crate) struct Tickets {
    /// Tickets that may be out at a time, for each process.
    most: usize,
    known: BTreeMap<Ticket, Known>,
    by_end: BTreeSet<(Duration, Ticket)>,
    /// The tickets of each process.
    processes: Index<Key, Ticket>,
    /// Tickets of which this process was not told, and the channels that they have opened.
    relayed: BTreeSet<Ticket>,
    channels: BTreeMap<Handle, Ticket>,
    /// The tickets of each server whose plugins call.
    shares: Shares<Key>,
    /// Those of which each host was told, and until when they are good.
    of_hosts: BTreeMap<ConnId, Shares<Key>>,
    told: VecDeque<(Duration, ConnId, Key)>,
}

impl Tickets {
    /// No tickets; so many may be out at a time.
    pub(crate) fn new(most: usize) -> Tickets {
        Tickets {
            most,
            known: BTreeMap::new(),
            by_end: BTreeSet::new(),
            processes: Index::default(),
            relayed: BTreeSet::new(),
            channels: BTreeMap::new(),
            shares: Shares::new(most),
            of_hosts: BTreeMap::new(),
            told: VecDeque::new(),
        }
    }

    /// Takes a ticket from now on, on the account of the caller's server.
    pub(crate) fn add(
        &mut self,
        ticket: Ticket,
        good_for: Ticketed,
        now: Duration,
    ) -> Result<(), Reason> {
        if self.known.contains_key(&ticket) {
            return Err(Reason::server(Code::BadTicket, "this ticket was given before"));
        }
        if !self.shares.take(good_for.caller.server) {
            return Err(too_many());
        }
        let until = now.saturating_add(TICKET_TIME);
        self.processes.insert(good_for.process, ticket);
        self.by_end.insert((until, ticket));
        self.known.insert(ticket, Known { good_for, until, used: false });
        Ok(())
    }

    /// A host is about to be told of a ticket, on the account of the caller's server.
    pub(crate) fn tell_host(
        &mut self,
        host: ConnId,
        caller: Key,
        now: Duration,
    ) -> Result<(), Reason> {
        let shares = self.of_hosts.entry(host).or_insert_with(|| Shares::new(self.most));
        if !shares.take(caller) {
            return Err(too_many());
        }
        self.told.push_back((now.saturating_add(TICKET_TIME), host, caller));
        Ok(())
    }

    /// Forgets of which tickets a host that is gone was told.
    pub(crate) fn forget_host(&mut self, host: ConnId) {
        if self.of_hosts.remove(&host).is_some() {
            self.told.retain(|(_, of, _)| *of != host);
        }
    }

    /// When the next ticket expires.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        let known = self.by_end.first().map(|(at, _)| *at);
        let told = self.told.front().map(|(at, ..)| *at);
        known.into_iter().chain(told).min()
    }

    /// Forgets the tickets whose time is over.
    pub(crate) fn expire(&mut self, now: Duration) {
        while let Some((at, ticket)) = self.by_end.first().copied()
            && at <= now
        {
            self.by_end.pop_first();
            if let Some(known) = self.known.remove(&ticket) {
                self.processes.remove(&known.good_for.process, &ticket);
                self.shares.release(known.good_for.caller.server);
            }
        }
        while let Some((at, host, caller)) = self.told.front().copied()
            && at <= now
        {
            self.told.pop_front();
            if let Some(shares) = self.of_hosts.get_mut(&host) {
                shares.release(caller);
                if shares.is_empty() {
                    self.of_hosts.remove(&host);
                }
            }
        }
    }

    /// Whether a ticket is known, used or not.
    pub(crate) fn knows(&self, ticket: &Ticket) -> bool {
        self.known.contains_key(ticket) || self.relayed.contains(ticket)
    }

    /// The server whose plugin calls with a ticket.
    pub(crate) fn caller(&self, ticket: &Ticket) -> Option<Key> {
        self.known.get(ticket).map(|known| known.good_for.caller.server)
    }

    /// Uses a ticket up, and says what it was good for.
    pub(crate) fn redeem(&mut self, ticket: Ticket, now: Duration) -> Result<Ticketed, Reason> {
        let bad = |text| Err(Reason::server(Code::BadTicket, text));
        if self.relayed.contains(&ticket) {
            return bad("this ticket was used");
        }
        let Some(known) = self.known.get_mut(&ticket) else {
            return bad("this ticket was never given, or has expired");
        };
        if core::mem::replace(&mut known.used, true) {
            return bad("this ticket was used");
        }
        self.by_end.remove(&(known.until, ticket));
        known.until = known.until.min(now.saturating_add(USED_TIME));
        self.by_end.insert((known.until, ticket));
        Ok(known.good_for.clone())
    }

    /// Uses the ticket up of a channel that the servers pass on. They vouch for the channel
    /// themselves: so a ticket of which their word was lost with a link is as good, and only its
    /// second use is not.
    pub(crate) fn redeem_relayed(
        &mut self,
        ticket: Ticket,
        to: &Name,
        now: Duration,
    ) -> Result<(), Reason> {
        let bad = |text| Err(Reason::server(Code::BadTicket, text));
        match self.known.get(&ticket) {
            Some(known) if known.good_for.to != *to => bad("this ticket is for another plugin"),
            Some(_) => self.redeem(ticket, now).map(drop),
            None if self.relayed.contains(&ticket) => bad("this ticket was used"),
            None => Ok(()),
        }
    }

    /// A channel was opened by a ticket, which is remembered with it if it is not known: a
    /// caller can make up as many as it may have channels, and keeps no place of others.
    pub(crate) fn opened_by(&mut self, ticket: Ticket, channel: Handle) -> bool {
        let made_up = !self.known.contains_key(&ticket);
        if made_up {
            self.relayed.insert(ticket);
            self.channels.insert(channel, ticket);
        }
        made_up
    }

    /// A channel is over that was opened by a ticket of which this process was not told.
    pub(crate) fn channel_over(&mut self, channel: Handle) {
        if let Some(ticket) = self.channels.remove(&channel) {
            self.relayed.remove(&ticket);
        }
    }

    /// Tickets that are remembered, used ones among them.
    pub(crate) fn count(&self) -> usize {
        self.known.len() + self.told.len() + self.relayed.len()
    }

    /// Whether a process holds a ticket, used or not.
    pub(crate) fn holds(&self, process: Key) -> bool {
        self.processes.count(&process) > 0
    }
}

fn too_many() -> Reason {
    Reason::server(Code::LimitReached, "too many tickets for its server are out")
}
