//! How connections end: a goodbye, a time-out, a fault, the last stream of one that drains; and
//! what is forgotten with them.

use crate::broker::neighbours::connections::ConnPhase;
use crate::broker::{Broker, ConnId, Effect, LinkChange, Opened, TimerKey};
use crate::control::{Goodbye, Message, Role};
use crate::limits::Limit;
use crate::link::Fault;
use crate::log_limiter::LogKind;
use crate::reason::{Code, Reason};
use alloc::format;

impl Broker {
    pub(crate) fn end_if_drained(&mut self, id: ConnId) {
        let Some(conn) = self.neighbours.conn(id) else { return };
        let Some(line) = self.switch.line(id) else { return };
        let link = line.link();
        if conn.phase == ConnPhase::Draining && link.streams() == 0 {
            let text = "another link serves the same two servers";
            self.goodbye(id, Reason::server(Code::DuplicateLink, text));
        } else if link.streams() == 0 && conn.is_direct() {
            self.goodbye(id, Reason::server(Code::ChannelOver, "the channel is over"));
        } else if link.streams_in_use() == 0 {
            self.rest_if_useless(id);
        }
    }

    /// A link lost against another one to the same server: it ends with its last stream.
    pub(crate) fn drain(&mut self, id: ConnId) {
        if let Some(conn) = self.neighbours.conn_mut(id) {
            conn.phase = ConnPhase::Draining;
        }
        self.end_if_drained(id);
    }

    pub(crate) fn link_timer(&mut self, id: ConnId) {
        let presented = self.meetings.has_presented(id);
        let Some(conn) = self.neighbours.conn(id) else { return };
        if conn.phase.is_young() {
            let (code, text) = match (presented, conn.is_direct()) {
                (true, _) => (Code::BadTicket, "this ticket was never given, or has expired"),
                (false, true) => (Code::HandshakeTimeout, "no ticket came in time"),
                (false, false) => (Code::HandshakeTimeout, "no hello came in time"),
            };
            self.counters.count(Limit::Handshake);
            self.goodbye(id, Reason::server(code, text));
            return;
        }
        while let Some((stream, tag)) = self.switch.overdue_first_frame(id) {
            self.first_frame_lost(id, stream, tag, Limit::Handshake);
        }
        match self.switch.tick_line(id) {
            Ok(()) => self.arm(id),
            Err(fault) => self.end_by_fault(id, &fault),
        }
        self.switch.touch(id);
    }

    /// Says goodbye and ends the link. Who has not proved its key is told nothing.
    pub(crate) fn goodbye(&mut self, id: ConnId, reason: Reason) {
        let Some(conn) = self.neighbours.conn(id) else { return };
        if conn.phase == ConnPhase::Shaking && !self.switch.can_seal(id) {
            self.cut_off(id, reason);
        } else if conn.phase != ConnPhase::Ending {
            self.send(id, &Message::Goodbye(Goodbye { reason: reason.clone() }));
            self.end_link(id, reason);
        }
    }

    pub(crate) fn do_disconnected(&mut self, id: ConnId, text: &str) {
        let Some(conn) = self.neighbours.conn(id) else { return };
        if conn.phase != ConnPhase::Ending {
            let reason = self.why_lost(id, text);
            self.end_link(id, reason);
            // What came of its end is heard while it is known whose connection it was.
            self.settle();
        }
        self.neighbours.places.release(id);
        self.neighbours.conns.remove(&id);
        self.switch.close_line(id);
    }

    /// Forgets all that went over a link, and asks the shell to hang up.
    pub(crate) fn end_link(&mut self, id: ConnId, reason: Reason) {
        if self.forget_link(id, reason) {
            self.effects.push_back(Effect::HangUp(id));
        }
    }

    /// As [`end_link`](Self::end_link), but without another byte.
    pub(crate) fn cut_off(&mut self, id: ConnId, reason: Reason) {
        if self.forget_link(id, reason) {
            self.effects.push_back(Effect::CutOff(id));
        }
    }

    /// Forgets all that went over a link; whether it was not forgotten already.
    fn forget_link(&mut self, id: ConnId, reason: Reason) -> bool {
        let Some(conn) = self.neighbours.conn_mut(id) else { return false };
        let was = core::mem::replace(&mut conn.phase, ConnPhase::Ending);
        if was == ConnPhase::Ending {
            return false;
        }
        let (label, how) = (conn.label(), conn.how);
        let is_host = self.settings.role == Role::Host;
        let server = conn.hello.as_ref().filter(|hello| hello.role == Role::Server && !is_host);
        let server = server.map(|hello| (hello.key, hello.name.clone()));
        let host = conn.hello.as_ref().is_some_and(|hello| hello.role == Role::Host);
        let commands = conn.hello.as_ref().is_some_and(|hello| hello.role == Role::Command);
        match (commands, conn.is_direct()) {
            (true, _) => log::debug!("the command line is done: {reason}"),
            (_, true) => log::debug!("direct connection {label} ended: {reason}"),
            _ => {
                let text = format_args!("link to {label} ended: {reason}");
                self.log_about(id, LogKind::LinkEnded, text);
            }
        }
        self.timers.cancel(TimerKey::Link(id));
        self.timers.cancel(TimerKey::Useless(id));
        self.switch.end_line(id);
        self.registry.ignore(id);
        self.meetings.conn_ends(id);
        let lost = match host {
            true => Reason::server(Code::HostLost, format!("the host ended: {reason}")),
            false => Reason::server(Code::LinkLost, format!("the link ended: {reason}")),
        };
        self.switch.lose_streams(id, &lost, &mut self.effects);
        self.registry.link_serves_no_more(id);
        if host {
            self.meetings.forget_host(id);
            self.directs.forget(id);
            self.host_lost(id, &reason);
        }
        if self.uplink() == Some(id) {
            self.uplink_lost(&reason);
        }
        if let Some((key, name)) = server
            && self.neighbours.servers.get(&key) == Some(&id)
        {
            self.neighbours.servers.remove(&key);
            self.registry.forget_server(key, &mut self.effects);
            self.tell_link(LinkChange { server: key, name, down: Some(reason.clone()) });
            self.redial_server(key, &reason);
        }
        match how {
            Opened::Dialled(peer) => self.peer_disconnected(peer, reason),
            Opened::Inherited => self.effects.push_back(Effect::Orphaned),
            Opened::Child(child) => self.child_unlinked(child, reason),
            Opened::Accepted | Opened::DirectDial(_) | Opened::Direct => {}
        }
        true
    }

    /// Ends a link whose peer broke a rule.
    pub(crate) fn end_by_fault(&mut self, id: ConnId, fault: &Fault) {
        match fault {
            Fault::TooLong(_) => self.counters.count(Limit::ControlMessage),
            Fault::ControlNotRead => self.counters.count(Limit::Outbox),
            _ => {}
        }
        self.goodbye(id, fault.reason());
    }
}
