//! Which records are logged: as `RUST_LOG` says, else as the configuration does.

use super::entry::plugin_of;
use log::{Level, LevelFilter, Metadata, Record};
use std::collections::BTreeMap;
use trunkline_core::audit;

/// The levels of a process and of its plugins.
pub(super) struct Levels {
    /// The filter of `RUST_LOG`. If it is set, it alone decides.
    environment: Option<env_logger::Logger>,
    /// The level of all that has none of its own.
    general: LevelFilter,
    plugins: BTreeMap<String, LevelFilter>,
    /// The least important level that any plugin may have. A plugin keeps the level of the process
    /// from when its file was loaded, so this is known before.
    most: LevelFilter,
}

impl Levels {
    /// Those of `RUST_LOG`, or `info`.
    pub(super) fn of_environment() -> Levels {
        let environment = std::env::var("RUST_LOG")
            .ok()
            .map(|filters| env_logger::Builder::new().parse_filters(&filters).build());
        let (general, most) = (LevelFilter::Info, LevelFilter::Off);
        Levels { environment, general, plugins: BTreeMap::new(), most }
    }

    /// Sets the general level, and the least important one that a plugin may have.
    pub(super) fn set(&mut self, general: LevelFilter, most: LevelFilter) {
        (self.general, self.most) = (general, most);
    }

    /// Sets the level of a plugin; without one, it has the general level.
    pub(super) fn set_of(&mut self, plugin: &str, level: Option<LevelFilter>) {
        match level {
            Some(level) => drop(self.plugins.insert(plugin.to_owned(), level)),
            None => drop(self.plugins.remove(plugin)),
        }
    }

    /// The level of a plugin that has this one, or none of its own.
    pub(super) fn or_general(&self, own: Option<LevelFilter>) -> LevelFilter {
        own.unwrap_or(self.general)
    }

    /// The least important level of any record that is logged. The audit is logged at `info`.
    pub(super) fn max(&self) -> LevelFilter {
        match &self.environment {
            Some(filter) => filter.filter(),
            None => self.general.max(self.most).max(LevelFilter::Info),
        }
    }

    /// Whether records of this kind are logged.
    pub(super) fn enable(&self, metadata: &Metadata<'_>) -> bool {
        match &self.environment {
            Some(filter) => log::Log::enabled(filter, metadata),
            None => self.configured(metadata.level(), metadata.target()),
        }
    }

    /// Whether a record is logged.
    pub(super) fn admit(&self, record: &Record<'_>) -> bool {
        match &self.environment {
            Some(filter) => filter.matches(record),
            None => self.configured(record.level(), record.target()),
        }
    }

    /// Whether a line is logged that was printed, or that a plugin's process wrote. That process
    /// has applied the filter of `RUST_LOG` itself, to the targets that it knows.
    pub(super) fn admit_line(&self, level: Level, target: &str) -> bool {
        self.environment.is_some() || self.configured(level, target)
    }

    fn configured(&self, level: Level, target: &str) -> bool {
        let own = plugin_of(target).and_then(|plugin| self.plugins.get(plugin));
        level <= *own.unwrap_or(&self.general) || target == audit::TARGET
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(environment: Option<&str>) -> Levels {
        let environment =
            environment.map(|text| env_logger::Builder::new().parse_filters(text).build());
        let mut levels = Levels { environment, ..Levels::of_environment() };
        levels.set(LevelFilter::Warn, LevelFilter::Trace);
        levels.set_of("echo", Some(LevelFilter::Debug));
        levels.set_of("quiet", Some(LevelFilter::Off));
        levels
    }

    fn most(levels: &Levels, target: &str) -> Option<Level> {
        let metadata = |level| Metadata::builder().level(level).target(target).build();
        Level::iter().filter(|level| levels.enable(&metadata(*level))).max()
    }

    #[test]
    fn a_plugin_has_its_own_level_and_all_others_the_general_one() {
        let levels = levels(None);
        for (target, expected) in [
            ("trunkline::serve", Some(Level::Warn)),
            ("plugin::echo", Some(Level::Debug)),
            ("host::echo", Some(Level::Debug)),
            ("plugin::echo-two", Some(Level::Warn)),
            ("plugin::quiet", None),
            ("printed", Some(Level::Warn)),
        ] {
            assert_eq!(most(&levels, target), expected, "{target}");
        }
        assert_eq!(levels.max(), LevelFilter::Trace);
    }

    #[test]
    fn no_level_of_a_configuration_silences_the_audit() {
        let mut levels = levels(None);
        levels.set(LevelFilter::Off, LevelFilter::Off);
        assert!(most(&levels, audit::TARGET) >= Some(Level::Info));
        assert_eq!(levels.max(), LevelFilter::Info, "it is not stopped before");
    }

    #[test]
    fn the_environment_decides_alone() {
        let levels = levels(Some("error,plugin::echo=info"));
        for (target, expected) in [
            ("plugin::echo", Some(Level::Info)),
            ("plugin::quiet", Some(Level::Error)),
            ("trunkline::serve", Some(Level::Error)),
            (audit::TARGET, Some(Level::Error)),
        ] {
            assert_eq!(most(&levels, target), expected, "{target}");
        }
        assert_eq!(levels.max(), LevelFilter::Info);
        assert!(levels.admit_line(Level::Trace, "host::echo"), "its process has filtered");
    }
}
