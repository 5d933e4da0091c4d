//! Offers: "if you have foo, it may reach my plugin bar". They travel with the announcement of bar,
//! and the server that has foo connects the two without asking anything more.

use crate::broker::neighbours::connections::Opened;
use crate::broker::registry::partners::Index;
use crate::broker::registry::plugins::Runs;
use crate::broker::{Broker, Caller, ConnId, PluginId, Told};
use crate::control::{Announced, Origin, Purpose, Request};
use crate::ends::{ChannelInfo, Phase};
use crate::ids::EndId;
use crate::limits::Limit;
use crate::log_limiter::LogKind;
use crate::name::{Name, Version};
use crate::reason::Reason;
use crate::route::Route;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Names that one plugin may invite; more are not heard. What all plugins of a peer
/// together may invite has a limit of its own.
const INVITED_MAX: usize = 64;

/// What the server at the other end of a link offers.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    /// Whom its plugins invite, by their names.
    invited: BTreeMap<Name, (Version, Vec<Name>)>,
    /// Its plugins that invite a name.
    inviting: Index<Name, Name>,
    /// How many names are invited, each as often as it is.
    count: usize,
    connected: Connected,
}

/// Pairs that were connected on a link, by our plugin and by the other one.
#[derive(Debug, Default)]
struct Connected {
    by_ours: Index<Name, Name>,
    by_theirs: Index<Name, Name>,
}

impl Connected {
    fn has(&self, ours: &Name, theirs: &Name) -> bool {
        self.by_ours.has(ours, theirs)
    }

    fn insert(&mut self, ours: &Name, theirs: &Name) {
        self.by_ours.insert(ours.clone(), theirs.clone());
        self.by_theirs.insert(theirs.clone(), ours.clone());
    }

    fn forget_ours(&mut self, ours: &Name) {
        for theirs in self.by_ours.take(ours) {
            self.by_theirs.remove(&theirs, ours);
        }
    }

    /// Gives our plugins that were connected to none but this one.
    fn forget_theirs(&mut self, theirs: &Name) -> Vec<Name> {
        let ours = self.by_theirs.take(theirs).into_iter();
        let alone = ours.filter(|ours| {
            self.by_ours.remove(ours, theirs);
            self.by_ours.count(ours) == 0
        });
        alone.collect()
    }
}

impl Offers {
    /// The names that are invited.
    pub(crate) fn guests(&self) -> impl Iterator<Item = &Name> {
        self.inviting.keys()
    }

    /// Whether plugins of a name are invited.
    pub(crate) fn invites(&self, guest: &Name) -> bool {
        self.inviting.count(guest) > 0
    }

    /// Forgets whom a plugin invites, and gives the names that nobody invites any more.
    fn forget(&mut self, host: &Name) -> Vec<Name> {
        let Some((_, guests)) = self.invited.remove(host) else { return Vec::new() };
        self.count -= guests.len();
        for guest in &guests {
            self.inviting.remove(guest, host);
        }
        guests.into_iter().filter(|guest| self.inviting.count(guest) == 0).collect()
    }
}

impl Broker {
    /// A linked server announced a plugin, and whom it invites.
    pub(crate) fn offered(&mut self, id: ConnId, announced: &Announced) {
        let (name, version) = (announced.name.clone(), announced.version);
        self.forget_offers(id, &name);
        let most = self.settings.limits.invited;
        let Some(common) = self.registry.in_common.get_mut(&id) else { return };
        let mut guests = announced.invites.clone().unwrap_or_default();
        let asked = guests.len();
        guests.truncate(INVITED_MAX.min(most.saturating_sub(common.offers.count)));
        if guests.len() < asked {
            self.counters.count(Limit::Invited);
        }
        common.offers.count += guests.len();
        for guest in &guests {
            common.offers.inviting.insert(guest.clone(), name.clone());
            self.registry.partners.guests.insert(guest.clone(), id);
        }
        if !guests.is_empty() {
            common.offers.invited.insert(name.clone(), (version, guests.clone()));
        }
        for guest in guests {
            self.update_common(id, &guest);
            if self.registry.announcements.has_told_own(id, &guest) {
                self.connect_guest(id, &guest, Some(&name));
            }
        }
        let live = self.registry.partners.wanting(&name).filter(|id| self.registry.is_live(**id));
        let wanting = live.filter_map(|id| self.registry.plugins.get(id));
        let inviting = wanting.filter(|record| record.config.invites.contains(&name));
        for inviting in inviting.map(|record| record.config.name.clone()).collect::<Vec<_>>() {
            if self.registry.announcements.has_told_own(id, &inviting) {
                self.connect_inviting(id, &inviting);
            }
        }
    }

    fn forget_offers(&mut self, id: ConnId, host: &Name) {
        let Some(common) = self.registry.in_common.get_mut(&id) else { return };
        for guest in common.offers.forget(host) {
            self.registry.partners.guests.remove(&guest, &id);
            self.update_common(id, &guest);
        }
    }

    /// Plugins of a linked server left: when they come back, they invite anew.
    pub(crate) fn offers_end(&mut self, id: ConnId, names: &[Name]) {
        for name in names {
            self.forget_offers(id, name);
            let Some(common) = self.registry.in_common.get_mut(&id) else { return };
            for ours in common.offers.connected.forget_theirs(name) {
                self.registry.partners.paired.remove(&ours, &id);
            }
        }
    }

