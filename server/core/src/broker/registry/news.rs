//! Who is told what has changed in the directory, and when: the hosts of this server of all of it,
//! linked servers (and the server of a host) of the plugins here, the plugins of this process of
//! all of it. Each is sent what fits when it has room; nobody is sent more because others change
//! things often.

use super::changes::{Changes, News, Stamp};
use super::link_news::LinkNews;
use crate::broker::effect::Queued;
use crate::broker::registry::Registry;
use crate::broker::{Broker, ConnId, Effect, Expose, LinkChange, Told};
use crate::control::{Announced, Message, Plugins, Withdrawn};
use crate::directory::{Change, ChangeKind, Changed, Entry, EntryId};
use crate::key::Key;
use crate::name::{Name, Version};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Bytes of the plugins in one message, of whose limit of 64 KiB they leave a third to spare.
const BYTES_PER_MESSAGE: usize = 40 * 1024;

/// Bytes about the directory that one turn may send: some hundreds of entries, which take a
/// millisecond. What is left goes on in the next turn.
const BYTES_PER_TURN: usize = 2 * BYTES_PER_MESSAGE;

/// Bytes that the shortest message counts for.
const BYTES_AT_LEAST: usize = 1024;

/// What has changed, and who has been told.
#[derive(Debug)]
pub(crate) struct Announcements {
    /// The whole directory, for hosts, by the places of its entries.
    all: Changes<EntryId, ConnId>,
    /// The plugins here, for linked servers; those of a host, for its server.
    own: Changes<Name, ConnId>,
    /// The links of this server, for hosts.
    pub(super) links: LinkNews,
    /// What the plugins of this process have not been told.
    untold: BTreeMap<(Key, Name), Untold>,
    /// Hosts that have still to be told of all that there was when they linked.
    greeted_at: BTreeMap<ConnId, Stamp>,
    /// Listeners that have something to be told, and no room.
    waiting: BTreeSet<ConnId>,
    /// Somebody may have to be told something, and has room.
    due: bool,
    /// Who was told last, for the next turn begins behind it.
    last: Option<ConnId>,
}

/// What plugins knew of an entry before it changed.
#[derive(Clone, Copy, Debug)]
struct Untold {
    /// The version that they were told.
    known: Option<Version>,
    /// It was gone meanwhile.
    left: bool,
}

impl Default for Announcements {
    fn default() -> Self {
        let (own, links, untold, greeted_at, waiting, due, last) = Default::default();
        let all = Changes::of_places();
        Announcements { all, own, links, untold, greeted_at, waiting, due, last }
    }
}

impl Announcements {
    /// Notes a change of the directory, in which `before` is the version that there was; whether
    /// the plugins of this process have to be told, and will not be anyway.
    fn note(&mut self, Changed { id, change }: &Changed, before: Option<Version>) -> bool {
        let subject = (change.entry.server, change.entry.name.clone());
        let left = change.kind == ChangeKind::Left;
        match left {
            true => self.all.remove(id),
            false => self.all.set(id),
        }
        self.due = true;
        let news = !self.untold.contains_key(&subject);
        let untold = self.untold.entry(subject).or_insert(Untold { known: before, left });
        untold.left |= left;
        news
    }

    /// A plugin here runs, or has changed.
    pub(crate) fn set_own(&mut self, name: &Name) {
        self.own.set(name);
        self.due = true;
    }

    /// A plugin here is over.
    pub(crate) fn remove_own(&mut self, name: &Name) {
        self.own.remove(name);
        self.due = true;
    }

    /// Nobody listens on a connection any more.
    pub(crate) fn ignore(&mut self, id: ConnId) {
        self.all.ignore(id);
        self.own.ignore(id);
        self.links.ignore(id);
        self.waiting.remove(&id);
        self.greeted_at.remove(&id);
    }

    /// A link came up, or went down.
    pub(crate) fn note_link(&mut self, change: &LinkChange) {
        self.links.note(change);
        self.due = true;
    }

    /// A peer is told of the plugins here, from the first on.
    pub(crate) fn listen_to_own(&mut self, id: ConnId) {
        self.own.listen(id);
        self.due = true;
    }

    /// A peer may see more of the plugins here by now: it is told of all of them once more.
    pub(crate) fn listen_to_own_again(&mut self, id: ConnId) {
        self.own.listen_anew(id);
        self.due = true;
    }

    /// A host is told of all plugins, and then that these are all. Returns the plugins here that
    /// have left since our hello told it of them: nothing else remembers that it knows them.
    pub(crate) fn listen_to_all(&mut self, id: ConnId) -> Vec<Name> {
        let news = core::iter::from_fn(|| self.own.next(id));
        let left = news.filter(|(_, news)| *news == News::Gone).map(|(name, _)| name).collect();
        self.ignore(id);
        self.all.listen_anew(id);
        self.greeted_at.insert(id, self.all.last());
        self.due = true;
        left
    }

