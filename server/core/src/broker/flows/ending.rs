//! How connections end: a goodbye, a time-out, a fault, the last stream of one that drains; and in
//! which order the owners forget what went over them.

use crate::broker::neighbours::connections::ConnPhase;
use crate::broker::neighbours::ending::{Over, Was};
use crate::broker::{Broker, ChildId, ConnId, Effect, TimerKey};
use crate::control::{Goodbye, Message};
use crate::limits::Limit;
use crate::link::Fault;
use crate::log_limiter::LogKind;
use crate::reason::{Code, Reason};

impl Broker {
    /// A stream of a connection is over: the connection may be as well.
    pub(crate) fn end_if_drained(&mut self, id: ConnId) {
        let Some(line) = self.switch.line(id) else { return };
        let streams = line.link().streams();
        if let Some(reason) = self.neighbours.why_drained(id).filter(|_| streams == 0) {
            self.goodbye(id, reason);
        } else if self.switch.is_idle(id) {
            self.neighbours.rest_if_useless(id, true);
        }
    }

    /// The time of a link that served no pair of plugins is over.
    pub(crate) fn end_if_useless(&mut self, id: ConnId) {
        if let Some(reason) = self.neighbours.end_if_useless(id, self.switch.is_idle(id)) {
            self.goodbye(id, reason);
        }
    }

    /// The time to start a host again has come.
    pub(crate) fn restart_child(&mut self, id: ChildId) {
        if let Some(conn) = self.neighbours.link_of_child(id) {
            self.cut_off(conn, Reason::server(Code::HostLost, "it is started again"));
        }
        self.neighbours.start_child(id, &mut self.effects);
    }

    /// The deadline of a link has come: of its handshake, of a first frame, or of a heartbeat.
    pub(crate) fn link_timer(&mut self, id: ConnId) {
        if let Some(reason) = self.neighbours.too_late(id, self.meetings.has_presented(id)) {
            self.goodbye(id, reason);
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

    /// Says goodbye and ends the link. A peer that has not proved its key is told nothing.
    pub(crate) fn goodbye(&mut self, id: ConnId, reason: Reason) {
        match self.neighbours.phase(id) {
            None | Some(ConnPhase::Ending) => {}
            Some(ConnPhase::Shaking) if !self.switch.can_seal(id) => self.cut_off(id, reason),
            Some(_) => {
                self.send(id, &Message::Goodbye(Goodbye { reason: reason.clone() }));
                self.end_link(id, reason);
            }
        }
    }

    pub(crate) fn do_disconnected(&mut self, id: ConnId, text: &str) {
        let Some(phase) = self.neighbours.phase(id) else { return };
        if phase != ConnPhase::Ending {
            let reason = self.neighbours.why_lost(id, text, self.switch.sealed_state(id));
            self.end_link(id, reason);
            // The consequences are handled while it is known whose connection it was.
            self.settle();
        }
        self.neighbours.conn_gone(id);
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
        let Some(over) = self.neighbours.link_over(id, &reason) else { return false };
        self.log_over(id, &over, &reason);
        self.audit_link_down(id, &reason);
        self.timers.cancel(TimerKey::Link(id));
        self.switch.end_line(id);
        self.registry.ignore(id);
        self.meetings.conn_ends(id);
        self.switch.lose_streams(id, &over.lost(&reason), &mut self.effects);
        self.registry.link_serves_no_more(id);
        match over.was {
            Was::Host => {
                self.meetings.forget_host(id);
                self.directs.forget(id);
                self.host_lost(id, &reason);
            }
            Was::Uplink => {
                self.directs.owe_nothing();
                self.registry.forget_all_servers(&mut self.effects);
            }
            Was::Serving(key) => self.registry.forget_server(key, &mut self.effects),
            Was::Direct | Was::Command | Was::NeverLinked(_) | Was::Other => {}
        }
        for change in over.links {
            self.registry.tell_link(&change, &mut self.effects);
        }
        self.neighbours.dial_after(id, over.was, reason, &mut self.effects);
        true
    }

    fn log_over(&mut self, id: ConnId, over: &Over, reason: &Reason) {
        let label = &over.label;
        match over.was {
            // It is dialled again and again, and the log says it once.
            Was::NeverLinked(peer) => match self.neighbours.note_never_linked(peer, reason) {
                true => {
                    let text = format_args!(
                        "cannot link to {label}: {reason}; dialling again until it can"
                    );
                    self.log_about(id, LogKind::NotLinked, text);
                }
                false => log::debug!("cannot link to {label}: {reason}"),
            },
            Was::Command => log::debug!("the command line is done: {reason}"),
            Was::Direct => log::debug!("direct connection {label} ended: {reason}"),
            Was::Host | Was::Uplink | Was::Serving(_) | Was::Other => {
                let text = format_args!("link to {label} ended: {reason}");
                self.log_about(id, LogKind::LinkEnded, text);
            }
        }
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
