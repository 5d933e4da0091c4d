//! What a stream that a peer opened is for: channels to plugins of this process, those that are
//! passed on to a host or to another server, and commands.

use crate::broker::neighbours::connections::PeerInfo;
use crate::broker::registry::plugins::Runs;
use crate::broker::{Broker, Caller, ConnId, PluginId, Step, Told};
use crate::bymux::StreamId;
use crate::control::{Addresses, Answer, At, Origin, Preface, Purpose, Request, Role, Ticket};
use crate::directory::{Wanted, too_low};
use crate::ends::ChannelInfo;
use crate::ids::EndId;
use crate::key::Key;
use crate::limits::{Limit, WINDOW};
use crate::log_limiter::LogKind;
use crate::name::{Name, Version};
use crate::reason::{Code, Reason};
use crate::route::{Place, Reach, Route, routes};
use alloc::boxed::Box;
use alloc::format;

impl Broker {
    /// A peer opened a stream and said what it is for.
    pub(crate) fn preface(
        &mut self,
        id: ConnId,
        stream: StreamId,
        preface: Preface,
        used: u64,
        rest: &[u8],
    ) {
        let Some(end) = self.switch.add_asking(id, stream) else { return };
        let opened = match preface {
            Preface::Channel(request) => self.incoming(end, id, *request),
            Preface::Command { name } => self.command(end, id, name),
            Preface::Direct(_) => {
                Err(Reason::server(Code::BadTicket, "a ticket is for a connection of its own"))
            }
            Preface::Other(kind) => {
                let text = format!("streams of kind {kind} are not known");
                Err(Reason::server(Code::UnknownMessage, text))
            }
        };
        match opened {
            Ok(()) => {
                self.switch.frame_used(end, used);
                if let Step::Write { plugin, channel, bytes } = self.stream_brings(end, rest) {
                    debug_assert!(false, "{plugin:?} {channel:?} {} is not asked", bytes.len());
                }
            }
            Err(reason) => {
                let text = format_args!("a stream was refused: {reason}");
                self.log_about(id, LogKind::RefusedStream, text);
                self.switch.reply(end, &Answer::Refuse(reason), &[]);
            }
        }
    }

    /// Whether a peer may have one more stream. What it sends before a plugin has answered is kept
    /// here, so as many may wait for an answer as have room in the window of a link.
    fn link_has_room(&mut self, conn: ConnId) -> Result<(), Reason> {
        let limits = &self.settings.limits;
        let Some(line) = self.switch.line(conn) else { return Ok(()) };
        let unanswered = (limits.link_window / WINDOW) as usize;
        let (limit, text) = if line.link().streams() > limits.streams {
            (Limit::Streams, format!("at most {} streams share a link", limits.streams))
        } else if line.unanswered() > unanswered {
            let text = format!("at most {unanswered} channels of a link may wait for an answer");
            (Limit::LinkWindow, text)
        } else {
            return Ok(());
        };
        Err(self.limit_reached(limit, text))
    }

    /// A peer wants a channel to a plugin of this server, or a host to any.
    fn incoming(&mut self, stream: EndId, conn: ConnId, request: Request) -> Result<(), Reason> {
        if self.stopping {
            return Err(Reason::server(Code::ServerStopping, "the server is going down"));
        }
        self.link_has_room(conn)?;
        let role = self.neighbours.hello(conn).map(|h| h.role);
        match role {
            Some(Role::Host) => self.asked_by_host(stream, conn, request),
            _ if self.uplink() == Some(conn) => self.asked_by_uplink(stream, request),
            _ if self.is_host() => {
                Err(Reason::server(Code::NotAllowed, "this host serves its own server only"))
            }
            _ => self.asked_by_server(stream, conn, request),
        }
    }

    /// A plugin of another server wants a channel to one of ours.
    fn asked_by_server(
        &mut self,
        stream: EndId,
        conn: ConnId,
        request: Request,
    ) -> Result<(), Reason> {
        let Request { to, least, from, at, ticket, stays, purpose, .. } = request;
        let server = self.neighbours.hello(conn);
        let Some(server) = server else { return Ok(()) };
        let place = place_of(server, at.as_ref());
        let caller = Caller { name: from.name, version: from.version, server: server.key };
        let seen = at.and_then(|at| at.seen);
        // Who may not see a plugin gets the same answer as for a name that nobody has.
        let unknown =
            || Reason::server(Code::UnknownPlugin, format!("no plugin {to} is known here"));
        let plugin = self
            .registry
            .running(&to)
            .filter(|plugin| self.registry.may_see(*plugin, caller.server));
        let plugin = plugin.ok_or_else(unknown)?;
        let version = self.registry.plugin(plugin).map_or(0, |record| record.config.version);
        if version < least {
            return Err(too_low(&to, version, least));
        }
        let calling = Calling { place, caller, least, ticket, seen, stays, purpose };
        self.connect(stream, calling, plugin)
    }

