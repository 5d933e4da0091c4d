//! Links that plugins ask for, and links that have become of use, or are of use no more. The
//! neighbours decide; the registry knows the plugins, and which names two servers have in common.

use crate::broker::effect::Effects;
use crate::broker::neighbours::Neighbours;
use crate::broker::neighbours::peer_links::may_link;
use crate::broker::registry::Registry;
use crate::broker::registry::plugins::Runs;
use crate::broker::switch::Switch;
use crate::broker::{Broker, ConnId, LinkChange, PluginId, Told};
use crate::control::{CloseLink, Message, OpenLink, Server, Unlinked};
use crate::key::Key;
use crate::reason::{Code, Reason};
use alloc::format;
use alloc::string::String;

impl Broker {
    pub(crate) fn do_close_link(&mut self, plugin: PluginId, server: Key) -> Result<(), Reason> {
        let config = self.registry.plugin(plugin).map(|record| &record.config);
        let name = may_link(config)?.clone();
        if self.neighbours.home_links_to(server) {
            let wanted = CloseLink { plugin: name, server };
            return ask_home(&self.neighbours, &mut self.switch, &Message::CloseLink(wanted));
        }
        let unknown = || Reason::server(Code::UnknownServer, format!("no link to {server} is up"));
        let id = self.neighbours.link_to(server).ok_or_else(unknown)?;
        let by = format!("the plugin {name} closed it");
        self.goodbye(id, Reason::server(Code::LinkClosed, by));
        Ok(())
    }

    /// Judges anew whether this server has a use for a link, and tells the peer when that has
    /// changed.
    pub(crate) fn update_link_need(&mut self, id: ConnId) {
        let in_common = self.registry.have_in_common(id);
        if let Some(message) = self.neighbours.update_need(id, in_common) {
            self.send(id, &message);
        }
        self.neighbours.rest_if_useless(id, self.switch.is_idle(id));
    }
}

/// Asks the server of this host for something, if it can be asked now.
fn ask_home(neighbours: &Neighbours, switch: &mut Switch, message: &Message) -> Result<(), Reason> {
    let gone = || Reason::server(Code::LinkLost, "the server of this host is not reached");
    let uplink = neighbours.uplink().ok_or_else(gone)?;
    if !switch.takes_more(uplink) {
        let text = "the server of this host has not read what it was asked before";
        return Err(Reason::server(Code::LimitReached, text));
    }
    switch.send(uplink, message);
    Ok(())
}

/// A plugin wants a link to the server at an address. A host asks its server for it.
pub(crate) fn open_link(
    (registry, neighbours): (&Registry, &mut Neighbours),
    switch: &mut Switch,
    plugin: PluginId,
    address: &str,
    effects: &mut Effects,
) -> Result<Key, Reason> {
    let config = registry.plugin(plugin).map(|record| &record.config);
    let name = may_link(config)?;
    let link = neighbours.linkable(address)?;
    let key = link.0;
    if neighbours.is_host() {
        let wanted = OpenLink { plugin: name.clone(), address: address.into() };
        ask_home(neighbours, switch, &Message::OpenLink(wanted))?;
    } else {
        neighbours.want_link(plugin, link, effects)?;
    }
    Ok(key)
}

/// Tells a plugin, or its host, that a link which it wanted did not come about.
pub(crate) fn tell_not_linked(
    registry: &Registry,
    switch: &mut Switch,
    (plugin, server, reason): (PluginId, Key, Reason),
    effects: &mut Effects,
) {
    let Some(record) = registry.plugin(plugin) else { return };
    let name = String::new();
    match record.runs {
        Runs::Here if registry.is_live(plugin) => {
            let change = LinkChange { server, name, down: Some(reason) };
            effects.tell(plugin, Told::Link(change));
        }
        Runs::Here => {}
        Runs::At(host) => {
            let plugin = Some(record.config.name.clone());
            let server = Server { key: server, name };
            switch.send(host, &Message::Unlinked(Unlinked { server, reason, plugin }));
        }
    }
}
