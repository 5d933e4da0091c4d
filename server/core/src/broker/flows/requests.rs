//! Which peers may ask for a channel over a link, to which plugin, and its path. That is decided
//! from what the registry and the neighbours know; the broker then performs it.

use super::opening::{has_room_for, introduce};
use super::places::{Calling, introduction, place, place_of, where_at};
use crate::broker::effect::Effects;
use crate::broker::meetings::Meetings;
use crate::broker::meetings::direct::Introduction;
use crate::broker::neighbours::Neighbours;
use crate::broker::registry::Registry;
use crate::broker::registry::plugins::Runs;
use crate::broker::switch::Switch;
use crate::broker::{Broker, Caller, ConnId, PluginId, Told};
use crate::control::{Origin, Purpose, Request, Role, Ticket};
use crate::directory::{Wanted, too_low};
use crate::ends::ChannelInfo;
use crate::ids::EndId;
use crate::key::Key;
use crate::name::{Name, Version};
use crate::reason::{Code, Reason};
use crate::route::{Route, routes};
use alloc::boxed::Box;
use alloc::format;

/// The decision about a request.
#[derive(Debug)]
#[must_use]
pub(crate) struct Verdict {
    /// The caller is invited to connect directly, if there is a ticket for it.
    direct: Option<Box<Introduction>>,
    carriage: Carriage,
}

/// How a channel is carried whose caller is not invited.
#[derive(Debug)]
enum Carriage {
    /// A plugin of this process is asked.
    Ask(Asking),
    /// The channel is passed on over another link.
    PassOn(Box<PassOn>),
}

/// A channel that is passed on.
#[derive(Debug)]
struct PassOn {
    link: ConnId,
    /// The server whose plugin calls, if the link is that of a host, and the plugins of that server
    /// may have no more than their share of it.
    sharing: Option<Key>,
    request: Request,
    info: ChannelInfo,
}

/// What a plugin of this process is asked.
#[derive(Debug)]
pub(crate) struct Asking {
    pub(crate) plugin: PluginId,
    /// Its name, and its server.
    pub(crate) to: (Name, Key),
    pub(crate) caller: Caller,
    pub(crate) route: Route,
    pub(crate) purpose: Purpose,
    /// What the caller presents of the servers' word.
    pub(crate) ticket: Option<Ticket>,
}

/// What the caller says beside who it is and from where.
struct Wish {
    least: Version,
    /// It was invited before, and wants the servers to pass the channel on.
    ticket: Option<Ticket>,
    /// It takes no invitation.
    stays: bool,
}

/// Decides about a request that came over a connection.
pub(crate) fn decide(
    registry: &Registry,
    neighbours: &Neighbours,
    conn: ConnId,
    request: Request,
) -> Result<Verdict, Reason> {
    match neighbours.hello(conn).map(|hello| hello.role) {
        Some(Role::Host) => asked_by_host(registry, neighbours, conn, request),
        _ if neighbours.uplink() == Some(conn) => asked_by_uplink(registry, neighbours, request),
        _ if neighbours.is_host() => {
            Err(Reason::server(Code::NotAllowed, "this host serves its own server only"))
        }
        _ => asked_by_server(registry, neighbours, conn, request),
    }
}

/// A plugin of another server wants a channel to one of ours.
fn asked_by_server(
    registry: &Registry,
    neighbours: &Neighbours,
    conn: ConnId,
    request: Request,
) -> Result<Verdict, Reason> {
    let Request { to, least, from, at, ticket, stays, purpose, .. } = request;
    let silent = || Reason::server(Code::NotAllowed, "the peer has not said hello");
    let server = neighbours.hello(conn).ok_or_else(silent)?;
    let place = place_of(server, at.as_ref());
    let caller = Caller { name: from.name, version: from.version, server: server.key };
    // A peer that may not see a plugin gets the same answer as for a name that no plugin has.
    let unknown = || Reason::server(Code::UnknownPlugin, format!("no plugin {to} is known here"));
    let seen = registry.running(&to).filter(|plugin| registry.may_see(*plugin, caller.server));
    let plugin = seen.ok_or_else(unknown)?;
    is_new_enough(registry, plugin, &to, least)?;
    let calling = Calling { place, caller, seen: at.and_then(|at| at.seen), purpose };
    to_plugin(registry, neighbours, calling, Wish { least, ticket, stays }, plugin)
}

