//! The caller's side of direct connections: the routes of an invitation are tried one after the
//! other, a little apart, and the first that is accepted gets the channel.

use crate::address::{Endpoint, Host, Transform, Transport};
use crate::broker::registry::plugins::Runs;
use crate::broker::{Broker, ConnId, DirectDial, DirectPlace, Effect, TimerKey};
use crate::control::{Addresses, Answer, Invitation, Preface, Presented, Request};
use crate::ends::{End, Flag, Owner, Phase};
use crate::ids::{DirectId, EndId};
use crate::key::Key;
use crate::limits::WINDOW;
use crate::reason::{Code, Reason};
use crate::route::Route;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::time::Duration;

/// How long a route has before the next one starts beside it, as in Happy Eyeballs (RFC 8305).
const APART: Duration = Duration::from_millis(250);

/// The attempts of one channel.
#[derive(Debug)]
pub(crate) struct Attempts {
    invitation: Invitation,
    /// What is asked where the servers pass the channel on.
    request: Request,
    server: Key,
    left: VecDeque<Route>,
    dials: Vec<(DirectId, Route)>,
    /// Streams that wait for the answer.
    candidates: Vec<EndId>,
    last: Reason,
}

impl Broker {
    /// A plugin's channel was answered by an invitation, from the server where its target is.
    pub(crate) fn begin_attempts(
        &mut self,
        near: EndId,
        server: Key,
        invitation: Invitation,
        request: Request,
    ) {
        // One that names more routes than there are names some twice.
        let left = invitation.routes.iter().copied().take(Route::ALL.len()).collect();
        let request = Request { ticket: Some(invitation.ticket), ..request };
        let last = Reason::server(Code::Refused, "the invitation names no route");
        let (dials, candidates) = (Vec::new(), Vec::new());
        let attempts = Attempts { invitation, request, server, left, dials, candidates, last };
        self.meetings.attempts.insert(near, attempts);
        self.next_attempt(near);
    }

    /// Starts the next route, if one is left; if nothing is left to wait for either, the channel is
    /// refused.
    pub(crate) fn next_attempt(&mut self, near: EndId) {
        self.timers.cancel(TimerKey::Attempt(near));
        while let Some(attempts) = self.meetings.attempts.get_mut(&near) {
            let Some(route) = attempts.left.pop_front() else {
                if attempts.dials.is_empty() && attempts.candidates.is_empty() {
                    let last = attempts.last.clone();
                    self.drop_attempts(near);
                    self.abort_end(Some(near), last);
                }
                return;
            };
            match self.attempt(near, route) {
                Ok(()) => {
                    self.timers.set(TimerKey::Attempt(near), self.now + APART);
                    return;
                }
                Err(reason) => self.note_attempt(near, route, reason),
            }
        }
    }

    fn attempt(&mut self, near: EndId, route: Route) -> Result<(), Reason> {
        let Some(attempts) = self.meetings.attempts.get(&near) else { return Ok(()) };
        let invitation = &attempts.invitation;
        let keyed = |addresses: &Option<Addresses>| {
            let process = invitation.process;
            let addresses = addresses.iter().flat_map(|addresses| &addresses.0);
            let endpoints = addresses.flat_map(|address| address.endpoints());
            let with_key = |endpoint| Endpoint { transform: Transform::Shs(process), ..endpoint };
            endpoints.map(with_key).collect::<Vec<Endpoint>>()
        };
        let nowhere = || Reason::server(Code::BadAddress, "the invitation names no such place");
        let place = match route {
            Route::Unix => DirectPlace::Socket(invitation.socket.clone().ok_or_else(nowhere)?),
            Route::Tcp => {
                // Of a port on this machine, only our own server may tell us.
                let port =
                    invitation.loopback.filter(|_| attempts.server == self.neighbours.home_key());
                let near = port.map(|port| loopback(port, invitation.process));
                DirectPlace::Net(near.into_iter().chain(keyed(&invitation.net)).collect())
            }
            Route::Punched => DirectPlace::Punch(keyed(&invitation.seen)),
            Route::Link | Route::Relay | Route::Local => return self.attempt_relay(near),
        };
        if matches!(&place, DirectPlace::Net(to) | DirectPlace::Punch(to) if to.is_empty()) {
            return Err(nowhere());
        }
        let id = DirectId(self.meetings.next_direct);
        self.meetings.next_direct += 1;
        if let Some(attempts) = self.meetings.attempts.get_mut(&near) {
            attempts.dials.push((id, route));
            self.meetings.dials.insert(id, near);
        }
        self.effects.push_back(Effect::DialDirect(DirectDial { id, place }));
        Ok(())
    }

