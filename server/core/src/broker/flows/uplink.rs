//! A host's side of the link to its server, which stands for a directory of its own: what the host
//! is told there of plugins and of links.

use crate::broker::{Broker, ConnId, Effect, LinkChange, Told};
use crate::control::{Announced, Linked, Unlinked};
use crate::key::Key;
use crate::log_limiter::LogKind;
use alloc::string::ToString;
use alloc::vec::Vec;

impl Broker {
    /// The server of this host said hello.
    pub(crate) fn uplink_linked(&mut self, id: ConnId, key: Key, plugins: Vec<Announced>) {
        self.neighbours.uplink_linked(id, key);
        let name = self.neighbours.home_name().to_string();
        let text = format_args!("linked to the server {name} ({})", key.short());
        self.log_about(id, LogKind::LinkUp, text);
        let plugins = self.first_part(id, plugins);
        let home = self.neighbours.home_key();
        self.registry.home_plugins(home, plugins, &mut self.effects);
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
        } else if let Some(name) = self.neighbours.home_link_over(change.server) {
            // The server may have been linked once more meanwhile, with another name.
            self.registry.tell_link(&LinkChange { name, ..change }, &mut self.effects);
        }
    }
}
