//! Offers: "if you have foo, it may reach my plugin bar". They travel with the announcement of bar,
//! and the server that has foo connects the two without asking anything more. Here it is decided
//! which pairs that are, and by which of the two servers each is connected.

use super::partners::Index;
use super::{Event, Pair, Registry};
use crate::broker::Caller;
use crate::control::Announced;
use crate::ids::{ConnId, PluginId};
use crate::limits::Limit;
use crate::name::{Name, Version};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Names that one plugin may invite; more are ignored. What all plugins of a peer together may
/// invite has a limit of its own.
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

    /// Whether our plugin is connected to no other one now.
    fn remove(&mut self, ours: &Name, theirs: &Name) -> bool {
        self.by_ours.remove(ours, theirs);
        self.by_theirs.remove(theirs, ours);
        self.by_ours.count(ours) == 0
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
    /// The names that one of its plugins invites.
    pub(crate) fn invited_by(&self, plugin: &Name) -> &[Name] {
        self.invited.get(plugin).map_or(&[], |(_, names)| names)
    }

    /// The names that are invited.
    pub(crate) fn guests(&self) -> impl Iterator<Item = &Name> {
        self.inviting.keys()
    }

    /// Whether plugins of a name are invited.
    pub(crate) fn invites(&self, guest: &Name) -> bool {
        self.inviting.count(guest) > 0
    }

    /// A plugin invites others.
    fn insert(&mut self, host: &Name, version: Version, guests: &[Name]) {
        self.count += guests.len();
        for guest in guests {
            self.inviting.insert(guest.clone(), host.clone());
        }
        if !guests.is_empty() {
            self.invited.insert(host.clone(), (version, guests.to_vec()));
        }
    }

    /// Forgets whom a plugin invites, and gives the names that no plugin invites any more.
    fn forget(&mut self, host: &Name) -> Vec<Name> {
        let Some((_, guests)) = self.invited.remove(host) else { return Vec::new() };
        self.count -= guests.len();
        for guest in &guests {
            self.inviting.remove(guest, host);
        }
        guests.into_iter().filter(|guest| self.inviting.count(guest) == 0).collect()
    }
}

impl Registry {
    /// A linked server announced a plugin, and whom it invites.
    pub(super) fn offered(&mut self, id: ConnId, announced: &Announced) {
        let (name, version) = (&announced.name, announced.version);
        self.forget_offers(id, name);
        let Some(common) = self.in_common.get_mut(&id) else { return };
        let mut guests = announced.invites.clone().unwrap_or_default();
        let asked = guests.len();
        let free = self.limits.invited.saturating_sub(common.offers.count);
        guests.truncate(INVITED_MAX.min(free));
        common.offers.insert(name, version, &guests);
        if guests.len() < asked {
            self.happens(Event::Reached(Limit::Invited));
        }
        for guest in guests {
            self.partners.guests.insert(guest.clone(), id);
            self.update_common(id, &guest);
            if self.announcements.has_told_own(id, &guest) {
                self.connect_guest(id, &guest, Some(name));
            }
        }
        for inviting in self.plugins_inviting(name) {
            if self.announcements.has_told_own(id, &inviting) {
                self.connect_inviting(id, &inviting);
            }
        }
    }

    /// Our plugins that invite a name.
    fn plugins_inviting(&self, name: &Name) -> Vec<Name> {
        let live = self.partners.wanting(name).filter(|id| self.is_live(**id));
        let wanting = live.filter_map(|id| self.plugins.get(id));
        let inviting = wanting.filter(|record| record.config.invites.contains(name));
        inviting.map(|record| record.config.name.clone()).collect()
    }

    fn forget_offers(&mut self, id: ConnId, host: &Name) {
        let Some(common) = self.in_common.get_mut(&id) else { return };
        for guest in common.offers.forget(host) {
            self.partners.guests.remove(&guest, &id);
            self.update_common(id, &guest);
        }
    }

    /// Plugins of a linked server left: when they come back, they invite anew.
    pub(super) fn offers_end(&mut self, id: ConnId, names: &[Name]) {
        for name in names {
            self.forget_offers(id, name);
            let Some(common) = self.in_common.get_mut(&id) else { return };
            for ours in common.offers.connected.forget_theirs(name) {
                self.partners.paired.remove(&ours, &id);
            }
        }
    }

    /// A link does not serve its server any more, and its offers are over.
    pub(crate) fn link_serves_no_more(&mut self, id: ConnId) {
        let Some(common) = self.in_common.remove(&id) else { return };
        self.link_to.remove(&common.server);
        for guest in common.offers.guests() {
            self.partners.guests.remove(guest, &id);
        }
        for ours in common.offers.connected.by_ours.keys() {
            self.partners.paired.remove(ours, &id);
        }
    }

    /// A peer has been told all that it may know of a plugin of this server, which runs, or invites
    /// more than before: over this link it is connected to the plugins that invite it, and to those
    /// that it invites. Before that the peer would be asked on behalf of a plugin that it does not
    /// know.
    pub(super) fn connect_partners(&mut self, id: ConnId, name: &Name) {
        self.connect_guest(id, name, None);
        self.connect_inviting(id, name);
    }

    /// A plugin of this server is over: when it comes back, it is a guest anew.
    pub(super) fn guest_over(&mut self, guest: &Name) {
        for id in self.partners.paired.take(guest) {
            if let Some(common) = self.in_common.get_mut(&id) {
                common.offers.connected.forget_ours(guest);
            }
        }
    }

    /// Connects a plugin of this server to each plugin of a linked one that invites it, or only to
    /// one of them, unless the other server does so.
    fn connect_guest(&mut self, id: ConnId, guest: &Name, only: Option<&Name>) {
        let (Some(plugin), Some(common)) = (self.running(guest), self.in_common.get(&id)) else {
            return;
        };
        if !common.accepted && self.may_see(plugin, common.server) {
            return;
        }
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
    /// inviting one: it gets the other's hello first, so that no round trip is needed.
    fn connect_inviting(&mut self, id: ConnId, inviting: &Name) {
        let (Some(plugin), Some(common)) = (self.running(inviting), self.in_common.get(&id)) else {
            return;
        };
        let server = common.server;
        if !common.accepted || !self.may_see(plugin, server) {
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
        link: ConnId,
        plugin: PluginId,
        ours: &Name,
        (name, version): (Name, Version),
    ) {
        let Some(common) = self.in_common.get_mut(&link) else { return };
        if common.offers.connected.has(ours, &name) {
            return;
        }
        common.offers.connected.insert(ours, &name);
        self.partners.paired.insert(ours.clone(), link);
        let theirs = Caller { name, version, server: common.server };
        self.happens(Event::Pair(Pair { link, plugin, ours: ours.clone(), theirs }));
    }

    /// A pair could not be connected: the next announcement of either plugin tries it again.
    pub(crate) fn pair_refused(&mut self, pair: &Pair) {
        let Some(common) = self.in_common.get_mut(&pair.link) else { return };
        if common.offers.connected.remove(&pair.ours, &pair.theirs.name) {
            self.partners.paired.remove(&pair.ours, &pair.link);
        }
    }
}