    /// A link is over, and its offers with it.
    pub(crate) fn offers_over(&mut self, id: ConnId) {
        let Some(common) = self.registry.in_common.remove(&id) else { return };
        for guest in common.offers.guests() {
            self.registry.partners.guests.remove(guest, &id);
        }
        for ours in common.offers.connected.by_ours.keys() {
            self.registry.partners.paired.remove(ours, &id);
        }
    }

    /// A peer has been told all that it may know of a plugin of this server, which runs, or invites
    /// more than before: over this link it is connected to whoever invites it, and to whom it
    /// invites. Before that the peer would be asked on behalf of a plugin that it does not know.
    pub(crate) fn connect_partners(&mut self, id: ConnId, name: &Name) {
        self.connect_guest(id, name, None);
        self.connect_inviting(id, name);
    }

    /// A plugin of this server is over: when it comes back, it is a guest anew.
    pub(crate) fn guest_over(&mut self, guest: &Name) {
        for id in self.registry.partners.paired.take(guest) {
            if let Some(common) = self.registry.in_common.get_mut(&id) {
                common.offers.connected.forget_ours(guest);
            }
        }
    }

    /// Connects a plugin of this server to each plugin of a linked one that invites it, or only to
    /// one of them, unless the other server does so.
    fn connect_guest(&mut self, id: ConnId, guest: &Name, only: Option<&Name>) {
        let (Some(plugin), Some(server)) =
            (self.registry.running(guest), self.neighbours.serving(id))
        else {
            return;
        };
        let accepted = self.neighbours.conn(id).is_some_and(|conn| conn.how == Opened::Accepted);
        if !accepted && self.registry.may_see(plugin, server) {
            return;
        }
        let Some(common) = self.registry.in_common.get(&id) else { return };
        let inviting: Vec<&Name> = match only {
            Some(host) => {
                [host].into_iter().filter(|h| common.offers.inviting.has(guest, h)).collect()
            }
            None => common.offers.inviting.of(guest).collect(),
        };
        let version = |host: &Name| common.offers.invited.get(host).map(|(version, _)| *version);
        let inviting = inviting.into_iter().filter_map(|host| Some((host.clone(), version(host)?)));
        for host in inviting.collect::<Vec<_>>() {
            self.connect_new_pair(id, plugin, guest, host);
        }
    }

    /// Of two plugins that both servers know of, the server that accepted the link connects the
    /// inviting one: it hears the other's hello first, so that nobody waits for a round trip.
    fn connect_inviting(&mut self, id: ConnId, inviting: &Name) {
        let (Some(plugin), Some(server)) =
            (self.registry.running(inviting), self.neighbours.serving(id))
        else {
            return;
        };
        let accepted = self.neighbours.conn(id).is_some_and(|conn| conn.how == Opened::Accepted);
        if !accepted || !self.registry.may_see(plugin, server) {
            return;
        }
        let Some(record) = self.registry.plugins.get(&plugin) else { return };
        let known =
            |name: &Name| Some((name.clone(), self.registry.directory.version(server, name)?));
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
        let Some(server) = self.neighbours.serving(id) else { return };
        if !self.is_new_pair(id, ours, &name) {
            return;
        }
        let theirs = Caller { name, version, server };
        if let Err(reason) = self.connect_pair(id, plugin, ours, &theirs) {
            let text = format_args!("{ours} cannot be connected to {}: {reason}", theirs.name);
            self.log_about(id, LogKind::RefusedOffer, text);
        }
    }

    fn is_new_pair(&mut self, id: ConnId, guest: &Name, host: &Name) -> bool {
        let Some(common) = self.registry.in_common.get_mut(&id) else { return false };
        let news = !common.offers.connected.has(guest, host);
        common.offers.connected.insert(guest, host);
        self.registry.partners.paired.insert(guest.clone(), id);
        news
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
        let Some(record) = self.registry.plugins.get(&plugin) else { return Ok(()) };
        let (runs, version) = (record.runs, record.config.version);
        let info = ChannelInfo {
            from: (host.name.clone(), host.server),
            to: (guest.clone(), self.key),
            route: Route::Link,
        };
        let near = match runs {
            Runs::Here => self.guest_end(plugin, info)?,
            Runs::At(conn) => {
                self.switch.has_stream_for(conn, host.server)?;
                let near = self.switch.new_stream(conn)?;
                let server = Some(host.server);
                let from = Origin { name: host.name.clone(), version: host.version, server };
                let request = Request { stays: true, ..Request::new(guest.clone(), 0, from) };
                self.switch.open_with(near, request);
                self.switch.set_info(near, info);
                near
            }
        };
        let window = self.settings.limits.window;
        let opened = self.switch.open_stream(link, near, window, &mut self.effects);
        let far = match opened {
            Ok(far) => far,
            Err(reason) => {
                self.switch.drop_end(near);
                return Err(reason);
            }
        };
        let from = Origin::new(guest.clone(), version);
        let request = Request { stays: true, ..Request::new(host.name.clone(), 0, from) };
        self.switch.open_with(far, request);
        match runs {
            Runs::Here => self.tell(plugin, Told::Open(self.switch.handle(near), host.clone())),
            Runs::At(_) => self.switch.grant(near, window, &mut self.effects),
        }
        Ok(())
    }

    fn guest_end(&mut self, plugin: PluginId, info: ChannelInfo) -> Result<EndId, Reason> {
        self.has_room_for(plugin, info.from.1)?;
        self.switch.add_plugin_end(plugin, Phase::Asked, Some(info), Purpose::Channel)
    }
}
