//! Channels whose routes are being tried: which route is the next one, where it leads, and what may
//! still come of those that were begun. It begins and ends nothing itself.

use super::Meetings;
use crate::address::{Endpoint, Host, Transform, Transport};
use crate::broker::effect::DirectPlace;
use crate::control::{Addresses, Invitation, Request, Ticket};
use crate::ids::{ConnId, DirectId, Handle};
use crate::key::Key;
use crate::reason::{Code, Reason};
use crate::route::Route;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

/// Places of one route that are dialled, however many alternates the addresses have.
const PLACES_MAX: usize = 8;

/// The attempts of one channel.
#[derive(Debug)]
pub(super) struct Attempts {
    invitation: Invitation,
    /// What is asked where the servers pass the channel on.
    request: Request,
    server: Key,
    left: VecDeque<Route>,
    pub(super) dials: Vec<(DirectId, Route)>,
    /// Streams that wait for the answer.
    pub(super) candidates: Vec<Handle>,
    last: Reason,
}

/// What is to be done next for a channel.
#[derive(Debug)]
#[must_use]
pub(super) enum Next {
    /// This route is tried.
    Try(Route),
    /// Something may still come of what was begun, or the channel looks for no route.
    Wait,
    /// No route is left, and this became of the last one.
    Lost(Reason),
}

/// Where a route leads.
#[derive(Debug)]
pub(super) enum Way {
    /// To a connection of its own.
    Direct(DirectPlace),
    /// Over the servers, to the plugin's own one, which is asked this.
    Servers(Key, Box<Request>),
}

impl Meetings {
    /// A channel was answered by an invitation, from the server where its target is.
    pub(super) fn begin(
        &mut self,
        near: Handle,
        server: Key,
        invitation: Invitation,
        request: Request,
    ) {
        let mut left = VecDeque::new();
        for route in &invitation.routes {
            if !left.contains(route) {
                left.push_back(*route);
            }
        }
        let request = Request { ticket: Some(invitation.ticket), ..request };
        let last = Reason::server(Code::Refused, "the invitation names no route");
        let (dials, candidates) = (Vec::new(), Vec::new());
        let attempts = Attempts { invitation, request, server, left, dials, candidates, last };
        self.attempts.insert(near, attempts);
    }

    /// What is to be done next for a channel.
    pub(super) fn next(&mut self, near: Handle) -> Next {
        let Some(attempts) = self.attempts.get_mut(&near) else { return Next::Wait };
        match attempts.left.pop_front() {
            Some(route) => Next::Try(route),
            None if attempts.dials.is_empty() && attempts.candidates.is_empty() => {
                Next::Lost(attempts.last.clone())
            }
            None => Next::Wait,
        }
    }

    /// Where a route of a channel leads, for a process of the server `home`.
    pub(super) fn way(&self, near: Handle, route: Route, home: Key) -> Result<Way, Reason> {
        let nowhere = || Reason::server(Code::BadAddress, "the invitation names no such place");
        let attempts = self.attempts.get(&near).ok_or_else(nowhere)?;
        let invitation = &attempts.invitation;
        let keyed = |addresses: &Option<Addresses>| {
            let process = invitation.process;
            let addresses = addresses.iter().flat_map(|addresses| &addresses.0);
            let mut places = Vec::new();
            for endpoint in addresses.flat_map(|address| address.endpoints()) {
                let place = Endpoint { transform: Transform::Shs(process), ..endpoint };
                if !places.contains(&place) && places.len() < PLACES_MAX {
                    places.push(place);
                }
            }
            places
        };
        let place = match route {
            Route::Unix => DirectPlace::Socket(invitation.socket.clone().ok_or_else(nowhere)?),
            Route::Tcp => {
                // Of a port on this machine, only our own server may tell us.
                let port = invitation.loopback.filter(|_| attempts.server == home);
                let near = port.map(|port| loopback(port, invitation.process));
                DirectPlace::Net(near.into_iter().chain(keyed(&invitation.net)).collect())
            }
            Route::Punched => DirectPlace::Punch(keyed(&invitation.seen)),
            Route::Link | Route::Relay | Route::Local => {
                let request = Box::new(attempts.request.clone());
                return Ok(Way::Servers(attempts.server, request));
            }
        };
        match &place {
            DirectPlace::Net(to) | DirectPlace::Punch(to) if to.is_empty() => Err(nowhere()),
            _ => Ok(Way::Direct(place)),
        }
    }

    /// A direct connection is dialled for a channel: its number.
    pub(super) fn dial_for(&mut self, near: Handle, route: Route) -> DirectId {
        let id = self.number_dial();
        if let Some(attempts) = self.attempts.get_mut(&near) {
            attempts.dials.push((id, route));
            self.dials.insert(id, near);
        }
        id
    }

    /// A direct connection is dialled no longer: for which channel, and as which route, unless
    /// that has its route by now.
    pub(super) fn dial_over(&mut self, id: DirectId) -> Option<(Handle, Route)> {
        let near = self.dials.remove(&id)?;
        let dials = &mut self.attempts.get_mut(&near)?.dials;
        let at = dials.iter().position(|(dial, _)| *dial == id)?;
        let (_, route) = dials.remove(at);
        Some((near, route))
    }

