//! How a plugin of this server comes and goes, as far as that concerns more than the registry: what
//! is left of it in calls, channels and timers is over before others are told that it is gone.

use super::call_streams;
use crate::broker::registry::plugins::Runs;
use crate::broker::{Broker, Direct, PluginConfig, PluginId, PluginState, TimerKey};
use crate::name::Name;
use crate::reason::Reason;

impl Broker {
    pub(crate) fn do_add_plugin(&mut self, config: PluginConfig) -> Result<PluginId, Reason> {
        // The new plugin finds in the directory what the others have still to be told.
        self.registry.expand_news(&mut self.effects);
        self.clear_lapsed(&config.name);
        let (name, version) = (config.name.clone(), config.version);
        let plugin = self.registry.add_record(config, Runs::Here, Direct::default())?;
        self.calls.plugin_starts(plugin, name, version);
        Ok(plugin)
    }

    /// A plugin is over: it failed, or was stopped in order.
    pub(crate) fn plugin_over(&mut self, plugin: PluginId, state: PluginState) {
        if let Some(reason) = self.registry.plugin_ends(plugin, state) {
            self.forget_plugin(plugin, &reason);
        }
    }

    /// Forgets what there is of a plugin that is over, but for its record.
    fn forget_plugin(&mut self, plugin: PluginId, reason: &Reason) {
        let Some(runs) = self.registry.plugin(plugin).map(|record| record.runs) else { return };
        let of_plugin = TimerKey::Plugin(plugin, 0)..=TimerKey::Plugin(plugin, u64::MAX);
        self.timers.cancel_range(of_plugin);
        // Calls of a host's plugin are known to its host alone.
        if runs == Runs::Here {
            let effects = &mut self.effects;
            call_streams::plugin_over(&mut self.calls, &mut self.switch, plugin, reason, effects);
        }
        self.switch.abort_all_of(plugin, reason, &mut self.effects);
        self.registry.forget_plugin(plugin, &mut self.effects);
    }

    /// A name is wanted for a new plugin: one that has it and is over leaves now.
    pub(crate) fn clear_lapsed(&mut self, name: &Name) {
        if let Some(lapsed) = self.registry.lapsed(name) {
            self.clear_plugin(lapsed);
        }
    }

    /// The plugin of a lost host leaves now, if it has not yet.
    pub(crate) fn clear_plugin(&mut self, plugin: PluginId) {
        if let Some(PluginState::Failed(reason)) = self.registry.plugin_state(plugin).cloned() {
            self.forget_plugin(plugin, &reason);
            self.registry.remove_record(plugin);
        }
    }
}