    /// The servers pass the channel on. It presents the same ticket, so that the plugin is asked
    /// once, whichever way is faster.
    fn attempt_relay(&mut self, near: EndId) -> Result<(), Reason> {
        let Some(attempts) = self.meetings.attempts.get(&near) else { return Ok(()) };
        let (request, server) = (attempts.request.clone(), attempts.server);
        let host =
            self.registry.running(&request.to).and_then(|plugin| self.registry.plugin(plugin));
        let link = match host.map(|record| record.runs) {
            Some(Runs::At(host)) if server == self.neighbours.home_key() => Some(host),
            _ => self.uplink().or_else(|| self.neighbours.link_to(server)),
        };
        let gone = || Reason::server(Code::LinkLost, "the link to its server is gone");
        self.open_candidate(link.ok_or_else(gone)?, near, &Preface::channel(request))
    }

    fn open_candidate(
        &mut self,
        conn: ConnId,
        near: EndId,
        preface: &Preface,
    ) -> Result<(), Reason> {
        let far = self.new_stream(conn)?;
        if let Some(end) = self.ends.get_mut(far) {
            end.change(|rare| rare.candidate_of = Some(near));
        }
        self.grant(far, self.settings.limits.window);
        self.give_frame(far, &preface.frame());
        if let Some(attempts) = self.meetings.attempts.get_mut(&near) {
            attempts.candidates.push(far);
        }
        Ok(())
    }

    /// A direct connection was dialled: its first bytes present the ticket, and go out together
    /// with what proves our key.
    pub(crate) fn direct_dialled(&mut self, conn: ConnId, id: DirectId) {
        let Some((near, route)) = self.dialling(id) else {
            self.cut_off(conn, Reason::server(Code::ChannelOver, "another route was faster"));
            return;
        };
        let Some(attempts) = self.meetings.attempts.get_mut(&near) else { return };
        attempts.dials.retain(|(dial, _)| *dial != id);
        self.meetings.dials.remove(&id);
        let ticket = attempts.invitation.ticket;
        self.meetings.dialled.insert(conn, route);
        let preface = Preface::Direct(Presented { ticket, route });
        if let Err(reason) = self.open_candidate(conn, near, &preface) {
            self.note_attempt(near, route, reason);
            self.next_attempt(near);
        }
    }

    pub(crate) fn do_direct_failed(&mut self, id: DirectId, why: &str) {
        let Some((near, route)) = self.dialling(id) else { return };
        if let Some(attempts) = self.meetings.attempts.get_mut(&near) {
            attempts.dials.retain(|(dial, _)| *dial != id);
        }
        self.meetings.dials.remove(&id);
        self.note_attempt(near, route, Reason::server(Code::TransportLost, why));
        self.next_attempt(near);
    }

    fn dialling(&self, id: DirectId) -> Option<(EndId, Route)> {
        let near = *self.meetings.dials.get(&id)?;
        let mut dials = self.meetings.attempts.get(&near)?.dials.iter();
        dials.find(|(dial, _)| *dial == id).map(|(_, route)| (near, *route))
    }

    /// A stream that may get the channel was answered.
    pub(crate) fn candidate_answers(
        &mut self,
        far: EndId,
        near: EndId,
        answer: Answer,
        rest: &[u8],
    ) {
        match answer {
            Answer::Accept(told) => self.candidate_wins(far, near, told, rest),
            Answer::Refuse(reason) if !reason.is(Code::BadTicket) => {
                // The plugin itself, or its server, says no: another route changes nothing.
                self.drop_attempts(near);
                self.abort_end(Some(near), reason);
            }
            Answer::Refuse(reason) => self.candidate_lost(far, near, reason),
            Answer::Direct(_) => {
                let text = "the servers did not pass on a channel that had an invitation";
                self.candidate_lost(far, near, Reason::server(Code::Refused, text));
            }
        }
    }

    fn candidate_wins(&mut self, far: EndId, near: EndId, told: Option<Route>, rest: &[u8]) {
        let route = self.route_of(far, told);
        if let Some(attempts) = self.meetings.attempts.get_mut(&near) {
            attempts.candidates.retain(|end| *end != far);
        }
        self.drop_attempts(near);
        if let Some(end) = self.ends.get_mut(far) {
            end.change(|rare| rare.candidate_of = None);
            end.allowance = end.allowance.saturating_sub(rest.len() as u64);
            end.given += rest.len() as u64;
        }
        self.join_ends(near, far);
        if self.ends.get(far).is_some_and(|end| end.flags.has(Flag::Stopped)) {
            self.drop_early(near);
            self.give_stop(Some(near));
        }
        let Some(end) = self.ends.get_mut(near) else { return };
        let early = end.take_early().take();
        let (closed, stopped) = (end.flags.has(Flag::WriteOver), end.flags.has(Flag::ReadOver));
        let info = self.set_route(near, route);
        let coming = self.ends.get(far).map_or(0, |far| far.allowance) + rest.len() as u64;
        // The answer took credit that is no byte of the channel.
        let owed = self.window(near).saturating_sub(coming);
        if let Some(end) = self.ends.get_mut(near) {
            end.owed = 0;
            end.owe(owed);
        }
        self.give_to_stream(far, &early);
        self.opened(Some(near));
        self.keep_for_plugin(near, rest);
        if closed {
            self.close_stream(far);
        }
        if stopped {
            self.stop_stream(far);
        }
        self.splice_opened(Some(near));
        if let Some(info) = info {
            self.tell_direct(&info, false);
        }
    }