    /// Whether a peer has been told of the last change of a plugin here.
    pub(crate) fn has_told_own(&self, id: ConnId, name: &Name) -> bool {
        self.own.is_told(id, name)
    }

    /// Whether somebody may be told something now.
    pub(crate) fn is_due(&self) -> bool {
        self.due
    }

    /// What is remembered of plugins that are gone.
    pub(crate) fn remembered(&self) -> usize {
        self.all.remembered() + self.own.remembered() + self.links.remembered()
    }

    /// What hosts have still to be told of plugins that are gone.
    pub(crate) fn remembered_for_hosts(&self) -> usize {
        self.all.remembered()
    }
}

impl Registry {
    /// Somebody listens no more, or has been told more: frees the places of entries that have left
    /// and of which nobody has to be told any more.
    pub(crate) fn release_entries(&mut self) {
        for id in self.announcements.all.take_forgotten() {
            self.directory.release(id);
        }
    }

    /// The next thing that a listener is told: of a server's plugin, or of one here.
    fn next_news(&mut self, id: ConnId) -> Option<(Option<Key>, Name, News)> {
        let entry = self.announcements.all.next(id);
        let told = entry.and_then(|(entry, news)| Some((self.directory.subject(entry)?, news)));
        self.release_entries();
        match told {
            Some(((server, name), news)) => Some((Some(server), name, news)),
            None => self.announcements.own.next(id).map(|(name, news)| (None, name, news)),
        }
    }
}

impl Broker {
    /// The directory has changed; `before` is the version of the plugin that there was.
    pub(crate) fn tell_change(&mut self, changed: &Changed, before: Option<Version>) {
        if self.registry.announcements.note(changed, before) {
            let entry = &changed.change.entry;
            self.effects.push_news(entry.server, entry.name.clone());
        }
        self.registry.release_entries();
    }

    /// Tells those who listen and have room what they have not heard: all of them when something
    /// has changed, else those that have been heard of in this turn.
    pub(crate) fn tell_news(&mut self) {
        if self.directs.is_owing() {
            self.tell_owed_directs();
        }
        if self.registry.has_leaving() {
            self.clear_some_plugins();
            self.let_some_leave();
        }
        let news = &mut self.registry.announcements;
        if !news.due && news.waiting.is_empty() {
            return;
        }
        if core::mem::take(&mut news.due) {
            let first = self.registry.announcements.last.unwrap_or(ConnId(0));
            let listeners = self.registry.announcements.all.listeners_from(first);
            let listeners = listeners.chain(self.registry.announcements.own.listeners_from(first));
            self.tell_listeners(listeners.collect());
        } else {
            let heard =
                self.switch.touched().iter().filter(|id| news.waiting.contains(id)).copied();
            let heard = heard.collect();
            self.tell_listeners(heard);
        }
    }

    fn tell_listeners(&mut self, listeners: Vec<ConnId>) {
        let mut left = BYTES_PER_TURN;
        for id in listeners {
            while self.registry.announcements.is_behind(id) && self.switch.has_control_room(id) {
                if left == 0 {
                    self.registry.announcements.due = true;
                    return;
                }
                left = left.saturating_sub(self.tell_some(id).max(BYTES_AT_LEAST));
                self.registry.announcements.last = Some(id);
            }
            match self.registry.announcements.is_behind(id) {
                true => self.registry.announcements.waiting.insert(id),
                false => self.registry.announcements.waiting.remove(&id),
            };
            self.finish_greeting(id);
        }
    }

    /// Tells a listener as much as one message holds: how many bytes, about.
    fn tell_some(&mut self, id: ConnId) -> usize {
        if self.registry.announcements.links.is_behind(id) {
            return self.tell_some_links(id);
        }
        let (mut plugins, mut withdrawn, mut own) = (Vec::new(), BTreeMap::new(), Vec::new());
        let mut bytes = 0;
        while bytes < BYTES_PER_MESSAGE
            && let Some((server, name, news)) = self.registry.next_news(id)
        {
            let entry = match server {
                Some(server) => self.entry_for_host(server, &name),
                None => self.own_for(id, &name),
            };
            bytes += entry.as_ref().map_or(name.as_str().len() + FIXED, weight);
            own.extend(server.is_none().then(|| name.clone()));
            if news == News::Gone || news == News::Again || entry.is_none() {
                let server = server.filter(|server| *server != self.key);
                withdrawn.entry(server).or_insert_with(Vec::new).push(name);
            }
            plugins.extend(entry.filter(|_| news != News::Gone));
        }
        for (server, names) in withdrawn {
            self.send(id, &Message::Withdrawn(Withdrawn { names, server }));
        }
        if !plugins.is_empty() {
            self.send(id, &Message::Plugins(Plugins { plugins }));
        }
        for name in own {
            self.connect_partners(id, &name);
        }
        bytes
    }

