//! What a host of this server says, and what is left of it when its link is over.

use super::links::{open_link, tell_not_linked};
use crate::broker::effect::Effects;
use crate::broker::neighbours::peer_links::key_of;
use crate::broker::registry::descriptions::registered;
use crate::broker::registry::hosts::CLEARED_PER_TURN;
use crate::broker::registry::plugins::Runs;
use crate::broker::{Broker, ConnId, Neighbours, PluginState, Registry};
use crate::control::{Announced, CloseLink, Message, OpenLink, Rejected};
use crate::key::Key;
use crate::log_limiter::LogKind;
use crate::name::Name;
use crate::reason::{Code, Reason};
use alloc::vec::Vec;

impl Broker {
    /// A host said hello: it is told all that plugins of this server may know, and its plugins are
    /// taken in.
    pub(crate) fn host_linked(&mut self, id: ConnId, key: Key, plugins: Vec<Announced>) {
        let label = self.neighbours.conn(id).map(|conn| conn.label()).unwrap_or_default();
        for older in self.registry.add_host(id, key, label.clone()) {
            self.goodbye(older, Reason::server(Code::DuplicateLink, "its host has linked anew"));
        }
        for message in self.registry.greet_host(id) {
            self.send(id, &message);
        }
        self.log_about(id, LogKind::LinkUp, format_args!("host {label} is linked"));
        let plugins = self.first_part(id, plugins);
        self.host_registers(id, plugins);
    }

    /// A host announces plugins of its process.
    pub(crate) fn host_registers(&mut self, id: ConnId, plugins: Vec<Announced>) {
        for announced in plugins {
            let name = announced.name.clone();
            self.clear_lapsed(&name);
            let (registry, neighbours) = (&mut self.registry, &mut self.neighbours);
            let taken = register(registry, neighbours, id, announced, &mut self.effects);
            if let Err(reason) = taken {
                let text = format_args!("a host's plugin {name} is not taken: {reason}");
                self.log_about(id, LogKind::RefusedName, text);
                self.send(id, &Message::Rejected(Rejected { name, reason }));
            }
        }
    }

    /// A host's plugins left its process.
    pub(crate) fn host_withdraws(&mut self, id: ConnId, names: &[Name]) {
        for name in names {
            if let Some(plugin) = self.registry.plugin_at(id, name) {
                self.plugin_over(plugin, PluginState::Stopped);
                self.registry.remove_record(plugin);
            }
        }
    }

    /// A host is gone, and its plugins with it: they are over at once, and leave in this turn and
    /// those that follow. Nothing is kept of them: hosts can come and go without end.
    pub(crate) fn host_lost(&mut self, id: ConnId, reason: &Reason) {
        self.registry.remove_host(id, reason);
        self.clear_some_plugins();
    }

    /// Plugins of lost hosts leave, as many as a turn has room for.
    pub(crate) fn clear_some_plugins(&mut self) {
        for _ in 0..CLEARED_PER_TURN {
            let Some(plugin) = self.registry.next_lost() else { return };
            self.clear_plugin(plugin);
        }
    }

    /// A plugin of a host wants a link.
    pub(crate) fn host_opens_link(&mut self, id: ConnId, wanted: OpenLink) {
        let OpenLink { plugin: name, address } = wanted;
        let Some(plugin) = self.registry.plugin_at(id, &name) else { return };
        let opened = open_link(
            (&self.registry, &mut self.neighbours),
            &mut self.switch,
            plugin,
            &address,
            &mut self.effects,
        );
        let Err(reason) = opened else { return };
        let text = format_args!("the plugin {name} wanted a link to {address}: {reason}");
        self.log_about(id, LogKind::RefusedLink, text);
        // The host has judged the address, and told its plugin which key to expect.
        if let Some(key) = key_of(&address) {
            let (registry, switch) = (&self.registry, &mut self.switch);
            tell_not_linked(registry, switch, (plugin, key, reason), &mut self.effects);
        }
    }

    /// A plugin of a host ends a link.
    pub(crate) fn host_closes_link(&mut self, id: ConnId, wanted: &CloseLink) {
        if let Some(plugin) = self.registry.plugin_at(id, &wanted.plugin)
            && let Err(reason) = self.do_close_link(plugin, wanted.server)
        {
            log::debug!("the plugin {} closed a link: {reason}", wanted.plugin);
        }
    }
}

/// Takes in a plugin that a host registers, as far as the configuration of this server grants it.
fn register(
    registry: &mut Registry,
    neighbours: &mut Neighbours,
    host: ConnId,
    announced: Announced,
    effects: &mut Effects,
) -> Result<(), Reason> {
    let (mut config, mut direct) = registered(announced);
    neighbours.judge_name(host, &config.name)?;
    let withheld = neighbours.withhold(host, &mut config, &mut direct);
    let name = config.name.clone();
    let plugin = match registry.plugin_at(host, &name) {
        Some(plugin) => {
            registry.register_again(plugin, config, direct, effects);
            plugin
        }
        None => {
            registry.may_register(host)?;
            let plugin = registry.add_record(config, Runs::At(host), direct)?;
            neighbours.settle_name(host, &name);
            registry.plugin_started(plugin, effects);
            plugin
        }
    };
    if !withheld.is_empty() && registry.note_asks_too_much(plugin) {
        neighbours.log_withheld(host, &name, &withheld);
    }
    Ok(())
}
