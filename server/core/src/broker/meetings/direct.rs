//! The callee's side of direct connections: invitations, the tickets that prove them, and the
//! connections that present one.

use crate::address::{Address, Endpoint, Scope, Transform};
use crate::broker::meetings::requests::Calling;
use crate::broker::meetings::tickets::Ticketed;
use crate::broker::neighbours::connections::ConnPhase;
use crate::broker::registry::plugins::Runs;
use crate::broker::{Broker, Caller, ConnId, DirectDial, DirectPlace, Effect, PluginId, TimerKey};
use crate::bymux::StreamId;
use crate::control::{
    Addresses, Answer, Expect, Invitation, Message, Origin, Presented, Purpose, Ticket,
};
use crate::ids::EndId;
use crate::key::Key;
use crate::log_limiter::LogKind;
use crate::name::Name;
use crate::reason::{Code, Reason};
use crate::route::Route;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::net::SocketAddr;

use trunkline_shs::keyed_hash;

impl Broker {
    /// Makes an invitation, and lets the plugin's process know what to expect.
    pub(crate) fn make_invitation(
        &mut self,
        calling: &Calling,
        plugin: PluginId,
        routes: Vec<Route>,
    ) -> Result<Invitation, Reason> {
        let gone = || Reason::server(Code::UnknownPlugin, "the plugin is gone");
        let place = self.place(plugin);
        let record = self.registry.plugin(plugin).ok_or_else(gone)?;
        let (runs, to) = (record.runs, record.config.name.clone());
        let (socket, net) = (record.direct.socket.clone(), record.direct.net.clone());
        let one_machine = calling.place.machine == place.machine;
        let loopback = record.direct.loopback.filter(|_| place.reach.loopback && one_machine);
        let seen = match runs {
            Runs::At(host) => self.seen(host),
            Runs::Here => None,
        };
        let ticket = self.new_ticket();
        let Caller { name, version, server } = calling.caller.clone();
        let from = Origin { name, version, server: Some(server) };
        let punch = routes.contains(&Route::Punched).then(|| calling.seen.clone()).flatten();
        let (process, calls) = (calling.place.process, calling.purpose == Purpose::Calls);
        let expect = Expect { ticket, to, from, process, punch, calls };
        match runs {
            Runs::Here => self.expects(expect)?,
            Runs::At(host) if !self.switch.takes_more(host) => {
                let text = "the plugin's host is slow to read what it is told";
                return Err(Reason::server(Code::LimitReached, text));
            }
            Runs::At(host) => {
                self.meetings.tickets.tell_host(host, server, self.now)?;
                self.arm_tickets();
                self.send(host, &Message::Expect(expect));
            }
        }
        let net = Some(Addresses(net));
        let process = place.process;
        Ok(Invitation { ticket, routes, process, socket, net, seen, loopback })
    }

    /// A number that nobody can guess.
    fn new_ticket(&mut self) -> Ticket {
        self.meetings.tickets_given += 1;
        Ticket(keyed_hash(&self.settings.secret, &self.meetings.tickets_given.to_be_bytes()))
    }

    /// A direct connection to a plugin of this process will present a ticket, or already has.
    pub(crate) fn expects(&mut self, expect: Expect) -> Result<(), Reason> {
        let Expect { ticket, to, from, process, punch, calls } = expect;
        let server = from.server.unwrap_or(self.neighbours.home_key());
        let caller = Caller { name: from.name, version: from.version, server };
        let purpose = if calls { Purpose::Calls } else { Purpose::Channel };
        self.meetings.tickets.add(ticket, Ticketed { to, caller, process, purpose }, self.now)?;
        self.arm_tickets();
        self.let_in_who_waits(process);
        self.take_who_presented(ticket);
        let punch = punch.iter().flat_map(|addresses| &addresses.0);
        let to: Vec<Endpoint> = punch.flat_map(|address| address.endpoints()).collect();
        if !to.is_empty() {
            let id = self.meetings.number_dial();
            let place = DirectPlace::Answer(to);
            self.effects.push_back(Effect::DialDirect(DirectDial { id, place }));
        }
        Ok(())
    }

    fn arm_tickets(&mut self) {
        match self.meetings.tickets.deadline() {
            Some(at) => self.timers.set(TimerKey::Tickets, at),
            None => drop(self.timers.cancel(TimerKey::Tickets)),
        }
    }

    /// Forgets the tickets whose time is over.
    pub(crate) fn expire_tickets(&mut self) {
        self.meetings.tickets.expire(self.now);
        self.arm_tickets();
    }

