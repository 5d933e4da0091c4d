//! File descriptors that plugins watch.

use super::open_files;
use super::token::Ready;
use mio::unix::SourceFd;
use mio::{Registry, event::Event};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use trunkline_core::broker::PluginId;
use trunkline_plugin::{Interest, Readiness};

/// Descriptors that one plugin may watch. It bounds the cost of a greedy plugin.
const PER_PLUGIN: usize = 65_536;

/// All watched descriptors.
#[derive(Debug)]
pub(super) struct Watches {
    registry: Registry,
    next: u64,
    watched: BTreeMap<u64, (PluginId, OwnedFd)>,
    /// Watches of each plugin.
    counts: BTreeMap<PluginId, usize>,
}

impl Watches {
    pub(super) fn new(registry: Registry) -> Watches {
        Watches { registry, next: 0, watched: BTreeMap::new(), counts: BTreeMap::new() }
    }

    /// Watches a copy of the descriptor. The plugin may close its own before it stops watching, and
    /// the number may then be another file.
    pub(super) fn add(
        &mut self,
        plugin: PluginId,
        fd: BorrowedFd<'_>,
        interest: Interest,
    ) -> io::Result<u64> {
        if self.counts.get(&plugin).is_some_and(|count| *count >= PER_PLUGIN) {
            let text = format!("a plugin may watch {PER_PLUGIN} descriptors at most");
            return Err(io::Error::other(text));
        }
        let Some(interest) = interests(interest) else {
            return Err(io::Error::other("the interest is empty; name readable, writable or both"));
        };
        let copy =
            fd.try_clone_to_owned().or_else(|error| match open_files::raise_after(&error) {
                true => fd.try_clone_to_owned(),
                false => Err(error),
            })?;
        open_files::keep_room_above(&copy);
        let number = self.next;
        self.registry.register(
            &mut SourceFd(&copy.as_raw_fd()),
            Ready::Watch(number).token(),
            interest,
        )?;
        self.next += 1;
        *self.counts.entry(plugin).or_default() += 1;
        self.watched.insert(number, (plugin, copy));
        Ok(number)
    }

    /// Removes a watch, if it belongs to the plugin.
    pub(super) fn remove(&mut self, plugin: PluginId, number: u64) {
        if self.owner(number) != Some(plugin) {
            return;
        }
        let Some((_, copy)) = self.watched.remove(&number) else { return };
        if let Some(count) = self.counts.get_mut(&plugin) {
            *count = count.saturating_sub(1);
        }
        if let Err(error) = self.registry.deregister(&mut SourceFd(&copy.as_raw_fd())) {
            log::debug!("a descriptor cannot be deregistered: {error}");
        }
    }

    /// Removes all watches of a plugin.
    pub(super) fn remove_all_of(&mut self, plugin: PluginId) {
        let all = self.watched.iter().filter(|(_, (owner, _))| *owner == plugin);
        let all: Vec<u64> = all.map(|(number, _)| *number).collect();
        for number in all {
            self.remove(plugin, number);
        }
    }

    pub(super) fn owner(&self, number: u64) -> Option<PluginId> {
        self.watched.get(&number).map(|(owner, _)| *owner)
    }
}

fn interests(interest: Interest) -> Option<mio::Interest> {
    let readable = interest.contains(Interest::READABLE).then_some(mio::Interest::READABLE);
    let writable = interest.contains(Interest::WRITABLE).then_some(mio::Interest::WRITABLE);
    match (readable, writable) {
        (Some(readable), Some(writable)) => Some(readable | writable),
        (one, other) => one.or(other),
    }
}

/// An event in the types of the plugin API.
pub(super) fn readiness(event: &Event) -> Readiness {
    let facts = [
        (event.is_readable(), Readiness::READABLE),
        (event.is_writable(), Readiness::WRITABLE),
        (event.is_read_closed(), Readiness::READ_CLOSED),
        (event.is_write_closed(), Readiness::WRITE_CLOSED),
        (event.is_error(), Readiness::ERROR),
    ];
    let true_facts = facts.into_iter().filter(|(is_so, _)| *is_so);
    true_facts.fold(Readiness::default(), |all, (_, fact)| all | fact)
}
