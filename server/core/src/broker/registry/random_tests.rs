//! The registry alone, under random changes: it stays consistent, each listener ends up knowing
//! what it may know, and nothing is left when all plugins and links are gone.

use super::plugins::{Direct, PluginConfig, PluginState, Runs};
use super::{Event, Registry};
use crate::broker::Expose;
use crate::broker::effect::Effects;
use crate::control::{Announced, Message};
use crate::ids::{ConnId, PluginId};
use crate::key::Key;
use crate::limits::Limits;
use crate::name::{Name, Version};
use crate::reason::{Code, Reason};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::vec::Vec;

const OWN: Key = Key([1; 32]);
const SEEDS: u64 = 20;
const STEPS: usize = 600;

/// What a listener has been told: plugins, by server and name.
type View = BTreeMap<(Key, Name), Version>;

struct World {
    registry: Registry,
    effects: Effects,
    random: u64,
    next_conn: u32,
    /// Links to servers, and links of hosts, each with what it has been told.
    links: BTreeMap<ConnId, (Key, View)>,
    hosts: BTreeMap<ConnId, View>,
    plugins: Vec<PluginId>,
    /// Pairs that were to be connected, as long as both plugins are there.
    pairs: BTreeSet<(ConnId, Name, Name)>,
    connected: usize,
}

impl World {
    fn new(seed: u64) -> World {
        let limits = Limits { announced: 6, invited: 8, ..Limits::default() };
        World {
            registry: Registry::new(OWN, false, &limits),
            effects: Effects::default(),
            random: seed * 2 + 1,
            next_conn: 0,
            links: BTreeMap::new(),
            hosts: BTreeMap::new(),
            plugins: Vec::new(),
            pairs: BTreeSet::new(),
            connected: 0,
        }
    }

    fn below(&mut self, most: usize) -> usize {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let number = self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(number).expect("31 bits") % most
    }

    fn name(&mut self) -> Name {
        format!("n{}", self.below(9)).parse().expect("a name")
    }

    fn names(&mut self, most: usize) -> Vec<Name> {
        (0..self.below(most + 1)).map(|_| self.name()).collect()
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        (!of.is_empty()).then(|| of[self.below(of.len())])
    }

    fn conn(&mut self) -> ConnId {
        self.next_conn += 1;
        ConnId(self.next_conn)
    }

    fn link_up(&mut self) {
        let (id, server) = (self.conn(), self.below(3));
        let server = Key([2 + u8::try_from(server).expect("small"); 32]);
        let mut view = View::new();
        for plugin in self.registry.first_plugins(id, Some(server)) {
            view.insert((OWN, plugin.name), plugin.version);
        }
        let accepted = self.below(2) == 0;
        self.registry.link_serves(id, server, "far", accepted);
        self.registry.forget_all_but(server, &BTreeSet::new(), &mut self.effects);
        self.links.insert(id, (server, view));
        self.announce(id);
    }

    fn announce(&mut self, id: ConnId) {
        let plugins = (0..1 + self.below(3)).map(|_| {
            let (name, invites) = (self.name(), self.names(2));
            let version = 1 + self.below(3) as u64;
            Announced { invites: Some(invites), ..Announced::new(name, version) }
        });
        let plugins = plugins.collect();
        self.registry.peer_plugins(id, plugins, &mut self.effects);
    }

    fn link_down(&mut self, id: ConnId) {
        self.links.remove(&id);
        self.registry.ignore(id);
        let server = self.registry.served_by(id);
        self.registry.link_serves_no_more(id);
        if let Some(server) = server {
            self.registry.forget_server(server, &mut self.effects);
        }
        self.pairs.retain(|(link, ..)| *link != id);
    }

    fn host_up(&mut self) {
        let (id, mut view) = (self.conn(), View::new());
        let key = Key([100 + u8::try_from(self.below(100)).expect("small"); 32]);
        for plugin in self.registry.first_plugins(id, None) {
            view.insert((OWN, plugin.name), plugin.version);
        }
        for older in self.registry.add_host(id, key, "a host".into()) {
            self.host_down(older);
        }
        for message in self.registry.greet_host(id) {
            apply(&mut view, message);
        }
        self.hosts.insert(id, view);
    }

    fn host_down(&mut self, id: ConnId) {
        self.hosts.remove(&id);
        self.registry.ignore(id);
        self.registry.remove_host(id, &Reason::server(Code::LinkLost, "it is gone"));
    }

    fn start(&mut self, runs: Runs) {
        let name = self.name();
        if let Some(lapsed) = self.registry.lapsed(&name) {
            self.forget(lapsed);
        }
        let expose = [Expose::Local, Expose::Peers, Expose::Keys([Key([2; 32])].to_vec())];
        let expose = expose[self.below(3)].clone();
        let invites = self.names(2);
        let uses = self.names(2).into_iter().map(|name| (name, 2)).collect();
        let version = 1 + self.below(3) as u64;
        let config = PluginConfig { expose, invites, uses, ..PluginConfig::new(name, version) };
        let Ok(plugin) = self.registry.add_record(config, runs, Direct::default()) else { return };
        self.registry.plugin_started(plugin, &mut self.effects);
        self.plugins.push(plugin);
    }

    fn stop(&mut self, plugin: PluginId) {
        if self.registry.plugin_ends(plugin, PluginState::Stopped).is_some() {
            self.forget(plugin);
        }
    }

    fn forget(&mut self, plugin: PluginId) {
        let ours = self.registry.plugin(plugin).map(|record| record.config.name.clone());
        self.pairs.retain(|(_, name, _)| Some(name) != ours.as_ref());
        self.registry.forget_plugin(plugin, &mut self.effects);
        self.registry.remove_record(plugin);
        self.plugins.retain(|other| *other != plugin);
    }

