//! The plugins of this server: their records, and what they ask for beside channels.

use super::Registry;
use crate::address::Shareable;
use crate::broker::effect::Effects;
use crate::control::SocketName;
use crate::directory::Wanted;
use crate::ids::{ConnId, PluginId};
use crate::key::Key;
use crate::name::{Name, Version};
use crate::reason::{Code, Reason};
use crate::rights::{Expose, Permission};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// What the broker has to know of a plugin.
#[derive(Clone, Debug)]
pub struct PluginConfig {
    /// The plugin's name, built in or configured.
    pub name: Name,
    /// Its version.
    pub version: Version,
    /// The servers that may see it.
    pub expose: Expose,
    /// The plugins that it opens channels to, each with the least version that suffices.
    pub uses: Vec<(Name, Version)>,
    /// The names of plugins that should connect to it.
    pub invites: Vec<Name>,
    /// What it may do beyond the default.
    pub allow: Vec<Permission>,
}

impl PluginConfig {
    /// A plugin that only its own server sees, that needs no other and may do nothing special.
    pub fn new(name: Name, version: Version) -> PluginConfig {
        let (uses, invites, allow) = (Vec::new(), Vec::new(), Vec::new());
        PluginConfig { name, version, expose: Expose::Local, uses, invites, allow }
    }
}

/// Names that a plugin may use, and as many that it may invite: what it says while it runs must
/// not grow without end.
pub(crate) const PARTNERS_MAX: usize = 64;

/// What a plugin is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginState {
    /// It was added and has not started.
    Starting,
    /// It runs.
    Running,
    /// It was stopped in order.
    Stopped,
    /// It panicked, misused its host or did not start.
    Failed(Reason),
}

#[derive(Debug)]
pub(crate) struct PluginRecord {
    pub(crate) config: PluginConfig,
    pub(crate) runs: Runs,
    /// How its process can be reached directly.
    pub(crate) direct: Direct,
    pub(crate) state: PluginState,
    /// Its host asked for more than it is granted, and the log says so.
    pub(crate) asks_too_much: bool,
    next_timer: u64,
}

/// In which process a plugin of this server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Runs {
    /// In this one.
    Here,
    /// In that of a host.
    At(ConnId),
}

/// Where a process takes direct connections for a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Direct {
    /// A unix socket, for processes of this machine.
    pub socket: Option<SocketName>,
    /// TCP addresses.
    pub net: Vec<Shareable>,
    /// A TCP port on loopback, for processes of this server on its machine.
    pub loopback: Option<u16>,
}

/// Which plugin a channel is wanted to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub name: Name,
    /// The least version that suffices.
    pub least: Version,
    /// The key or the name of the server where it shall be; `None` for any.
    pub server: Option<String>,
}

impl Registry {
    /// A plugin that has a name, and is over: it has to be forgotten before its name is given to
    /// another one.
    pub(crate) fn lapsed(&self, name: &Name) -> Option<PluginId> {
        self.names.get(name).copied().filter(|holder| !self.is_live(*holder))
    }

    /// Adds a plugin that is about to start. A name that is taken is refused.
    pub(crate) fn add_record(
        &mut self,
        config: PluginConfig,
        runs: Runs,
        direct: Direct,
    ) -> Result<PluginId, Reason> {
        if let Some(holder) = self.names.get(&config.name).copied() {
            let text = format!("the name {} is taken by {}", config.name, self.whereabouts(holder));
            return Err(Reason::server(Code::NameTaken, text));
        }
        let id = self.number(runs);
        self.names.insert(config.name.clone(), id);
        self.partners.insert(id, runs, &config);
        let state = PluginState::Starting;
        let record =
            PluginRecord { config, runs, direct, state, asks_too_much: false, next_timer: 0 };
        self.plugins.insert(id, record);
        Ok(id)
    }

    /// Where a plugin runs, for people.
    fn whereabouts(&self, plugin: PluginId) -> String {
        match self.plugins.get(&plugin).map(|record| record.runs) {
            Some(Runs::At(host)) => {
                let label = self.hosts.get(&host).map(|host| host.label.as_str());
                format!("a plugin of the host {}", label.unwrap_or_default())
            }
            _ => "a plugin of this server".into(),
        }
    }

    /// The plugin runs.
    pub(crate) fn plugin_started(&mut self, plugin: PluginId, effects: &mut Effects) {
        if let Some(record) = self.plugins.get_mut(&plugin)
            && record.state == PluginState::Starting
        {
            record.state = PluginState::Running;
            let config = record.config.clone();
            self.announce_local(&config.name, config.version, effects);
            self.plugins_changed(&config);
        }
    }