    /// The first plugins that hello tells a peer of; the others follow.
    pub(crate) fn first_plugins(&mut self, id: ConnId) -> Vec<Announced> {
        let (mut plugins, mut bytes) = (Vec::new(), 0);
        while bytes < BYTES_PER_MESSAGE
            && let Some((name, _)) = self.registry.announcements.own.next(id)
        {
            let entry = self.own_for(id, &name);
            bytes += entry.as_ref().map_or(0, weight);
            plugins.extend(entry);
        }
        plugins
    }

    /// A plugin here as a peer is told of it, if it may see it.
    pub(crate) fn own_for(&self, id: ConnId, name: &Name) -> Option<Announced> {
        let plugin = self.registry.running(name)?;
        if self.is_host() {
            return self.registration(plugin);
        }
        let (config, conn) =
            (&self.registry.plugins.get(&plugin)?.config, self.neighbours.conn(id)?);
        let key = conn.hello.as_ref().map(|peer| peer.key).or(conn.proved).or(conn.expected);
        let shown = match &config.expose {
            Expose::Local => false,
            Expose::Peers => true,
            Expose::Keys(keys) => key.is_some_and(|key| keys.contains(&key)),
        };
        let invites = (!config.invites.is_empty()).then(|| config.invites.clone());
        let announced = Announced::new(config.name.clone(), config.version);
        shown.then_some(Announced { invites, ..announced })
    }

    fn entry_for_host(&self, server: Key, name: &Name) -> Option<Announced> {
        let version = self.registry.directory.version(server, name)?;
        let server = (server != self.key).then_some(server);
        Some(Announced { server, ..Announced::new(name.clone(), version) })
    }

    /// What the plugins of this process are told of an entry that has changed since they were told
    /// of it last.
    pub(crate) fn news_of(&mut self, server: Key, name: Name) -> Vec<Effect> {
        let Some(untold) = self.registry.announcements.untold.remove(&(server, name.clone()))
        else {
            return Vec::new();
        };
        let now = self.registry.directory.version(server, &name);
        let change = |kind, version| {
            let entry = Entry { name: name.clone(), version, server };
            Arc::new(Change { kind, entry })
        };
        let gone = untold.known.filter(|_| now.is_none() || untold.left);
        let kind = match untold.known.filter(|_| !untold.left) {
            Some(_) => ChangeKind::Changed,
            None => ChangeKind::Appeared,
        };
        let there = now.filter(|now| untold.left || untold.known != Some(*now));
        let gone = gone.map(|version| change(ChangeKind::Left, version));
        let changes: Vec<_> = gone.into_iter().chain(there.map(|v| change(kind, v))).collect();
        let plugins = self.registry.live_plugins().into_iter();
        let told = plugins.flat_map(|plugin| {
            changes.iter().map(move |change| Effect::Tell(plugin, Told::Directory(change.clone())))
        });
        told.collect()
    }

    /// Decides now what plugins will be told of the directory: a new one is not among them.
    pub(crate) fn expand_news(&mut self) {
        let waiting = core::mem::take(&mut self.effects);
        for queued in waiting {
            match queued {
                Queued::Effect(effect) => self.effects.push_back(effect),
                Queued::News(server, name) => {
                    for effect in self.news_of(server, name) {
                        self.effects.push_back(effect);
                    }
                }
            }
        }
    }

    /// A host has been told all that there was when it linked.
    fn finish_greeting(&mut self, id: ConnId) {
        let news = &mut self.registry.announcements;
        if news.greeted_at.get(&id).is_some_and(|at| news.all.has_heard(id, *at)) {
            news.greeted_at.remove(&id);
            news.links.listen(id);
            self.tell_links(id);
        }
    }
}

impl Announcements {
    fn is_behind(&self, id: ConnId) -> bool {
        self.all.is_behind(id) || self.own.is_behind(id) || self.links.is_behind(id)
    }
}

/// Version, server, and the numbers of the fields, in bytes.
const FIXED: usize = 96;

/// About as many bytes as a plugin takes in a message, and no fewer.
fn weight(plugin: &Announced) -> usize {
    const KEY: usize = 34;
    let names = |names: &[Name]| names.iter().map(|name| name.as_str().len() + 2).sum::<usize>();
    let registration = plugin.registration.as_ref().map_or(0, |registration| {
        let uses = registration.uses.iter().map(|used| used.name.as_str().len() + 16);
        let net = registration.net.iter().flat_map(|net| &net.0).map(|a| a.to_string().len() + 3);
        registration.keys.len() * KEY
            + uses.sum::<usize>()
            + names(&registration.invites)
            + net.sum::<usize>()
    });
    let invites = plugin.invites.as_deref().map_or(0, names);
    FIXED + plugin.name.as_str().len() + registration + invites
}
