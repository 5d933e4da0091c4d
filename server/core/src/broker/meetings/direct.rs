//! The callee's side of direct connections: invitations, the tickets that prove them, and the
//! connections that present one.

use crate::address::{Address, Endpoint, Scope, Transform};
use crate::broker::meetings::requests::Calling;
use crate::broker::neighbours::connections::{ConnPhase, Opened};
use crate::broker::registry::partners::Index;
use crate::broker::registry::plugins::Runs;
use crate::broker::{Broker, Caller, ConnId, DirectDial, DirectPlace, Effect, PluginId, TimerKey};
use crate::bymux::StreamId;
use crate::control::{
    Addresses, Answer, Expect, Invitation, Message, Origin, Presented, Purpose, Ticket,
};
use crate::ids::EndId;
use crate::key::Key;
use crate::name::Name;
use crate::reason::{Code, Reason};
use crate::route::Route;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use trunkline_shs::keyed_hash;

/// How long a ticket can be used, and how long it is remembered that it was.
const TICKET_TIME: Duration = Duration::from_secs(30);

/// Tickets that may be out at a time, used ones among them. Each takes some 200 bytes.
const TICKETS_MAX: usize = 4096;

/// What a ticket is good for.
#[derive(Clone, Debug)]
struct Ticketed {
    to: Name,
    caller: Caller,
    /// The key of the process that presents it on a direct connection.
    process: Option<Key>,
    purpose: Purpose,
    used: bool,
}

/// The tickets that this process has given out, or was told of.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    known: BTreeMap<Ticket, Ticketed>,
    /// The tickets of each process.
    processes: Index<Key, Ticket>,
    /// In the order of their end.
    ends: VecDeque<(Duration, Ticket)>,
    given: u64,
}

impl Broker {
    /// Invites a caller to connect to the process of a plugin.
    pub(crate) fn invite(
        &mut self,
        stream: EndId,
        calling: &Calling,
        plugin: PluginId,
        routes: Vec<Route>,
    ) -> Result<(), Reason> {
        let invitation = self.make_invitation(calling, plugin, routes)?;
        self.answer_direct(stream, invitation);
        Ok(())
    }

    /// Answers a stream by an invitation. No StopRead is sent, which would overtake it: the caller
    /// closes the stream when it has read it.
    pub(crate) fn answer_direct(&mut self, stream: EndId, invitation: Invitation) {
        self.answer(Some(stream), &Answer::Direct(Box::new(invitation)));
        self.close_stream(stream);
    }

