//! The configuration as plain data: every path absolute, every text checked.

use super::problem::{Problem, Report};
use std::path::{Path, PathBuf};
use trunkline_core::address::{Endpoint, Transport};
use trunkline_core::key::Key;
use trunkline_core::limits::Limits;
use trunkline_core::name::Name;

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
    /// Where to listen. At least one is a unix socket: the first of these serves the command line.
    pub listen: Vec<Endpoint>,
    /// Who may link.
    pub accept: Accept,
    /// Whether `noauth` is legal on loopback.
    pub loopback: Loopback,
    /// The servers that are known, in the order of the file.
    pub peers: Vec<Peer>,
    /// The plugins to load, in the order of the file.
    pub plugins: Vec<PluginConfig>,
    /// The limits and pauses, each with its default where the file says nothing.
    pub limits: Limits,
    /// What the reader should know, and what does not keep the server from starting.
    pub notes: Vec<Problem>,
}

/// Who may link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accept {
    /// The peers of the file, and whoever may open our unix sockets.
    Listed,
    /// Every peer that proves some key.
    Anyone,
}

/// Whether loopback may be used without keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loopback {
    /// `insecure-loopback = true`: every user of this machine may link as anybody.
    Insecure,
    /// The default.
    KeysOnly,
}

/// A server that is known.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its key. Over `noauth`, where nobody proves a key, it may be absent.
    pub key: Option<Key>,
    /// Where to dial it, the best place first. Empty: it dials us.
    pub addresses: Vec<Endpoint>,
    /// Whether to keep the link when no pair of plugins is useful.
    pub keep: bool,
    /// The line of the file.
    pub line: usize,
}

/// A plugin to load.
#[derive(Clone, Debug)]
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
    /// The line of the file.
    pub line: usize,
}

/// What it means for the server when a plugin does not load or start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Required {
    /// The server does not start without it.
    Yes,
    /// The server starts; the plugin is shown as failed.
    No,
}

/// Who sees and reaches a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expose {
    /// The plugins of this server.
    Local,
    /// Also the plugins of every linked server.
    Peers,
    /// Also the plugins of these servers.
    Keys(Vec<Key>),
}

impl Config {
    /// Reads and checks a file. All its problems are reported together, in the order of lines.
    pub fn load(file: &Path) -> Result<Config, Vec<Problem>> {
        let text = super::syntax::read_file(file).map_err(|problem| vec![problem])?;
        let mut report = Report::new(file, &text);
        let draft = super::server::read(&mut report);
        let notes = report.finish()?;
        // Whatever keeps a draft from being a configuration was reported.
        draft.config(notes).ok_or_else(Vec::new)
    }

    /// The socket over which the command line reaches the server.
    pub fn control_socket(&self) -> Option<&Path> {
        self.listen.iter().find_map(|endpoint| match &endpoint.transport {
            Transport::Unix { path } => Some(Path::new(path)),
            Transport::Net { .. } => None,
        })
    }
}
