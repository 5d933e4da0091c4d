//! Which listeners are told of changes of the directory, and when: the hosts of this server of all,
//! linked servers (and the server of a host) of the plugins here, the plugins of this process of
//! all of it. Each is sent what fits when it has room; none is sent more because others change
//! things often.

use super::Registry;
use super::changes::{Changes, News, Stamp};
use super::descriptions::{FIXED, weight};
use super::link_news::LinkNews;
use super::plugins::PluginRecord;
use crate::broker::effect::{Effects, Queued};
use crate::broker::{Effect, Expose, LinkChange, Told};
use crate::control::{Announced, Message, Plugins, Withdrawn};
use crate::directory::{Change, ChangeKind, Changed, Entry, EntryId};
use crate::ids::ConnId;
use crate::key::Key;
use crate::name::{Name, Version};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Bytes of the plugins in one message, of whose limit of 64 KiB they leave a third to spare.
const BYTES_PER_MESSAGE: usize = 40 * 1024;

/// Bytes about the directory that one turn may send: some hundreds of entries, which take a
/// millisecond. What is left goes on in the next turn.
pub(crate) const BYTES_PER_TURN: usize = 2 * BYTES_PER_MESSAGE;

/// Bytes that the shortest message counts for.
pub(crate) const BYTES_AT_LEAST: usize = 1024;

/// What a listener is told, and how many bytes that is, about.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    pub(crate) messages: Vec<Message>,
    pub(crate) bytes: usize,
}

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
    /// Some listener may have to be told something, and has room.
    due: bool,
    /// The listener that was told last, for the next turn begins behind it.
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

impl Untold {
    /// What plugins are told of an entry that has this version now.
    fn changes(self, server: Key, name: &Name, now: Option<Version>) -> Vec<Arc<Change>> {
        let change = |kind, version| {
            let entry = Entry { name: name.clone(), version, server };
            Arc::new(Change { kind, entry })
        };
        let gone = self.known.filter(|_| now.is_none() || self.left);
        let kind = match self.known.filter(|_| !self.left) {
            Some(_) => ChangeKind::Changed,
            None => ChangeKind::Appeared,
        };
        let there = now.filter(|now| self.left || self.known != Some(*now));
        let gone = gone.map(|version| change(ChangeKind::Left, version));
        gone.into_iter().chain(there.map(|version| change(kind, version))).collect()
    }
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

    /// No listener is at the other end of a connection any more.
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

    /// Whether a listener may be told something now.
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
    /// The directory has changed; `before` is the version of the plugin that there was.
    pub(super) fn note_change(
        &mut self,
        changed: &Changed,
        before: Option<Version>,
        effects: &mut Effects,
    ) {
        if self.announcements.note(changed, before) {
            let entry = &changed.change.entry;
            effects.push_news(entry.server, entry.name.clone());
        }
        self.release_entries();
    }

    /// What the plugins of this process are told of an entry that has changed since they were told
    /// of it last.
    pub(crate) fn news_of(&mut self, server: Key, name: Name) -> Vec<Effect> {
        let subject = (server, name);
        let Some(untold) = self.announcements.untold.remove(&subject) else { return Vec::new() };
        let (server, name) = subject;
        let changes = untold.changes(server, &name, self.directory.version(server, &name));
        let plugins = self.live_plugins().into_iter();
        let told = plugins.flat_map(|plugin| {
            changes.iter().map(move |change| Effect::Tell(plugin, Told::Directory(change.clone())))
        });
        told.collect()
    }

    /// Decides now what plugins will be told of the directory: a new one is not among them.
    pub(crate) fn expand_news(&mut self, effects: &mut Effects) {
        for queued in core::mem::take(effects) {
            match queued {
                Queued::Effect(effect) => effects.push_back(effect),
                Queued::News(server, name) => {
                    for effect in self.news_of(server, name) {
                        effects.push_back(effect);
                    }
                }
            }
        }
    }

    /// A listener is gone, or has been told more: frees the places of entries that have left and of
    /// which no listener has to be told any more.
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

impl Registry {
    /// A link came up, or went down: hosts and the plugins of this process are told.
    pub(crate) fn tell_link(&mut self, change: &LinkChange, effects: &mut Effects) {
        let (name, server) = (String::from(change.name.as_str()), change.server);
        match change.down {
            None => self.partners.servers.insert(name, server),
            Some(_) => self.partners.servers.remove(&name, &server),
        }
        self.announcements.note_link(change);
        for plugin in self.live_plugins() {
            effects.tell(plugin, Told::Link(change.clone()));
        }
    }

    /// Whether a turn has something to tell.
    pub(crate) fn has_to_tell(&self) -> bool {
        self.announcements.due || !self.announcements.waiting.is_empty()
    }

