//! Plugins that invite others: each pair is connected once while both are there and their servers
//! are linked, and both are asked.

use super::Shared;
use super::actor::{Actor, Kind};
use super::channel::Host;
use super::checks::is_exposed;
use std::collections::{BTreeMap, BTreeSet};
use trunkline_core::broker::{Broker, Caller};
use trunkline_core::control::Role;
use trunkline_core::directory::{Change, ChangeKind};
use trunkline_core::key::Key;
use trunkline_core::name::Name;

impl Kind {
    /// The names of the plugins that one of this kind invites.
    pub fn invites(self) -> &'static [&'static str] {
        match self {
            Kind::Inviter => &["guest", "inviter"],
            _ => &[],
        }
    }

    /// Whether a plugin of this kind and one of that name are connected by their servers.
    fn is_paired_with(self, name: &Name) -> bool {
        match self {
            Kind::Guest => name.as_str() == "inviter",
            _ => self.invites().contains(&name.as_str()),
        }
    }
}

impl Shared {
    /// How many links two servers have had.
    fn links_made(&self, a: Key, b: Key) -> usize {
        self.links.get(&(a.min(b), a.max(b))).map_or(0, BTreeSet::len)
    }
}

/// Plugins of other servers with which one is to be connected, with how that was done since they
/// appeared; and how often it was asked for another one of its name.
#[derive(Debug, Default)]
pub(super) struct Pairs(BTreeMap<(Name, Key), Connected>, usize);

#[derive(Debug, Default)]
struct Connected {
    /// It is known now.
    there: bool,
    /// How often it appeared, and how often the two were connected.
    appeared: usize,
    times: usize,
    /// Since it appeared last: over these pipes, as far as they are known.
    since: usize,
    over: BTreeSet<usize>,
}

impl Connected {
    fn first() -> Connected {
        Connected { there: true, appeared: 1, ..Connected::default() }
    }

    fn appears(&mut self) {
        let (appeared, times) = (self.appeared + 1, self.times);
        *self = Connected { appeared, times, ..Connected::first() };
    }

    fn misses(&self) -> bool {
        self.there && self.since == 0
    }
}

impl Pairs {
    pub(super) fn new(kind: Kind, broker: &Broker) -> Pairs {
        let home = broker.home().0;
        let others = broker.directory().filter(|e| e.server != home);
        let others = others.filter(|entry| kind.is_paired_with(&entry.name));
        Pairs(others.map(|e| ((e.name, e.server), Connected::first())).collect(), 0)
    }
}

impl Actor {
    /// A plugin of a server came or left; one that comes back is connected anew.
    pub(super) fn pair_changed(&mut self, change: &Change, home: Key) {
        let entry = &change.entry;
        if entry.server == home || !self.kind.is_paired_with(&entry.name) {
            return;
        }
        let pair = (entry.name.clone(), entry.server);
        match change.kind {
            ChangeKind::Appeared => self.pairs.0.entry(pair).or_default().appears(),
            ChangeKind::Left => self.pairs.0.entry(pair).or_default().there = false,
            ChangeKind::Changed => {}
        }
    }

    /// Whether the servers connect this plugin to the one that seems to open a channel.
    pub(super) fn is_offered(&self, host: &Host<'_>, caller: &Caller) -> bool {
        caller.server != host.broker.home().0 && self.kind.is_paired_with(&caller.name)
    }

    /// The servers connect this plugin to another one, for the first time.
    pub(super) fn pair(&mut self, host: &mut Host<'_>, caller: &Caller) -> Result<(), String> {
        let mutual = self.kind == Kind::Inviter && caller.name == self.character.name;
        host.shared.trace.saw(if mutual { "two that invite each other" } else { "an offer" });
        let links = host.shared.links_made(host.broker.home().0, caller.server);
        // The two servers may not agree for a while which of two links serves them.
        let connected = self.pairs.0.entry((caller.name.clone(), caller.server)).or_default();
        connected.times += 1;
        connected.since += 1;
        let first = match host.shared.told_over {
            Some(pipe) => connected.over.insert(pipe),
            None => connected.times <= connected.appeared + links,
        };
        let meant_for_another = !first && self.takes_after_another(host);
        match first || meant_for_another || host.shared.ledger.tainted {
            true => Ok(()),
            false => Err(format!("it was connected twice to {} over one link", caller.name)),
        }
    }

    /// A request that was under way to a plugin which ended finds the next one of its name; so
    /// often at most as there were others before.
    fn takes_after_another(&mut self, host: &Host<'_>) -> bool {
        let name = (host.broker.home().0, self.character.name.clone());
        let others = host.shared.starts.get(&name).map_or(0, |starts| starts - 1);
        self.pairs.1 += 1;
        self.pairs.1 <= others
    }

    /// At rest, whoever is invited was asked, at least by the server that connects the two: the one
    /// that accepted the link, or the invited one's where the other does not see that. The other
    /// plugin may have been refused before.
    pub(super) fn check_pairs(&self, broker: &Broker) -> Result<(), String> {
        let ours = |name: &Name, server: &Key| {
            let shown = is_exposed(&self.character.expose, *server);
            let invited = self.kind == Kind::Guest || name.as_str() == "inviter";
            if broker.accepted(*server) { shown || invited } else { !shown && invited }
        };
        if broker.settings().role == Role::Host {
            return Ok(());
        }
        let mut pairs = self.pairs.0.iter();
        match pairs.find(|((name, at), connected)| connected.misses() && ours(name, at)) {
            Some(((name, server), _)) => Err(format!("{name} of {} invites it", server.short())),
            None => Ok(()),
        }
    }
}
