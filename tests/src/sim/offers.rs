//! Plugins that invite others. Each pair is connected once while both run and their servers are
//! linked, and both are asked.

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
    /// The names that a plugin of this kind invites.
    pub fn invites(self) -> &'static [&'static str] {
        match self {
            Kind::Inviter => &["guest", "inviter"],
            _ => &[],
        }
    }

    /// Whether the servers connect a plugin of this kind with one of that name.
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

/// The plugins of other servers with which a plugin is to be connected. The number counts requests
/// that were meant for another plugin of its name.
#[derive(Debug, Default)]
pub(super) struct Pairs(BTreeMap<(Name, Key), Connected>, usize);

#[derive(Debug, Default)]
struct Connected {
    /// It is in the directory now.
    present: bool,
    /// How often it appeared, and how often the two were connected.
    appeared: usize,
    times: usize,
    /// How often since it appeared last, and over which pipes, as far as they are known.
    since: usize,
    over: BTreeSet<usize>,
}

impl Connected {
    fn first() -> Connected {
        Connected { present: true, appeared: 1, ..Connected::default() }
    }

    fn appears(&mut self) {
        let (appeared, times) = (self.appeared + 1, self.times);
        *self = Connected { appeared, times, ..Connected::first() };
    }

    fn is_missing(&self) -> bool {
        self.present && self.since == 0
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
    /// Updates the pairs by a change of the directory. A plugin that appears again is connected
    /// again.
    pub(super) fn pair_changed(&mut self, change: &Change, home: Key) {
        let entry = &change.entry;
        if entry.server == home || !self.kind.is_paired_with(&entry.name) {
            return;
        }
        let pair = (entry.name.clone(), entry.server);
        match change.kind {
            ChangeKind::Appeared => self.pairs.0.entry(pair).or_default().appears(),
            ChangeKind::Left => self.pairs.0.entry(pair).or_default().present = false,
            ChangeKind::Changed => {}
        }
    }

    /// Whether a channel was opened by the servers because of an offer.
    pub(super) fn is_offered(&self, host: &Host<'_>, caller: &Caller) -> bool {
        caller.server != host.broker.home().0 && self.kind.is_paired_with(&caller.name)
    }

    /// Checks that the servers connect this plugin with another one only once.
    pub(super) fn pair(&mut self, host: &mut Host<'_>, caller: &Caller) -> Result<(), String> {
        let mutual = self.kind == Kind::Inviter && caller.name == self.spec.name;
        host.shared.trace.saw(if mutual { "plugins that invite each other" } else { "an offer" });
        let links = host.shared.links_made(host.broker.home().0, caller.server);
        // While two servers have two links, they may not agree yet on the one to use.
        let connected = self.pairs.0.entry((caller.name.clone(), caller.server)).or_default();
        connected.times += 1;
        connected.since += 1;
        let first = match host.shared.request_pipe {
            Some(pipe) => connected.over.insert(pipe),
            None => connected.times <= connected.appeared + links,
        };
        let meant_for_another = !first && self.takes_after_another(host);
        match first || meant_for_another || host.shared.ledger.tainted {
            true => Ok(()),
            false => Err(format!("it was connected twice to {} over one link", caller.name)),
        }
    }

    /// Whether a request may have been meant for an earlier plugin of this name, which ended while
    /// the request was in flight. That can happen at most once for each earlier plugin.
    fn takes_after_another(&mut self, host: &Host<'_>) -> bool {
        let name = (host.broker.home().0, self.spec.name.clone());
        let others = host.shared.starts.get(&name).map_or(0, |starts| starts - 1);
        self.pairs.1 += 1;
        self.pairs.1 <= others
    }

    /// Checks at rest that each pair was connected. The server that accepted the link connects it;
    /// if that server may not see the other plugin, the invited plugin's server does.
    pub(super) fn check_pairs(&self, broker: &Broker) -> Result<(), String> {
        let ours = |name: &Name, server: &Key| {
            let shown = is_exposed(&self.spec.expose, *server);
            let invited = self.kind == Kind::Guest || name.as_str() == "inviter";
            if broker.accepted(*server) { shown || invited } else { !shown && invited }
        };
        if broker.settings().role == Role::Host {
            return Ok(());
        }
        let mut pairs = self.pairs.0.iter();
        match pairs.find(|((name, at), connected)| connected.is_missing() && ours(name, at)) {
            Some(((name, server), _)) => Err(format!("{name} of {} invites it", server.short())),
            None => Ok(()),
        }
    }
}
