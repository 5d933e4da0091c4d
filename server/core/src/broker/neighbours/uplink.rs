//! A host's side of the link to its server, which stands for a directory of its own: what the host
//! registers there, and what it is told.

use super::Neighbours;
use crate::address::Endpoint;
use crate::broker::neighbours::connections::Opened;
use crate::broker::{Broker, ConnId, Effect, LinkChange, PluginId, Settings, Told};
use crate::control::{
    Announced, CloseLink, Linked, Message, OpenLink, Rejected, Role, Unlinked, Withdrawn,
};

use crate::key::Key;
use crate::log_limiter::LogKind;
use crate::name::Name;
use crate::reason::{Code, Reason};
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
}

impl Broker {
    /// Whether this process runs plugins for a server, and is none.
    pub(crate) fn is_host(&self) -> bool {
        self.settings.role == Role::Host
    }

    /// A host's connection to its server, while the link is up.
    pub fn uplink_conn(&self) -> Option<ConnId> {
        self.neighbours.home.link
    }

    /// A host's link to its server, while it is up.
    pub(crate) fn uplink(&self) -> Option<ConnId> {
        self.neighbours.home.link
    }

    /// The server of this host said hello.
    pub(crate) fn uplink_linked(
        &mut self,
        id: ConnId,
        key: Key,
        name: String,
        plugins: Vec<Announced>,
    ) {
        let text = format_args!("linked to the server {name} ({})", key.short());
        self.log_about(id, LogKind::LinkUp, text);
        self.neighbours.home.link = Some(id);
        self.neighbours.home.key = key;
        self.neighbours.home.name = name;
        if let Some(Opened::Dialled(peer)) = self.neighbours.conn(id).map(|conn| conn.how) {
            self.neighbours.peer_found(peer, key);
        }
        self.peer_linked(key);
        let plugins = self.first_part(id, plugins);
        self.uplink_announces(plugins);
    }

    /// The link to the server of this host is over, and all that was known through it is not known
    /// any more.
    pub(crate) fn uplink_lost(&mut self, reason: &Reason) {
        self.neighbours.home.link = None;
        self.directs.owe_nothing();
        self.registry.forget_all_servers(&mut self.effects);
        for (server, name) in core::mem::take(&mut self.neighbours.home.links) {
            self.tell_link(LinkChange { server, name, down: Some(reason.clone()) });
        }
    }

    /// The server tells of plugins: its own, and those of servers that are linked to it.
    pub(crate) fn uplink_announces(&mut self, plugins: Vec<Announced>) {
        for Announced { name, version, server, .. } in plugins {
            let server = server.unwrap_or(self.neighbours.home.key);
            self.registry.enter(server, &name, version, &mut self.effects);
        }
    }

    /// The server tells of plugins that left.
    pub(crate) fn uplink_withdraws(&mut self, withdrawn: &Withdrawn) {
        let server = withdrawn.server.unwrap_or(self.neighbours.home.key);
        self.registry.withdraw_all(server, &withdrawn.names, &mut self.effects);
    }

    /// The server tells of links; the first time, that it has told all.
    pub(crate) fn uplink_tells_links(&mut self, linked: Linked) {
        if let Some(addresses) = linked.addresses {
            self.neighbours.home.addresses =
                addresses.0.iter().flat_map(|a| a.endpoints()).collect();
        }
        for server in linked.servers {
            if self.neighbours.home.links.insert(server.key, server.name.clone()).is_none() {
                let (server, name) = (server.key, server.name);
                self.tell_link(LinkChange { server, name, down: None });
            }
        }
        if !core::mem::replace(&mut self.neighbours.home.found, true) {
            self.effects.push_back(Effect::HomeFound);
        }
    }

    /// The server tells that a link is over, or that one did not come about.
    pub(crate) fn uplink_tells_end(&mut self, unlinked: Unlinked) {
        let Unlinked { server, reason, plugin } = unlinked;
        let change = LinkChange { server: server.key, name: server.name, down: Some(reason) };
        if let Some(name) = plugin {
            if let Some(plugin) = self.registry.running(&name) {
                self.tell(plugin, Told::Link(change));
            }
        } else if self.neighbours.home.links.remove(&change.server).is_some() {
            self.tell_link(change);
        }
    }

    /// The server does not take a plugin of this host.
    pub(crate) fn uplink_rejects(&mut self, rejected: Rejected) {
        if let Some(plugin) = self.registry.running(&rejected.name) {
            self.effects.push_back(Effect::Reject(plugin, rejected.reason));
        }
    }

    pub(crate) fn ask_for_link(&mut self, plugin: PluginId, address: &str) -> Result<(), Reason> {
        let (uplink, plugin) = self.may_ask(plugin)?;
        let address = address.into();
        self.send(uplink, &Message::OpenLink(OpenLink { plugin, address }));
        Ok(())
    }

    pub(crate) fn ask_for_end_of_link(
        &mut self,
        plugin: PluginId,
        server: Key,
    ) -> Result<(), Reason> {
        let (uplink, plugin) = self.may_ask(plugin)?;
        self.send(uplink, &Message::CloseLink(CloseLink { plugin, server }));
        Ok(())
    }

    /// The server of this host, if a plugin can ask it for something now.
    fn may_ask(&self, plugin: PluginId) -> Result<(ConnId, Name), Reason> {
        let name = self.registry.plugin(plugin).map(|record| record.config.name.clone());
        let (Some(uplink), Some(plugin)) = (self.uplink(), name) else {
            return Err(Reason::server(Code::LinkLost, "the server of this host is not reached"));
        };
        match self.switch.takes_more(uplink) {
            true => Ok((uplink, plugin)),
            false => {
                let text = "the server of this host has not read what it was asked before";
                Err(Reason::server(Code::LimitReached, text))
            }
        }
    }
}
