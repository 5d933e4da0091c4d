//! How a plugin of this process opens a channel: to whom, and over which link. That is decided from
//! what the registry and the neighbours know; the broker then performs it.

use super::places::{Calling, caller, introduction, place};
use crate::broker::effect::Effects;
use crate::broker::meetings::Meetings;
use crate::broker::meetings::direct::Introduction;
use crate::broker::neighbours::Neighbours;
use crate::broker::registry::Registry;
use crate::broker::registry::plugins::Runs;
use crate::broker::switch::Switch;
use crate::broker::{Broker, Caller, ConnId, PluginId, Target, Told};
use crate::control::{Invitation, Origin, Purpose, Request};
use crate::directory::Entry;
use crate::ends::{ChannelInfo, Phase};
use crate::ids::Handle;
use crate::key::Key;
use crate::name::Name;
use crate::reason::{Code, Reason};
use crate::route::{Route, routes};
use alloc::boxed::Box;
use alloc::format;

/// Where a channel leads.
#[derive(Debug)]
enum Path {
    /// To a plugin of this process.
    Here(Here),
    /// Over a link, or directly.
    Away(Box<Away>),
}

/// A channel to a plugin of this process.
#[derive(Debug)]
struct Here {
    callee: PluginId,
    caller: Caller,
    info: ChannelInfo,
}

/// A channel to a plugin of another process.
#[derive(Debug)]
struct Away {
    /// The two plugins, if a connection of their own is better than the link, and as long as there
    /// is a ticket for it.
    direct: Option<Introduction>,
    link: ConnId,
    info: ChannelInfo,
    request: Request,
}

/// Where a channel of a plugin leads that is opened to an entry of the directory.
fn path(
    registry: &Registry,
    neighbours: &Neighbours,
    (plugin, purpose): (PluginId, Purpose),
    caller: Caller,
    (entry, target): (Entry, &Target),
) -> Result<Path, Reason> {
    let home = neighbours.home_key();
    // A host whose plugin the server has still to refuse may have one of the name itself.
    let callee = registry.running(&entry.name).filter(|_| entry.server == home);
    let callee = callee.and_then(|callee| Some((callee, registry.plugin(callee)?)));
    let callee = callee.filter(|(_, record)| record.config.version == entry.version);
    let (link, direct) = match callee.map(|(callee, record)| (callee, record.runs)) {
        Some((callee, Runs::Here)) => {
            let info = info(&caller, &entry, Route::Local);
            return Ok(Path::Here(Here { callee, caller, info }));
        }
        Some((callee, Runs::At(host))) => {
            let place_of = |plugin| place(registry, neighbours, plugin);
            let routes = routes(&place_of(plugin), &place_of(callee));
            let (place, caller) = (place_of(plugin), caller.clone());
            let calling = Calling { place, caller, seen: None, purpose };
            (host, introduction(registry, neighbours, &calling, callee, routes))
        }
        None => (link_to(neighbours, entry.server)?, None),
    };
    let info = info(&caller, &entry, Route::Link);
    let request = request(neighbours, caller, entry.name, entry.server, purpose);
    let request = Request { least: target.least, ..request };
    Ok(Path::Away(Box::new(Away { direct, link, info, request })))
}

/// A plugin of this server that opens a channel.
fn caller_of(
    registry: &Registry,
    neighbours: &Neighbours,
    plugin: PluginId,
) -> Result<Caller, Reason> {
    let gone = || Reason::server(Code::UnknownPlugin, "the plugin is gone");
    caller(registry, neighbours, plugin).ok_or_else(gone)
}

/// The link over which the plugins of a server are reached.
fn link_to(neighbours: &Neighbours, server: Key) -> Result<ConnId, Reason> {
    let gone = || match server == neighbours.home_key() {
        true => Reason::server(Code::HostLost, "the host of the plugin is gone"),
        false => Reason::server(Code::LinkLost, "the link to its server is gone"),
    };
    neighbours.uplink().or_else(|| neighbours.link_to(server)).ok_or_else(gone)
}

fn info(caller: &Caller, entry: &Entry, route: Route) -> ChannelInfo {
    let from = (caller.name.clone(), caller.server);
    ChannelInfo { from, to: (entry.name.clone(), entry.server), route }
}

/// What a plugin of this process asks the servers for.
pub(crate) fn request(
    neighbours: &Neighbours,
    caller: Caller,
    to: Name,
    server: Key,
    purpose: Purpose,
) -> Request {
    let from = Origin::new(caller.name, caller.version);
    let server = neighbours.is_host().then_some(server);
    Request { server, purpose, ..Request::new(to, 0, from) }
}