    /// Makes an invitation, and lets the plugin's process know what to expect.
    pub(crate) fn make_invitation(
        &mut self,
        calling: &Calling,
        plugin: PluginId,
        routes: Vec<Route>,
    ) -> Result<Invitation, Reason> {
        let gone = || Reason::server(Code::UnknownPlugin, "the plugin is gone");
        let place = self.place(plugin);
        let record = self.plugins.get(&plugin).ok_or_else(gone)?;
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
            Runs::At(host) => self.send(host, &Message::Expect(expect)),
        }
        let net = Some(Addresses(net));
        let process = place.process;
        Ok(Invitation { ticket, routes, process, socket, net, seen, loopback })
    }

    /// A number that nobody can guess.
    fn new_ticket(&mut self) -> Ticket {
        self.tickets.given += 1;
        Ticket(keyed_hash(&self.settings.secret, &self.tickets.given.to_be_bytes()))
    }

    /// A direct connection to a plugin of this process will present a ticket, or already has.
    pub(crate) fn expects(&mut self, expect: Expect) -> Result<(), Reason> {
        let Expect { ticket, to, from, process, punch, calls } = expect;
        if self.tickets.ends.len() >= TICKETS_MAX {
            let text = format!("at most {TICKETS_MAX} tickets may be out");
            return Err(Reason::server(Code::LimitReached, text));
        }
        let server = from.server.unwrap_or(self.home.key);
        let caller = Caller { name: from.name, version: from.version, server };
        let purpose = if calls { Purpose::Calls } else { Purpose::Channel };
        let process_known = Some(process);
        let ticketed = Ticketed { to, caller, process: process_known, purpose, used: false };
        self.keep_ticket(ticket, ticketed);
        self.let_in_who_waits(process);
        self.take_who_presented(ticket);
        let punch = punch.iter().flat_map(|addresses| &addresses.0);
        let to: Vec<Endpoint> = punch.flat_map(|address| address.endpoints()).collect();
        if !to.is_empty() {
            let id = crate::broker::DirectId(self.next_direct);
            self.next_direct += 1;
            let place = DirectPlace::Answer(to);
            self.effects.push_back(Effect::DialDirect(DirectDial { id, place }));
        }
        Ok(())
    }

    fn keep_ticket(&mut self, ticket: Ticket, ticketed: Ticketed) {
        if let Some(process) = ticketed.process {
            self.tickets.processes.insert(process, ticket);
        }
        self.tickets.known.insert(ticket, ticketed);
        self.tickets.ends.push_back((self.now + TICKET_TIME, ticket));
        self.arm_tickets();
    }

    fn arm_tickets(&mut self) {
        match self.tickets.ends.front() {
            Some((at, _)) => self.timers.set(TimerKey::Tickets, *at),
            None => drop(self.timers.cancel(TimerKey::Tickets)),
        }
    }

    /// Forgets the tickets whose time is over.
    pub(crate) fn expire_tickets(&mut self) {
        while let Some((at, ticket)) = self.tickets.ends.front().copied()
            && at <= self.now
        {
            self.tickets.ends.pop_front();
            let known = self.tickets.known.remove(&ticket);
            if let Some(process) = known.and_then(|known| known.process) {
                self.tickets.processes.remove(&process, &ticket);
            }
        }
        self.arm_tickets();
    }

    /// Uses a ticket up.
    fn redeem(&mut self, ticket: Ticket) -> Result<Ticketed, Reason> {
        let bad = |text| Err(Reason::server(Code::BadTicket, text));
        match self.tickets.known.get_mut(&ticket) {
            None => bad("this ticket was never given, or has expired"),
            Some(known) if known.used => bad("this ticket was used"),
            Some(known) => {
                known.used = true;
                Ok(known.clone())
            }
        }
    }

    /// Uses the ticket up of a channel that the servers pass on. They vouch for it themselves: so a
    /// ticket of which their word was lost with a link is as good, and only its second use is not.
    pub(crate) fn redeem_relayed(
        &mut self,
        ticket: Ticket,
        to: &Name,
        caller: &Caller,
    ) -> Result<(), Reason> {
        let bad = |text| Err(Reason::server(Code::BadTicket, text));
        match self.tickets.known.get(&ticket) {
            Some(known) if known.to != *to => bad("this ticket is for another plugin"),
            Some(_) => self.redeem(ticket).map(drop),
            None if self.tickets.ends.len() >= TICKETS_MAX => bad("too many tickets are out"),
            None => {
                let (to, caller) = (to.clone(), caller.clone());
                let purpose = Purpose::Channel;
                let ticketed = Ticketed { to, caller, process: None, purpose, used: true };
                self.keep_ticket(ticket, ticketed);
                self.take_who_presented(ticket);
                Ok(())
            }
        }
    }

    /// Tickets that are remembered, used ones among them.
    pub(crate) fn tickets_out(&self) -> usize {
        self.tickets.known.len().max(self.tickets.ends.len())
    }

    /// Whether a process may make a direct connection: it was given a ticket. If that was used on
    /// another route meanwhile, it is told so.
    pub(crate) fn holds_ticket(&self, process: Key) -> bool {
        self.tickets.processes.count(&process) > 0
    }

    /// Callers may be faster than the servers' word that they come: those are let in now.
    fn let_in_who_waits(&mut self, process: Key) {
        let waits =
            |conn: &crate::broker::Conn| conn.how == Opened::Direct && conn.asks == Some(process);
        let waiting = self.young().filter(|(_, conn)| waits(conn)).map(|(id, _)| id);
        for id in waiting.collect::<Vec<_>>() {
            self.admit_direct(id, process);
        }
    }

    fn take_who_presented(&mut self, ticket: Ticket) {
        let presented = |conn: &crate::broker::Conn| conn.presented.as_ref().map(|p| p.1.ticket);
        let waiting = self.young().find(|(_, conn)| presented(conn) == Some(ticket));
        if let Some(id) = waiting.map(|(id, _)| id)
            && let Some(conn) = self.conns.get_mut(&id)
            && let Some((stream, presented, used)) = conn.presented.take()
        {
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
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if conn.phase != ConnPhase::AwaitsTicket || conn.presented.is_some() || !rest.is_empty() {
            let text = "a ticket is presented first, once, and with nothing behind it";
            self.goodbye(id, Reason::server(Code::ProtocolViolation, text));
            return;
        }
        if !self.tickets.known.contains_key(&presented.ticket) {
            conn.presented = Some((stream, presented, used));
            return;
        }
        let proved = conn.proved;
        conn.route = presented.route;
        let taken = self.redeem(presented.ticket).and_then(|redeemed| {
            match proved.is_none_or(|key| Some(key) == redeemed.process) {
                true => Ok(redeemed),
                false => Err(Reason::server(Code::BadTicket, "this ticket is another process's")),
            }
        });
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.phase = ConnPhase::Up;
        }
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
        let Some(end) = self.add_asking(id, stream) else { return };
        let asked = taken.and_then(|redeemed| {
            let gone = || Reason::server(Code::UnknownPlugin, "the plugin is gone");
            // Its name may be that of a host's plugin by now.
            let here = |id: &PluginId| self.plugins.get(id).is_some_and(|r| r.runs == Runs::Here);
            let plugin = self.running(&redeemed.to).filter(here).ok_or_else(gone)?;
            self.ask_plugin(end, plugin, redeemed.caller, route, redeemed.purpose)
        });
        self.frame_used(end, used);
        if let Err(reason) = asked {
            log::info!("a direct connection was refused: {reason}");
            self.answer(Some(end), &Answer::Refuse(reason));
            self.close_stream(end);
            self.stop_stream(end);
        }
    }

    /// The address from which a connection came, as others can be told it.
    pub(crate) fn seen(&self, id: ConnId) -> Option<Addresses> {
        seen(self.conns.get(&id)?.from?)
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
