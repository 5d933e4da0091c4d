//! Connections: how they open, and what follows from what their peers say of themselves. The
//! neighbours decide, the switch carries the bytes.

use super::handshakes::{admit_direct, open_wire};
use crate::broker::neighbours::connections::{Conn, stream_key};
use crate::broker::neighbours::linking::ServerLink;
use crate::broker::{Broker, ConnId, Effect, LinkChange, Opened, Opening, TimerKey};
use crate::control::{Announced, Hello, Message, Role};
use crate::key::Key;
use crate::log_limiter::LogKind;
use crate::reason::{Code, Reason};
use crate::wire::Wire;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

impl Broker {
    pub(crate) fn do_connected(&mut self, opening: Opening) -> ConnId {
        let (id, how, conn) = (self.switch.number(), opening.how, Conn::new(&opening));
        let is_direct = conn.is_direct();
        let wire = Wire::new(opening.security, &self.settings.identity, &self.settings.network);
        let (wire, failure) = match wire {
            Ok(wire) => (wire, None),
            Err(error) => (Wire::Plain, Some(error.to_string())),
        };
        let proved = wire.is_proved();
        let has_spoken = |id| self.switch.has_spoken(id);
        let evicted = self.neighbours.connected(id, conn, proved, has_spoken);
        let key = stream_key(&self.settings.secret, id);
        self.switch.open_line(id, how.side(), key, wire, is_direct);
        if how == Opened::Inherited {
            // The server may be stopped for long. Its end closes the socket pair at once.
            self.switch.allow_silence(id);
        }
        if let Some(evicted) = evicted {
            let text = "it said nothing, and others wait for its place";
            self.cut_off(evicted, Reason::server(Code::LimitReached, text));
        }
        self.timers.set(TimerKey::Link(id), self.now + self.settings.limits.handshake);
        match failure {
            Some(why) => self.end_link(id, Reason::server(Code::HandshakeFailed, why)),
            None => self.begin_talk(id, how, proved),
        }
        if self.stopping {
            self.goodbye(id, Reason::server(Code::ServerStopping, "the server is going down"));
        }
        id
    }

    /// The first that we say on a connection, as soon as we may show who we are.
    fn begin_talk(&mut self, id: ConnId, how: Opened, proved: bool) {
        match how {
            Opened::DirectDial(direct) => {
                if proved {
                    self.arm(id);
                }
                self.direct_dialled(id, direct);
            }
            Opened::Direct => {}
            Opened::Accepted if !proved => {}
            _ => self.say_hello(id),
        }
    }

    /// Sets the next deadline of a link, which the switch knows.
    pub(crate) fn arm(&mut self, id: ConnId) {
        if let Some(deadline) = self.switch.deadline(id) {
            self.timers.set(TimerKey::Link(id), deadline);
        }
        self.switch.touch(id);
    }

    /// Says something on a link, which does not end because of it.
    pub(crate) fn send(&mut self, id: ConnId, message: &Message) {
        self.switch.send(id, message);
    }

    /// Decrypts what a connection brought, if it is encrypted: what it says to the link, which has
    /// to be given to [`receive`](Broker::receive). `plain` is a buffer whose contents are
    /// replaced.
    pub fn unseal<'a>(
        &mut self,
        id: ConnId,
        bytes: &'a mut [u8],
        plain: &'a mut Vec<u8>,
    ) -> &'a [u8] {
        plain.clear();
        if self.switch.is_plain(id) {
            return bytes;
        }
        self.switch.count_sealed(id, bytes.len());
        let (neighbours, meetings) = (&mut self.neighbours, &mut self.meetings);
        let next = open_wire(neighbours, meetings, &mut self.switch, id, (bytes, plain));
        if next.says_hello {
            self.say_hello(id);
        }
        if next.arms {
            self.arm(id);
        }
        if let (Some(key), Some(reason)) = (next.refuses, &next.ends) {
            self.audit_refused(id, key, reason);
        }
        if let Some(reason) = next.ends {
            self.cut_off(id, reason);
        }
        self.settle();
        plain
    }

    /// A process holds a ticket by now that waits to be let in.
    pub(crate) fn let_in(&mut self, id: ConnId, key: Key) {
        if admit_direct(&mut self.neighbours, &mut self.switch, id, key) {
            let kept = self.meetings.let_in(id);
            if !kept.is_empty() {
                self.effects.push_back(Effect::TakeAgain(id, kept));
            }
        }
    }

    /// A peer said hello.
    pub(crate) fn hello(&mut self, id: ConnId, hello: Hello) {
        if let Err(reason) = self.neighbours.greet(id, &hello) {
            self.audit_refused(id, hello.key, &reason);
            self.goodbye(id, reason);
            return;
        }
        self.audit_link_up(id);
        let Hello { key, role, plugins, .. } = hello;
        self.switch.ping(id);
        if role == Role::Server && !self.neighbours.is_host() {
            self.switch.mark_foreign(id);
        }
        self.arm(id);
        match role {
            Role::Server if self.neighbours.is_host() => self.uplink_linked(id, key, plugins),
            Role::Server => {
                self.server_linked(id, key, plugins);
                self.update_link_need(id);
            }
            Role::Host => self.host_linked(id, key, plugins),
            Role::Command => self.registry.ignore(id),
        }
    }

    /// A server said hello: its plugins are known here if the connection serves it from now on.
    fn server_linked(&mut self, id: ConnId, key: Key, plugins: Vec<Announced>) {
        let link = self.neighbours.server_linked(id, key);
        if link == ServerLink::Loses {
            self.drain(id);
            return;
        }
        if let Some(conn) = self.neighbours.conn(id) {
            let name = conn.peer_name().unwrap_or_default();
            self.registry.link_serves(id, key, name, conn.how == Opened::Accepted);
        }
        let named = plugins.iter().map(|plugin| &plugin.name).collect();
        self.registry.forget_all_but(key, &named, &mut self.effects);
        match link {
            ServerLink::Replaces(old) => self.drain(old),
            ServerLink::First | ServerLink::Loses => self.link_is_up(id, key),
        }
        self.neighbours.peer_linked(key);
        let plugins = self.first_part(id, plugins);
        self.registry.peer_plugins(id, plugins, &mut self.effects);
        if self.neighbours.conn(id).is_some_and(|conn| conn.proved.is_none()) {
            self.registry.tell_of_keyed(id, key);
        }
    }

    fn link_is_up(&mut self, id: ConnId, server: Key) {
        let name = self.neighbours.conn(id).and_then(|conn| conn.peer_name()).unwrap_or_default();
        let name = String::from(name);
        let text = format_args!("link to {name} ({}) is up", server.short());
        self.log_about(id, LogKind::LinkUp, text);
        let change = LinkChange { server, name, down: None };
        self.registry.tell_link(&change, &mut self.effects);
    }

    /// A link lost against another one to the same server: it ends with its last stream.
    fn drain(&mut self, id: ConnId) {
        self.neighbours.drain(id);
        self.end_if_drained(id);
    }
}
