//! The plugins of this server: their records, and what they ask for beside channels.

use crate::address::Shareable;
use crate::broker::{Broker, ConnId, PluginId, TimerKey};
use crate::control::SocketName;
use crate::directory::{Entry, Wanted};
use crate::key::Key;
use crate::name::{Name, Version};
use crate::reason::{Code, Reason};
use crate::rights::{Expose, Permission};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// What the broker has to know of a plugin.
#[derive(Clone, Debug)]
pub struct PluginConfig {
    /// The plugin's name, built in or configured.
    pub name: Name,
    /// Its version.
    pub version: Version,
    /// Who may see it.
    pub expose: Expose,
    /// The plugins that it opens channels to, each with the least version that will do.
    pub uses: Vec<(Name, Version)>,
    /// The names of plugins that should connect to it.
    pub invites: Vec<Name>,
    /// What it may do beyond the default.
    pub allow: Vec<Permission>,
}

impl PluginConfig {
    /// A plugin that only its own server sees, that needs nobody and may do nothing special.
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
    /// The least version that will do.
    pub least: Version,
    /// The key or the name of the server where it shall be; `None` for any.
    pub server: Option<String>,
}

impl Broker {
    /// What the plugin is doing.
    pub fn plugin_state(&self, plugin: PluginId) -> Option<&PluginState> {
        self.registry.plugin_state(plugin)
    }

    /// Whether the plugin may still be told anything.
    pub fn is_live(&self, plugin: PluginId) -> bool {
        self.registry.is_live(plugin)
    }

