//! The caller's side of direct connections: the routes of an invitation are tried one after the
//! other, a little apart, and the first that is accepted gets the channel.

use super::attempts::{Attempts, Candidate, Way};
use super::{Event, Meetings};
use crate::broker::{DirectDial, Effect};
use crate::control::{Answer, Invitation, Presented, Request};
use crate::ids::{ConnId, DirectId, Handle};
use crate::key::Key;
use crate::reason::{Code, Reason};
use crate::route::Route;
use core::time::Duration;

/// How long a route has before the next one starts beside it, as in Happy Eyeballs (RFC 8305).
const APART: Duration = Duration::from_millis(250);

impl Meetings {
    /// A plugin's channel was answered by an invitation, from the server where its target is;
    /// `home` is the server of this process. The first route starts.
    pub(crate) fn begin(
        &mut self,
        near: Handle,
        (server, home): (Key, Key),
        invitation: Invitation,
        request: Request,
    ) {
        self.attempts.insert(near, Attempts::new(server, home, invitation, request));
        self.next_route(near);
        self.note_deadline();
    }

    /// Starts the next route, if one is left; if nothing is left to wait for either, the channel is
    /// refused.
    pub(super) fn next_route(&mut self, near: Handle) {
        self.wait_no_more(near);
        while let Some(attempts) = self.attempts.get_mut(&near) {
            let Some(route) = attempts.left.pop_front() else {
                if !attempts.may_come() {
                    let reason = attempts.last.clone();
                    self.end(near);
                    self.happens(Event::Refused(near, reason));
                }
                return;
            };
            match attempts.way(route) {
                Ok(way) => {
                    let at = self.now.saturating_add(APART);
                    attempts.next_at = Some(at);
                    self.due.insert((at, near));
                    self.start(near, route, way);
                    return;
                }
                Err(reason) => self.note_failure(near, route, reason),
            }
        }
    }

    fn start(&mut self, near: Handle, route: Route, way: Way) {
        let event = match way {
            Way::Servers => Event::AskServers(near, route),
            Way::Direct(place) => {
                let id = self.number_dial();
                if let Some(attempts) = self.attempts.get_mut(&near) {
                    attempts.dials.push((id, route));
                    self.dials.insert(id, near);
                }
                Event::Do(Effect::DialDirect(DirectDial { id, place }))
            }
        };
        self.happens(event);
    }

    /// The next route of a channel starts at no time.
    fn wait_no_more(&mut self, near: Handle) {
        let attempts = self.attempts.get_mut(&near);
        if let Some(at) = attempts.and_then(|attempts| attempts.next_at.take()) {
            self.due.remove(&(at, near));
        }
    }

    /// Remembers why a route did not work, for the case that none does.
    fn note_failure(&mut self, near: Handle, route: Route, reason: Reason) {
        if let Some(attempts) = self.attempts.get_mut(&near) {
            attempts.last = reason.clone();
            self.happens(Event::Failed(near, route, reason));
        }
    }

    /// A route of a channel did not work: the next one starts at once.
    pub(crate) fn route_failed(&mut self, near: Handle, route: Route, reason: Reason) {
        self.note_failure(near, route, reason);
        self.next_route(near);
        self.note_deadline();
    }

    /// What the servers are asked to pass on for a channel, and to the plugin of which server. It
    /// presents the same ticket, so that the plugin is asked once, whichever way is faster.
    pub(crate) fn asks_servers(&self, near: Handle) -> Option<(Key, Request)> {
        let attempts = self.attempts.get(&near)?;
        Some((attempts.server, attempts.request.clone()))
    }

    /// A direct connection is dialled no longer: for which channel, and as which route, unless
    /// that has its route by now.
    fn dial_over(&mut self, id: DirectId) -> Option<(Handle, Route)> {
        let near = self.dials.remove(&id)?;
        let dials = &mut self.attempts.get_mut(&near)?.dials;
        let at = dials.iter().position(|(dial, _)| *dial == id)?;
        let (_, route) = dials.remove(at);
        Some((near, route))
    }

