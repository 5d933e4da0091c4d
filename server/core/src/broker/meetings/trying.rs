//! The caller's side of direct connections: the routes of an invitation are tried one after the
//! other, a little apart, and the first that is accepted gets the channel.

use super::attempts::{Next, Way};
use crate::broker::registry::plugins::Runs;
use crate::broker::{Broker, ConnId, DirectDial, Effect, TimerKey};
use crate::control::{Answer, Invitation, Preface, Presented, Request};
use crate::ends::{End, Owner, Phase};
use crate::ids::{DirectId, EndId, Handle};
use crate::key::Key;
use crate::reason::{Code, Reason};
use crate::route::Route;
use core::time::Duration;

/// How long a route has before the next one starts beside it, as in Happy Eyeballs (RFC 8305).
const APART: Duration = Duration::from_millis(250);

impl Broker {
    /// A plugin's channel was answered by an invitation, from the server where its target is.
    pub(crate) fn begin_attempts(
        &mut self,
        near: Handle,
        server: Key,
        invitation: Invitation,
        request: Request,
    ) {
        self.meetings.begin(near, server, invitation, request);
        self.switch.seek(near);
        self.next_attempt(near);
    }

    /// Starts the next route, if one is left; if nothing is left to wait for either, the channel is
    /// refused.
    pub(crate) fn next_attempt(&mut self, near: Handle) {
        self.timers.cancel(TimerKey::Attempt(near));
        loop {
            match self.meetings.next(near) {
                Next::Wait => return,
                Next::Lost(reason) => {
                    self.drop_attempts(near);
                    self.abort_channel(near, reason);
                    return;
                }
                Next::Try(route) => match self.attempt(near, route) {
                    Ok(()) => {
                        self.timers.set(TimerKey::Attempt(near), self.now + APART);
                        return;
                    }
                    Err(reason) => self.note_attempt(near, route, reason),
                },
            }
        }
    }

    fn attempt(&mut self, near: Handle, route: Route) -> Result<(), Reason> {
        match self.meetings.way(near, route, self.neighbours.home_key())? {
            Way::Servers(server, request) => self.attempt_relay(near, server, *request),
            Way::Direct(place) => {
                let id = self.meetings.dial_for(near, route);
                self.effects.push_back(Effect::DialDirect(DirectDial { id, place }));
                Ok(())
            }
        }
    }

    /// The servers pass the channel on. It presents the same ticket, so that the plugin is asked
    /// once, whichever way is faster.
    fn attempt_relay(&mut self, near: Handle, server: Key, request: Request) -> Result<(), Reason> {
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
        near: Handle,
        preface: &Preface,
    ) -> Result<(), Reason> {
        let far = self.switch.open_candidate(conn, near, preface, &mut self.effects)?;
        self.meetings.add_candidate(near, far);
        Ok(())
    }

    /// A direct connection was dialled: its first bytes present the ticket, and go out together
    /// with what proves our key.
    pub(crate) fn direct_dialled(&mut self, conn: ConnId, id: DirectId) {
        let Some((near, route, ticket)) = self.meetings.dial_up(id, conn) else {
            self.cut_off(conn, Reason::server(Code::ChannelOver, "another route was faster"));
            return;
        };
        let preface = Preface::Direct(Presented { ticket, route });
        if let Err(reason) = self.open_candidate(conn, near, &preface) {
            self.note_attempt(near, route, reason);
            self.next_attempt(near);
        }
    }

    pub(crate) fn do_direct_failed(&mut self, id: DirectId, why: &str) {
        if let Some((near, route)) = self.meetings.dial_over(id) {
            self.note_attempt(near, route, Reason::server(Code::TransportLost, why));
            self.next_attempt(near);
        }
    }

    /// A stream that may get the channel was answered.
    pub(crate) fn candidate_answers(
        &mut self,
        far: EndId,
        near: Handle,
        answer: Answer,
        rest: &[u8],
    ) {
        match answer {
            Answer::Accept(told) => self.candidate_wins(far, near, told, rest),
            Answer::Refuse(reason) if !reason.is(Code::BadTicket) => {
                // The plugin itself, or its server, says no: another route changes nothing.
                self.drop_attempts(near);
                self.abort_channel(near, reason);
            }
            Answer::Refuse(reason) => self.candidate_refused(far, near, reason),
            Answer::Direct(_) => {
                let text = "the servers did not pass on a channel that had an invitation";
                self.candidate_refused(far, near, Reason::server(Code::Refused, text));
            }
        }
    }