    /// A plugin of a host wants a channel, wherever the other one is.
    fn asked_by_host(
        &mut self,
        stream: EndId,
        conn: ConnId,
        request: Request,
    ) -> Result<(), Reason> {
        let Request { to, least, from, server, ticket, purpose, .. } = request;
        let calling = self.registry.running(&from.name).filter(|plugin| {
            self.registry.plugin(*plugin).is_some_and(|record| record.runs == Runs::At(conn))
        });
        let stranger = || {
            let text = format!("this host has registered no plugin {}", from.name);
            Reason::server(Code::NotAllowed, text)
        };
        let calling = calling.ok_or_else(stranger)?;
        let version = self.registry.plugin(calling).map_or(0, |record| record.config.version);
        let home = self.neighbours.home_key();
        let caller = Caller { name: from.name, version, server: home };
        let wanted = server.map_or(Wanted::Anywhere, Wanted::At);
        let entry = self.registry.directory().find(&to, least, wanted, home)?;
        if entry.server == home
            && let Some(plugin) = self.registry.running(&to)
        {
            let (place, seen) = (self.place(calling), self.seen(conn));
            let calling = Calling { place, caller, least, ticket, seen, stays: false, purpose };
            return self.connect(stream, calling, plugin);
        }
        let gone = || Reason::server(Code::LinkLost, "the link to its server is gone");
        let link = self.neighbours.link_to(entry.server).ok_or_else(gone)?;
        let info = ChannelInfo {
            from: (caller.name.clone(), home),
            to: (to.clone(), entry.server),
            route: Route::Relay,
        };
        let from = Origin::new(caller.name, version);
        let at = self.where_at(calling);
        let request = Request { at, ticket, purpose, ..Request::new(to, least, from) };
        self.relay(stream, link, request, info)
    }

    /// The server of this host wants a channel to a plugin of this process.
    fn asked_by_uplink(&mut self, stream: EndId, request: Request) -> Result<(), Reason> {
        let Request { to, least, from, route, ticket, purpose, .. } = request;
        let unknown = || Reason::server(Code::UnknownPlugin, format!("this host has no {to}"));
        let plugin = self.registry.running(&to).ok_or_else(unknown)?;
        let version = self.registry.plugin(plugin).map_or(0, |record| record.config.version);
        if version < least {
            return Err(too_low(&to, version, least));
        }
        let server = from.server.unwrap_or(self.neighbours.home_key());
        let caller = Caller { name: from.name, version: from.version, server };
        let route = route.unwrap_or(Route::Link);
        self.ask_ticketed(stream, plugin, caller, route, purpose, ticket)
    }

    /// Connects a stream, behind which a caller is, with a plugin of this server; or invites the
    /// caller to connect directly.
    fn connect(&mut self, stream: EndId, calling: Calling, plugin: PluginId) -> Result<(), Reason> {
        let routes = routes(&calling.place, &self.place(plugin));
        let free = calling.ticket.is_none() && !calling.stays;
        if free && routes.first().is_some_and(|route| route.is_direct()) {
            match self.make_invitation(&calling, plugin, routes.clone()) {
                Ok(invitation) => {
                    self.switch.invite(stream, Box::new(invitation));
                    return Ok(());
                }
                // No ticket is left for its server, or the host is slow: the servers pass the
                // channel on.
                Err(reason) if reason.is(Code::LimitReached) => {
                    self.counters.count(Limit::Tickets);
                }
                Err(reason) => return Err(reason),
            }
        }
        let route = routes.last().copied().unwrap_or(Route::Relay);
        let Calling { caller, least, ticket, stays, purpose, .. } = calling;
        let Some(record) = self.registry.plugin(plugin) else { return Ok(()) };
        let (runs, to) = (record.runs, record.config.name.clone());
        let Runs::At(host) = runs else {
            return self.ask_ticketed(stream, plugin, caller, route, purpose, ticket);
        };
        let info = ChannelInfo {
            from: (caller.name.clone(), caller.server),
            to: (to.clone(), self.neighbours.home_key()),
            route,
        };
        if caller.server != self.neighbours.home_key() {
            self.switch.has_stream_for(host, caller.server)?;
        }
        let server = Some(caller.server);
        let from = Origin { name: caller.name, version: caller.version, server };
        let request = Request::new(to, least, from);
        let request = Request { route: Some(route), ticket, stays, purpose, ..request };
        self.relay(stream, host, request, info)
    }

