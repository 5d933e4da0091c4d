//! The server that this process belongs to. For a host, it is at the other end of a link, and tells
//! of the links that it has itself.

use super::Neighbours;
use crate::address::Endpoint;
use crate::broker::{ConnId, LinkChange, Settings};
use crate::control::{Linked, Server};
use crate::key::Key;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// The server that a process belongs to: a server to itself.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) key: Key,
    pub(crate) name: String,
    /// Where it can be reached; for a host, by other machines.
    pub(crate) addresses: Vec<Endpoint>,
    /// For a host: the link to it, while it is up.
    link: Option<ConnId>,
    /// For a host: the servers that are linked to its server.
    pub(crate) links: BTreeMap<Key, String>,
    /// For a host: it has known all that its server does.
    found: bool,
}

impl Home {
    /// Before a host has found its server, it is its own.
    pub(crate) fn of(settings: &Settings) -> Home {
        Home {
            key: Key(*settings.identity.public()),
            name: settings.name.clone(),
            addresses: Vec::new(),
            link: None,
            links: BTreeMap::new(),
            found: false,
        }
    }
}

impl Neighbours {
    /// A host's link to its server, while it is up.
    #[inline]
    pub(crate) fn uplink(&self) -> Option<ConnId> {
        self.home.link
    }

    /// Whether another server is linked to the server of this host.
    pub(crate) fn home_links_to(&self, server: Key) -> bool {
        self.home.links.contains_key(&server)
    }

    /// The server of this host said hello.
    pub(crate) fn uplink_linked(&mut self, id: ConnId, key: Key) {
        let name = self.conn(id).and_then(|conn| conn.peer_name()).map(String::from);
        self.home.link = Some(id);
        self.home.key = key;
        self.home.name = name.unwrap_or_default();
        self.dialled_is(id, key);
        self.peer_linked(key);
    }

    /// The link to the server of this host is over: the servers that were linked to it.
    pub(super) fn uplink_lost(&mut self) -> BTreeMap<Key, String> {
        self.home.link = None;
        core::mem::take(&mut self.home.links)
    }

    /// The server of this host tells of links, and of its addresses: the links that are new.
    pub(crate) fn home_tells_links(&mut self, linked: Linked) -> Vec<LinkChange> {
        if let Some(addresses) = linked.addresses {
            self.home.addresses = addresses.0.iter().flat_map(|a| a.endpoints()).collect();
        }
        let mut new = Vec::new();
        for Server { key: server, name } in linked.servers {
            if self.home.links.insert(server, name.clone()).is_none() {
                new.push(LinkChange { server, name, down: None });
            }
        }
        new
    }

    /// The server of this host has told all that it knows; whether it is the first time.
    #[must_use]
    pub(crate) fn home_found(&mut self) -> bool {
        !core::mem::replace(&mut self.home.found, true)
    }

    /// The server of this host tells that a link is over: the name that was told of it, if it was.
    #[must_use]
    pub(crate) fn home_link_over(&mut self, server: Key) -> Option<String> {
        self.home.links.remove(&server)
    }
}
