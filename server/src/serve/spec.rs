//! What a server sends to a host that it starts: its plugin and its limits.

use crate::config::{Placement, PluginConfig, Required, Restart};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use trunkline_core::limits::Limits;
use trunkline_core::name::Name;

/// The configuration of a host that a server starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Spec {
    /// The host's name, for people.
    pub(super) name: String,
    /// The file that names the plugin, for messages.
    pub(super) file: PathBuf,
    /// The folder of its socket for the command line.
    pub(super) state: PathBuf,
    pub(super) plugin: PluginConfig,
    pub(super) limits: Limits,
}

impl Spec {
    /// The spec of a plugin's host. The host runs the plugin inline, and exits without it. Only the
    /// server restarts it.
    pub(super) fn of(
        plugin: PluginConfig,
        name: &Name,
        file: &Path,
        state: &Path,
        limits: &Limits,
    ) -> Spec {
        let (placement, restart) = (Placement::Inline, Restart::Never);
        Spec {
            name: name.to_string(),
            file: file.into(),
            state: state.into(),
            plugin: PluginConfig { placement, restart, required: Required::Yes, ..plugin },
            limits: limits.clone(),
        }
    }

    /// The spec as JSON text.
    pub(super) fn to_json(&self) -> Result<Vec<u8>, String> {
        serde_json::to_vec(self).map_err(|error| error.to_string())
    }

    /// Parses the text of [`to_json`](Self::to_json).
    pub(super) fn from_json(text: &[u8]) -> Result<Spec, String> {
        serde_json::from_slice(text).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::{Advertise, Blocked, Confine, Expose, Network, Permission, Writable};
    use std::time::Duration;
    use trunkline_core::key::Key;

    /// A plugin with all that it may have.
    pub(in crate::serve) fn plugin() -> PluginConfig {
        PluginConfig {
            path: "/x/libecho.so".into(),
            name: Some("mine".parse().unwrap()),
            config_json: "{\"a\":1}".into(),
            required: Required::No,
            sha256: Some([7; 32]),
            expose: Expose::Keys(vec![Key([3; 32])]),
            allow: vec![Permission::Links],
            placement: Placement::Process,
            restart: Restart::OnFailure,
            blocked: Blocked::End,
            advertise: vec![
                Advertise::Unix,
                Advertise::Net { host: "0.0.0.0".parse().unwrap(), port: 7 },
            ],
            log: Some(log::LevelFilter::Debug),
            confine: Some(Confine {
                read: vec!["/usr/share/x".into()],
                write: vec![Writable::Data, Writable::Path("/var/x".into())],
                network: Network::Loopback,
                memory_mib: Some(256),
                processes: 2,
                open_files: Some(64),
                cpu_percent: Some(50),
                user: Some("kv".into()),
                best_effort: true,
                line: 14,
            }),
            line: 12,
        }
    }

    fn spec() -> Spec {
        let limits = Limits { heartbeat: Duration::from_millis(77), ..Limits::default() };
        let (file, state) = (Path::new("/x/a.toml"), Path::new("/x/a.state"));
        Spec::of(plugin(), &"alpha".parse().unwrap(), file, state, &limits)
    }

    #[test]
    fn a_spec_is_the_same_after_a_round_trip_through_json() {
        let spec = spec();
        assert_eq!(Spec::from_json(&spec.to_json().unwrap()).unwrap(), spec);
    }

    #[test]
    fn a_host_runs_its_plugin_inline_and_does_not_restart_it() {
        let PluginConfig { placement, restart, required, .. } = spec().plugin;
        let expected = (Placement::Inline, Restart::Never, Required::Yes);
        assert_eq!((placement, restart, required), expected);
    }
}
