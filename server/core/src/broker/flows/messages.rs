//! Control messages: which of them may come from whom, and who is told.

use crate::broker::neighbours::connections::ConnPhase;
use crate::broker::{Broker, ConnId};
use crate::bymux::StreamId;
use crate::control::{Closing, Goodbye, Message, Role, Unknown, Wanted};
use crate::log_limiter::LogKind;
use crate::reason::{Code, Reason};

impl Broker {
    pub(crate) fn message(&mut self, id: ConnId, message: Message) {
        let Some(conn) = self.neighbours.conn(id) else { return };
        let is_host = conn.is_host();
        match (conn.phase, message) {
            (ConnPhase::Ending, _) => {}
            (_, Message::Goodbye(Goodbye { reason })) => self.end_link(id, reason),
            (ConnPhase::AwaitsHello, Message::Hello(hello)) => self.hello(id, hello),
            (ConnPhase::AwaitsHello, _) => self.violation(id, "the first message was not hello"),
            (_, Message::Hello(_)) => self.violation(id, "hello was said twice"),
            (_, message @ (Message::Plugins(_) | Message::Withdrawn(_))) => {
                self.told_of_plugins(id, message);
            }
            (_, Message::Closing(closing)) => {
                let Closing { stream, reason } = closing;
                self.switch.peer_aborts(id, StreamId(stream), reason, &mut self.effects);
            }
            (_, Message::Wanted(Wanted { wanted })) => {
                self.neighbours.peer_wants(id, wanted);
                self.neighbours.rest_if_useless(id, self.switch.is_idle(id));
            }
            (
                _,
                Message::OpenLink(_)
                | Message::CloseLink(_)
                | Message::Tried(_)
                | Message::DirectChannel(_),
            ) if !is_host => {
                self.violation(id, "only hosts say this, to their server");
            }
            (_, Message::Tried(tried)) => self.host_tried(id, tried),
            (_, Message::DirectChannel(direct)) => {
                self.directs.host_has_direct(id, direct, self.settings.limits.channels);
            }
            (_, Message::OpenLink(wanted)) => self.host_opens_link(id, wanted),
            (_, Message::CloseLink(wanted)) => self.host_closes_link(id, &wanted),
            (
                _,
                Message::Linked(_)
                | Message::Unlinked(_)
                | Message::Rejected(_)
                | Message::Expect(_),
            ) if self.neighbours.uplink() != Some(id) => {
                self.violation(id, "this is told to hosts, by their server");
            }
            (_, Message::Linked(linked)) => self.uplink_tells_links(linked),
            (_, Message::Unlinked(unlinked)) => self.uplink_tells_end(unlinked),
            (_, Message::Expect(expect)) => {
                if let Err(reason) = self.meetings.expects(expect, self.neighbours.home_key()) {
                    let text = format_args!("a direct connection is not expected: {reason}");
                    self.log_about(id, LogKind::RefusedDirect, text);
                }
            }
            (_, Message::Rejected(told)) => self.registry.rejected(told, &mut self.effects),
            (_, Message::Unknown(Unknown { kind })) => {
                log::debug!("{} does not know message {kind}", conn.label());
            }
            (_, Message::Other(kind)) => self.send(id, &Message::Unknown(Unknown { kind })),
        }
    }

    /// Plugins came, changed or left: those of a server, of a host, or of all that ours knows.
    fn told_of_plugins(&mut self, id: ConnId, message: Message) {
        let role = self.neighbours.hello(id).map(|h| h.role);
        let (uplink, home) = (self.neighbours.uplink() == Some(id), self.neighbours.home_key());
        match (message, role) {
            (Message::Plugins(told), _) if uplink => {
                self.registry.home_plugins(home, told.plugins, &mut self.effects);
            }
            (Message::Withdrawn(told), _) if uplink => {
                self.registry.home_withdraws(home, &told, &mut self.effects);
            }
            (Message::Plugins(told), Some(Role::Host)) => self.host_registers(id, told.plugins),
            (Message::Withdrawn(told), Some(Role::Host)) => self.host_withdraws(id, &told.names),
            (Message::Plugins(told), _) => {
                self.registry.peer_plugins(id, told.plugins, &mut self.effects);
            }
            (Message::Withdrawn(told), _) => {
                self.registry.peer_withdraws(id, &told.names, &mut self.effects);
            }
            _ => {}
        }
    }

    pub(crate) fn violation(&mut self, id: ConnId, text: &str) {
        self.goodbye(id, Reason::server(Code::ProtocolViolation, text));
    }
}
