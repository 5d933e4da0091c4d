//! What an event loop starts with: the setup of a server, of a host, or of a host on a thread.

use super::host_socket;
use super::lineage::Lineage;
use super::machine;
use super::plugin_folders::Data;
use super::socket::{SocketFileName, Stream};
use super::spec::Spec;
use super::state_folder::StateFolder;
use crate::config::{self, Config, HostConfig, PeerRole, PluginConfig};
use crate::key::SecretKey;
use crate::loader::{Image, LoadError};
use rustix::process::getpid;
use std::path::{Path, PathBuf};
use trunkline_core::address::{Endpoint, Transform};
use trunkline_core::broker::{
    Accept, ChildConfig, Keep, Names, PeerConfig, Placement, Rights, Settings,
};
use trunkline_core::control::Role;
use trunkline_core::key::{Key, NETWORK};
use trunkline_core::limits::Limits;
use trunkline_core::name::Name;
use trunkline_shs::Identity;

/// The socket of a host for the command line, in the state folder.
pub(crate) const HOST_SOCKET: &str = "host.sock";

/// Whether a loop handles the signals of its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignalHandling {
    Enabled,
    Disabled,
}

/// What a loop starts with.
pub(super) struct Setup {
    pub(super) settings: Settings,
    /// The file that names the plugins, for messages.
    pub(super) file: PathBuf,
    /// The state folder of this server, or of the server of this host; `None` if that server may be
    /// on another machine.
    pub(super) state: Option<PathBuf>,
    /// The state folder of this process, in which its plugins have their data folders.
    pub(super) own_state: Option<StateFolder>,
    pub(super) plugins: Vec<PluginConfig>,
    pub(super) listen: Vec<Endpoint>,
    /// The socket of a host for its own status. It starts also if this one cannot be opened.
    pub(super) own_status: Option<(Endpoint, SocketFileName)>,
    pub(super) announce: Vec<Endpoint>,
    pub(super) peers: Vec<PeerConfig>,
    /// The connection to its server that a host was started with.
    pub(super) uplink: Option<Stream>,
    pub(super) signals: SignalHandling,
    /// The server whose plugins may be no peers of this process, except over their own links.
    pub(super) lineage: Lineage,
    /// What a confined process has of its plugin's.
    pub(super) confined: Option<Confined>,
}

/// What a process has opened and made for its plugin before it was confined.
pub(super) struct Confined {
    pub(super) image: Result<Image, LoadError>,
    pub(super) data: Data,
}

impl Setup {
    /// The setup of a server.
    pub(super) fn server(config: &Config, secret: &SecretKey) -> Result<Setup, String> {
        let own_state = Some(StateFolder::make(&config.state)?);
        let settings = settings(&config.name, secret.identity(), config.network, &config.limits);
        Ok(Setup {
            settings: Settings { accept: config.accept, ..settings },
            file: config.file.clone(),
            state: Some(config.state.clone()),
            own_state,
            plugins: config.plugins.clone(),
            listen: config.listen.clone(),
            own_status: None,
            announce: config.announce.clone(),
            peers: config.peers.iter().map(peer).collect(),
            uplink: None,
            signals: SignalHandling::Enabled,
            lineage: Lineage::of_this_process(),
            confined: None,
        })
    }

    /// The setup of a host that `trunkline host` started.
    pub(super) fn host(config: &HostConfig, secret: &SecretKey) -> Result<Setup, String> {
        let settings = settings(&config.name, secret.identity(), config.network, &config.limits);
        let (mut own_status, mut own_state) = (None, None);
        if let Some(state) = &config.state {
            own_state = Some(StateFolder::make(state)?);
            let transport = config::socket_path(state, HOST_SOCKET)?;
            let socket = Endpoint { transport, transform: Transform::NoAuth };
            own_status = Some((socket, SocketFileName::Configured));
        }
        let key = config.server.iter().find_map(|endpoint| match endpoint.transform {
            Transform::Shs(key) => Some(key),
            Transform::NoAuth | Transform::ShsKnownKey => None,
        });
        let endpoints = config.server.clone();
        let (role, keep, rights) = (Role::Server, Keep::Always, Rights::none());
        let uplink = PeerConfig { key, name: None, endpoints, role, keep, rights };
        Ok(Setup {
            settings: Settings { role: Role::Host, ..settings },
            file: config.file.clone(),
            state: None,
            own_state,
            plugins: config.plugins.clone(),
            listen: Vec::new(),
            own_status,
            announce: Vec::new(),
            peers: vec![uplink],
            uplink: None,
            signals: SignalHandling::Enabled,
            lineage: Lineage::of_this_process(),
            confined: None,
        })
    }