/// Whether a plugin, which has a name, may have one more channel.
fn has_room(switch: &mut Switch, plugin: PluginId, name: &Name) -> Result<(), Reason> {
    if !switch.is_full(plugin) {
        return Ok(());
    }
    let most = switch.channels_max();
    let text = format!("{name} has {most} channels, as many as a plugin may have");
    Err(Reason::server(Code::LimitReached, text))
}

/// Whether plugins of the server `caller` may have one more channel to a plugin of the server
/// `home`: those of other servers leave room for others.
pub(crate) fn has_room_for(
    switch: &mut Switch,
    (plugin, name): (PluginId, &Name),
    caller: Key,
    home: Key,
) -> Result<(), Reason> {
    has_room(switch, plugin, name)?;
    if caller == home || switch.has_share(plugin, caller) {
        return Ok(());
    }
    let text = "plugins of that server have as many channels to it as they may have";
    Err(Reason::server(Code::LimitReached, text))
}

/// Makes an invitation, unless the plugin's host is slow to read what it is told.
pub(crate) fn introduce(
    meetings: &mut Meetings,
    switch: &Switch,
    introduction: Introduction,
) -> Result<Invitation, Reason> {
    match introduction.host {
        Some(host) if !switch.takes_more(host) => {
            Err(meetings.no_ticket("the plugin's host is slow to read what it is told"))
        }
        _ => meetings.introduce(introduction),
    }
}

/// Opens a channel to a plugin of this process.
fn open_here(
    switch: &mut Switch,
    effects: &mut Effects,
    (plugin, purpose): (PluginId, Purpose),
    Here { callee, caller, info }: Here,
) -> Result<Handle, Reason> {
    has_room(switch, callee, &info.to.0)?;
    let (near, far) = switch.open_local((plugin, callee), info, purpose)?;
    effects.tell(callee, Told::Open(far, caller));
    Ok(near)
}

/// Opens a channel to a plugin of another process.
fn open_away(
    meetings: &mut Meetings,
    switch: &mut Switch,
    effects: &mut Effects,
    (plugin, purpose): (PluginId, Purpose),
    Away { direct, link, info, request }: Away,
) -> Result<Handle, Reason> {
    let servers = (info.to.1, info.from.1);
    let near = switch.add_plugin_end(plugin, Phase::Asking, Some(info), purpose)?;
    let handle = switch.handle(near);
    let invited = direct.map(|introduction| introduce(meetings, switch, introduction));
    let opened = match invited {
        Some(Ok(invitation)) => {
            switch.seek(handle);
            meetings.begin(handle, servers, invitation, Request { least: 0, ..request });
            Ok(())
        }
        Some(Err(reason)) if !reason.is(Code::LimitReached) => Err(reason),
        // No ticket is left, or the host is slow: the channel goes over the link.
        Some(Err(_)) | None => switch.open_over(link, near, request, effects),
    };
    if opened.is_err() {
        switch.drop_end(near);
    }
    opened.map(|()| handle)
}

impl Broker {
    pub(crate) fn do_open(&mut self, plugin: PluginId, target: &Target) -> Result<Handle, Reason> {
        if self.stopping {
            return Err(Reason::server(Code::ServerStopping, "the server is going down"));
        }
        let entry = self.find(target)?;
        self.open_to(plugin, target, entry, Purpose::Channel)
    }

    /// The directory's entry that serves who wants `target`.
    pub(crate) fn find(&self, target: &Target) -> Result<Entry, Reason> {
        let wanted = self.registry.wanted(target.server.as_deref(), self.home())?;
        let home = self.neighbours.home_key();
        self.registry.directory().find(&target.name, target.least, wanted, home)
    }

    /// Opens a channel to an entry of the directory.
    pub(crate) fn open_to(
        &mut self,
        plugin: PluginId,
        target: &Target,
        entry: Entry,
        purpose: Purpose,
    ) -> Result<Handle, Reason> {
        let Broker { registry, neighbours, meetings, switch, effects, .. } = self;
        let caller = caller_of(registry, neighbours, plugin)?;
        has_room(switch, plugin, &caller.name)?;
        let opener = (plugin, purpose);
        match path(registry, neighbours, opener, caller, (entry, target))? {
            Path::Here(here) => open_here(switch, effects, opener, here),
            Path::Away(away) => open_away(meetings, switch, effects, opener, *away),
        }
    }
}