    /// A direct connection was dialled: for which channel, as which route, and the ticket that it
    /// presents.
    pub(super) fn dial_up(
        &mut self,
        id: DirectId,
        conn: ConnId,
    ) -> Option<(Handle, Route, Ticket)> {
        let (near, route) = self.dial_over(id)?;
        let ticket = self.attempts.get(&near)?.invitation.ticket;
        self.dialled.insert(conn, route);
        Some((near, route, ticket))
    }

    /// A stream waits for the answer that may give it a channel.
    pub(super) fn add_candidate(&mut self, near: Handle, far: Handle) {
        if let Some(attempts) = self.attempts.get_mut(&near) {
            attempts.candidates.push(far);
        }
    }

    /// A stream has its answer, or is over; whether the channel still looks for its route.
    pub(super) fn remove_candidate(&mut self, near: Handle, far: Handle) -> bool {
        let Some(attempts) = self.attempts.get_mut(&near) else { return false };
        attempts.candidates.retain(|end| *end != far);
        true
    }

    /// Remembers why a route did not work, for the case that none does.
    pub(super) fn note_last(&mut self, near: Handle, reason: Reason) {
        if let Some(attempts) = self.attempts.get_mut(&near) {
            attempts.last = reason;
        }
    }

    /// The channel is decided, or nobody wants it any more: what was begun for it.
    pub(super) fn end(&mut self, near: Handle) -> Option<Attempts> {
        let attempts = self.attempts.remove(&near)?;
        for (id, _) in &attempts.dials {
            self.dials.remove(id);
        }
        Some(attempts)
    }
}

/// A process of this machine, which has to prove its key there.
fn loopback(port: u16, process: Key) -> Endpoint {
    let transport = Transport::Net { host: Host::V4(Ipv4Addr::LOCALHOST), port };
    Endpoint { transport, transform: Transform::Shs(process) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Origin;

    const NEAR: Handle = Handle(1 << 32 | 1);
    const SERVER: Key = Key([1; 32]);

    fn invited(routes: &[Route]) -> Meetings {
        let invitation = Invitation {
            ticket: Ticket([7; 32]),
            routes: routes.to_vec(),
            process: Key([2; 32]),
            socket: None,
            net: None,
            seen: None,
            loopback: Some(8008),
        };
        let name: crate::name::Name = "asked".parse().expect("a name");
        let request = Request::new(name.clone(), 0, Origin::new(name, 1));
        let mut meetings = Meetings::new(16);
        meetings.begin(NEAR, SERVER, invitation, request);
        meetings
    }

    #[test]
    fn each_route_is_tried_once_and_the_last_reason_is_given_when_none_is_left() {
        let mut meetings = invited(&[Route::Tcp, Route::Relay]);
        assert!(matches!(meetings.next(NEAR), Next::Try(Route::Tcp)));
        let dial = meetings.dial_for(NEAR, Route::Tcp);
        assert!(matches!(meetings.next(NEAR), Next::Try(Route::Relay)));
        meetings.add_candidate(NEAR, Handle(9));
        assert!(matches!(meetings.next(NEAR), Next::Wait), "two may still be accepted");
        assert_eq!(meetings.dial_over(dial), Some((NEAR, Route::Tcp)));
        assert_eq!(meetings.dial_over(dial), None);
        meetings.note_last(NEAR, Reason::server(Code::LinkLost, "gone"));
        assert!(meetings.remove_candidate(NEAR, Handle(9)));
        match meetings.next(NEAR) {
            Next::Lost(reason) => assert!(reason.is(Code::LinkLost)),
            other => panic!("no route is left, but {other:?}"),
        }
        assert!(meetings.end(NEAR).is_some());
        assert_eq!(meetings.attempts(), 0);
    }

    #[test]
    fn a_port_of_this_machine_is_believed_of_the_own_server_only() {
        let meetings = invited(&[Route::Tcp]);
        let way = meetings.way(NEAR, Route::Tcp, SERVER);
        assert!(matches!(way, Ok(Way::Direct(DirectPlace::Net(to))) if to.len() == 1));
        assert!(meetings.way(NEAR, Route::Tcp, Key([3; 32])).is_err());
        assert!(meetings.way(NEAR, Route::Unix, SERVER).is_err(), "it names no socket");
    }

    #[test]
    fn a_dialled_connection_has_the_ticket_unless_the_channel_has_its_route() {
        let mut meetings = invited(&[Route::Tcp, Route::Punched]);
        let (one, other) =
            (meetings.dial_for(NEAR, Route::Tcp), meetings.dial_for(NEAR, Route::Punched));
        let up = meetings.dial_up(one, ConnId(3));
        assert_eq!(up, Some((NEAR, Route::Tcp, Ticket([7; 32]))));
        assert_eq!(meetings.route_of(ConnId(3)), Some(Route::Tcp));
        let left = meetings.end(NEAR).map(|attempts| attempts.dials);
        assert_eq!(left, Some([(other, Route::Punched)].to_vec()));
        assert_eq!(meetings.dial_up(other, ConnId(4)), None);
        meetings.conn_gone(ConnId(3));
        assert_eq!(meetings.route_of(ConnId(3)), None);
    }
}