    /// The route that a stream stands for: that of its direct connection, or what its answer says.
    fn route_of(&self, far: EndId, told: Option<Route>) -> Route {
        let conn = self.ends.get(far).and_then(End::conn);
        let direct = conn.and_then(|conn| self.meetings.route_of(conn));
        direct.or(told).unwrap_or(Route::Link)
    }

    /// A stream that might have got the channel is over.
    pub(crate) fn candidate_lost(&mut self, far: EndId, near: EndId, reason: Reason) {
        let conn = self.ends.get(far).and_then(End::conn);
        let route = self.route_of(far, None);
        let Some(attempts) = self.meetings.attempts.get_mut(&near) else { return };
        attempts.candidates.retain(|end| *end != far);
        if let Some(end) = self.ends.get_mut(far) {
            end.change(|rare| rare.candidate_of = None);
        }
        self.note_attempt(near, route, reason);
        self.give_up_candidate(far, conn);
        self.next_attempt(near);
    }

    /// The channel is decided, or nobody wants it any more.
    pub(crate) fn drop_attempts(&mut self, near: EndId) {
        let Some(attempts) = self.meetings.attempts.remove(&near) else { return };
        self.timers.cancel(TimerKey::Attempt(near));
        for (id, _) in attempts.dials {
            self.meetings.dials.remove(&id);
            self.effects.push_back(Effect::DropDial(id));
        }
        for far in attempts.candidates {
            let conn = self.ends.get(far).and_then(End::conn);
            if let Some(end) = self.ends.get_mut(far) {
                end.change(|rare| rare.candidate_of = None);
            }
            self.give_up_candidate(far, conn);
        }
    }

    /// A direct connection that lost is hung up; a stream of a link is ended.
    fn give_up_candidate(&mut self, far: EndId, conn: Option<ConnId>) {
        let reason = Reason::server(Code::ChannelOver, "another route was faster");
        let Some(conn) = conn else { return };
        match self.meetings.route_of(conn) {
            Some(_) => self.goodbye(conn, reason),
            None => self.abort_end(Some(far), reason),
        }
    }

    /// Remembers why a route did not work.
    fn note_attempt(&mut self, near: EndId, route: Route, reason: Reason) {
        let info = self.ends.get(near).and_then(|end| end.info.clone());
        if let Some(info) = info {
            self.note_failure(&info, route, reason.clone());
        }
        if let Some(attempts) = self.meetings.attempts.get_mut(&near) {
            attempts.last = reason;
        }
    }

    /// What a plugin writes while its channel's routes are tried waits with its end.
    pub(crate) fn keep_early(&mut self, near: EndId, bytes: &[u8]) -> usize {
        let room = self.early_room(near);
        let Some(end) = self.ends.get_mut(near) else { return bytes.len() };
        let taken = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
        end.change(|rare| rare.early.push(&bytes[..taken]));
        taken
    }

    fn drop_early(&mut self, near: EndId) {
        if let Some(end) = self.ends.get_mut(near) {
            end.take_early();
        }
    }

    /// How many bytes a plugin may write while its channel's routes are tried.
    pub(crate) fn early_room(&self, near: EndId) -> u64 {
        let kept = self.ends.get(near).map_or(0, |end| end.rare().early.len() as u64);
        WINDOW.saturating_sub(kept)
    }

    /// Whether a plugin's end waits for one of several routes.
    pub(crate) fn is_attempting(&self, near: EndId) -> bool {
        self.meetings.attempts.contains_key(&near)
    }

    /// The stream of a plugin's channel was answered by an invitation.
    pub(crate) fn invited(&mut self, far: EndId, near: EndId, invitation: Invitation) {
        self.leave_stream(far);
        let Some(end) = self.ends.get(near) else { return };
        let purpose = end.purpose();
        let (Owner::Plugin(plugin), Phase::Asking, Some(info)) =
            (end.owner(), end.phase, &end.info)
        else {
            let text = "an invitation answered a channel that waits for none";
            self.abort_end(Some(near), Reason::server(Code::Refused, text));
            return;
        };
        let (to, server) = info.to.clone();
        if let Some(request) = self.request_of(plugin, to, server, purpose) {
            self.begin_attempts(near, server, invitation, request);
        }
    }
}

/// A process of this machine, which has to prove its key there.
fn loopback(port: u16, process: Key) -> Endpoint {
    let transport = Transport::Net { host: Host::V4(Ipv4Addr::LOCALHOST), port };
    Endpoint { transport, transform: Transform::Shs(process) }
}