/// A plugin of a host wants a channel, wherever the other one is.
fn asked_by_host(
    registry: &Registry,
    neighbours: &Neighbours,
    conn: ConnId,
    request: Request,
) -> Result<Verdict, Reason> {
    let Request { to, least, from, server, ticket, purpose, .. } = request;
    let stranger = || {
        let text = format!("this host has registered no plugin {}", from.name);
        Reason::server(Code::NotAllowed, text)
    };
    let plugin = registry.running(&from.name).ok_or_else(stranger)?;
    let record = registry.plugin(plugin).filter(|record| record.runs == Runs::At(conn));
    let version = record.ok_or_else(stranger)?.config.version;
    let home = neighbours.home_key();
    let wanted = server.map_or(Wanted::Anywhere, Wanted::At);
    let entry = registry.directory().find(&to, least, wanted, home)?;
    if entry.server == home
        && let Some(callee) = registry.running(&to)
    {
        let (place, seen) = (place(registry, neighbours, plugin), neighbours.seen(conn));
        let caller = Caller { name: from.name, version, server: home };
        let calling = Calling { place, caller, seen, purpose };
        let wish = Wish { least, ticket, stays: false };
        return to_plugin(registry, neighbours, calling, wish, callee);
    }
    let gone = || Reason::server(Code::LinkLost, "the link to its server is gone");
    let link = neighbours.link_to(entry.server).ok_or_else(gone)?;
    let (from, to_entry) = ((from.name, home), (to.clone(), entry.server));
    let origin = Origin::new(from.0.clone(), version);
    let at = where_at(registry, neighbours, plugin);
    let request = Request { at, ticket, purpose, ..Request::new(to, least, origin) };
    let info = ChannelInfo { from, to: to_entry, route: Route::Relay };
    let passed_on = PassOn { link, sharing: None, request, info };
    Ok(Verdict { direct: None, carriage: Carriage::PassOn(Box::new(passed_on)) })
}

/// The server of this host wants a channel to a plugin of this process.
fn asked_by_uplink(
    registry: &Registry,
    neighbours: &Neighbours,
    request: Request,
) -> Result<Verdict, Reason> {
    let Request { to, least, from, route, ticket, purpose, .. } = request;
    let unknown = || Reason::server(Code::UnknownPlugin, format!("this host has no {to}"));
    let plugin = registry.running(&to).ok_or_else(unknown)?;
    is_new_enough(registry, plugin, &to, least)?;
    let home = neighbours.home_key();
    let server = from.server.unwrap_or(home);
    let caller = Caller { name: from.name, version: from.version, server };
    let route = route.unwrap_or(Route::Link);
    let asking = Asking { plugin, to: (to, home), caller, route, purpose, ticket };
    Ok(Verdict { direct: None, carriage: Carriage::Ask(asking) })
}

fn is_new_enough(
    registry: &Registry,
    plugin: PluginId,
    name: &Name,
    least: Version,
) -> Result<(), Reason> {
    let version = registry.plugin(plugin).map_or(0, |record| record.config.version);
    if version < least { Err(too_low(name, version, least)) } else { Ok(()) }
}

