//! What a server sends the host that it starts elsewhere: its plugin, and what it may hold.

use crate::config::{
    Advertise, Blocked, Expose, Permission, Placement, PluginConfig, Required, Restart,
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;
use trunkline_core::address::Host;
use trunkline_core::key::Key;
use trunkline_core::limits::Limits;

/// All that a host begins with.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    /// The host's name, for people.
    pub(super) name: String,
    /// The file that names the plugin, for messages.
    pub(super) file: PathBuf,
    /// Where the command line asks it for its status.
    pub(super) socket: Option<PathBuf>,
    pub(super) plugin: PluginConfig,
    pub(super) limits: Limits,
}

/// As it is sent.
#[derive(Serialize, Deserialize)]
struct Wire {
    name: String,
    file: PathBuf,
    socket: Option<PathBuf>,
    line: usize,
    path: PathBuf,
    plugin_name: Option<String>,
    config: String,
    sha256: Option<[u8; 32]>,
    peers: bool,
    keys: Vec<[u8; 32]>,
    links: bool,
    end_when_blocked: bool,
    /// A host and a port; none stands for a unix socket.
    advertise: Vec<Option<(String, u16)>>,
    limits: WireLimits,
}

/// Those limits that a host has a use for. Durations are in microseconds.
#[derive(Serialize, Deserialize)]
struct WireLimits {
    half_open: usize,
    handshake: u64,
    streams: usize,
    channels: usize,
    calls: usize,
    call_size: usize,
    announced: usize,
    invited: usize,
    tickets: usize,
    window: u64,
    window_max: u64,
    link_window: u64,
    heartbeat: u64,
    dead_after: u64,
    outbox: usize,
    control_message: usize,
    watchdog: u64,
}

impl Spec {
    /// The spec as text.
    pub(super) fn to_json(&self) -> Vec<u8> {
        let Spec { name, file, socket, plugin, limits } = self;
        let wire = Wire {
            name: name.clone(),
            file: file.clone(),
            socket: socket.clone(),
            line: plugin.line,
            path: plugin.path.clone(),
            plugin_name: plugin.name.as_ref().map(ToString::to_string),
            config: plugin.config_json.clone(),
            sha256: plugin.sha256,
            peers: plugin.expose == Expose::Peers,
            keys: match &plugin.expose {
                Expose::Keys(keys) => keys.iter().map(|key| key.0).collect(),
                Expose::Local | Expose::Peers => Vec::new(),
            },
            links: plugin.allow.contains(&Permission::Links),
            end_when_blocked: plugin.blocked == Blocked::End,
            advertise: plugin.advertise.iter().map(advertise).collect(),
            limits: WireLimits::from(limits),
        };
        serde_json::to_vec(&wire).unwrap_or_default()
    }

    /// Reads what [`to_json`](Self::to_json) made.
    pub(super) fn from_json(text: &[u8]) -> Result<Spec, String> {
        let wire: Wire = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let name = wire.plugin_name.map(|name| name.parse()).transpose();
        let expose = match (wire.peers, wire.keys.is_empty()) {
            (true, _) => Expose::Peers,
            (false, true) => Expose::Local,
            (false, false) => Expose::Keys(wire.keys.into_iter().map(Key).collect()),
        };
        let advertise = wire.advertise.into_iter().map(|place| match place {
            None => Ok(Advertise::Unix),
            Some((host, port)) => host.parse::<Host>().map(|host| Advertise::Net { host, port }),
        });
        let plugin = PluginConfig {
            path: wire.path,
            name: name.map_err(|error| format!("{error}"))?,
            config_json: wire.config,
            required: Required::Yes,
            sha256: wire.sha256,
            expose,
            allow: wire.links.then_some(Permission::Links).into_iter().collect(),
            placement: Placement::Inline,
            restart: Restart::Never,
            blocked: if wire.end_when_blocked { Blocked::End } else { Blocked::Report },
            advertise: advertise.collect::<Result<_, _>>().map_err(|error| error.to_string())?,
            line: wire.line,
        };
        let (name, file, socket) = (wire.name, wire.file, wire.socket);
        Ok(Spec { name, file, socket, plugin, limits: Limits::from(wire.limits) })
    }
}

fn advertise(place: &Advertise) -> Option<(String, u16)> {
    match place {
        Advertise::Unix => None,
        Advertise::Net { host, port } => Some((host.to_string(), *port)),
    }
}

impl From<&Limits> for WireLimits {
    fn from(limits: &Limits) -> WireLimits {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        WireLimits {
            half_open: limits.half_open,
            handshake: micros(limits.handshake),
            streams: limits.streams,
            channels: limits.channels,
            calls: limits.calls,
            call_size: limits.call_size,
            announced: limits.announced,
            invited: limits.invited,
            tickets: limits.tickets,
            window: limits.window,
            window_max: limits.window_max,
            link_window: limits.link_window,
            heartbeat: micros(limits.heartbeat),
            dead_after: micros(limits.dead_after),
            outbox: limits.outbox,
            control_message: limits.control_message,
            watchdog: micros(limits.watchdog),
        }
    }
}

impl From<WireLimits> for Limits {
    fn from(wire: WireLimits) -> Limits {
        let micros = Duration::from_micros;
        Limits {
            half_open: wire.half_open,
            handshake: micros(wire.handshake),
            streams: wire.streams,
            channels: wire.channels,
            calls: wire.calls,
            call_size: wire.call_size,
            announced: wire.announced,
            invited: wire.invited,
            tickets: wire.tickets,
            window: wire.window,
            window_max: wire.window_max,
            link_window: wire.link_window,
            heartbeat: micros(wire.heartbeat),
            dead_after: micros(wire.dead_after),
            outbox: wire.outbox,
            control_message: wire.control_message,
            watchdog: micros(wire.watchdog),
            ..Limits::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_arrives_as_it_was_sent() {
        let plugin = PluginConfig {
            path: "/x/libecho.so".into(),
            name: Some("mine".parse().unwrap()),
            config_json: "{\"a\":1}".into(),
            required: Required::Yes,
            sha256: Some([7; 32]),
            expose: Expose::Keys(vec![Key([3; 32])]),
            allow: vec![Permission::Links],
            placement: Placement::Inline,
            restart: Restart::Never,
            blocked: Blocked::End,
            advertise: vec![
                Advertise::Unix,
                Advertise::Net { host: "0.0.0.0".parse().unwrap(), port: 7 },
            ],
            line: 12,
        };
        let limits = Limits { heartbeat: Duration::from_millis(77), ..Limits::default() };
        let (name, file, socket) = ("alpha".into(), "/x/a.toml".into(), Some("/x/a.sock".into()));
        let spec = Spec { name, file, socket, plugin, limits };
        let read = Spec::from_json(&spec.to_json()).unwrap();
        assert_eq!(format!("{read:?}"), format!("{spec:?}"));
    }
}
