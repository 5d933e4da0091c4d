//! The configuration as plain data: every path absolute, every text checked.

use super::file::{self, Kind};
use super::logging::{LogConfig, level_as_word};
use super::problem::Problem;
use super::server::serves_command_line;
use log::LevelFilter;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use trunkline_core::address::{Endpoint, Transport};
use trunkline_core::broker::{
    Accept, Advertise, Expose, Keep, Permission, Placement, Restart, Rights,
};
use trunkline_core::key::Key;
use trunkline_core::limits::Limits;
use trunkline_core::name::Name;

/// The content of a configuration file.
#[derive(Clone, Debug)]
pub enum File {
    /// It has a `[server]` table.
    Server(Config),
    /// It has a `[host]` table.
    Host(HostConfig),
}

/// The content of a server's configuration file.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file, as it was named on the command line.
    pub file: PathBuf,
    /// The server's name, for people: 1 to 64 bytes, no control characters.
    pub name: String,
    /// The file of the server's secret key. It may not exist yet.
    pub key: PathBuf,
    /// The folder for sockets and the like. It may not exist yet.
    pub state: PathBuf,
    /// Only servers and hosts with the same 32 bytes can link.
    pub network: Option<[u8; 32]>,
    /// Where to listen; with `shs`, our own key is used (`ShsKnownKey`). At least one is a unix
    /// socket without keys: the first of these serves the command line.
    pub listen: Vec<Endpoint>,
    /// What others should dial instead of `listen`: `net`, of local or public scope, with our own
    /// key (`ShsKnownKey`). If empty, the addresses of `listen` are announced.
    pub announce: Vec<Endpoint>,
    /// Which peers may link.
    pub accept: Accept,
    /// Whether `noauth` is legal on loopback.
    pub loopback: Loopback,
    /// The configured servers and hosts, in the order of the file.
    pub peers: Vec<Peer>,
    /// The plugins to load, in the order of the file.
    pub plugins: Vec<PluginConfig>,
    /// The limits and pauses, each with its default where the file says nothing.
    pub limits: Limits,
    /// How the log is written.
    pub log: LogConfig,
    /// Notes: the server can start in spite of them.
    pub notes: Vec<Problem>,
}

/// The content of a host's configuration file.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// The file, as it was named on the command line.
    pub file: PathBuf,
    /// The host's name, for people: 1 to 64 bytes, no control characters.
    pub name: String,
    /// The file of the host's secret key. It may not exist yet.
    pub key: PathBuf,
    /// The folder for the socket on which the command line asks for the host's status. Without a
    /// folder there is no such socket. It may not exist yet.
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
    /// How the log is written.
    pub log: LogConfig,
    /// Notes: the host can start in spite of them.
    pub notes: Vec<Problem>,
}

/// Whether loopback may be used without keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loopback {
    /// `insecure-loopback = true`: every user of this machine may link under any identity.
    Insecure,
    /// The default.
    KeysOnly,
}

/// A configured server or host.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its key, which may come from its address. It is absent only if all addresses are `NoAuth`,
    /// because no key is proved there.
    pub key: Option<Key>,
    /// A name that is reserved for this server's key.
    pub name: Option<String>,
    /// Its role. A host has a key and no addresses.
    pub role: PeerRole,
    /// Where to dial it, the best place first. With encryption its key is filled in (`Shs`, never
    /// `ShsKnownKey`). If empty, it dials us.
    pub addresses: Vec<Endpoint>,
    /// Whether to keep a link that no pair of plugins uses.
    pub keep: Keep,
    /// What it may register: a host, what the file grants; a server, nothing.
    pub rights: Rights,
    /// The line of the file.
    pub line: usize,
}

/// The role of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerRole {
    /// A server with plugins of its own.
    Server,
    /// A host, whose plugins are ours.
    Host,
}

/// A plugin to load. A plugin for another process is sent to that process in this form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginConfig {
    /// The file.
    pub path: PathBuf,
    /// Another name than the built-in one.
    pub name: Option<Name>,
    /// Its own configuration, as the text of a JSON object.
    pub config_json: String,
    /// Whether the server starts without it.
    pub required: Required,
    /// The hash that the file must have.
    pub sha256: Option<[u8; 32]>,
    /// Which peers see and reach it.
    pub expose: Expose,
    /// Permissions beyond the default, without duplicates.
    pub allow: Vec<Permission>,
    /// Where its code runs.
    pub placement: Placement,
    /// Whether it is restarted after a failure.
    pub restart: Restart,
    /// What happens when it blocks its loop; `End` only in a process of its own.
    pub blocked: Blocked,
    /// Where its host listens for direct connections, without duplicates.
    pub advertise: Vec<Advertise>,
    /// The level of its log, if it is not that of the process.
    #[serde(with = "level_as_word")]
    pub log: Option<LevelFilter>,
    /// What its process may do; only with a process of its own. Without it, the process is as free
    /// as the server.
    pub confine: Option<Confine>,
    /// The line of the file.
    pub line: usize,
}

/// How the process of a plugin is confined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confine {
    /// Files and folders that it may read beside those that every program needs.
    pub read: Vec<PathBuf>,
    /// What it may change; nothing else.
    pub write: Vec<Writable>,
    /// Where its own sockets may lead.
    pub network: Network,
    /// The most memory for its data.
    pub memory_mib: Option<u64>,
    /// How many processes it may consist of.
    pub processes: u64,
    /// How many descriptors it may have.
    pub open_files: Option<u64>,
    /// The most processor time, in percent of one processor.
    pub cpu_percent: Option<u64>,
    /// The user as whom it runs.
    pub user: Option<String>,
    /// Whether it runs also where the system lacks something of this.
    pub best_effort: bool,
    /// The line of the file.
    pub line: usize,
}

/// Something that a confined plugin may change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Writable {
    /// Its data folder.
    Data,
    /// A file, or a folder with all below it.
    Path(PathBuf),
}

/// Where a confined plugin's own sockets may lead. Its channels work with all of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// It has none.
    None,
    /// Within its own process.
    Loopback,
    /// Wherever this machine's network leads.
    Any,
}

/// Whether the server starts if a plugin does not load or start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Required {
    /// The server does not start without it.
    Yes,
    /// The server starts, and shows the plugin as failed.
    No,
}

/// What happens when a call into a plugin takes longer than `watchdog-ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Blocked {
    /// It is logged. The default.
    Report,
    /// It is logged, and its process is killed.
    End,
}

impl Config {
    /// Reads and checks a server's file. Returns all problems, in the order of lines.
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
            // `load` has refused it.
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
    /// Reads and checks a host's file. Returns all problems, in the order of lines.
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
            // `load` has refused it.
            File::Server(_) => Err(Vec::new()),
        }
    }

    /// The configuration of a host that is given by arguments of the command line.
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