    /// The setup of a host that a server starts, on a thread or in a process. Its connection to the
    /// server is added when the loop starts.
    pub(super) fn of_spec(spec: Spec) -> Setup {
        let Spec { name, file, state, plugin, limits } = spec;
        // If the path is too long for a socket, only the host's own status is not available.
        let own_status = host_socket::new(&state, &name);
        let own_status = own_status.map(|socket| (socket, SocketFileName::Random));
        // The server does not check this key, because it started the host. It only distinguishes
        // hosts.
        let identity = SecretKey::random().identity().clone();
        Setup {
            settings: Settings { role: Role::Host, ..settings(&name, &identity, None, &limits) },
            file,
            state: Some(state.clone()),
            own_state: Some(StateFolder::of_server(state)),
            plugins: vec![plugin],
            listen: Vec::new(),
            own_status,
            announce: Vec::new(),
            peers: Vec::new(),
            uplink: None,
            signals: SignalHandling::Disabled,
            lineage: Lineage::of_host(Some(getpid())),
            confined: None,
        }
    }
}

/// Whether a plugin runs in the server's loop.
pub(super) fn is_inline(plugin: &PluginConfig) -> bool {
    plugin.placement == Placement::Inline
}

/// The broker's configuration of a host for this plugin.
pub(super) fn child_config(plugin: &PluginConfig) -> ChildConfig {
    ChildConfig {
        name: name_of(plugin),
        placement: plugin.placement,
        restart: plugin.restart,
        rights: Rights {
            names: match &plugin.name {
                Some(name) => Names::Only([name.clone()].into()),
                // Its name is in its file, which this process does not load.
                None => Names::First,
            },
            expose: plugin.expose.clone(),
            allow: plugin.allow.iter().copied().collect(),
            advertise: plugin.advertise.iter().cloned().collect(),
        },
    }
}

/// What to call a plugin that has not been loaded here.
pub(super) fn name_of(plugin: &PluginConfig) -> Name {
    plugin.name.clone().unwrap_or_else(|| name_from_path(&plugin.path))
}

/// The name of a plugin whose built-in name is not known yet: `libecho_two.so` gives `echo-two`.
#[allow(clippy::expect_used)] // See below.
fn name_from_path(path: &Path) -> Name {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let stem = stem.strip_prefix("lib").unwrap_or(&stem).replace('_', "-");
    stem.parse().unwrap_or_else(|_| {
        // It consists of letters, so it is legal.
        "plugin".parse().expect("a name")
    })
}

fn settings(
    name: &str,
    identity: &Identity,
    network: Option<[u8; 32]>,
    limits: &Limits,
) -> Settings {
    Settings {
        identity: identity.clone(),
        network: network.unwrap_or(NETWORK),
        accept: Accept::Listed,
        name: name.into(),
        role: Role::Server,
        machine: machine::id(),
        software: concat!("trunkline ", env!("CARGO_PKG_VERSION")).into(),
        limits: limits.clone(),
        secret: random_of_this_start(),
        seed: u64::from_ne_bytes(random_of_this_start()) | 1,
    }
}

fn random_of_this_start<const LENGTH: usize>() -> [u8; LENGTH] {
    let mut random = [0; LENGTH];
    dryoc::rng::copy_randombytes(&mut random);
    random
}

fn peer(peer: &config::Peer) -> PeerConfig {
    let key: Option<Key> = peer.key;
    PeerConfig {
        key,
        name: peer.name.clone(),
        endpoints: peer.addresses.clone(),
        role: match peer.role {
            PeerRole::Server => Role::Server,
            PeerRole::Host => Role::Host,
        },
        keep: peer.keep,
        rights: peer.rights.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_without_a_known_name_is_named_after_its_file() {
        for (path, expected) in [
            ("/x/libecho.so", "echo"),
            ("libEcho_two.so", "echo-two"),
            ("echo.v2.so", "echo.v2"),
            ("lib9.so", "plugin"),
        ] {
            assert_eq!(name_from_path(Path::new(path)).as_str(), expected, "{path}");
        }
    }
}
