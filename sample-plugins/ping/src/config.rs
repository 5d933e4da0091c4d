//! The settings in `[plugin.config]`, with defaults for all of them.

use trunkline_plugin::Reason;
use trunkline_plugin::serde::Deserialize;

use crate::run::Plan;

/// The largest message: more than any channel takes at once, yet little memory.
const LARGEST_MESSAGE: u64 = 1 << 20;

/// The most round trips of a run. Their times take 8 bytes each until it is over.
const MOST_ROUND_TRIPS: u64 = 1_000_000;

/// The most MiB of a run: 1 TiB.
const MOST_BULK: u64 = 1 << 20;

/// The whole configuration.
#[derive(Debug, Deserialize)]
#[serde(crate = "trunkline_plugin::serde", rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// The plugin to measure.
    pub(crate) to: String,
    /// The key or name of the only server to measure; default: every server that has the plugin.
    pub(crate) server: Option<String>,
    /// Bytes in a message.
    size: u64,
    /// Round trips in a run.
    count: u64,
    /// Milliseconds from the beginning of a run to that of the next; 0: one run only.
    pub(crate) every_ms: u64,
    /// MiB that are sent there and back after the round trips.
    bulk_mib: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { to: "echo".into(), server: None, size: 64, count: 1000, every_ms: 0, bulk_mib: 64 }
    }
}

impl Settings {
    /// What each run does.
    ///
    /// # Errors
    ///
    /// `bad-config`, with the key whose number is out of range.
    pub(crate) fn plan(&self) -> Result<Plan, Reason> {
        in_range("size", self.size, 1, LARGEST_MESSAGE)?;
        in_range("count", self.count, 1, MOST_ROUND_TRIPS)?;
        in_range("bulk-mib", self.bulk_mib, 0, MOST_BULK)?;
        Ok(Plan { size: self.size, count: self.count, bulk: self.bulk_mib << 20 })
    }
}

fn in_range(key: &str, number: u64, least: u64, most: u64) -> Result<(), Reason> {
    if (least..=most).contains(&number) {
        return Ok(());
    }
    let text = format!("plugin.config.{key}: {number} is not between {least} and {most}");
    Err(Reason::new("bad-config", text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_plugin::Config;

    fn plan(json: &str) -> Result<Plan, String> {
        let settings = Config::from_json(json).read::<Settings>();
        settings.and_then(|s| s.plan()).map_err(|reason| reason.text().to_owned())
    }

    #[test]
    fn everything_has_a_default() {
        let expected = Plan { size: 64, count: 1000, bulk: 64 << 20 };
        assert_eq!(plan("{}"), Ok(expected));
        let settings = Settings::default();
        assert_eq!((settings.to.as_str(), settings.every_ms), ("echo", 0));
    }

    #[test]
    fn an_error_names_the_key_and_the_value() {
        for (json, expected) in [
            (r#"{"sise": 1}"#, "unknown field `sise`"),
            (r#"{"size": 0}"#, "plugin.config.size: 0 is not between 1 and 1048576"),
            (r#"{"count": 1000001}"#, "plugin.config.count: 1000001 is not between"),
            (r#"{"bulk-mib": 9999999}"#, "plugin.config.bulk-mib: 9999999 is not between"),
            (r#"{"every-ms": -1}"#, "plugin.config.every-ms: invalid value"),
        ] {
            let said = plan(json).unwrap_err();
            assert!(said.contains(expected), "{json}: expected {expected:?} in {said:?}");
        }
    }
}