    /// A plugin says that it opens channels to plugins of a name.
    pub(crate) fn uses(
        &mut self,
        plugin: PluginId,
        name: Name,
        least: Version,
        effects: &mut Effects,
    ) -> Result<(), Reason> {
        let Some(record) = self.plugins.get_mut(&plugin) else { return Ok(()) };
        add_partner(&mut record.config.uses, (name, least))?;
        self.partners_changed(plugin, effects);
        Ok(())
    }

    /// A plugin says that plugins of a name should connect to it.
    pub(crate) fn invites(
        &mut self,
        plugin: PluginId,
        name: Name,
        effects: &mut Effects,
    ) -> Result<(), Reason> {
        let Some(record) = self.plugins.get_mut(&plugin) else { return Ok(()) };
        add_partner(&mut record.config.invites, name)?;
        self.partners_changed(plugin, effects);
        Ok(())
    }

    /// What a plugin of this process wants has changed.
    fn partners_changed(&mut self, plugin: PluginId, effects: &mut Effects) {
        let Some(record) = self.plugins.get(&plugin) else { return };
        let (config, runs) = (record.config.clone(), record.runs);
        let running = record.state == PluginState::Running;
        if self.is_live(plugin) {
            self.partners.insert(plugin, runs, &config);
        }
        if running {
            self.announce_local(&config.name, config.version, effects);
        }
        self.plugins_changed(&config);
    }

    /// Where this process takes direct connections for a plugin.
    pub(crate) fn set_direct(&mut self, plugin: PluginId, direct: Direct) {
        let Some(record) = self.plugins.get_mut(&plugin) else { return };
        record.direct = direct;
        if record.state == PluginState::Running && self.is_host {
            let name = record.config.name.clone();
            self.announcements.set_own(&name);
        }
    }

    /// A plugin is over, unless it was before: why its channels end.
    #[must_use]
    pub(crate) fn plugin_ends(&mut self, plugin: PluginId, state: PluginState) -> Option<Reason> {
        if !self.is_live(plugin) {
            return None;
        }
        let reason = match &state {
            PluginState::Failed(reason) => reason.clone(),
            _ => Reason::server(Code::PluginStopped, "the plugin was stopped"),
        };
        self.plugins.get_mut(&plugin)?.state = state;
        Some(reason)
    }

    /// Forgets what there is of a plugin that is over, but for its record.
    pub(crate) fn forget_plugin(&mut self, plugin: PluginId, effects: &mut Effects) {
        let Some(record) = self.plugins.get(&plugin) else { return };
        let (config, runs) = (record.config.clone(), record.runs);
        self.partners.remove(plugin, runs, &config);
        self.names.remove(&config.name);
        self.withdraw_local(&config.name, effects);
        self.guest_over(&config.name);
        self.plugins_changed(&config);
    }

    /// Forgets the last word of a plugin as well.
    pub(crate) fn remove_record(&mut self, plugin: PluginId) {
        self.plugins.remove(&plugin);
    }

    /// The number of a new timer of a plugin.
    pub(crate) fn next_timer(&mut self, plugin: PluginId) -> Option<u64> {
        let record = self.plugins.get_mut(&plugin)?;
        let timer = record.next_timer;
        record.next_timer += 1;
        Some(timer)
    }

    /// Where a plugin wants its channel: the server that it names by key or by name. `home` is the
    /// server of this process.
    pub(crate) fn wanted(&self, server: Option<&str>, home: (Key, &str)) -> Result<Wanted, Reason> {
        let Some(text) = server else { return Ok(Wanted::Anywhere) };
        if text == home.1 {
            return Ok(Wanted::At(home.0));
        }
        if let Ok(key) = text.parse::<Key>() {
            return Ok(Wanted::At(key));
        }
        let mut named = self.partners.servers.of(text);
        let unknown = |text: String| Err(Reason::server(Code::UnknownServer, text));
        match (named.next(), named.count()) {
            (Some(key), 0) => Ok(Wanted::At(*key)),
            (None, _) => unknown(format!("no server named {text} is linked")),
            (Some(_), others) => {
                unknown(format!("{} servers are named {text}, use the key", others + 1))
            }
        }
    }
}

fn add_partner<T: PartialEq>(partners: &mut Vec<T>, partner: T) -> Result<(), Reason> {
    if partners.contains(&partner) {
        return Ok(());
    }
    if partners.len() >= PARTNERS_MAX {
        let text = format!("a plugin may name {PARTNERS_MAX} others at most");
        return Err(Reason::server(Code::LimitReached, text));
    }
    partners.push(partner);
    Ok(())
}
