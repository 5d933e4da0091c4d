//! A plugin's own part of the configuration.

use serde::de::DeserializeOwned;

use crate::Reason;

/// What the server's configuration says under `[plugin.config]`.
///
/// ```
/// use trunkline_plugin::{Config, serde::Deserialize};
///
/// #[derive(Deserialize)]
/// #[serde(crate = "trunkline_plugin::serde", rename_all = "kebab-case", deny_unknown_fields)]
/// struct Settings {
///     every_ms: u64,
/// }
///
/// let settings: Settings = Config::from_json(r#"{"every-ms": 250}"#).read()?;
/// assert_eq!(settings.every_ms, 250);
/// # Ok::<(), trunkline_plugin::Reason>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    json: String,
}

impl Config {
    /// A configuration from JSON text. Hosts use it, and so may the tests of a plugin.
    #[must_use]
    pub fn from_json(json: impl Into<String>) -> Self {
        Self { json: json.into() }
    }

    /// Reads the whole configuration into one type. A missing `[plugin.config]` reads as an empty
    /// table.
    ///
    /// # Errors
    ///
    /// The reason `bad-config`, with a text that names the key and what is wrong with it.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Reason> {
        let json = match self.json.trim() {
            "" | "null" => "{}",
            json => json,
        };
        let reader = &mut serde_json::Deserializer::from_str(json);
        serde_path_to_error::deserialize(reader).map_err(|error| refusal(&error))
    }
}

/// The reason for a read error, without its position in the JSON text, because no user wrote that
/// text.
fn refusal(error: &serde_path_to_error::Error<serde_json::Error>) -> Reason {
    let what = error.inner().to_string();
    let what = what.split(" at line ").next().unwrap_or(&what);
    match error.path().to_string().as_str() {
        "." => Reason::new("bad-config", format!("plugin.config: {what}")),
        path => Reason::new("bad-config", format!("plugin.config.{path}: {what}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    type Ports = BTreeMap<String, Vec<u16>>;

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let config = Config::from_json(r#"{"web": [80, "x"]}"#);
        let reason = config.read::<Ports>().unwrap_err();
        assert_eq!(reason.code(), "bad-config");
        let expected = "plugin.config.web[1]: invalid type: string \"x\", expected u16";
        assert_eq!(reason.text(), expected);
    }

    #[test]
    fn no_configuration_is_an_empty_one() {
        for nothing in ["", "null", "{}"] {
            assert_eq!(Config::from_json(nothing).read::<Ports>(), Ok(Ports::new()));
        }
    }
}
