//! The configuration as plain data: every path absolute, every text checked.

use super::file::{self, Kind};
use super::problem::Problem;
use super::server::serves_command_line;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use trunkline_core::address::{Endpoint, Transport};
use trunkline_core::broker::{
    Accept, Advertise, Expose, Keep, Permission, Placement, Restart, Rights,
};
use trunkline_core::key::Key;
use trunkline_core::limits::Limits;
use trunkline_core::name::Name;

/// What a configuration file says.
#[derive(Clone, Debug)]
pub enum File {
    /// It has a `[server]` table.
    Server(Config),
    /// It has a `[host]` table.
    Host(HostConfig),
}

/// What a server's configuration file says.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file, as it was named on the command line.
    pub file: PathBuf,
    /// The server's name, for people: 1 to 64 bytes, no control characters.
    pub name: String,
    /// The file that holds the server's secret key, or will.
    pub key: PathBuf,
    /// The folder for sockets and the like. It may not exist yet.
    pub state: PathBuf,
    /// Only servers and hosts with the same 32 bytes can link.
    pub network: Option<[u8; 32]>,
    /// Where to listen; where keys are proved, with our own (`ShsKnownKey`). At least one is a unix
    /// socket without keys: the first of these serves the command line.
    pub listen: Vec<Endpoint>,
    /// What others should dial instead of `listen`: `net`, of local or public scope, with our own
    /// key (`ShsKnownKey`). Empty: what is listened on.
    pub announce: Vec<Endpoint>,
    /// Who may link.
    pub accept: Accept,
    /// Whether `noauth` is legal on loopback.
    pub loopback: Loopback,
    /// The servers and hosts that are known, in the order of the file.
    pub peers: Vec<Peer>,
    /// The plugins to load, in the order of the file.
    pub plugins: Vec<PluginConfig>,
    /// The limits and pauses, each with its default where the file says nothing.
    pub limits: Limits,
    /// What the reader should know, and what does not keep the server from starting.
    pub notes: Vec<Problem>,
}

/// What the configuration file of a host says.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// The file, as it was named on the command line.
    pub file: PathBuf,
    /// The host's name, for people: 1 to 64 bytes, no control characters.
    pub name: String,
    /// The file that holds the host's secret key, or will.
    pub key: PathBuf,
    /// The folder for its socket, at which the command line asks for its status; without one,
    /// there is no such socket. It may not exist yet.
    pub state: Option<PathBuf>,
    /// Where to dial the server, the best place first; at least one. Each is a unix socket or asks
    /// for the server's key (`Shs`).
    pub server: Vec<Endpoint>,
    /// Only servers with the same 32 bytes can be linked to.
    pub network: Option<[u8; 32]>,
    /// The plugins to load, in the order of the file. All are `Inline`: they run in the host.
    pub plugins: Vec<PluginConfig>,
    /// The limits and pauses, each with its default where the file says nothing.
    pub limits: Limits,
    /// What the reader should know, and what does not keep the host from starting.
    pub notes: Vec<Problem>,
}

/// Whether loopback may be used without keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loopback {
    /// `insecure-loopback = true`: every user of this machine may link as anybody.
    Insecure,
    /// The default.
    KeysOnly,
}

/// A server or host that is known.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its key, also where only its address names it. It is absent only where all addresses are
    /// `NoAuth`, so that nobody proves a key.
    pub key: Option<Key>,
    /// The name by which a server is known here, and no other one.
    pub name: Option<String>,
    /// What it may be. A host has a key and no addresses.
    pub role: PeerRole,
    /// Where to dial it, the best place first, with its key wherever one is proved (`Shs`, never
    /// `ShsKnownKey`). Empty: it dials us.
    pub addresses: Vec<Endpoint>,
    /// Whether to keep the link when it serves no pair of plugins.
    pub keep: Keep,
    /// What it may register: of a host, what the file says; of a server, nothing.
    pub rights: Rights,
    /// The line of the file.
    pub line: usize,
}

/// What a peer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerRole {
    /// A server with plugins of its own.
    Server,
    /// A host, whose plugins are ours.
    Host,
}

/// A plugin to load. It is sent as it is to the process that shall run it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginConfig {
    /// The file.
    pub path: PathBuf,
    /// Another name than the built-in one.
    pub name: Option<Name>,
    /// Its own configuration, as the text of a JSON object.
    pub config_json: String,
    /// What it means for the server when it does not load or start.
    pub required: Required,
    /// The only content that the file may have.
    pub sha256: Option<[u8; 32]>,
    /// Who sees and reaches it.
    pub expose: Expose,
    /// What it may do beyond the default; each at most once.
    pub allow: Vec<Permission>,
    /// Where its code runs.
    pub placement: Placement,
    /// Whether it is started again after a failure.
    pub restart: Restart,
    /// What happens when it blocks its loop; `End` only in a process of its own.
    pub blocked: Blocked,
    /// Where its host listens for direct connections; each at most once. Empty: nowhere.
    pub advertise: Vec<Advertise>,
    /// The line of the file.
    pub line: usize,
}

/// What it means for the server when a plugin does not load or start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Required {
    /// The server does not start without it.
    Yes,
    /// The server starts; the plugin is shown as failed.
    No,
}

/// What happens when a plugin does not return from a call for as long as `watchdog-ms` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Blocked {
    /// It is reported. The default.
    Report,
    /// It is reported, and its process ends.
    End,
}

impl Config {
    /// Reads and checks a server's file. All its problems are reported together, in the order of
    /// lines.
    pub fn load(file: &Path) -> Result<Config, Vec<Problem>> {
        Config::of(file::load(file, Kind::Server)?)
    }

    /// As [`Config::load`], of a text that stands for a file: what fuzzing drives.
    #[doc(hidden)]
    pub fn from_text(file: &Path, text: &str) -> Result<Config, Vec<Problem>> {
        Config::of(file::load_text(file, text, Kind::Server)?)
    }

    fn of(file: File) -> Result<Config, Vec<Problem>> {
        match file {
            File::Server(config) => Ok(config),
            // It was refused already.
            File::Host(_) => Err(Vec::new()),
        }
    }

    /// The socket over which the command line reaches the server.
    pub fn control_socket(&self) -> Option<&Path> {
        let endpoint = self.listen.iter().find(|endpoint| serves_command_line(endpoint))?;
        match &endpoint.transport {
            Transport::Unix { path } => Some(Path::new(path)),
            Transport::Net { .. } => None,
        }
    }
}

impl HostConfig {
    /// Reads and checks a host's file. All its problems are reported together, in the order of
    /// lines.
    pub fn load(file: &Path) -> Result<HostConfig, Vec<Problem>> {
        HostConfig::of(file::load(file, Kind::Host)?)
    }

    /// As [`HostConfig::load`], of a text that stands for a file: what fuzzing drives.
    #[doc(hidden)]
    pub fn from_text(file: &Path, text: &str) -> Result<HostConfig, Vec<Problem>> {
        HostConfig::of(file::load_text(file, text, Kind::Host)?)
    }

    fn of(file: File) -> Result<HostConfig, Vec<Problem>> {
        match file {
            File::Host(config) => Ok(config),
            // It was refused already.
            File::Server(_) => Err(Vec::new()),
        }
    }

    /// What the command line says of a host: its server, its key file and its plugins.
    pub fn of_arguments(
        server: &str,
        key: &Path,
        plugins: &[PathBuf],
    ) -> Result<HostConfig, Vec<Problem>> {
        let text = super::host::text_of(server, key, plugins);
        let config = HostConfig::from_text(Path::new("command line"), &text)?;
        Ok(HostConfig { state: None, ..config })
    }
}
