//! Streams and connections that may get a channel whose routes are tried: the meetings decide, and
//! the switch has the streams.

use super::opening::request;
use super::places::{caller, link_to_plugin};
use crate::broker::meetings::{Event, Meetings};
use crate::broker::switch::Switch;
use crate::broker::{Broker, ConnId, TimerKey, effect::Effects};
use crate::control::{Invitation, Preface};
use crate::ids::{DirectId, EndId, Handle};
use crate::reason::{Code, Reason};
use crate::route::Route;

impl Broker {
    /// Does what the meetings want done.
    pub(crate) fn meetings_event(&mut self, event: Event) {
        match event {
            Event::Do(effect) => self.effects.push_back(effect),
            Event::Deadline(Some(at)) => self.timers.set(TimerKey::Meetings, at),
            Event::Deadline(None) => drop(self.timers.cancel(TimerKey::Meetings)),
            Event::AskServers(near, route) => self.ask_servers(near, route),
            Event::Failed(near, route, reason) => {
                if let Some(info) = self.switch.info(near) {
                    self.note_failure(&info, route, reason);
                }
            }
            Event::Refused(near, reason) => {
                self.switch.refuse_seeking(near, reason, &mut self.effects);
            }
            Event::PassOver { far, direct } => self.pass_over(far, direct),
            Event::Send(host, message) => self.send(host, &message),
            Event::LetIn(conn, process) => self.let_in(conn, process),
            Event::Present(presenting) => self.present(presenting, &[]),
            Event::Reached(limit) => self.counters.count(limit),
        }
    }

    /// A stream of a plugin's channel was answered by an invitation.
    pub(crate) fn invited(&mut self, near: EndId, invitation: Invitation) {
        let Some((plugin, (to, server), purpose)) = self.switch.awaits_invitation(near) else {
            let text = "an invitation answered a channel that waits for none";
            let reason = Reason::server(Code::Refused, text);
            self.switch.abort_end(Some(near), reason, &mut self.effects);
            return;
        };
        if let Some(caller) = caller(&self.registry, &self.neighbours, plugin) {
            let request = request(&self.neighbours, caller, to, server, purpose);
            let (near, home) = (self.switch.handle(near), self.neighbours.home_key());
            self.switch.seek(near);
            self.meetings.begin(near, (server, home), invitation, request);
        }
    }

    /// The servers are asked to pass a channel on.
    fn ask_servers(&mut self, near: Handle, route: Route) {
        let Some((server, request)) = self.meetings.asks_servers(near) else { return };
        match link_to_plugin(&self.registry, &self.neighbours, server, &request.to) {
            Ok(link) => {
                let candidate = Candidate { near, conn: link, route, direct: None };
                let preface = Preface::channel(request);
                candidate.open(&mut self.meetings, &mut self.switch, &preface, &mut self.effects);
            }
            Err(reason) => self.meetings.route_failed(near, route, reason),
        }
    }

    /// A direct connection was dialled: its first bytes present the ticket, and go out together
    /// with what proves our key.
    pub(crate) fn direct_dialled(&mut self, conn: ConnId, id: DirectId) {
        let Some((near, presented)) = self.meetings.dial_up(id) else {
            self.cut_off(conn, Reason::server(Code::ChannelOver, "another route was faster"));
            return;
        };
        let route = presented.route;
        let candidate = Candidate { near, conn, route, direct: Some((conn, route)) };
        let preface = Preface::Direct(presented);
        candidate.open(&mut self.meetings, &mut self.switch, &preface, &mut self.effects);
    }

    /// A stream gets a channel.
    pub(crate) fn candidate_wins(&mut self, far: EndId, near: Handle, route: Route, rest: &[u8]) {
        let Some(near) = self.switch.live(near) else { return };
        if let Some(info) = self.switch.candidate_wins(far, near, route, rest, &mut self.effects) {
            self.tell_direct(&info, false);
        }
    }

    /// A direct connection whose stream does not get the channel is closed; a stream of a link is
    /// ended.
    fn pass_over(&mut self, far: Handle, direct: Option<ConnId>) {
        self.switch.pass_over(far);
        let reason = Reason::server(Code::ChannelOver, "another route was faster");
        match direct {
            Some(conn) => self.goodbye(conn, reason),
            None => self.switch.abort_end(self.switch.live(far), reason, &mut self.effects),
        }
    }
}

/// A stream that may get the channel of `near`, and is about to be opened.
struct Candidate {
    near: Handle,
    conn: ConnId,
    route: Route,
    /// The connection and its route, if it has none but this channel.
    direct: Option<(ConnId, Route)>,
}

impl Candidate {
    /// Opens the stream, or starts the next route.
    fn open(
        self,
        meetings: &mut Meetings,
        switch: &mut Switch,
        preface: &Preface,
        effects: &mut Effects,
    ) {
        let Candidate { near, conn, route, direct } = self;
        match switch.open_candidate(conn, near, preface, effects) {
            Ok(far) => meetings.add_candidate(near, far, direct),
            Err(reason) => meetings.route_failed(near, route, reason),
        }
    }
}
