//! The hosts of this server: what they register, what they are told, and what is left of them.

use crate::address::Scope;
use crate::broker::registry::plugins::{Direct, PARTNERS_MAX, Runs};
use crate::broker::{Broker, ConnId, Expose, Permission, PluginConfig, PluginId};
use crate::control::{
    Addresses, Announced, CloseLink, Linked, Message, OpenLink, Registration, Rejected, Server,
    Withdrawn,
};
use crate::key::Key;
use crate::limits::Limit;
use crate::log_limiter::LogKind;
use crate::name::Name;
use crate::reason::{Code, Reason};
use crate::rights::KEYS_MAX;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

/// Names in one message, of at most 66 bytes each: a message has 64 KiB.
const WITHDRAWN_MAX: usize = 512;

/// Servers in one message, of at most some 100 bytes each: a message has 64 KiB.
const LINKED_MAX: usize = 256;

/// Plugins of lost hosts that leave in one turn.
const CLEARED_PER_TURN: usize = 64;

impl Broker {
    /// A host said hello: it is told all that plugins of this server may know, and its plugins are
    /// taken in.
    pub(crate) fn host_linked(&mut self, id: ConnId, key: Key, plugins: Vec<Announced>) {
        // Our hello may have told it of plugins that leave with its older link.
        self.registry.partners.hosts.insert(id);
        self.end_older_link(id, key);
        let left = self.registry.announcements.listen_to_all(id);
        self.registry.release_entries();
        for names in left.chunks(WITHDRAWN_MAX) {
            self.send(id, &Message::Withdrawn(Withdrawn { names: names.to_vec(), server: None }));
        }
        let label = self.neighbours.conn(id).map(|conn| conn.label()).unwrap_or_default();
        self.log_about(id, LogKind::LinkUp, format_args!("host {label} is linked"));
        let plugins = self.first_part(id, plugins);
        self.host_registers(id, plugins);
    }

    /// A host that links anew has given up its older link, which must not keep its plugins' names.
    fn end_older_link(&mut self, id: ConnId, key: Key) {
        let same = |other: &&ConnId| {
            let hello = self.neighbours.hello(**other);
            **other != id && hello.is_some_and(|hello| hello.key == key)
        };
        for older in self.registry.partners.hosts.iter().filter(same).copied().collect::<Vec<_>>() {
            self.goodbye(older, Reason::server(Code::DuplicateLink, "its host has linked anew"));
        }
    }

    /// A host announces plugins of its process.
    pub(crate) fn host_registers(&mut self, id: ConnId, plugins: Vec<Announced>) {
        for announced in plugins {
            let name = announced.name.clone();
            if let Err(reason) = self.host_registers_one(id, announced) {
                let text = format_args!("a host's plugin {name} is not taken: {reason}");
                self.log_about(id, LogKind::RefusedName, text);
                self.send(id, &Message::Rejected(Rejected { name, reason }));
            }
        }
    }

    fn host_registers_one(&mut self, id: ConnId, announced: Announced) -> Result<(), Reason> {
        let (mut config, mut direct) = registered(announced);
        self.neighbours.judge_name(id, &config.name)?;
        let withheld = self.neighbours.withhold(id, &mut config, &mut direct);
        let holder = self.registry.names.get(&config.name).copied();
        if let Some(plugin) = holder
            && let Some(record) = self.registry.plugins.get_mut(&plugin)
            && record.runs == Runs::At(id)
        {
            let before = core::mem::replace(&mut record.config, config.clone());
            record.direct = direct;
            self.registry.partners.remove(plugin, Runs::At(id), &before);
            self.registry.partners.insert(plugin, Runs::At(id), &config);
            self.announce_local(&config.name, config.version);
            self.plugins_changed(&before);
            self.plugins_changed(&config);
            self.log_withheld(id, plugin, &withheld);
            return Ok(());
        }
        if self.registry.partners.at.count(&Runs::At(id)) >= self.settings.limits.announced {
            let most = self.settings.limits.announced;
            let text = format!("a host may register {most} plugins at most");
            return Err(self.limit_reached(Limit::Announced, text));
        }
        let name = config.name.clone();
        let plugin = self.add_record(config, Runs::At(id), direct)?;
        self.neighbours.settle_name(id, &name);
        self.log_withheld(id, plugin, &withheld);
        self.do_plugin_started(plugin);
        Ok(())
    }

    /// A host's plugins left its process.
    pub(crate) fn host_withdraws(&mut self, id: ConnId, names: &[Name]) {
        for name in names {
            if let Some(plugin) =
                self.registry.names.get(name).copied().filter(|p| self.runs_at(*p, id))
            {
                self.do_plugin_stopped(plugin);
                self.registry.plugins.remove(&plugin);
            }
        }
    }