    fn candidate_wins(&mut self, far: EndId, near: Handle, told: Option<Route>, rest: &[u8]) {
        let conn = self.switch.end(far).and_then(End::conn);
        let route = self.route_of(conn, told);
        let winner = self.switch.handle(far);
        self.meetings.remove_candidate(near, winner);
        self.drop_attempts(near);
        let Some(near) = self.switch.live(near) else { return };
        if let Some(info) = self.switch.candidate_wins(far, near, route, rest, &mut self.effects) {
            self.tell_direct(&info, false);
        }
    }

    /// The route that a stream stands for: that of its direct connection, or what its answer says.
    fn route_of(&self, conn: Option<ConnId>, told: Option<Route>) -> Route {
        let direct = conn.and_then(|conn| self.meetings.route_of(conn));
        direct.or(told).unwrap_or(Route::Link)
    }

    fn candidate_refused(&mut self, far: EndId, near: Handle, reason: Reason) {
        let far = self.switch.handle(far);
        let conn = self.switch.pass_over(far);
        self.candidate_lost(far, near, conn, reason);
    }

    /// A stream that might have got the channel is over.
    pub(crate) fn candidate_lost(
        &mut self,
        far: Handle,
        near: Handle,
        conn: Option<ConnId>,
        reason: Reason,
    ) {
        let route = self.route_of(conn, None);
        if !self.meetings.remove_candidate(near, far) {
            return;
        }
        self.note_attempt(near, route, reason);
        self.give_up_candidate(far, conn);
        self.next_attempt(near);
    }

    /// The channel is decided, or nobody wants it any more.
    pub(crate) fn drop_attempts(&mut self, near: Handle) {
        let Some(attempts) = self.meetings.end(near) else { return };
        self.timers.cancel(TimerKey::Attempt(near));
        self.switch.seek_no_more(near);
        for (id, _) in attempts.dials {
            self.effects.push_back(Effect::DropDial(id));
        }
        for far in attempts.candidates {
            let conn = self.switch.pass_over(far);
            self.give_up_candidate(far, conn);
        }
    }

    /// A direct connection that lost is hung up; a stream of a link is ended.
    fn give_up_candidate(&mut self, far: Handle, conn: Option<ConnId>) {
        let reason = Reason::server(Code::ChannelOver, "another route was faster");
        let Some(conn) = conn else { return };
        match self.meetings.route_of(conn) {
            Some(_) => self.goodbye(conn, reason),
            None => self.abort_channel(far, reason),
        }
    }

    /// Ends an end in both directions, if it is there.
    fn abort_channel(&mut self, end: Handle, reason: Reason) {
        let end = self.switch.live(end);
        self.switch.abort_end(end, reason, &mut self.effects);
    }

    /// Remembers why a route did not work.
    fn note_attempt(&mut self, near: Handle, route: Route, reason: Reason) {
        let info = self.switch.live(near).and_then(|near| self.switch.end(near)?.info.clone());
        if let Some(info) = info {
            self.note_failure(&info, route, reason.clone());
        }
        self.meetings.note_last(near, reason);
    }

    /// The stream of a plugin's channel was answered by an invitation.
    pub(crate) fn invited(&mut self, near: EndId, invitation: Invitation) {
        let Some(end) = self.switch.end(near) else { return };
        let purpose = end.purpose();
        let (Owner::Plugin(plugin), Phase::Asking, Some(info)) =
            (end.owner(), end.phase, &end.info)
        else {
            let text = "an invitation answered a channel that waits for none";
            let reason = Reason::server(Code::Refused, text);
            self.switch.abort_end(Some(near), reason, &mut self.effects);
            return;
        };
        let (to, server) = info.to.clone();
        if let Some(request) = self.request_of(plugin, to, server, purpose) {
            self.begin_attempts(self.switch.handle(near), server, invitation, request);
        }
    }
}
