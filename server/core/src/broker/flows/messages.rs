//! Control messages: which of them may come from whom, and who is told.

use crate::broker::neighbours::connections::{Conn, ConnPhase};
use crate::broker::{Broker, ConnId};
use crate::bymux::StreamId;
use crate::control::{Closing, Goodbye, Message, Unknown, Wanted};
use crate::log_limiter::LogKind;
use crate::reason::{Code, Reason};

impl Broker {
    pub(crate) fn message(&mut self, id: ConnId, message: Message) {
        let (uplink, home) = (self.neighbours.uplink() == Some(id), self.neighbours.home_key());
        let Some(conn) = self.neighbours.conn(id) else { return };
        if conn.phase == ConnPhase::Ending {
            return;
        }
        if let Some(text) = misplaced(conn, uplink, &message) {
            self.violation(id, text);
            return;
        }
        let is_host = conn.is_host();
        let (registry, effects) = (&mut self.registry, &mut self.effects);
        match message {
            Message::Goodbye(Goodbye { reason }) => self.end_link(id, reason),
            Message::Hello(hello) => self.hello(id, hello),
            Message::Plugins(told) if uplink => registry.home_plugins(home, told.plugins, effects),
            Message::Withdrawn(told) if uplink => registry.home_withdraws(home, &told, effects),
            Message::Plugins(told) if is_host => self.host_registers(id, told.plugins),
            Message::Withdrawn(told) if is_host => self.host_withdraws(id, &told.names),
            Message::Plugins(told) => registry.peer_plugins(id, told.plugins, effects),
            Message::Withdrawn(told) => registry.peer_withdraws(id, &told.names, effects),
            Message::Closing(Closing { stream, reason }) => {
                self.switch.peer_aborts(id, StreamId(stream), reason, effects);
            }
            Message::Wanted(Wanted { wanted }) => {
                self.neighbours.peer_wants(id, wanted);
                self.neighbours.rest_if_useless(id, self.switch.is_idle(id));
            }
            Message::Tried(tried) => self.host_tried(id, tried),
            Message::DirectChannel(direct) => {
                self.directs.host_has_direct(id, direct, self.settings.limits.channels);
            }
            Message::OpenLink(wanted) => self.host_opens_link(id, wanted),
            Message::CloseLink(wanted) => self.host_closes_link(id, &wanted),
            Message::Linked(linked) => self.uplink_tells_links(linked),
            Message::Unlinked(unlinked) => self.uplink_tells_end(unlinked),
            Message::Expect(expect) => {
                if let Err(reason) = self.meetings.expects(expect, home) {
                    let text = format_args!("a direct connection is not expected: {reason}");
                    self.log_about(id, LogKind::RefusedDirect, text);
                }
            }
            Message::Rejected(told) => registry.rejected(told, effects),
            Message::Unknown(Unknown { kind }) => {
                log::debug!("{} does not know message {kind}", conn.label());
            }
            Message::Other(kind) => self.send(id, &Message::Unknown(Unknown { kind })),
        }
    }

    pub(crate) fn violation(&mut self, id: ConnId, text: &str) {
        self.goodbye(id, Reason::server(Code::ProtocolViolation, text));
    }
}

/// Why a message must not come over a connection now, which may be the link to the server of this
/// host.
fn misplaced(conn: &Conn, is_uplink: bool, message: &Message) -> Option<&'static str> {
    match message {
        Message::Goodbye(_) => None,
        Message::Hello(_) if conn.phase == ConnPhase::AwaitsHello => None,
        Message::Hello(_) => Some("hello was said twice"),
        _ if conn.phase == ConnPhase::AwaitsHello => Some("the first message was not hello"),
        Message::OpenLink(_)
        | Message::CloseLink(_)
        | Message::Tried(_)
        | Message::DirectChannel(_)
            if !conn.is_host() =>
        {
            Some("only hosts say this, to their server")
        }
        Message::Linked(_) | Message::Unlinked(_) | Message::Rejected(_) | Message::Expect(_)
            if !is_uplink =>
        {
            Some("this is told to hosts, by their server")
        }
        _ => None,
    }
}
