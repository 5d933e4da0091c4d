//! Where plugins are, and over which link they are reached: what the registry knows of a plugin,
//! together with what the neighbours know of its process.

use crate::broker::meetings::direct::Introduction;
use crate::broker::neighbours::Neighbours;
use crate::broker::neighbours::connections::PeerInfo;
use crate::broker::registry::Registry;
use crate::broker::registry::plugins::Runs;
use crate::broker::{Caller, ConnId, PluginId};
use crate::control::{Addresses, At, Purpose};
use crate::ends::ChannelInfo;
use crate::key::Key;
use crate::name::Name;
use crate::reason::{Code, Reason};
use crate::route::{Place, Reach, Route};
use alloc::vec::Vec;

/// Where a plugin of this server is.
pub(crate) fn place(registry: &Registry, neighbours: &Neighbours, plugin: PluginId) -> Place {
    let (server, machine) = neighbours.own_process();
    let record = registry.plugin(plugin);
    let has = |way: fn(&crate::broker::Direct) -> bool| record.is_some_and(|r| way(&r.direct));
    let (unix, net) = (has(|direct| direct.socket.is_some()), has(|direct| !direct.net.is_empty()));
    let loopback = has(|direct| direct.loopback.is_some());
    let reach = Reach { unix, net, loopback, seen: false };
    let inline = Place { server, server_machine: machine, process: server, machine, reach };
    let Some(Runs::At(host)) = record.map(|record| record.runs) else { return inline };
    let Some(hello) = neighbours.hello(host) else { return inline };
    // A peer over a unix socket is on this machine, whatever it says.
    let near = neighbours.conn(host).is_some_and(|conn| conn.from.is_none());
    let seen = neighbours.seen(host).is_some();
    let reach = Reach { seen, loopback: loopback && near, ..reach };
    Place { process: hello.key, machine: hello.machine, reach, ..inline }
}

/// What another server has to know of where a plugin of ours is.
pub(crate) fn where_at(
    registry: &Registry,
    neighbours: &Neighbours,
    plugin: PluginId,
) -> Option<At> {
    let Runs::At(host) = registry.plugin(plugin)?.runs else { return None };
    let Place { process, machine, .. } = place(registry, neighbours, plugin);
    Some(At { process, machine, seen: neighbours.seen(host) })
}

/// Where a plugin of another server is, as that server says.
pub(crate) fn place_of(server: &PeerInfo, at: Option<&At>) -> Place {
    let (process, machine) = at.map_or((server.key, server.machine), |at| (at.process, at.machine));
    let seen = at.is_some_and(|at| at.seen.is_some());
    let reach = Reach { seen, ..Reach::default() };
    Place { server: server.key, server_machine: server.machine, process, machine, reach }
}

/// A plugin of this server, as those that it opens channels to see it.
pub(crate) fn caller(
    registry: &Registry,
    neighbours: &Neighbours,
    plugin: PluginId,
) -> Option<Caller> {
    let config = &registry.plugin(plugin)?.config;
    let server = neighbours.home_key();
    Some(Caller { name: config.name.clone(), version: config.version, server })
}

/// Whether a plugin of this process is the one that opened a channel.
pub(crate) fn opened_by(
    registry: &Registry,
    neighbours: &Neighbours,
    plugin: PluginId,
    info: &ChannelInfo,
) -> bool {
    let name = registry.plugin(plugin).map(|record| &record.config.name);
    name == Some(&info.from.0) && info.from.1 == neighbours.home_key()
}

/// The link over which the servers pass a channel on to a plugin of a server.
pub(crate) fn link_to_plugin(
    registry: &Registry,
    neighbours: &Neighbours,
    server: Key,
    name: &Name,
) -> Result<ConnId, Reason> {
    let record = registry.running(name).and_then(|plugin| registry.plugin(plugin));
    let link = match record.map(|record| record.runs) {
        Some(Runs::At(host)) if server == neighbours.home_key() => Some(host),
        _ => neighbours.uplink().or_else(|| neighbours.link_to(server)),
    };
    link.ok_or_else(|| Reason::server(Code::LinkLost, "the link to its server is gone"))
}

/// The caller of a channel that may be direct, and its place.
#[derive(Debug)]
pub(crate) struct Calling {
    pub(crate) place: Place,
    pub(crate) caller: Caller,
    /// The address from which the link of its process comes.
    pub(crate) seen: Option<Addresses>,
    pub(crate) purpose: Purpose,
}

/// What an invitation to a plugin of this server is made of, if these routes begin with a direct
/// one.
pub(crate) fn introduction(
    registry: &Registry,
    neighbours: &Neighbours,
    calling: &Calling,
    plugin: PluginId,
    routes: Vec<Route>,
) -> Option<Introduction> {
    routes.first().filter(|route| route.is_direct())?;
    let place = place(registry, neighbours, plugin);
    let record = registry.plugin(plugin)?;
    let host = match record.runs {
        Runs::At(host) => Some(host),
        Runs::Here => None,
    };
    let direct = record.direct.clone();
    let one_machine = calling.place.machine == place.machine;
    Some(Introduction {
        caller: calling.caller.clone(),
        caller_process: calling.place.process,
        punch: calling.seen.clone().filter(|_| routes.contains(&Route::Punched)),
        purpose: calling.purpose,
        to: record.config.name.clone(),
        host,
        process: place.process,
        routes,
        socket: direct.socket,
        net: direct.net,
        seen: host.and_then(|host| neighbours.seen(host)),
        loopback: direct.loopback.filter(|_| place.reach.loopback && one_machine),
    })
}