    /// A host is gone, and its plugins with it: they are over at once, and leave in this turn and
    /// those that follow. Nothing is kept of them: hosts can come and go without end.
    pub(crate) fn host_lost(&mut self, id: ConnId, reason: &Reason) {
        let reason = Reason::server(Code::HostLost, format!("the host ended: {reason}"));
        self.registry.fail_plugins_of(id, &reason);
        self.clear_some_plugins();
    }

    /// Plugins of lost hosts leave, as many as a turn has room for.
    pub(crate) fn clear_some_plugins(&mut self) {
        for _ in 0..CLEARED_PER_TURN {
            let Some(plugin) = self.registry.next_lost() else { return };
            self.clear_plugin(plugin);
        }
    }

    fn runs_at(&self, plugin: PluginId, host: ConnId) -> bool {
        self.registry.plugins.get(&plugin).is_some_and(|record| record.runs == Runs::At(host))
    }

    /// Tells a host of the links that there are, and so that it knows by now all that this server
    /// does.
    pub(crate) fn tell_links(&mut self, id: ConnId) {
        let servers = self.servers().map(|(key, name)| Server { key, name: name.into() });
        let mut servers: Vec<Server> = servers.collect();
        let more = servers.split_off(servers.len().min(LINKED_MAX));
        let told = self.addresses(Scope::Local).filter_map(|endpoint| {
            let address: crate::address::Address = endpoint.to_string().parse().ok()?;
            address.shareable(Scope::Local)
        });
        let addresses = Some(Addresses(told.collect()));
        self.send(id, &Message::Linked(Linked { servers, addresses }));
        for servers in more.chunks(LINKED_MAX) {
            let servers = servers.to_vec();
            self.send(id, &Message::Linked(Linked { servers, addresses: None }));
        }
    }

    /// A plugin of a host wants a link.
    pub(crate) fn host_opens_link(&mut self, id: ConnId, wanted: OpenLink) {
        let OpenLink { plugin: name, address } = wanted;
        let Some(plugin) = self.registry.running(&name).filter(|p| self.runs_at(*p, id)) else {
            return;
        };
        let Err(reason) = self.do_open_link(plugin, &address) else { return };
        let text = format_args!("the plugin {name} wanted a link to {address}: {reason}");
        self.log_about(id, LogKind::RefusedLink, text);
        // The host has judged the address, and told its plugin which key to expect.
        if let Some(key) = crate::broker::neighbours::peer_links::key_of(&address) {
            self.tell_not_linked(plugin, key, reason);
        }
    }

    /// A plugin of a host ends a link.
    pub(crate) fn host_closes_link(&mut self, id: ConnId, wanted: &CloseLink) {
        let plugin = self.registry.running(&wanted.plugin).filter(|p| self.runs_at(*p, id));
        if let Some(plugin) = plugin
            && let Err(reason) = self.do_close_link(plugin, wanted.server)
        {
            log::debug!("the plugin {} closed a link: {reason}", wanted.plugin);
        }
    }
}

/// A host's plugin, as its host describes it.
fn registered(announced: Announced) -> (PluginConfig, Direct) {
    let Announced { name, version, registration, .. } = announced;
    let Registration { peers, mut keys, mut uses, mut invites, allow, socket, net, loopback } =
        registration.unwrap_or_default();
    keys.truncate(KEYS_MAX);
    uses.truncate(PARTNERS_MAX);
    invites.truncate(PARTNERS_MAX);
    let says = |what: &Permission| allow.iter().any(|word| word == what.as_str());
    let config = PluginConfig {
        name,
        version,
        expose: match (peers, keys.is_empty()) {
            (true, _) => Expose::Peers,
            (false, true) => Expose::Local,
            (false, false) => Expose::Keys(keys),
        },
        uses: uses.into_iter().map(|used| (used.name, used.least)).collect(),
        invites,
        allow: Permission::ALL.into_iter().filter(|what| says(what)).collect(),
    };
    (config, Direct { socket, net: net.unwrap_or_default().0, loopback })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Use;
    use alloc::vec;

    #[test]
    fn a_registration_is_kept_as_far_as_its_lists_may_be_long() {
        let name = |n: usize| format!("n{n}").parse::<Name>().expect("a name");
        let registration = Registration {
            keys: vec![Key([1; 32]); 1_800],
            uses: (0..1_000).map(|n| Use { name: name(n), least: 1 }).collect(),
            invites: (0..1_000).map(name).collect(),
            allow: vec!["links".to_string(); 9_000],
            ..Registration::default()
        };
        let announced = Announced::new(name(0), 1);
        let (config, _) = registered(Announced { registration: Some(registration), ..announced });
        let Expose::Keys(keys) = config.expose else { panic!("{:?}", config.expose) };
        let kept = [keys.len(), config.uses.len(), config.invites.len(), config.allow.len()];
        assert_eq!(kept, [64, 64, 64, 1]);
    }
}