    /// Tells a plugin of this process that somebody wants a channel, who may have a ticket for it.
    fn ask_ticketed(
        &mut self,
        stream: EndId,
        plugin: PluginId,
        caller: Caller,
        route: Route,
        purpose: Purpose,
        ticket: Option<Ticket>,
    ) -> Result<(), Reason> {
        let Some(ticket) = ticket else {
            return self.ask_plugin(stream, plugin, caller, route, purpose).map(drop);
        };
        let name = self.registry.plugin(plugin).map(|record| record.config.name.clone());
        if let Some(name) = name {
            self.redeem_relayed(ticket, &name)?;
        }
        let near = self.ask_plugin(stream, plugin, caller, route, purpose)?;
        self.remember_ticket(ticket, near);
        Ok(())
    }

    /// Tells a plugin of this process that somebody wants a channel, and gives the plugin's end.
    pub(crate) fn ask_plugin(
        &mut self,
        stream: EndId,
        plugin: PluginId,
        caller: Caller,
        route: Route,
        purpose: Purpose,
    ) -> Result<EndId, Reason> {
        self.has_room_for(plugin, caller.server)?;
        let gone = || Reason::server(Code::UnknownPlugin, "the plugin is gone");
        let record = self.registry.plugin(plugin).ok_or_else(gone)?;
        let to = (record.config.name.clone(), self.neighbours.home_key());
        let info = ChannelInfo { from: (caller.name.clone(), caller.server), to, route };
        let near = self.switch.ask(plugin, stream, info, purpose)?;
        self.tell(plugin, Told::Open(self.switch.handle(near), caller));
        Ok(near)
    }

    /// Joins a stream that somebody opened to one that we open, and passes on what is asked.
    fn relay(
        &mut self,
        near: EndId,
        conn: ConnId,
        request: Request,
        info: ChannelInfo,
    ) -> Result<(), Reason> {
        let far = self.switch.open_stream(conn, near, WINDOW, &mut self.effects)?;
        self.switch.set_info(far, info);
        self.switch.open_with(far, request);
        Ok(())
    }

    /// Where a plugin of this server is.
    pub(crate) fn place(&self, plugin: PluginId) -> Place {
        let (server, machine) = (self.key, self.settings.machine);
        let record = self.registry.plugin(plugin);
        let (unix, net) = record.map_or((false, false), |record| {
            (record.direct.socket.is_some(), !record.direct.net.is_empty())
        });
        let loopback = record.is_some_and(|record| record.direct.loopback.is_some());
        let reach = Reach { unix, net, loopback, seen: false };
        let inline = Place { server, server_machine: machine, process: server, machine, reach };
        let Some(Runs::At(host)) = record.map(|record| record.runs) else { return inline };
        let hello = self.neighbours.hello(host);
        let Some(hello) = hello else { return inline };
        // Who came over a unix socket is on this machine, whatever it says.
        let loopback =
            loopback && self.neighbours.conn(host).is_some_and(|conn| conn.from.is_none());
        let reach = Reach { seen: self.seen(host).is_some(), loopback, ..reach };
        Place { process: hello.key, machine: hello.machine, reach, ..inline }
    }

    /// What another server has to know of where a plugin of ours is.
    fn where_at(&self, plugin: PluginId) -> Option<At> {
        let Place { process, machine, .. } = self.place(plugin);
        let Some(Runs::At(host)) = self.registry.plugin(plugin).map(|record| record.runs) else {
            return None;
        };
        Some(At { process, machine, seen: self.seen(host) })
    }

    /// What a plugin of this process asks for when the servers pass a channel on.
    pub(crate) fn request_of(
        &self,
        plugin: PluginId,
        to: Name,
        server: Key,
        purpose: Purpose,
    ) -> Option<Request> {
        let caller = self.caller(plugin)?;
        let from = Origin::new(caller.name, caller.version);
        let server = self.is_host().then_some(server);
        Some(Request { server, purpose, ..Request::new(to, 0, from) })
    }
}

/// Who wants a channel, and from where.
#[derive(Clone, Debug)]
pub(crate) struct Calling {
    pub(crate) place: Place,
    pub(crate) caller: Caller,
    /// The least version that will do.
    pub(crate) least: Version,
    /// It was invited before, and wants the servers to pass the channel on.
    pub(crate) ticket: Option<Ticket>,
    /// The address from which the link of its process comes.
    pub(crate) seen: Option<Addresses>,
    /// It takes no invitation.
    pub(crate) stays: bool,
    pub(crate) purpose: Purpose,
}

/// Where a plugin of another server is, as that server says.
fn place_of(server: &PeerInfo, at: Option<&At>) -> Place {
    let (process, machine) = at.map_or((server.key, server.machine), |at| (at.process, at.machine));
    let seen = at.is_some_and(|at| at.seen.is_some());
    let reach = Reach { seen, ..Reach::default() };
    Place { server: server.key, server_machine: server.machine, process, machine, reach }
}
