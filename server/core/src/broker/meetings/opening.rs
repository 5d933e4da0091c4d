//! How a plugin of this process opens a channel: to whom, and over which link.

use crate::broker::meetings::requests::Calling;
use crate::broker::registry::plugins::Runs;
use crate::broker::{Broker, Caller, ConnId, PluginId, Target, Told};
use crate::control::{Origin, Preface, Purpose, Request};
use crate::directory::Entry;
use crate::ends::{ChannelInfo, Phase, Table};
use crate::ids::Handle;
use crate::key::Key;
use crate::limits::Limit;
use crate::reason::{Code, Reason};
use crate::route::{Route, routes};
use alloc::format;

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
        self.registry.directory().find(
            &target.name,
            target.least,
            wanted,
            self.neighbours.home_key(),
        )
    }

    /// Whether a plugin may have one more channel.
    pub(crate) fn has_room(&mut self, plugin: PluginId) -> Result<(), Reason> {
        let most = self.settings.limits.channels;
        match self.registry.plugin(plugin) {
            Some(record) if self.switch.ends().count_of(plugin) >= most => {
                let name = &record.config.name;
                let text = format!("{name} has {most} channels, as many as a plugin may have");
                Err(self.limit_reached(Limit::Channels, text))
            }
            _ => Ok(()),
        }
    }

    /// Whether plugins of a server may have one more channel to a plugin: those of other servers
    /// leave room for others.
    pub(crate) fn has_room_for(&mut self, plugin: PluginId, caller: Key) -> Result<(), Reason> {
        self.has_room(plugin)?;
        let ends = self.switch.ends();
        let free = self.settings.limits.channels.saturating_sub(ends.count_of(plugin));
        let shared = caller != self.neighbours.home_key();
        if shared && !ends.callers().leave_a_share(Table::Plugin(plugin), caller, free) {
            let text = "plugins of that server have as many channels to it as they may have";
            return Err(self.limit_reached(Limit::Channels, text));
        }
        Ok(())
    }

    /// A plugin of this server, as those that it opens channels to see it.
    pub(crate) fn caller(&self, plugin: PluginId) -> Option<Caller> {
        let config = &self.registry.plugin(plugin)?.config;
        let server = self.neighbours.home_key();
        Some(Caller { name: config.name.clone(), version: config.version, server })
    }

    /// Whether a plugin of this process is the one that opened a channel.
    pub(crate) fn opened_by(&self, plugin: PluginId, info: &ChannelInfo) -> bool {
        let name = self.registry.plugin(plugin).map(|record| &record.config.name);
        name == Some(&info.from.0) && info.from.1 == self.neighbours.home_key()
    }

    /// Opens a channel to an entry of the directory.
    pub(crate) fn open_to(
        &mut self,
        plugin: PluginId,
        target: &Target,
        entry: Entry,
        purpose: Purpose,
    ) -> Result<Handle, Reason> {
        self.has_room(plugin)?;
        // A host whose plugin the server has still to refuse may have one of the name itself.
        let callee = self
            .registry
            .running(&entry.name)
            .filter(|_| entry.server == self.neighbours.home_key());
        let callee = callee.and_then(|callee| Some((callee, self.registry.plugin(callee)?)));
        let callee = callee.filter(|(_, record)| record.config.version == entry.version);
        if let Some((callee, record)) = callee {
            match record.runs {
                Runs::At(host) => self.open_at_host(host, plugin, callee, target, entry, purpose),
                Runs::Here => self.open_local(plugin, callee, entry, purpose),
            }
        } else {
            let link = self.uplink().or_else(|| self.neighbours.link_to(entry.server));
            let gone = || match entry.server == self.neighbours.home_key() {
                true => Reason::server(Code::HostLost, "the host of the plugin is gone"),
                false => Reason::server(Code::LinkLost, "the link to its server is gone"),
            };
            self.open_over(link.ok_or_else(gone)?, plugin, target, entry, purpose)
        }
    }

    /// Opens a channel to a plugin of a host of this server: directly, if that is better than over
    /// the host's link.
    fn open_at_host(
        &mut self,
        host: ConnId,
        plugin: PluginId,
        callee: PluginId,
        target: &Target,
        entry: Entry,
        purpose: Purpose,
    ) -> Result<Handle, Reason> {
        let place = self.place(plugin);
        let routes = routes(&place, &self.place(callee));
        if !routes.first().is_some_and(|route| route.is_direct()) {
            return self.open_over(host, plugin, target, entry, purpose);
        }
        let gone = || Reason::server(Code::UnknownPlugin, "the plugin is gone");
        let caller = self.caller(plugin).ok_or_else(gone)?;
        let info = info(&caller, &entry, Route::Link);
        let again = entry.clone();
        let near = self.switch.add_plugin_end(plugin, Phase::Asking, Some(info), purpose)?;
        let (least, ticket, seen) = (target.least, None, None);
        let calling = Calling { place, caller, least, ticket, seen, stays: false, purpose };
        let invitation = self.make_invitation(&calling, callee, routes);
        let request = self.request_of(plugin, entry.name, entry.server, purpose);
        match (invitation, request) {
            (Ok(invitation), Some(request)) => {
                let near = self.switch.handle(near);
                self.begin_attempts(near, entry.server, invitation, request);
                Ok(near)
            }
            (Err(reason), _) if reason.is(Code::LimitReached) => {
                self.counters.count(Limit::Tickets);
                self.switch.drop_end(near);
                self.open_over(host, plugin, target, again, purpose)
            }
            (invitation, _) => {
                self.switch.drop_end(near);
                Err(invitation.err().unwrap_or_else(gone))
            }
        }
    }

    fn open_local(
        &mut self,
        plugin: PluginId,
        callee: PluginId,
        entry: Entry,
        purpose: Purpose,
    ) -> Result<Handle, Reason> {
        let gone = || Reason::server(Code::UnknownPlugin, "the plugin is gone");
        let caller = self.caller(plugin).ok_or_else(gone)?;
        self.has_room(callee)?;
        let info = info(&caller, &entry, Route::Local);
        let (near, far) = self.switch.open_local((plugin, callee), info, purpose)?;
        self.tell(callee, Told::Open(far, caller));
        Ok(near)
    }

    fn open_over(
        &mut self,
        conn: ConnId,
        plugin: PluginId,
        target: &Target,
        entry: Entry,
        purpose: Purpose,
    ) -> Result<Handle, Reason> {
        let gone = || Reason::server(Code::LinkLost, "the plugin is gone");
        let caller = self.caller(plugin).ok_or_else(gone)?;
        let info = info(&caller, &entry, Route::Link);
        let near = self.switch.add_plugin_end(plugin, Phase::Asking, Some(info), purpose)?;
        let window = self.settings.limits.window;
        let opened = self.switch.open_stream(conn, near, window, &mut self.effects);
        let far = match opened {
            Ok(far) => far,
            Err(reason) => {
                self.switch.drop_end(near);
                return Err(reason);
            }
        };
        let from = Origin::new(caller.name, caller.version);
        let server = self.is_host().then_some(entry.server);
        let request = Request::new(entry.name, target.least, from);
        let request = Request { server, purpose, ..request };
        self.switch.give_frame(far, &Preface::channel(request).frame());
        Ok(self.switch.handle(near))
    }
}

fn info(caller: &Caller, entry: &Entry, route: Route) -> ChannelInfo {
    let from = (caller.name.clone(), caller.server);
    ChannelInfo { from, to: (entry.name.clone(), entry.server), route }
}
