//! Which of its links serves a server, and what is done when one comes up.

use crate::broker::neighbours::Neighbours;
use crate::broker::neighbours::connections::Conn;
use crate::broker::{Broker, ConnId, LinkChange, Opened};
use crate::control::Announced;
use crate::key::Key;
use crate::log_limiter::LogKind;
use alloc::string::String;
use alloc::vec::Vec;

/// A server that loses its link and dials again does so once; this often, there are two.
const SUCCESSIONS: u32 = 3;

impl Neighbours {
    /// The server for which a connection is the link.
    pub(crate) fn serving(&self, id: ConnId) -> Option<Key> {
        let key = self.conn(id)?.hello.as_ref()?.key;
        (self.servers.get(&key) == Some(&id)).then_some(key)
    }

    /// A link takes the place of one that is up, and that the same side had dialled. Once, the
    /// other server may have lost it; again and again, or from two machines, there are two servers.
    /// It returns the addresses of the two, the first time.
    fn note_succession(&mut self, old: ConnId, new: ConnId) -> Option<[String; 2]> {
        let (before, conn) = (self.conn(old)?, self.conn(new)?);
        let machine = |conn: &Conn| conn.hello.as_ref().map(|peer| peer.machine);
        let two = machine(before) != machine(conn);
        let same_side = before.how == conn.how;
        let mut successions = before.successions;
        successions.count = successions.count.saturating_add(u32::from(same_side));
        let shared = same_side && (two || successions.count >= SUCCESSIONS) && !successions.warned;
        successions.warned |= shared;
        let addresses = [before.address.clone(), conn.address.clone()];
        self.conn_mut(new)?.successions = successions;
        shared.then_some(addresses)
    }
}

impl Broker {
    /// A server said hello. Of two links to one server, the one that is dialled by the lower key
    /// stays; of two that the same side dialled, the newer one, for the older one must be dead.
    pub(crate) fn server_linked(&mut self, id: ConnId, key: Key, plugins: Vec<Announced>) {
        let dialler = |broker: &Broker, id: &ConnId| match broker.neighbours.conn(*id) {
            Some(conn) if conn.how == Opened::Accepted => key,
            _ => broker.key,
        };
        if let Some(Opened::Dialled(peer)) = self.neighbours.conn(id).map(|conn| conn.how) {
            self.neighbours.peer_found(peer, key);
        }
        let old = self.neighbours.servers.get(&key).copied();
        if let Some(old) = old
            && dialler(self, &id) > dialler(self, &old)
        {
            self.drain(id);
            return;
        }
        if let Some(old) = old {
            self.note_succession(old, id, key);
        }
        self.neighbours.servers.insert(key, id);
        if let Some(conn) = self.neighbours.conn(id) {
            let name = conn.peer_name().unwrap_or_default();
            self.registry.link_serves(id, key, name, conn.how == Opened::Accepted);
        }
        let named = plugins.iter().map(|plugin| &plugin.name).collect();
        self.registry.forget_all_but(key, &named, &mut self.effects);
        if let Some(old) = old {
            self.drain(old);
        } else {
            let name =
                self.neighbours.conn(id).and_then(|conn| conn.peer_name()).unwrap_or_default();
            let name = String::from(name);
            let text = format_args!("link to {name} ({}) is up", key.short());
            self.log_about(id, LogKind::LinkUp, text);
            self.tell_link(LinkChange { server: key, name, down: None });
        }
        self.peer_linked(key);
        let plugins = self.first_part(id, plugins);
        self.registry.peer_plugins(id, plugins, &mut self.effects);
        if self.neighbours.conn(id).is_some_and(|conn| conn.proved.is_none()) {
            self.registry.tell_of_keyed(id, key);
        }
    }

    fn note_succession(&mut self, old: ConnId, new: ConnId, key: Key) {
        if let Some([one, other]) = self.neighbours.note_succession(old, new) {
            let text = format_args!(
                "two servers use the key {key}, one at {one}, one at {other}: give one of them a \
                 key of its own"
            );
            self.log_about(new, LogKind::SharedKey, text);
        }
    }
}
