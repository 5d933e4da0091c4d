//! Offers: "if you have foo, it may reach my plugin bar". They travel with the announcement of bar,
//! and the server that has foo connects the two without asking anything more.

use super::connections::Opened;
use super::plugins::Runs;
use super::{Broker, Caller, ConnId, PluginId, Told};
use crate::control::{Announced, Origin, Preface, Purpose, Request};
use crate::ends::{ChannelInfo, End, EndId, Phase};
use crate::name::{Name, Version};
use crate::reason::Reason;
use crate::route::Route;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// Names that one plugin may invite; more are not heard.
const INVITED_MAX: usize = 64;

/// What the server at the other end of a link offers.
#[derive(Debug, Default)]
pub(super) struct Offers {
    /// Whom its plugins invite, by their names.
    invited: BTreeMap<Name, (Version, Vec<Name>)>,
    /// Pairs that were connected on this link: our plugin, then the other one.
    connected: BTreeSet<(Name, Name)>,
}

impl Offers {
    /// Whether a plugin of a name is invited.
    pub(super) fn invite(&self, guest: &Name) -> bool {
        self.invited.values().any(|(_, guests)| guests.contains(guest))
    }
}

impl Broker {
    /// A linked server announced a plugin, and whom it invites.
    pub(super) fn offered(&mut self, id: ConnId, announced: &Announced) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let (name, version) = (announced.name.clone(), announced.version);
        let mut guests = announced.invites.clone().unwrap_or_default();
        guests.truncate(INVITED_MAX);
        conn.offers.invited.insert(name, (version, guests.clone()));
        for guest in guests {
            self.connect_guest(id, &guest);
        }
        let name = &announced.name;
        let inviting = self.plugins.values().filter(|record| record.config.invites.contains(name));
        for inviting in inviting.map(|record| record.config.name.clone()).collect::<Vec<_>>() {
            self.connect_inviting(id, &inviting);
        }
    }

    /// Plugins of a linked server left: when they come back, they invite anew.
    pub(super) fn offers_end(&mut self, id: ConnId, names: &[Name]) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        for name in names {
            conn.offers.invited.remove(name);
        }
        conn.offers.connected.retain(|(_, host)| !names.contains(host));
    }

    /// A plugin of this server runs, or invites more than before: it is connected to whoever
    /// invites it, and to whom it invites.
    pub(super) fn connect_partners(&mut self, name: &Name) {
        for id in self.servers.values().copied().collect::<Vec<_>>() {
            self.connect_guest(id, name);
            self.connect_inviting(id, name);
        }
    }

    /// A plugin of this server is over: when it comes back, it is a guest anew.
    pub(super) fn guest_over(&mut self, guest: &Name) {
        for id in self.servers.values() {
            if let Some(conn) = self.conns.get_mut(id) {
                conn.offers.connected.retain(|(name, _)| name != guest);
            }
        }
    }

    /// Connects a plugin of this server to each plugin of a linked one that invites it, unless the
    /// other server does so.
    fn connect_guest(&mut self, id: ConnId, guest: &Name) {
        let (Some(plugin), Some(server)) = (self.running(guest), self.serving(id)) else { return };
        let Some(conn) = self.conns.get(&id) else { return };
        if conn.how != Opened::Accepted && self.may_see(plugin, server) {
            return;
        }
        let inviting = conn.offers.invited.iter().filter(|(_, (_, guests))| guests.contains(guest));
        let inviting = inviting.map(|(name, (version, _))| (name.clone(), *version));
        for host in inviting.collect::<Vec<_>>() {
            self.connect_new_pair(id, plugin, guest, host);
        }
    }

    /// Of two plugins that both servers know of, the server that accepted the link connects the
    /// inviting one: it hears the other's hello first, so that nobody waits for a round trip.
    fn connect_inviting(&mut self, id: ConnId, inviting: &Name) {
        let (Some(plugin), Some(server)) = (self.running(inviting), self.serving(id)) else {
            return;
        };
        let accepted = self.conns.get(&id).is_some_and(|conn| conn.how == Opened::Accepted);
        if !accepted || !self.may_see(plugin, server) {
            return;
        }
        let Some(record) = self.plugins.get(&plugin) else { return };
        let known = |name: &Name| Some((name.clone(), self.directory.version(server, name)?));
        let guests: Vec<_> = record.config.invites.iter().filter_map(known).collect();
        for guest in guests {
            self.connect_new_pair(id, plugin, inviting, guest);
        }
    }

    fn connect_new_pair(
        &mut self,
        id: ConnId,
        plugin: PluginId,
        ours: &Name,
        (name, version): (Name, Version),
    ) {
        let Some(server) = self.serving(id) else { return };
        if !self.is_new_pair(id, ours, &name) {
            return;
        }
        let theirs = Caller { name, version, server };
        if let Err(reason) = self.connect_pair(id, plugin, ours, &theirs) {
            log::info!("{ours} cannot be connected to {}: {reason}", theirs.name);
        }
    }

    fn is_new_pair(&mut self, id: ConnId, guest: &Name, host: &Name) -> bool {
        let conn = self.conns.get_mut(&id);
        conn.is_some_and(|conn| conn.offers.connected.insert((guest.clone(), host.clone())))
    }

    /// Opens a channel on behalf of a plugin. Both plugins are asked, each as if the other had
    /// opened it.
    fn connect_pair(
        &mut self,
        link: ConnId,
        plugin: PluginId,
        guest: &Name,
        host: &Caller,
    ) -> Result<(), Reason> {
        let Some(record) = self.plugins.get(&plugin) else { return Ok(()) };
        let (runs, version) = (record.runs, record.config.version);
        let info = ChannelInfo {
            from: (host.name.clone(), host.server),
            to: (guest.clone(), self.key),
            route: Route::Link,
        };
        let near = match runs {
            Runs::Here => self.guest_end(plugin, info)?,
            Runs::At(conn) => {
                let near = self.new_stream(conn)?;
                let server = Some(host.server);
                let from = Origin { name: host.name.clone(), version: host.version, server };
                let request = Request::new(guest.clone(), 0, from);
                self.give_frame(near, &Preface::channel(request).frame());
                if let Some(end) = self.ends.get_mut(near) {
                    end.info = Some(Box::new(info));
                }
                near
            }
        };
        let window = self.settings.limits.window;
        let opened = self.open_stream(link, near, window);
        let far = match opened {
            Ok(far) => far,
            Err(reason) => {
                self.drop_end(near);
                return Err(reason);
            }
        };
        let from = Origin::new(guest.clone(), version);
        let request = Request { stays: true, ..Request::new(host.name.clone(), 0, from) };
        self.give_frame(far, &Preface::channel(request).frame());
        match runs {
            Runs::Here => self.tell(plugin, Told::Open(self.ends.handle(near), host.clone())),
            Runs::At(_) => self.grant(near, window),
        }
        Ok(())
    }

    fn guest_end(&mut self, plugin: PluginId, info: ChannelInfo) -> Result<EndId, Reason> {
        self.has_room(plugin)?;
        let window = self.settings.limits.window;
        let end = End::of_plugin(plugin, Phase::Asked, window, Purpose::Channel);
        self.add_plugin_end(plugin, End { info: Some(Box::new(info)), ..end })
    }
}