    /// Uses the ticket up of a channel that the servers pass on.
    pub(crate) fn redeem_relayed(&mut self, ticket: Ticket, to: &Name) -> Result<(), Reason> {
        let redeemed = self.meetings.tickets.redeem_relayed(ticket, to, self.now);
        self.arm_tickets();
        redeemed
    }

    /// A plugin's end was asked for with a ticket.
    pub(crate) fn remember_ticket(&mut self, ticket: Ticket, near: EndId) {
        if self.meetings.tickets.opened_by(ticket, self.switch.handle(near)) {
            self.switch.keep_ticket(near);
            self.take_who_presented(ticket);
        }
    }

    /// Callers may be faster than the servers' word that they come: those are let in now.
    fn let_in_who_waits(&mut self, process: Key) {
        for id in self.meetings.arrivals.of_process(process) {
            self.admit_direct(id, process);
        }
    }

    fn take_who_presented(&mut self, ticket: Ticket) {
        if let Some((id, stream, presented, used)) = self.meetings.arrivals.take(ticket) {
            self.present(id, stream, presented, used, &[]);
        }
    }

    /// A direct connection presents its ticket. One that is not known may become so: the connection
    /// waits as long as a handshake may take.
    pub(crate) fn present(
        &mut self,
        id: ConnId,
        stream: StreamId,
        presented: Presented,
        used: u64,
        rest: &[u8],
    ) {
        let second = self.meetings.has_presented(id);
        let Some(conn) = self.neighbours.conn(id) else { return };
        if conn.phase != ConnPhase::AwaitsTicket || second || !rest.is_empty() {
            let text = "a ticket is presented first, once, and with nothing behind it";
            self.goodbye(id, Reason::server(Code::ProtocolViolation, text));
            return;
        }
        if !self.meetings.tickets.knows(&presented.ticket) {
            self.meetings.arrivals.present(id, stream, presented, used);
            return;
        }
        let proved = conn.proved;
        // The ticket stays good for another route.
        if let Some(caller) = self.meetings.tickets.caller(&presented.ticket)
            && let Err(reason) = self.take_place(id, caller)
        {
            self.goodbye(id, reason);
            return;
        }
        let taken = self.meetings.tickets.redeem(presented.ticket, self.now).and_then(|redeemed| {
            match proved.is_none_or(|key| key == redeemed.process) {
                true => Ok(redeemed),
                false => Err(Reason::server(Code::BadTicket, "this ticket is another process's")),
            }
        });
        self.arm_tickets();
        self.neighbours.is_met(id);
        self.arm(id);
        self.take_direct(id, stream, presented.route, used, taken);
    }

    fn take_direct(
        &mut self,
        id: ConnId,
        stream: StreamId,
        route: Route,
        used: u64,
        taken: Result<Ticketed, Reason>,
    ) {
        let Some(end) = self.switch.add_asking(id, stream) else { return };
        let asked = taken.and_then(|redeemed| {
            let gone = || Reason::server(Code::UnknownPlugin, "the plugin is gone");
            // Its name may be that of a host's plugin by now.
            let here =
                |id: &PluginId| self.registry.plugin(*id).is_some_and(|r| r.runs == Runs::Here);
            let plugin = self.registry.running(&redeemed.to).filter(here).ok_or_else(gone)?;
            self.ask_plugin(end, plugin, redeemed.caller, route, redeemed.purpose).map(drop)
        });
        self.switch.frame_used(end, used);
        if let Err(reason) = asked {
            let text = format_args!("a direct connection was refused: {reason}");
            self.log_about(id, LogKind::RefusedDirect, text);
            self.switch.reply(end, &Answer::Refuse(reason), &[]);
        }
    }

    /// The address from which a connection came, as others can be told it.
    pub(crate) fn seen(&self, id: ConnId) -> Option<Addresses> {
        seen(self.neighbours.conn(id)?.from?)
    }
}

/// An address that somebody was seen at, if it means something elsewhere.
fn seen(from: SocketAddr) -> Option<Addresses> {
    let host = match from {
        SocketAddr::V4(v4) => crate::address::Host::V4(*v4.ip()),
        SocketAddr::V6(v6) => crate::address::Host::V6(*v6.ip()),
    };
    let transport = crate::address::Transport::Net { host, port: from.port() };
    let endpoint = Endpoint { transport, transform: Transform::ShsKnownKey };
    let address: Address = endpoint.to_string().parse().ok()?;
    address.shareable(Scope::Local).map(|address| Addresses([address].to_vec()))
}
