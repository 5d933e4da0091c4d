//! The settings in `[plugin.config]`. Reading them opens nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use trunkline_plugin::serde::Deserialize;

use crate::greeting::Service;

/// The whole configuration. Without it, nothing is served.
#[derive(Debug, Default, Deserialize)]
#[serde(crate = "trunkline_plugin::serde", deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// The services that peers may reach through this plugin, with their addresses.
    pub(crate) serve: BTreeMap<Service, Endpoint>,
    /// Where to listen.
    pub(crate) listen: Vec<Listen>,
}

/// An address on which connections are accepted, and where they are forwarded.
#[derive(Debug, Deserialize)]
#[serde(crate = "trunkline_plugin::serde", deny_unknown_fields)]
pub(crate) struct Listen {
    /// Where to listen.
    pub(crate) address: Endpoint,
    /// The service that a peer's `forward` serves.
    pub(crate) to: Service,
    /// The key or name of that peer's server; without it, any server that serves it.
    pub(crate) server: Option<String>,
}

/// An IP address and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(crate = "trunkline_plugin::serde", try_from = "String")]
pub(crate) struct Endpoint(pub(crate) SocketAddr);

impl TryFrom<String> for Endpoint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| {
            format!(
                "{text:?} is not an IP address with a port, such as 127.0.0.1:8000 or [::1]:8000; \
                 names are not looked up, because that would block the server"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_plugin::Config;

    fn read(json: &str) -> Result<Settings, String> {
        Config::from_json(json).read().map_err(|reason| reason.text().to_owned())
    }

    #[test]
    fn the_documented_example_is_valid() {
        let settings = read(
            r#"{"serve": {"web": "127.0.0.1:8000"},
                "listen": [{"address": "127.0.0.1:9000", "to": "web", "server": "beta"},
                           {"address": "[::1]:0", "to": "web"}]}"#,
        )
        .unwrap();
        let served: Vec<_> = settings.serve.iter().map(|(s, e)| (s.to_string(), e.0)).collect();
        assert_eq!(served, [("web".to_owned(), "127.0.0.1:8000".parse().unwrap())]);
        assert_eq!(settings.listen[0].server.as_deref(), Some("beta"));
        assert_eq!(settings.listen[1].server, None);
        assert!(read("{}").unwrap().listen.is_empty());
    }

    #[test]
    fn an_error_names_the_key_and_the_value() {
        for (json, expected) in [
            (r#"{"serve": {"web": "localhost:80"}}"#, "is not an IP address with a port"),
            (r#"{"serve": {"": "127.0.0.1:80"}}"#, "1 to 255 bytes"),
            (r#"{"listen": [{"address": "127.0.0.1:1"}]}"#, "missing field `to`"),
            (r#"{"listen": [], "port": 1}"#, "unknown field `port`"),
            (r#"{"listen": [{"address": "127.0.0.1:1", "to": "a", "x": 1}]}"#, "unknown field `x`"),
        ] {
            let said = read(json).unwrap_err();
            assert!(said.contains(expected), "{json}: expected {expected:?} in {said:?}");
        }
    }
}
