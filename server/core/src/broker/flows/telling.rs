//! What peers are told, and in which order, as far as each has room: hello, and changes of the
//! directory and of links. The registry decides what these are.

use super::reporting::tell_owed_directs;
use crate::address::{Address, Scope};
use crate::broker::neighbours::Neighbours;
use crate::broker::registry::Registry;
use crate::broker::registry::hosts::first_links;
use crate::broker::registry::news::{BYTES_AT_LEAST, BYTES_PER_TURN};
use crate::broker::switch::Switch;
use crate::broker::{Broker, ConnId, Settings};
use crate::control::{Addresses, Announced, Hello, Message, PROTOCOL, Server};
use crate::key::Key;
use alloc::string::ToString;
use alloc::vec::Vec;

impl Broker {
    /// Says hello. Where the peer is not known yet, plugins that only some keys may see follow
    /// it.
    pub(crate) fn say_hello(&mut self, id: ConnId) {
        let peer = self.neighbours.conn(id).and_then(|conn| conn.known_key());
        let plugins = self.registry.first_plugins(id, peer);
        let hello = self.settings.hello(plugins, self.neighbours.seen(id));
        self.send(id, &Message::Hello(hello));
    }

    /// Tells the listeners that have room what they do not know yet: all of them when something
    /// has changed, else those that this turn has touched.
    pub(crate) fn tell_news(&mut self) {
        if self.directs.is_owing()
            && let Some(uplink) = self.neighbours.uplink()
        {
            tell_owed_directs(&mut self.directs, &mut self.switch, uplink);
        }
        if self.registry.has_leaving() {
            self.clear_some_plugins();
            self.registry.let_some_leave(&mut self.effects);
        }
        if !self.registry.has_to_tell() {
            return;
        }
        let listeners = self.registry.take_listeners(self.switch.touched());
        tell_listeners(&mut self.registry, &self.neighbours, &mut self.switch, listeners);
    }
}

impl Settings {
    /// The first message of this process to a peer, which was seen at an address.
    fn hello(&self, plugins: Vec<Announced>, seen: Option<Addresses>) -> Hello {
        Hello {
            protocol: PROTOCOL,
            role: self.role,
            key: Key(*self.identity.public()),
            name: self.name.clone(),
            machine: self.machine,
            plugins,
            software: Some(self.software.clone()),
            seen,
        }
    }
}

/// Tells each listener what it has room for, until a turn has told enough.
fn tell_listeners(
    registry: &mut Registry,
    neighbours: &Neighbours,
    switch: &mut Switch,
    listeners: Vec<ConnId>,
) {
    let mut left = BYTES_PER_TURN;
    for id in listeners {
        while registry.is_behind(id) && switch.has_control_room(id) {
            if left == 0 {
                return registry.tell_later();
            }
            let peer = neighbours.conn(id).and_then(|conn| conn.known_key());
            let told = registry.next_told(id, peer);
            told.messages.iter().for_each(|message| switch.send(id, message));
            left = left.saturating_sub(told.bytes.max(BYTES_AT_LEAST));
        }
        if registry.has_told(id) {
            for message in first_links(servers(neighbours), addresses(neighbours)) {
                switch.send(id, &message);
            }
        }
    }
}

fn servers(neighbours: &Neighbours) -> Vec<Server> {
    let linked = neighbours.linked_servers();
    linked.map(|(key, name)| Server { key, name: name.into() }).collect()
}

fn addresses(neighbours: &Neighbours) -> Addresses {
    let shareable = neighbours.addresses(Scope::Local).filter_map(|endpoint| {
        let address: Address = endpoint.to_string().parse().ok()?;
        address.shareable(Scope::Local)
    });
    Addresses(shareable.collect())
}
