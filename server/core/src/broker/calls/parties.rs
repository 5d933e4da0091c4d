//! The plugins of this process as parties of calls: how many calls each has, and whether it may
//! call and be called at once. That is decided whenever something changes that decides it, so
//! that a call asks for it only.

use crate::broker::OpenCalls;
use crate::ids::PluginId;
use crate::name::{Name, Version};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

/// The calls that a plugin has made or has to answer, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CallCounts {
    /// Calls that it made.
    pub(super) made: usize,
    /// Calls that it has to answer.
    pub(super) asked: usize,
    /// Those of them of which it has not been told.
    pub(super) queued: usize,
    /// Bytes of requests that wait to be told to plugins of this process, which it made, and of
    /// answers that wait to be told to it.
    pub(super) held: u64,
}

impl CallCounts {
    /// What is shown of it.
    pub(crate) fn open(self) -> OpenCalls {
        OpenCalls { made: self.made, to_answer: self.asked }
    }
}

/// Whether a plugin may call and be called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standing {
    /// It starts: it may call.
    Starts,
    /// It runs: it may call, and be called.
    Runs,
    #[default]
    Over,
}

#[derive(Debug, Default)]
struct Party {
    /// None when it is over, or was never here.
    name: Option<Name>,
    version: Version,
    standing: Standing,
    /// It runs here, no call waits for it, and it has not too many calls to answer.
    callable: bool,
    /// It starts or runs here, and does not wait for too many calls.
    may_call: bool,
    counts: CallCounts,
    /// The plugins of this process that it has called, for those who ask.
    called: BTreeSet<PluginId>,
}

impl Party {
    fn decide(&mut self, most: usize, stopping: bool) {
        let counts = &self.counts;
        let runs = self.standing == Standing::Runs && !stopping;
        let starts = self.standing == Standing::Starts && !stopping;
        self.callable = runs && counts.queued == 0 && counts.asked < most;
        self.may_call = (runs || starts) && counts.made < most;
    }
}

/// All plugins of this process, by their numbers.
#[derive(Debug)]
pub(crate) struct Parties {
    all: Vec<Party>,
    /// Calls that one may have made, and as many that it may have to answer.
    most: usize,
    stopping: bool,
}

impl Parties {
    pub(super) fn new(most: usize) -> Parties {
        Parties { all: Vec::new(), most, stopping: false }
    }

    pub(super) fn most(&self) -> usize {
        self.most
    }

    pub(super) fn are_stopping(&self) -> bool {
        self.stopping
    }

    /// Begins to stop: none of them calls, or is called.
    pub(super) fn stop(&mut self) {
        self.stopping = true;
        self.all.iter_mut().for_each(|party| party.decide(self.most, true));
    }

    /// A plugin of this process starts.
    pub(super) fn starts(&mut self, plugin: PluginId, name: Name, version: Version) {
        let at = plugin.0 as usize;
        if self.all.len() <= at {
            self.all.resize_with(at + 1, Party::default);
        }
        let Some(party) = self.all.get_mut(at) else { return };
        (party.name, party.version) = (Some(name), version);
        self.becomes(plugin, Standing::Starts);
    }

    /// A plugin has started, if it was starting.
    pub(super) fn runs(&mut self, plugin: PluginId) {
        if self.get(plugin).is_some_and(|party| party.standing == Standing::Starts) {
            self.becomes(plugin, Standing::Runs);
        }
    }

    pub(super) fn is_over(&mut self, plugin: PluginId) {
        self.becomes(plugin, Standing::Over);
        if let Some(party) = self.all.get_mut(plugin.0 as usize) {
            party.name = None;
            party.called = BTreeSet::new();
        }
    }

    /// A plugin calls another one of this process, for the first time with its target.
    pub(super) fn calls(&mut self, plugin: PluginId, callee: PluginId) {
        if let Some(party) = self.all.get_mut(plugin.0 as usize) {
            party.called.insert(callee);
        }
    }

    /// Whether a plugin has called another one of this process.
    pub(super) fn has_called(&self, plugin: PluginId, callee: PluginId) -> bool {
        self.get(plugin).is_some_and(|party| party.called.contains(&callee))
    }

    fn becomes(&mut self, plugin: PluginId, standing: Standing) {
        if let Some(party) = self.all.get_mut(plugin.0 as usize) {
            party.standing = standing;
            party.decide(self.most, self.stopping);
        }
    }

    #[inline]
    fn get(&self, plugin: PluginId) -> Option<&Party> {
        self.all.get(plugin.0 as usize)
    }

    /// Name and version of a plugin that is not over.
    pub(super) fn named(&self, plugin: PluginId) -> Option<(&Name, Version)> {
        let party = self.get(plugin)?;
        Some((party.name.as_ref()?, party.version))
    }

    /// A plugin's name, for people.
    pub(super) fn label(&self, plugin: PluginId) -> &str {
        self.named(plugin).map_or("a plugin that is over", |(name, _)| name.as_str())
    }

    /// Whether a plugin may call.
    #[inline]
    pub(super) fn may_call(&self, plugin: PluginId) -> bool {
        self.get(plugin).is_some_and(|party| party.may_call)
    }

    /// Whether a plugin may be called.
    #[inline]
    pub(super) fn is_callable(&self, plugin: PluginId) -> bool {
        self.get(plugin).is_some_and(|party| party.callable)
    }

    /// Whether a plugin may be called by who means this name, in this version or a later one.
    #[inline]
    pub(super) fn is_meant(&self, plugin: PluginId, name: &[u8], least: Version) -> bool {
        let Some(party) = self.get(plugin) else { return false };
        let named = party.name.as_ref().is_some_and(|known| *known.as_str().as_bytes() == *name);
        party.callable && party.version >= least && named
    }

    /// The calls that a plugin has made or has to answer, counted.
    pub(super) fn counts(&self, plugin: PluginId) -> CallCounts {
        self.get(plugin).map_or_else(CallCounts::default, |party| party.counts)
    }

    /// Changes the counts of a plugin.
    pub(super) fn change(&mut self, plugin: PluginId, change: impl FnOnce(&mut CallCounts)) {
        if let Some(party) = self.all.get_mut(plugin.0 as usize) {
            change(&mut party.counts);
            party.decide(self.most, self.stopping);
        }
    }

    /// All plugins that have anything to do with calls.
    pub(super) fn counted(&self) -> impl Iterator<Item = (PluginId, CallCounts)> {
        let numbered = (0..).map(PluginId).zip(self.all.iter().map(|party| party.counts));
        numbered.filter(|(_, counts)| *counts != CallCounts::default())
    }
}
