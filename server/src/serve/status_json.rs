//! A status as JSON, in the stable form that `trunkline status --json` prints.

use crate::confine::Report;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;
use trunkline_core::broker::{ChildId, Direct, Keep, LinkState, PluginState, Status};
use trunkline_core::control::Role;
use trunkline_core::key::Key;
use trunkline_core::limits::{Counters, Limit, Limits};
use trunkline_core::name::Name;

/// The version of the form, which older readers need not know: fields are only added. Version 2 has
/// plugins that could not be loaded, and `keep` of links.
const SCHEMA: u32 = 2;

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    server: Server<'a>,
    plugins: Vec<Plugin<'a>>,
    links: Vec<Link<'a>>,
    channels: Vec<Channel>,
    limits: BTreeMap<&'static str, LimitCount>,
}

#[derive(Serialize)]
struct LimitCount {
    max: u64,
    reached: u64,
}

/// Facts of the server that are not in the broker's status.
#[derive(Serialize)]
pub(super) struct Server<'a> {
    pub(super) name: &'a str,
    pub(super) key: String,
    pub(super) addresses: Vec<String>,
    pub(super) uptime_us: u64,
    /// The longest turn of the loop so far, which delayed all other connections.
    pub(super) longest_turn_us: u64,
    pub(super) version: &'a str,
}

#[derive(Serialize)]
struct Plugin<'a> {
    name: &'a str,
    version: u64,
    state: &'static str,
    reason: Option<String>,
    placement: &'static str,
    server: String,
    addresses: Vec<String>,
    channels: usize,
    calls_made: Option<usize>,
    calls_to_answer: Option<usize>,
    /// What confines its process, if its configuration asks for that.
    confined: Option<&'a Report>,
}

#[derive(Serialize)]
struct Link<'a> {
    peer: String,
    name: &'a str,
    role: &'static str,
    address: &'a str,
    state: &'static str,
    streams: usize,
    plugins: usize,
    bytes_in: u64,
    bytes_out: u64,
    rtt_us: Option<u64>,
    keep: bool,
    reason: Option<String>,
}

#[derive(Serialize)]
struct Channel {
    id: u64,
    from: String,
    to: String,
    route: &'static str,
    bytes_in: u64,
    bytes_out: u64,
}

/// The status of a server whose key is `home`.
pub(super) fn render(
    server: Server<'_>,
    limits: &Limits,
    status: &Status,
    bounds: &BTreeMap<ChildId, Report>,
) -> Vec<u8> {
    let plugins = status.plugins.iter().map(|plugin| Plugin {
        name: plugin.name.as_str(),
        version: plugin.version,
        state: state(&plugin.state),
        reason: match &plugin.state {
            PluginState::Failed(reason) => Some(reason.to_string()),
            _ => None,
        },
        placement: plugin.placement.as_str(),
        server: plugin.server.to_string(),
        addresses: addresses(&plugin.direct),
        channels: plugin.channels,
        calls_made: plugin.calls.map(|calls| calls.made),
        calls_to_answer: plugin.calls.map(|calls| calls.to_answer),
        confined: plugin.child.and_then(|child| bounds.get(&child)),
    });
    let links = status.links.iter().map(|link| Link {
        peer: link.peer.map(|key| key.to_string()).unwrap_or_default(),
        name: &link.name,
        role: if link.role == Role::Host { "host" } else { "server" },
        address: &link.address,
        state: match link.state {
            LinkState::Up => "up",
            LinkState::Connecting => "connecting",
            LinkState::Waiting => "waiting",
        },
        streams: link.streams,
        plugins: link.plugins,
        bytes_in: link.bytes_in,
        bytes_out: link.bytes_out,
        rtt_us: link.rtt.map(microseconds),
        keep: link.keep == Keep::Always,
        reason: link.reason.as_ref().map(ToString::to_string),
    });
    let channels = status.channels.iter().map(|channel| Channel {
        id: channel.id,
        from: end(&channel.from),
        to: end(&channel.to),
        route: channel.route.as_str(),
        bytes_in: channel.bytes_in,
        bytes_out: channel.bytes_out,
    });
    let document = Document {
        schema: SCHEMA,
        server,
        plugins: plugins.collect(),
        links: links.collect(),
        channels: channels.collect(),
        limits: counted(limits, &status.counters),
    };
    serde_json::to_vec(&document).unwrap_or_else(|error| {
        log::error!("the status cannot be written: {error}");
        Vec::new()
    })
}

fn counted(limits: &Limits, counters: &Counters) -> BTreeMap<&'static str, LimitCount> {
    let one = |limit: &Limit| {
        let (max, reached) = (limit.value(limits), counters.reached(*limit));
        (limit.as_str(), LimitCount { max, reached })
    };
    Limit::ALL.iter().map(one).collect()
}

/// The addresses for direct connections to a plugin. Of a unix socket only the name is known.
fn addresses(direct: &Direct) -> Vec<String> {
    let unix = direct.socket.as_ref().map(|socket| format!("unix:{}", socket.as_str()));
    unix.into_iter().chain(direct.net.iter().map(ToString::to_string)).collect()
}

/// A duration in whole microseconds.
pub(super) fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn state(state: &PluginState) -> &'static str {
    match state {
        PluginState::Starting => "starting",
        PluginState::Running => "running",
        PluginState::Stopped => "stopped",
        PluginState::Failed(_) => "failed",
    }
}

fn end((name, server): &(Name, Key)) -> String {
    format!("{name}@{server}")
}