/// A caller wants a channel to a plugin of this server, and may have it.
fn to_plugin(
    registry: &Registry,
    neighbours: &Neighbours,
    calling: Calling,
    wish: Wish,
    plugin: PluginId,
) -> Result<Verdict, Reason> {
    let routes = routes(&calling.place, &place(registry, neighbours, plugin));
    let route = routes.last().copied().unwrap_or(Route::Relay);
    let free = wish.ticket.is_none() && !wish.stays;
    let direct = match free {
        true => introduction(registry, neighbours, &calling, plugin, routes).map(Box::new),
        false => None,
    };
    let gone = || Reason::server(Code::UnknownPlugin, "the plugin is gone");
    let record = registry.plugin(plugin).ok_or_else(gone)?;
    let (Calling { caller, purpose, .. }, Wish { least, ticket, stays }) = (calling, wish);
    let (to, home) = (record.config.name.clone(), neighbours.home_key());
    let Runs::At(host) = record.runs else {
        let asking = Asking { plugin, to: (to, home), caller, route, purpose, ticket };
        return Ok(Verdict { direct, carriage: Carriage::Ask(asking) });
    };
    let sharing = Some(caller.server).filter(|server| *server != home);
    let from = (caller.name.clone(), caller.server);
    let info = ChannelInfo { from, to: (to.clone(), home), route };
    let from = Origin { name: caller.name, version: caller.version, server: Some(caller.server) };
    let request = Request::new(to, least, from);
    let request = Request { route: Some(route), ticket, stays, purpose, ..request };
    let passed_on = PassOn { link: host, sharing, request, info };
    Ok(Verdict { direct, carriage: Carriage::PassOn(Box::new(passed_on)) })
}

impl Verdict {
    /// Invites the caller of a stream, or has the channel carried.
    fn carry_out(
        self,
        meetings: &mut Meetings,
        switch: &mut Switch,
        effects: &mut Effects,
        stream: EndId,
    ) -> Result<(), Reason> {
        match self.direct.map(|introduction| introduce(meetings, switch, *introduction)) {
            Some(Ok(invitation)) => {
                switch.invite(stream, Box::new(invitation));
                return Ok(());
            }
            // No ticket is left for its server, or the host is slow: the servers pass the channel
            // on.
            Some(Err(reason)) if !reason.is(Code::LimitReached) => return Err(reason),
            Some(Err(_)) | None => {}
        }
        match self.carriage {
            Carriage::Ask(asking) => ask_ticketed(meetings, switch, effects, stream, asking),
            Carriage::PassOn(passed_on) => {
                let PassOn { link, sharing, request, info } = *passed_on;
                sharing.map_or(Ok(()), |server| switch.has_stream_for(link, server))?;
                switch.pass_on(stream, link, request, info, effects)
            }
        }
    }
}

/// Tells a plugin of this process that a caller, which may have a ticket, wants a channel.
fn ask_ticketed(
    meetings: &mut Meetings,
    switch: &mut Switch,
    effects: &mut Effects,
    stream: EndId,
    asking: Asking,
) -> Result<(), Reason> {
    let ticket = asking.ticket;
    ticket.map_or(Ok(()), |ticket| meetings.redeem_relayed(ticket, &asking.to.0))?;
    let near = asking.ask(switch, effects, stream)?;
    if ticket.is_some_and(|ticket| meetings.ticket_opens(ticket, switch.handle(near))) {
        switch.keep_ticket(near);
    }
    Ok(())
}

impl Asking {
    /// Tells the plugin that a caller wants a channel, and gives the plugin's end.
    pub(crate) fn ask(
        self,
        switch: &mut Switch,
        effects: &mut Effects,
        stream: EndId,
    ) -> Result<EndId, Reason> {
        let Asking { plugin, to, caller, route, purpose, .. } = self;
        has_room_for(switch, (plugin, &to.0), caller.server, to.1)?;
        let info = ChannelInfo { from: (caller.name.clone(), caller.server), to, route };
        let near = switch.ask(plugin, stream, info, purpose)?;
        effects.tell(plugin, Told::Open(switch.handle(near), caller));
        Ok(near)
    }
}

impl Broker {
    /// A peer wants a channel to a plugin of this server, or a host to any.
    pub(crate) fn incoming(
        &mut self,
        stream: EndId,
        conn: ConnId,
        request: Request,
    ) -> Result<(), Reason> {
        if self.stopping {
            return Err(Reason::server(Code::ServerStopping, "the server is going down"));
        }
        self.switch.link_has_room(conn)?;
        let verdict = decide(&self.registry, &self.neighbours, conn, request)?;
        verdict.carry_out(&mut self.meetings, &mut self.switch, &mut self.effects, stream)
    }
}