    /// Every plugin that the directory knows.
    pub fn directory(&self) -> impl Iterator<Item = Entry> + '_ {
        self.registry.directory.entries()
    }

    /// Adds a plugin that is about to start. A name that is taken is refused.
    pub fn add_plugin(&mut self, config: PluginConfig) -> Result<PluginId, Reason> {
        // The new plugin finds in the directory what the others have still to be told.
        self.expand_news();
        let added = self.add_record(config, Runs::Here, Direct::default());
        self.settle();
        added
    }

    pub(crate) fn add_record(
        &mut self,
        config: PluginConfig,
        runs: Runs,
        direct: Direct,
    ) -> Result<PluginId, Reason> {
        if let Some(holder) = self.registry.names.get(&config.name).copied() {
            if self.registry.is_live(holder) {
                let text =
                    format!("the name {} is taken by {}", config.name, self.whereabouts(holder));
                return Err(Reason::server(Code::NameTaken, text));
            }
            self.clear_plugin(holder);
        }
        let id = self.registry.number(runs);
        self.registry.names.insert(config.name.clone(), id);
        self.registry.partners.insert(id, runs, &config);
        let state = PluginState::Starting;
        let record =
            PluginRecord { config, runs, direct, state, asks_too_much: false, next_timer: 0 };
        self.registry.plugins.insert(id, record);
        self.weigh_calls(id);
        Ok(id)
    }

    /// Where a plugin runs, for people.
    fn whereabouts(&self, plugin: PluginId) -> String {
        match self.registry.plugins.get(&plugin).map(|record| record.runs) {
            Some(Runs::At(host)) => {
                let label = self.neighbours.conn(host).map(|conn| conn.label());
                format!("a plugin of the host {}", label.unwrap_or_default())
            }
            _ => "a plugin of this server".into(),
        }
    }

    pub(crate) fn do_plugin_started(&mut self, plugin: PluginId) {
        if let Some(record) = self.registry.plugins.get_mut(&plugin)
            && record.state == PluginState::Starting
        {
            record.state = PluginState::Running;
            let config = record.config.clone();
            self.weigh_calls(plugin);
            self.announce_local(&config.name, config.version);
            self.plugins_changed(&config);
        }
    }

    pub(crate) fn do_uses(
        &mut self,
        plugin: PluginId,
        name: Name,
        least: Version,
    ) -> Result<(), Reason> {
        let Some(record) = self.registry.plugins.get_mut(&plugin) else { return Ok(()) };
        add_partner(&mut record.config.uses, (name, least))?;
        self.partners_changed(plugin);
        Ok(())
    }

    pub(crate) fn do_invites(&mut self, plugin: PluginId, name: Name) -> Result<(), Reason> {
        let Some(record) = self.registry.plugins.get_mut(&plugin) else { return Ok(()) };
        add_partner(&mut record.config.invites, name)?;
        self.partners_changed(plugin);
        Ok(())
    }

    /// What a plugin of this process wants has changed.
    fn partners_changed(&mut self, plugin: PluginId) {
        let Some(record) = self.registry.plugins.get(&plugin) else { return };
        let (config, runs) = (record.config.clone(), record.runs);
        let running = record.state == PluginState::Running;
        if self.registry.is_live(plugin) {
            self.registry.partners.insert(plugin, runs, &config);
        }
        if running {
            self.announce_local(&config.name, config.version);
        }
        self.plugins_changed(&config);
    }

    /// A plugin of this server, or what it wants, has changed.
    pub(crate) fn plugins_changed(&mut self, config: &PluginConfig) {
        self.update_links_of(config);
        self.wake_peers();
    }

    pub(crate) fn do_set_direct(&mut self, plugin: PluginId, direct: Direct) {
        let is_host = self.is_host();
        let Some(record) = self.registry.plugins.get_mut(&plugin) else { return };
        record.direct = direct;
        if record.state == PluginState::Running && is_host {
            let name = record.config.name.clone();
            self.registry.announcements.set_own(&name);
        }
    }

    pub(crate) fn do_plugin_failed(&mut self, plugin: PluginId, text: &str) {
        let reason = Reason::server(Code::PluginFailed, text);
        self.plugin_over(plugin, PluginState::Failed(reason.clone()), &reason);
    }

    pub(crate) fn do_plugin_stopped(&mut self, plugin: PluginId) {
        let reason = Reason::server(Code::PluginStopped, "the plugin was stopped");
        self.plugin_over(plugin, PluginState::Stopped, &reason);
    }

    pub(crate) fn plugin_over(&mut self, plugin: PluginId, state: PluginState, reason: &Reason) {
        let Some(record) = self.registry.plugins.get_mut(&plugin) else { return };
        if matches!(record.state, PluginState::Stopped | PluginState::Failed(_)) {
            return;
        }
        record.state = state;
        self.forget_plugin(plugin, reason);
    }

    /// Forgets what there is of a plugin that is over, but for its record.
    fn forget_plugin(&mut self, plugin: PluginId, reason: &Reason) {
        let Some(record) = self.registry.plugins.get(&plugin) else { return };
        let (config, runs) = (record.config.clone(), record.runs);
        self.registry.partners.remove(plugin, runs, &config);
        self.registry.names.remove(&config.name);
        let of_plugin = TimerKey::Plugin(plugin, 0)..=TimerKey::Plugin(plugin, u64::MAX);
        self.timers.cancel_range(of_plugin);
        // Calls of a host's plugin are known to its host alone.
        if runs == Runs::Here {
            self.plugin_calls_over(plugin, reason);
        }
        self.switch.abort_all_of(plugin, reason, &mut self.effects);
        self.withdraw_local(&config.name);
        self.guest_over(&config.name);
        self.plugins_changed(&config);
    }

    /// The plugin of a lost host leaves now, if it has not yet.
    pub(crate) fn clear_plugin(&mut self, plugin: PluginId) {
        if let Some(PluginState::Failed(reason)) = self.registry.plugin_state(plugin).cloned() {
            self.forget_plugin(plugin, &reason);
            self.registry.plugins.remove(&plugin);
        }
    }

    /// Sets a timer of a plugin; it fires once, `after` from now.
    pub fn set_timer(&mut self, plugin: PluginId, after: Duration) -> u64 {
        let Some(record) = self.registry.plugins.get_mut(&plugin) else { return 0 };
        let timer = record.next_timer;
        record.next_timer += 1;
        self.timers.set(TimerKey::Plugin(plugin, timer), self.now.saturating_add(after));
        timer
    }

    /// Cancels a timer of a plugin. One that has fired is no error.
    pub fn cancel_timer(&mut self, plugin: PluginId, timer: u64) {
        self.timers.cancel(TimerKey::Plugin(plugin, timer));
    }

    /// Where a plugin wants its channel: the server that it names by key or by name.
    pub(crate) fn wanted(&self, server: Option<&str>) -> Result<Wanted, Reason> {
        let Some(text) = server else { return Ok(Wanted::Anywhere) };
        if text == self.neighbours.home_name() {
            return Ok(Wanted::At(self.neighbours.home_key()));
        }
        if let Ok(key) = text.parse::<Key>() {
            return Ok(Wanted::At(key));
        }
        let mut named = self.registry.partners.servers.of(text);
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