    /// A direct connection was dialled: for which channel, and what it presents, unless another
    /// route was faster.
    pub(crate) fn dial_up(&mut self, id: DirectId) -> Option<(Handle, Presented)> {
        let (near, route) = self.dial_over(id)?;
        let ticket = self.attempts.get(&near)?.invitation.ticket;
        Some((near, Presented { ticket, route }))
    }

    /// A direct connection could not be dialled.
    pub(crate) fn dial_failed(&mut self, id: DirectId, why: &str) {
        if let Some((near, route)) = self.dial_over(id) {
            self.route_failed(near, route, Reason::server(Code::TransportLost, why));
        }
    }

    /// A stream waits for the answer that may give it a channel; `direct` is its connection and
    /// route, unless the servers pass the channel on.
    pub(crate) fn add_candidate(
        &mut self,
        near: Handle,
        far: Handle,
        direct: Option<(ConnId, Route)>,
    ) {
        if let Some(attempts) = self.attempts.get_mut(&near) {
            attempts.candidates.push(Candidate { far, direct });
        }
    }

    /// A stream has its answer, or is over.
    fn remove_candidate(&mut self, near: Handle, far: Handle) -> Option<Candidate> {
        let candidates = &mut self.attempts.get_mut(&near)?.candidates;
        let at = candidates.iter().position(|candidate| candidate.far == far)?;
        Some(candidates.remove(at))
    }

    /// A stream that may get a channel was answered. If it gets the channel, by which route.
    pub(crate) fn answered(&mut self, near: Handle, far: Handle, answer: Answer) -> Option<Route> {
        let reason = match answer {
            Answer::Accept(told) => return self.accepted(near, far, told),
            Answer::Refuse(reason) if self.leaves_other_routes(near, far, &reason) => reason,
            Answer::Refuse(reason) => {
                // The plugin itself, or its server, says no: another route changes nothing.
                self.end(near);
                self.happens(Event::Refused(near, reason));
                self.note_deadline();
                return None;
            }
            Answer::Direct(_) => {
                let text = "the servers did not pass on a channel that had an invitation";
                Reason::server(Code::Refused, text)
            }
        };
        self.candidate_lost(near, far, reason);
        None
    }

    /// Whether a refusal concerns the route alone: the ticket is not known there, or the servers
    /// have no room to pass the channel on, which a direct connection does not need.
    fn leaves_other_routes(&self, near: Handle, far: Handle, reason: &Reason) -> bool {
        let candidates = self.attempts.get(&near).map(|attempts| &attempts.candidates);
        let mut candidates = candidates.into_iter().flatten();
        let is_relayed = |candidate: &Candidate| candidate.far == far && candidate.direct.is_none();
        reason.is(Code::BadTicket) || (reason.is(Code::LimitReached) && candidates.any(is_relayed))
    }

    /// A stream gets the channel: its route is that of its direct connection, or what its answer
    /// says.
    fn accepted(&mut self, near: Handle, far: Handle, told: Option<Route>) -> Option<Route> {
        let candidate = self.remove_candidate(near, far)?;
        self.give_up(near);
        let direct = candidate.direct.map(|(_, route)| route);
        Some(direct.or(told).unwrap_or(Route::Link))
    }

    /// A stream that might have got the channel is over, or was refused its ticket.
    pub(crate) fn candidate_lost(&mut self, near: Handle, far: Handle, reason: Reason) {
        if let Some(candidate) = self.remove_candidate(near, far) {
            let route = candidate.direct.map_or(Route::Link, |(_, route)| route);
            self.note_failure(near, route, reason);
            self.pass_over(candidate);
            self.next_route(near);
            self.note_deadline();
        }
    }

    fn pass_over(&mut self, Candidate { far, direct }: Candidate) {
        self.happens(Event::PassOver { far, direct: direct.map(|(conn, _)| conn) });
    }

    /// The channel is decided, or not wanted any more.
    pub(crate) fn give_up(&mut self, near: Handle) {
        self.end(near);
        self.note_deadline();
    }

    fn end(&mut self, near: Handle) {
        self.wait_no_more(near);
        let Some(attempts) = self.attempts.remove(&near) else { return };
        for (id, _) in attempts.dials {
            self.dials.remove(&id);
            self.happens(Event::Do(Effect::DropDial(id)));
        }
        for candidate in attempts.candidates {
            self.pass_over(candidate);
        }
    }
}
