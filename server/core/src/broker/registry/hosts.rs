//! The hosts of this server: what they register, what they are told, and what is left of them.

use super::plugins::{Direct, Runs};
use super::{Event, Registry};
use crate::broker::effect::Effects;
use crate::broker::{PluginConfig, PluginState};
use crate::control::{Addresses, Linked, Message, Server, Withdrawn};
use crate::ids::{ConnId, PluginId};
use crate::key::Key;
use crate::limits::Limit;
use crate::name::Name;
use crate::reason::{Code, Reason};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Names in one message, of at most 66 bytes each: a message has 64 KiB.
const WITHDRAWN_MAX: usize = 512;

/// Servers in one message, of at most some 100 bytes each: a message has 64 KiB.
const LINKED_MAX: usize = 256;

/// Plugins of lost hosts that leave in one turn.
pub(crate) const CLEARED_PER_TURN: usize = 64;

/// A host of this server.
#[derive(Debug)]
pub(super) struct Host {
    key: Key,
    /// What to call it.
    pub(super) label: String,
}

impl Registry {
    /// A connection is that of a host. Returns its older links, which it has given up, and which
    /// must not keep its plugins' names.
    #[must_use]
    pub(crate) fn add_host(&mut self, id: ConnId, key: Key, label: String) -> Vec<ConnId> {
        let older = self.hosts.iter().filter(|(_, host)| host.key == key);
        let older = older.map(|(id, _)| *id).collect();
        self.hosts.insert(id, Host { key, label });
        older
    }

    /// A connection is that of a host no more, and its plugins are over. They leave one by one:
    /// [`next_lost`](Registry::next_lost).
    pub(crate) fn remove_host(&mut self, id: ConnId, reason: &Reason) {
        self.hosts.remove(&id);
        let reason = Reason::server(Code::HostLost, format!("the host ended: {reason}"));
        for plugin in self.plugins_of(id) {
            if let Some(record) = self.plugins.get_mut(&plugin) {
                record.state = PluginState::Failed(reason.clone());
                self.lost.push_back(plugin);
            }
        }
    }

    /// The next plugin of a lost host that has to leave.
    pub(crate) fn next_lost(&mut self) -> Option<PluginId> {
        self.lost.pop_front()
    }

    /// The host of a connection is told all from now on. What it is told first is what our hello
    /// may have told it of, and has left since.
    pub(crate) fn greet_host(&mut self, id: ConnId) -> Vec<Message> {
        let left = self.announcements.listen_to_all(id);
        self.release_entries();
        let names = left.chunks(WITHDRAWN_MAX).map(<[Name]>::to_vec);
        names.map(|names| Message::Withdrawn(Withdrawn { names, server: None })).collect()
    }

    /// The plugin that a host has registered under a name.
    pub(crate) fn plugin_at(&self, host: ConnId, name: &Name) -> Option<PluginId> {
        let plugin = self.names.get(name).copied()?;
        (self.plugins.get(&plugin)?.runs == Runs::At(host)).then_some(plugin)
    }

    /// Whether a host may register one more plugin.
    pub(crate) fn may_register(&mut self, host: ConnId) -> Result<(), Reason> {
        let most = self.limits.announced;
        if self.plugins_at(Runs::At(host)) < most {
            return Ok(());
        }
        self.happens(Event::Reached(Limit::Announced));
        let text = format!("a host may register {most} plugins at most");
        Err(Reason::server(Code::LimitReached, text))
    }

    /// A host registers a plugin once more, which may be another one than before.
    pub(crate) fn register_again(
        &mut self,
        plugin: PluginId,
        config: PluginConfig,
        direct: Direct,
        effects: &mut Effects,
    ) {
        let Some(record) = self.plugins.get_mut(&plugin) else { return };
        let before = core::mem::replace(&mut record.config, config.clone());
        let runs = record.runs;
        record.direct = direct;
        self.partners.remove(plugin, runs, &before);
        self.partners.insert(plugin, runs, &config);
        self.announce_local(&config.name, config.version, effects);
        self.plugins_changed(&before);
        self.plugins_changed(&config);
    }
}

/// What a host is told of links when it has been told of all plugins: those that there are, and so
/// that it knows by now all that this server does.
pub(crate) fn first_links(mut servers: Vec<Server>, addresses: Addresses) -> Vec<Message> {
    let more = servers.split_off(servers.len().min(LINKED_MAX));
    let first = Linked { servers, addresses: Some(addresses) };
    let more = more.chunks(LINKED_MAX).map(<[Server]>::to_vec);
    let more = more.map(|servers| Linked { servers, addresses: None });
    core::iter::once(first).chain(more).map(Message::Linked).collect()
}
