//! `trunkline status --json` in types. A key too many or too few is an error.

use serde::Deserialize;
use std::collections::BTreeMap;

/// The whole document.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// The version of the form; 0 in what an earlier release says.
    #[serde(default)]
    pub schema: u64,
    /// The server itself.
    pub server: ServerInfo,
    /// Its plugins, and those of linked servers.
    pub plugins: Vec<PluginInfo>,
    /// Its links, and the peers without one.
    pub links: Vec<LinkInfo>,
    /// Its channels.
    pub channels: Vec<ChannelInfo>,
    /// Its limits, and how often each was reached.
    pub limits: BTreeMap<String, LimitInfo>,
}

/// A limit.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitInfo {
    /// Its value; a duration is in microseconds.
    pub max: u64,
    /// How often it was reached.
    pub reached: u64,
}

/// The server itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerInfo {
    /// Its name.
    pub name: String,
    /// Its key.
    pub key: String,
    /// Where it listens.
    pub addresses: Vec<String>,
    /// How long it has run, in microseconds.
    pub uptime_us: u64,
    /// The longest turn of its loop so far, in microseconds; 0 in what an earlier release says.
    #[serde(default)]
    pub longest_turn_us: u64,
    /// The release of its software.
    pub version: String,
}

/// A plugin.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginInfo {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u64,
    /// `running`, `stopped`, `failed` or `starting`.
    pub state: String,
    /// Why it failed.
    pub reason: Option<String>,
    /// `inline`, `thread`, `process` or `remote`.
    pub placement: String,
    /// The key of the server where it is.
    pub server: String,
    /// Where it can be reached directly.
    pub addresses: Vec<String>,
    /// Its channels.
    pub channels: usize,
    /// Calls that it has made and waits for, where the server can know.
    pub calls_made: Option<usize>,
    /// Calls that it has to answer, where the server can know.
    pub calls_to_answer: Option<usize>,
    /// What confines it; absent in what an earlier release says.
    #[serde(default)]
    pub confined: Option<Confined>,
}

/// What confines a plugin's process.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confined {
    /// Each bound.
    pub bounds: Vec<BoundInfo>,
    /// Whether the plugin runs also without some of them.
    pub best_effort: bool,
}

/// A bound of a plugin's process.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoundInfo {
    /// Its name.
    pub bound: String,
    /// What was asked for.
    pub asked: String,
    /// Whether it is in force.
    pub in_force: bool,
    /// What enforces it, or why nothing does.
    pub means: String,
}

/// A link.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkInfo {
    /// The peer's key.
    pub peer: String,
    /// The peer's name.
    pub name: String,
    /// `server` or `host`.
    pub role: String,
    /// Where it was dialled, or from where it came.
    pub address: String,
    /// `up`, `connecting` or `waiting`.
    pub state: String,
    /// Open streams.
    pub streams: usize,
    /// Plugins that the peer has announced; 0 in what an earlier release says.
    #[serde(default)]
    pub plugins: usize,
    /// Bytes from the peer.
    pub bytes_in: u64,
    /// Bytes to the peer.
    pub bytes_out: u64,
    /// The last round-trip time in microseconds.
    pub rtt_us: Option<u64>,
    /// Whether the configuration keeps it; false in what an earlier release says.
    #[serde(default)]
    pub keep: bool,
    /// Why it is not up.
    pub reason: Option<String>,
}

/// A channel.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelInfo {
    /// Its number.
    pub id: u64,
    /// `plugin@KEY` of who opened it.
    pub from: String,
    /// `plugin@KEY` of where it goes.
    pub to: String,
    /// How its bytes travel.
    pub route: String,
    /// Bytes to who opened it.
    pub bytes_in: u64,
    /// Bytes from who opened it.
    pub bytes_out: u64,
}

impl Status {
    /// This server's own plugin of this name.
    #[must_use]
    pub fn plugin(&self, name: &str) -> Option<&PluginInfo> {
        self.plugins.iter().find(|plugin| plugin.name == name && plugin.server == self.server.key)
    }

    /// Whether this server's own plugin of this name is in this state.
    #[must_use]
    pub fn is(&self, name: &str, state: &str) -> bool {
        self.plugin(name).is_some_and(|plugin| plugin.state == state)
    }

    /// Whether a linked server's plugin of this name is known.
    #[must_use]
    pub fn knows_remote(&self, name: &str) -> bool {
        self.plugins.iter().any(|plugin| plugin.name == name && plugin.placement == "remote")
    }

    /// The link to the server of this name, if it is up.
    #[must_use]
    pub fn link_to(&self, name: &str) -> Option<&LinkInfo> {
        self.links.iter().find(|link| link.name == name && link.state == "up")
    }
}
