//! The directory of the registry alone, beside a plain model of it: what is known of servers that
//! come, change and go, and what leaves of those that are forgotten.

use super::Script;
use super::words::{NAMES, key, name};
use std::collections::{BTreeMap, BTreeSet};
use trunkline_core::directory::{Change, ChangeKind, Changed, Directory, Entry, Wanted};
use trunkline_core::key::Key;
use trunkline_core::name::Name;
use trunkline_core::reason::Code;

/// Servers that have plugins.
const SERVERS: usize = 4;

/// Steps of a run.
const STEPS_MAX: usize = 500;

/// A plugin at a server, in the directory's order.
type At = (Name, Key);

/// The directory, and what it has to know.
#[derive(Debug, Default)]
struct Pair {
    directory: Directory,
    known: BTreeMap<At, u64>,
    /// Plugins of forgotten servers of which no change has told yet.
    leaving: BTreeMap<At, u64>,
    /// Plugins that have left, and whose entries keep their places.
    kept: BTreeSet<At>,
}

pub(super) fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let mut pair = Pair::default();
    for _ in 0..STEPS_MAX {
        if script.is_over() {
            break;
        }
        pair.step(&mut script);
        pair.check_entries();
        pair.check_find(&mut script);
    }
    while !pair.leaving.is_empty() {
        pair.leave_next();
    }
    pair.leave_next();
    assert!(!pair.directory.has_leaving(), "all that leaves has left");
}

fn change(kind: ChangeKind, (name, server): &At, version: u64) -> Change {
    Change { kind, entry: Entry { name: name.clone(), version, server: *server } }
}

impl Pair {
    fn step(&mut self, script: &mut Script<'_>) {
        let what = script.below(16);
        let at = (name(script.pick(&NAMES)), key(script.below(SERVERS)));
        match what {
            0..=7 => self.announce(&at, script.number()),
            8 | 9 => {
                let expected = self.known.remove(&at);
                let expected = expected.map(|version| change(ChangeKind::Left, &at, version));
                let left = self.directory.withdraw(at.1, &at.0);
                assert_eq!(self.left(left), expected);
            }
            10 | 11 => self.forget_all_but(at.1, script),
            12 => {
                self.directory.forget(at.1);
                self.forget(|(_, server)| *server == at.1);
            }
            13 if script.below(8) == 0 => {
                self.directory.forget_all();
                self.forget(|_| true);
            }
            14 => self.leaves(&at),
            _ => self.leave_next(),
        }
    }

    /// A server has a plugin; one that is leaving has left before.
    fn announce(&mut self, at: &At, version: u64) {
        self.leaves(at);
        let kind = match self.known.insert(at.clone(), version) {
            None => Some(ChangeKind::Appeared),
            Some(old) => (old != version).then_some(ChangeKind::Changed),
        };
        let expected = kind.map(|kind| change(kind, at, version));
        let told = self.directory.announce(at.1, &at.0, version);
        assert_eq!(told.map(|told| told.change), expected);
        self.kept.remove(at);
    }

    /// Some entries that have left keep their places, as if a host had still to be told.
    fn left(&mut self, left: Option<Changed>) -> Option<Change> {
        let Changed { id, change } = left?;
        let Entry { name, version, server } = change.entry.clone();
        match version % 4 {
            0 => drop(self.kept.insert((name, server))),
            _ => self.directory.release(id),
        }
        Some(change)
    }

    fn leaves(&mut self, at: &At) {
        let expected = self.leaving.remove(at);
        let expected = expected.map(|version| change(ChangeKind::Left, at, version));
        let left = self.directory.leaves(at.1, &at.0);
        assert_eq!(self.left(left), expected);
    }

    fn forget_all_but(&mut self, server: Key, script: &mut Script<'_>) {
        let named: Vec<Name> = (0..script.below(6)).map(|_| name(script.pick(&NAMES))).collect();
        let named: BTreeSet<&Name> = named.iter().collect();
        self.directory.forget_all_but(server, &named);
        self.forget(|(name, of)| *of == server && !named.contains(name));
    }

    fn forget(&mut self, which: impl Fn(&At) -> bool) {
        let (forgotten, known) =
            std::mem::take(&mut self.known).into_iter().partition(|(at, _)| which(at));
        let forgotten: BTreeMap<At, u64> = forgotten;
        self.leaving.extend(forgotten);
        self.known = known;
    }

    /// Each plugin of a forgotten server leaves once.
    fn leave_next(&mut self) {
        let next = self.directory.next_leaving();
        let next = self.left(next);
        assert_eq!(next.is_some(), !self.leaving.is_empty(), "{next:?} of {:?}", self.leaving);
        if let Some(left) = next {
            let at = (left.entry.name.clone(), left.entry.server);
            let version = self.leaving.remove(&at);
            assert_eq!(version.map(|version| change(ChangeKind::Left, &at, version)), Some(left));
        }
    }

    fn check_entries(&self) {
        let entry = |((name, server), version): (&At, &u64)| Entry {
            name: name.clone(),
            version: *version,
            server: *server,
        };
        let expected: Vec<Entry> = self.known.iter().map(entry).collect();
        assert_eq!(self.directory.entries().collect::<Vec<_>>(), expected);
        for server in (0..SERVERS).map(key) {
            let expected = expected.iter().filter(|entry| entry.server == server);
            assert_eq!(self.directory.count(server), expected.count());
        }
        assert_eq!(self.directory.unreleased(), self.kept.len());
    }

    /// What serves a wish is known and new enough, and is at home if it can be.
    fn check_find(&self, script: &mut Script<'_>) {
        let (wish, least) = (name(script.pick(&NAMES)), script.number());
        let (home, wanted) = (key(0), script.flag().then(|| key(script.below(SERVERS))));
        let serves = |((name, server), _): &(&At, &u64)| {
            *name == wish && wanted.is_none_or(|wanted| wanted == *server)
        };
        let all: Vec<(Key, u64)> =
            self.known.iter().filter(serves).map(|((_, key), version)| (*key, *version)).collect();
        let new = || all.iter().filter(|(_, version)| *version >= least);
        let at = wanted.map_or(Wanted::Anywhere, Wanted::At);
        match self.directory.find(&wish, least, at, home) {
            Ok(found) => {
                let place = (found.server, found.version);
                assert!(found.name == wish && new().any(|known| *known == place), "{found:?}");
                let at_home = new().any(|(server, _)| *server == home);
                assert!(!at_home || found.server == home, "{found:?} is not at home");
            }
            Err(reason) => {
                assert_eq!(new().count(), 0, "{wish} is known: {reason:?}");
                let code = if all.is_empty() { Code::UnknownPlugin } else { Code::VersionTooLow };
                assert_eq!(reason.code, code.as_str());
            }
        }
    }
}
