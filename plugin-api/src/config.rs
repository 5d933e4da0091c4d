//! A plugin's own part of the configuration.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::{By, Reason};

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
    /// The folder of the file that says it, if that is known.
    folder: Option<PathBuf>,
}

impl Config {
    /// A configuration from JSON text. Hosts use it, and so may the tests of a plugin.
    #[must_use]
    pub fn from_json(json: impl Into<String>) -> Self {
        Self { json: json.into(), folder: None }
    }

    /// The same configuration, in a file of this folder.
    #[must_use]
    pub fn in_folder(self, folder: impl Into<PathBuf>) -> Self {
        Self { folder: Some(folder.into()), ..self }
    }

    /// A path that the configuration says: relative paths are relative to the folder of the
    /// configuration file, as all others in it.
    ///
    /// ```
    /// # use trunkline_plugin::Config;
    /// let config = Config::from_json("{}").in_folder("/etc/trunkline");
    /// assert_eq!(config.path("words.txt")?.to_str(), Some("/etc/trunkline/words.txt"));
    /// assert_eq!(config.path("/srv/words.txt")?.to_str(), Some("/srv/words.txt"));
    /// # Ok::<(), trunkline_plugin::Reason>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `not-supported` for a relative path if the folder is not known: from a server whose API is
    /// older than 1.3, and without [`in_folder`](Self::in_folder) in a test.
    pub fn path(&self, path: impl AsRef<Path>) -> Result<PathBuf, Reason> {
        let path = path.as_ref();
        match &self.folder {
            Some(folder) => Ok(folder.join(path)),
            None if path.is_absolute() => Ok(path.to_owned()),
            None => Err(Reason::received(
                By::Server,
                "not-supported",
                &format!(
                    "{}: this server's plugin API is older than 1.3 and does not say where its \
                     configuration file is; use an absolute path",
                    path.display()
                ),
            )),
        }
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
    fn a_relative_path_needs_the_folder_of_the_file() {
        let (unknown, known) = (Config::from_json(""), Config::from_json("").in_folder("/a"));
        assert_eq!(known.path("b/c"), Ok("/a/b/c".into()));
        for config in [&unknown, &known] {
            assert_eq!(config.path("/b"), Ok("/b".into()));
        }
        let refused = unknown.path("b/c").unwrap_err();
        assert_eq!((refused.by(), refused.code()), (By::Server, "not-supported"));
        assert!(refused.text().starts_with("b/c: "), "{refused}");
    }

    #[test]
    fn no_configuration_is_an_empty_one() {
        for nothing in ["", "null", "{}"] {
            assert_eq!(Config::from_json(nothing).read::<Ports>(), Ok(Ports::new()));
        }
    }
}
