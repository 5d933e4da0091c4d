//! A host's side of the link to its server, which stands for a directory of its own: what the host
//! is told there of plugins and of links.

use crate::broker::{Broker, ConnId, Effect, LinkChange, Told};
use crate::control::{Announced, Linked, Rejected, Unlinked, Withdrawn};
use crate::key::Key;
use crate::log_limiter::LogKind;
use alloc::string::ToString;
use alloc::vec::Vec;

impl Broker {
    /// Whether this process runs plugins for a server, and is none.
    pub(crate) fn is_host(&self) -> bool {
        self.neighbours.is_host()
    }

    /// A host's link to its server, while it is up.
    pub(crate) fn uplink(&self) -> Option<ConnId> {
        self.neighbours.uplink()
    }

    /// The server of this host said hello.
    pub(crate) fn uplink_linked(&mut self, id: ConnId, key: Key, plugins: Vec<Announced>) {
        self.neighbours.uplink_linked(id, key);
        let name = self.neighbours.home_name().to_string();
        let text = format_args!("linked to the server {name} ({})", key.short());
        self.log_about(id, LogKind::LinkUp, text);
        let plugins = self.first_part(id, plugins);
        self.uplink_announces(plugins);
    }

    /// The server tells of plugins: its own, and those of servers that are linked to it.
    pub(crate) fn uplink_announces(&mut self, plugins: Vec<Announced>) {
        for Announced { name, version, server, .. } in plugins {
            let server = server.unwrap_or(self.neighbours.home_key());
            self.registry.enter(server, &name, version, &mut self.effects);
        }
    }

    /// The server tells of plugins that left.
    pub(crate) fn uplink_withdraws(&mut self, withdrawn: &Withdrawn) {
        let server = withdrawn.server.unwrap_or(self.neighbours.home_key());
        self.registry.withdraw_all(server, &withdrawn.names, &mut self.effects);
    }

    /// The server tells of links; the first time, that it has told all.
    pub(crate) fn uplink_tells_links(&mut self, linked: Linked) {
        for change in self.neighbours.home_tells_links(linked) {
            self.registry.tell_link(&change, &mut self.effects);
        }
        if self.neighbours.home_found() {
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
        } else if self.neighbours.home_link_over(change.server) {
            self.registry.tell_link(&change, &mut self.effects);
        }
    }

    /// The server does not take a plugin of this host.
    pub(crate) fn uplink_rejects(&mut self, rejected: Rejected) {
        if let Some(plugin) = self.registry.running(&rejected.name) {
            self.effects.push_back(Effect::Reject(plugin, rejected.reason));
        }
    }
}
