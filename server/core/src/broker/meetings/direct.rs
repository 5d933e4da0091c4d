//! The callee's side of direct connections: invitations, the tickets that prove them, and the
//! connections that present one.

use super::arrivals::Presenting;
use super::tickets::Ticketed;
use super::{Event, Meetings};
use crate::address::{Endpoint, Shareable};
use crate::broker::{Caller, DirectDial, DirectPlace, Effect};
use crate::control::{Addresses, Expect, Invitation, Message, Origin, Purpose, SocketName, Ticket};
use crate::ids::{ConnId, Handle};
use crate::key::Key;
use crate::limits::Limit;
use crate::name::Name;
use crate::reason::{Code, Reason};
use crate::route::Route;
use alloc::boxed::Box;
use alloc::vec::Vec;
use trunkline_shs::keyed_hash;

/// Two plugins that may get a connection of their own: who calls, and how the other is reached.
#[derive(Debug)]
pub(crate) struct Introduction {
    pub(crate) caller: Caller,
    /// The caller's process, which presents the ticket.
    pub(crate) caller_process: Key,
    /// Where the callee's process dials at the same time.
    pub(crate) punch: Option<Addresses>,
    pub(crate) purpose: Purpose,
    pub(crate) to: Name,
    /// The callee's host, unless it runs in this process.
    pub(crate) host: Option<ConnId>,
    pub(crate) process: Key,
    pub(crate) routes: Vec<Route>,
    pub(crate) socket: Option<SocketName>,
    pub(crate) net: Vec<Shareable>,
    pub(crate) seen: Option<Addresses>,
    pub(crate) loopback: Option<u16>,
}

/// The decision about a direct connection that presents a ticket.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Shown {
    /// The ticket is not known, but may become so: the connection waits as long as a handshake may
    /// take.
    Waits,
    /// The ticket is known; the server of the caller, if this process was told of the ticket.
    Known(Option<Key>),
}

impl Meetings {
    /// Makes an invitation, and lets the plugin's process know what to expect.
    pub(crate) fn introduce(&mut self, introduction: Introduction) -> Result<Invitation, Reason> {
        let Introduction { caller, caller_process, punch, purpose, to, host, .. } = introduction;
        let ticket = self.new_ticket();
        let (server, calls) = (caller.server, purpose == Purpose::Calls);
        let from = Origin { name: caller.name, version: caller.version, server: Some(server) };
        let expect = Expect { ticket, to, from, process: caller_process, punch, calls };
        let told = match host {
            None => self.expects(expect, server),
            Some(host) => self.tell_host(host, server, expect),
        };
        told.map_err(|reason| match reason.is(Code::LimitReached) {
            true => self.no_ticket(&reason.text),
            false => reason,
        })?;
        let Introduction { process, routes, socket, net, seen, loopback, .. } = introduction;
        let net = Some(Addresses(net));
        Ok(Invitation { ticket, routes, process, socket, net, seen, loopback })
    }

    /// There is no invitation, because that would take more than there is. It is counted.
    pub(crate) fn no_ticket(&mut self, text: &str) -> Reason {
        self.happens(Event::Reached(Limit::Tickets));
        Reason::server(Code::LimitReached, text)
    }

    /// A number that cannot be guessed.
    fn new_ticket(&mut self) -> Ticket {
        self.tickets_given += 1;
        Ticket(keyed_hash(&self.secret, &self.tickets_given.to_be_bytes()))
    }

    fn tell_host(&mut self, host: ConnId, caller: Key, expect: Expect) -> Result<(), Reason> {
        self.tickets.tell_host(host, caller, self.now)?;
        self.note_deadline();
        self.happens(Event::Send(host, Box::new(Message::Expect(expect))));
        Ok(())
    }

    /// A direct connection to a plugin of this process will present a ticket, or already has. A
    /// caller whose server is not named is of the server `home`.
    pub(crate) fn expects(&mut self, expect: Expect, home: Key) -> Result<(), Reason> {
        let Expect { ticket, to, from, process, punch, calls } = expect;
        let server = from.server.unwrap_or(home);
        let caller = Caller { name: from.name, version: from.version, server };
        let purpose = if calls { Purpose::Calls } else { Purpose::Channel };
        self.tickets.add(ticket, Ticketed { to, caller, process, purpose }, self.now)?;
        self.note_deadline();
        // Callers may be faster than the servers' word that they come: those are let in now.
        for conn in self.arrivals.of_process(process) {
            self.happens(Event::LetIn(conn, process));
        }
        self.take_who_presented(ticket);
        let punch = punch.iter().flat_map(|addresses| &addresses.0);
        let to: Vec<Endpoint> = punch.flat_map(|address| address.endpoints()).collect();
        if !to.is_empty() {
            let (id, place) = (self.number_dial(), DirectPlace::Answer(to));
            self.happens(Event::Do(Effect::DialDirect(DirectDial { id, place })));
        }
        Ok(())
    }

    fn take_who_presented(&mut self, ticket: Ticket) {
        if let Some(presenting) = self.arrivals.take(ticket) {
            self.happens(Event::Present(presenting));
        }
    }

    /// A direct connection presents a ticket.
    pub(crate) fn presents(&mut self, presenting: Presenting) -> Shown {
        let ticket = presenting.presented.ticket;
        if self.tickets.knows(&ticket) {
            return Shown::Known(self.tickets.caller(&ticket));
        }
        self.arrivals.present(presenting);
        Shown::Waits
    }

    /// Uses a ticket up that the owner of a key presents, and gives what it allowed. Over a unix
    /// socket no key is proved.
    pub(crate) fn redeem(
        &mut self,
        ticket: Ticket,
        proved: Option<Key>,
    ) -> Result<Ticketed, Reason> {
        let redeemed = self.tickets.redeem(ticket, self.now);
        self.note_deadline();
        let redeemed = redeemed?;
        match proved.is_none_or(|key| key == redeemed.process) {
            true => Ok(redeemed),
            false => Err(Reason::server(Code::BadTicket, "this ticket is another process's")),
        }
    }

    /// Uses the ticket up of a channel that the servers pass on.
    pub(crate) fn redeem_relayed(&mut self, ticket: Ticket, to: &Name) -> Result<(), Reason> {
        let redeemed = self.tickets.redeem_relayed(ticket, to, self.now);
        self.note_deadline();
        redeemed
    }

    /// A plugin's end was asked for with a ticket. Whether that is remembered as long as the end
    /// exists.
    #[must_use]
    pub(crate) fn ticket_opens(&mut self, ticket: Ticket, near: Handle) -> bool {
        let remembered = self.tickets.opened_by(ticket, near);
        if remembered {
            self.take_who_presented(ticket);
        }
        remembered
    }
}
