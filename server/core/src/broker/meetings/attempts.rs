//! The routes of one channel that looks for its route: which of them are left, where each leads,
//! and what may still come of those that were begun.

use crate::address::{Endpoint, Host, Transform, Transport};
use crate::broker::effect::DirectPlace;
use crate::control::{Addresses, Invitation, Request};
use crate::ids::{ConnId, DirectId, Handle};
use crate::key::Key;
use crate::reason::{Code, Reason};
use crate::route::Route;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::time::Duration;

/// Places of one route that are dialled, however many alternates the addresses have.
const PLACES_MAX: usize = 8;

/// The attempts of one channel.
#[derive(Debug)]
pub(super) struct Attempts {
    pub(super) invitation: Invitation,
    /// What is asked where the servers pass the channel on.
    pub(super) request: Request,
    /// The server of the plugin to which the channel leads.
    pub(super) server: Key,
    pub(super) left: VecDeque<Route>,
    /// When the next route starts beside those that were begun.
    pub(super) next_at: Option<Duration>,
    pub(super) dials: Vec<(DirectId, Route)>,
    /// Streams that wait for the answer.
    pub(super) candidates: Vec<Candidate>,
    /// Why the last route that did not work did not.
    pub(super) last: Reason,
}

/// A stream that may get the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) far: Handle,
    /// Its connection, and the route that this is, unless the servers pass the channel on.
    pub(super) direct: Option<(ConnId, Route)>,
}

/// Where a route leads.
#[derive(Debug)]
pub(super) enum Way {
    /// To a connection of its own.
    Direct(DirectPlace),
    /// Over the servers.
    Servers,
}

impl Attempts {
    /// All routes of an invitation are left. It comes from the server where the target is, and
    /// `home` is the server of this process.
    pub(super) fn new(
        server: Key,
        home: Key,
        mut invitation: Invitation,
        request: Request,
    ) -> Attempts {
        let mut left = VecDeque::new();
        for route in &invitation.routes {
            if !left.contains(route) {
                left.push_back(*route);
            }
        }
        // Of a port on this machine, only our own server may tell us.
        invitation.loopback = invitation.loopback.filter(|_| server == home);
        let request = Request { ticket: Some(invitation.ticket), ..request };
        let last = Reason::server(Code::Refused, "the invitation names no route");
        let (dials, candidates, next_at) = (Vec::new(), Vec::new(), None);
        Attempts { invitation, request, server, left, next_at, dials, candidates, last }
    }

    /// Where a route leads.
    pub(super) fn way(&self, route: Route) -> Result<Way, Reason> {
        let nowhere = || Reason::server(Code::BadAddress, "the invitation names no such place");
        let invitation = &self.invitation;
        let place = match route {
            Route::Unix => DirectPlace::Socket(invitation.socket.clone().ok_or_else(nowhere)?),
            Route::Tcp => {
                let near = invitation.loopback.map(|port| loopback(port, invitation.process));
                let far = self.places(invitation.net.as_ref());
                DirectPlace::Net(near.into_iter().chain(far).collect())
            }
            Route::Punched => DirectPlace::Punch(self.places(invitation.seen.as_ref())),
            Route::Link | Route::Relay | Route::Local => return Ok(Way::Servers),
        };
        match &place {
            DirectPlace::Net(to) | DirectPlace::Punch(to) if to.is_empty() => Err(nowhere()),
            _ => Ok(Way::Direct(place)),
        }
    }

    /// The places that addresses name, where the target's process has to prove its key.
    fn places(&self, addresses: Option<&Addresses>) -> Vec<Endpoint> {
        let addresses = addresses.into_iter().flat_map(|addresses| &addresses.0);
        let transform = Transform::Shs(self.invitation.process);
        let mut places = Vec::new();
        for endpoint in addresses.flat_map(|address| address.endpoints()) {
            let place = Endpoint { transform, ..endpoint };
            if !places.contains(&place) && places.len() < PLACES_MAX {
                places.push(place);
            }
        }
        places
    }

    /// Whether something may still come of what was begun.
    pub(super) fn may_come(&self) -> bool {
        !self.dials.is_empty() || !self.candidates.is_empty()
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
    use crate::control::{Origin, Ticket};

    #[test]
    fn a_port_of_this_machine_is_believed_of_the_own_server_only() {
        let (server, other) = (Key([1; 32]), Key([3; 32]));
        let invitation = Invitation {
            ticket: Ticket([7; 32]),
            routes: [Route::Tcp].to_vec(),
            process: Key([2; 32]),
            socket: None,
            net: None,
            seen: None,
            loopback: Some(8008),
        };
        let name: crate::name::Name = "asked".parse().expect("a name");
        let request = Request::new(name.clone(), 0, Origin::new(name, 1));
        let own = Attempts::new(server, server, invitation.clone(), request.clone());
        let way = own.way(Route::Tcp);
        assert!(matches!(way, Ok(Way::Direct(DirectPlace::Net(to))) if to.len() == 1));
        assert!(own.way(Route::Unix).is_err(), "it names no socket");
        let foreign = Attempts::new(server, other, invitation, request);
        assert!(foreign.way(Route::Tcp).is_err());
    }
}