    /// Plugins of lost hosts and servers leave.
    fn let_leave(&mut self) {
        while let Some(plugin) = self.registry.next_lost() {
            if self.registry.plugin(plugin).is_some() {
                self.forget(plugin);
            }
        }
        self.registry.let_some_leave(&mut self.effects);
    }

    fn tell(&mut self, id: ConnId) {
        let (peer, view) = match self.links.get_mut(&id) {
            Some((server, view)) => (Some(*server), Some(view)),
            None => (None, self.hosts.get_mut(&id)),
        };
        let Some(view) = view.filter(|_| self.registry.is_behind(id)) else { return };
        for message in self.registry.next_told(id, peer).messages {
            apply(view, message);
        }
        let _ = self.registry.has_told(id);
    }

    fn step(&mut self) {
        let links: Vec<ConnId> = self.links.keys().copied().collect();
        let hosts: Vec<ConnId> = self.hosts.keys().copied().collect();
        let (link, host) = (self.one(&links), self.one(&hosts));
        let plugins = self.plugins.clone();
        let plugin = self.one(&plugins);
        match (self.below(14), link, host, plugin) {
            (0, ..) if links.len() < 4 => self.link_up(),
            (1, Some(link), ..) => self.link_down(link),
            (2 | 3, Some(link), ..) => self.announce(link),
            (4, Some(link), ..) => {
                let names = self.names(3);
                self.registry.peer_withdraws(link, &names, &mut self.effects);
                self.pairs.retain(|(id, _, theirs)| *id != link || !names.contains(theirs));
            }
            (5, ..) if hosts.len() < 3 => self.host_up(),
            (6, _, Some(host), _) => self.host_down(host),
            (7, _, Some(host), _) => self.start(Runs::At(host)),
            (8, ..) => self.start(Runs::Here),
            (9, _, _, Some(plugin)) => self.stop(plugin),
            (10, ..) => self.let_leave(),
            (11, Some(id), ..) | (12, _, Some(id), _) => self.tell(id),
            (13, _, _, Some(plugin)) => {
                let name = self.name();
                let _ = self.registry.invites(plugin, name, &mut self.effects);
            }
            _ => {}
        }
    }

    /// Each pair is of a link that serves and of a plugin that lives, and is connected once.
    fn check(&mut self) {
        while let Some(event) = self.registry.next_event() {
            let Event::Pair(pair) = event else { continue };
            assert_eq!(self.registry.served_by(pair.link), Some(pair.theirs.server));
            assert!(self.registry.is_live(pair.plugin), "{pair:?} of a plugin that is over");
            self.connected += 1;
            let named = (pair.link, pair.ours.clone(), pair.theirs.name.clone());
            assert!(self.pairs.insert(named), "{pair:?} is connected twice");
        }
        assert_eq!(self.registry.audit(), Ok(()));
        while self.effects.pop_front().is_some() {}
    }

    fn tell_all(&mut self) {
        self.let_leave();
        assert!(!self.registry.has_leaving(), "some plugins have not left");
        let all: Vec<ConnId> = self.links.keys().chain(self.hosts.keys()).copied().collect();
        for id in all {
            while self.registry.is_behind(id) {
                self.tell(id);
            }
        }
        self.check();
    }
}

fn apply(view: &mut View, message: Message) {
    match message {
        Message::Plugins(told) => {
            for plugin in told.plugins {
                view.insert((plugin.server.unwrap_or(OWN), plugin.name), plugin.version);
            }
        }
        Message::Withdrawn(told) => {
            for name in told.names {
                view.remove(&(told.server.unwrap_or(OWN), name));
            }
        }
        other => panic!("no link was noted, and a listener is told {other:?}"),
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes minutes when interpreted")]
fn each_listener_knows_in_the_end_what_it_may_know_and_nothing_is_left() {
    let (mut connected, mut known) = (0, 0);
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
            world.check();
        }
        world.tell_all();
        let entries = world.registry.directory().entries();
        let all: View = entries.map(|entry| ((entry.server, entry.name), entry.version)).collect();
        known += world.hosts.len() * all.len();
        for (id, view) in &world.hosts {
            assert_eq!(*view, all, "what the host {id:?} knows, seed {seed}");
        }
        for (id, (server, view)) in &world.links {
            let registry = &world.registry;
            let seen = registry.plugins().filter(|(plugin, _)| registry.may_see(*plugin, *server));
            let seen = seen.filter(|(plugin, _)| registry.is_live(*plugin));
            let seen =
                seen.map(|(_, record)| ((OWN, record.config.name.clone()), record.config.version));
            assert_eq!(*view, seen.collect::<View>(), "what {server} knows by {id:?}, seed {seed}");
        }
        for id in world.links.keys().copied().collect::<Vec<_>>() {
            world.link_down(id);
        }
        for id in world.hosts.keys().copied().collect::<Vec<_>>() {
            world.host_down(id);
        }
        for plugin in world.plugins.clone() {
            world.stop(plugin);
        }
        world.tell_all();
        assert_eq!(world.registry.directory().entries().count(), 0, "seed {seed}");
        assert_eq!((world.registry.remembered(), world.registry.plugins().count()), (0, 0));
        assert!(world.registry.partners.is_empty(), "{:?}", world.registry.partners);
        connected += world.connected;
    }
    // Without these, the test would show nothing.
    assert!(
        connected > 100 && known > 100,
        "{connected} pairs were connected, {known} entries known"
    );
}