    /// The listeners that may be told something in this turn: all of them when something has
    /// changed, else those that had no room and have said something since.
    pub(crate) fn take_listeners(&mut self, heard_of: &[ConnId]) -> Vec<ConnId> {
        let news = &mut self.announcements;
        if core::mem::take(&mut news.due) {
            let first = news.last.unwrap_or(ConnId(0));
            news.all.listeners_from(first).chain(news.own.listeners_from(first)).collect()
        } else {
            heard_of.iter().filter(|id| news.waiting.contains(id)).copied().collect()
        }
    }

    /// Whether a listener has still to be told something.
    pub(crate) fn is_behind(&self, id: ConnId) -> bool {
        self.announcements.is_behind(id)
    }

    /// The turn has no room to tell more.
    pub(crate) fn tell_later(&mut self) {
        self.announcements.due = true;
    }

    /// A listener has been told what it has room for. Whether it is a host that has been told by
    /// now all that there was when it linked.
    #[must_use]
    pub(crate) fn has_told(&mut self, id: ConnId) -> bool {
        let news = &mut self.announcements;
        match news.is_behind(id) {
            true => news.waiting.insert(id),
            false => news.waiting.remove(&id),
        };
        let greeted = news.greeted_at.get(&id).is_some_and(|at| news.all.has_heard(id, *at));
        if greeted {
            news.greeted_at.remove(&id);
            news.links.listen(id);
        }
        greeted
    }

    /// The first plugins that hello tells a peer of; the others follow.
    pub(crate) fn first_plugins(&mut self, id: ConnId, peer: Option<Key>) -> Vec<Announced> {
        self.announcements.listen_to_own(id);
        let (mut plugins, mut bytes) = (Vec::new(), 0);
        while bytes < BYTES_PER_MESSAGE
            && let Some((name, _)) = self.announcements.own.next(id)
        {
            let entry = self.own_for(&name, peer);
            bytes += entry.as_ref().map_or(0, weight);
            plugins.extend(entry);
        }
        plugins
    }

    /// A peer that proved its key was told in hello of the plugins that only some keys may see;
    /// others are told of them when they have said which key they have.
    pub(crate) fn tell_of_keyed(&mut self, id: ConnId, key: Key) {
        let for_key = |record: &PluginRecord| match &record.config.expose {
            Expose::Keys(keys) => keys.contains(&key),
            Expose::Local | Expose::Peers => false,
        };
        if self.plugins.values().any(for_key) {
            self.announcements.listen_to_own_again(id);
        }
    }

    /// What a listener is told next, as much as one message holds. The peer is who it has proved to
    /// be, or says that it is.
    pub(crate) fn next_told(&mut self, id: ConnId, peer: Option<Key>) -> Telling {
        self.announcements.last = Some(id);
        if !self.announcements.links.is_behind(id) {
            return self.next_plugins(id, peer);
        }
        let (links, in_common) = (&self.link_to, &self.in_common);
        let name = |server| Some(in_common.get(links.get(&server)?)?.name.as_str());
        self.announcements.links.next_told(id, name)
    }

    fn next_plugins(&mut self, id: ConnId, peer: Option<Key>) -> Telling {
        let (mut plugins, mut withdrawn, mut own) = (Vec::new(), BTreeMap::new(), Vec::new());
        let mut bytes = 0;
        while bytes < BYTES_PER_MESSAGE
            && let Some((server, name, news)) = self.next_news(id)
        {
            let entry = match server {
                Some(server) => self.entry_for_host(server, &name),
                None => self.own_for(&name, peer),
            };
            bytes += entry.as_ref().map_or(name.as_str().len() + FIXED, weight);
            own.extend(server.is_none().then(|| name.clone()));
            if news == News::Gone || news == News::Again || entry.is_none() {
                let server = server.filter(|server| *server != self.own_key);
                withdrawn.entry(server).or_insert_with(Vec::new).push(name);
            }
            plugins.extend(entry.filter(|_| news != News::Gone));
        }
        for name in own {
            self.connect_partners(id, &name);
        }
        let withdrawn = withdrawn.into_iter();
        let withdrawn =
            withdrawn.map(|(server, names)| Message::Withdrawn(Withdrawn { names, server }));
        let plugins = (!plugins.is_empty()).then_some(Message::Plugins(Plugins { plugins }));
        Telling { messages: withdrawn.chain(plugins).collect(), bytes }
    }
}

impl Announcements {
    fn is_behind(&self, id: ConnId) -> bool {
        self.all.is_behind(id) || self.own.is_behind(id) || self.links.is_behind(id)
    }
}
