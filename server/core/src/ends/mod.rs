//! The ends of channels: one table, in which two joined ends refer to each other.
//!
//! A channel is two ends that are *joined*: what one end writes is delivered to the other. This
//! module holds the table and each end's accounts. Joining, writing and delivering are in the
//! broker.

mod callers;
mod end;
mod flags;
mod inbox;
mod pairs;
mod slots;

pub(crate) use callers::{Callers, Table};
pub(crate) use end::{ChannelInfo, End, Owner, Phase};
pub(crate) use flags::Flag;
pub(crate) use inbox::Inbox;
pub(crate) use pairs::Pairs;

use crate::ids::{EndId, Handle, PluginId};
use crate::key::Key;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use end::Held;
use slots::Slots;

/// The result of looking up a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// An end that exists.
    Live(EndId),
    /// An end that existed.
    Past,
    /// A handle that was never issued.
    Never,
}

/// All ends of one broker. Those of one plugin are linked in a list, so that the end of a plugin
/// costs as much as its own channels, and not as all.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    slots: Slots,
    live: usize,
    /// The first end of each plugin that has any.
    firsts: BTreeMap<PluginId, EndId>,
    /// The ends that a plugin has joined to others.
    through: BTreeSet<(PluginId, EndId)>,
    /// How many ends each plugin answers for: its own, and those that it has joined.
    counts: BTreeMap<PluginId, usize>,
    callers: Callers,
}

impl Ends {
    /// Adds an end to the table; `None` if it is full.
    pub(crate) fn add(&mut self, mut end: End) -> Option<EndId> {
        let id = self.slots.vacancy()?;
        if let Held::Plugin { plugin, behind, .. } = &mut end.held {
            *behind = self.firsts.insert(*plugin, id);
            if let Some(behind) = *behind {
                self.chain(behind, |before, _| *before = Some(id));
            }
        }
        let caller = caller_of(end.info.as_ref());
        end.tables().for_each(|table| self.count(table, caller, 1));
        self.slots.put(id, end);
        self.live += 1;
        Some(id)
    }

    pub(crate) fn remove(&mut self, id: EndId) -> Option<End> {
        let end = self.slots.take(id)?;
        let (held, through) = (end.held, end.through());
        self.live -= 1;
        self.unchain(held);
        if let Some(plugin) = through {
            self.through.remove(&(plugin, id));
        }
        let caller = caller_of(end.info.as_ref());
        end.tables().for_each(|table| self.count(table, caller, -1));
        if let Some(peer) = end.peer.filter(|peer| *peer != id)
            && let Some(peer) = self.get_mut(peer)
            && peer.peer == Some(id)
        {
            peer.peer = None;
        }
        Some(end)
    }

    /// Removes an end from the list of its plugin.
    fn unchain(&mut self, held: Held) {
        let Held::Plugin { plugin, before, behind } = held else { return };
        if let Some(behind) = behind {
            self.chain(behind, |link, _| *link = before);
        }
        match (before, behind) {
            (Some(before), _) => self.chain(before, |_, link| *link = behind),
            (None, Some(behind)) => drop(self.firsts.insert(plugin, behind)),
            (None, None) => drop(self.firsts.remove(&plugin)),
        }
    }

    /// Changes the neighbours of a plugin's end.
    fn chain(&mut self, id: EndId, change: impl FnOnce(&mut Option<EndId>, &mut Option<EndId>)) {
        let end = self.slots.get_mut(id);
        if let Some(Held::Plugin { before, behind, .. }) = end.map(|end| &mut end.held) {
            change(before, behind);
        }
    }

    /// The ends of a plugin, in the order of the table.
    pub(crate) fn of_plugin(&self, plugin: PluginId) -> Vec<EndId> {
        let mut all = Vec::new();
        let mut next = self.firsts.get(&plugin).copied();
        while let Some(id) = next {
            all.push(id);
            next = match self.get(id).map(|end| end.held) {
                Some(Held::Plugin { behind, .. }) => behind,
                _ => None,
            };
        }
        all.sort_unstable();
        all
    }

    /// The ends that a plugin has joined to others, in the order of the table.
    pub(crate) fn joined_by(&self, plugin: PluginId) -> Vec<EndId> {
        let of_plugin = self.through.range((plugin, EndId::FIRST)..);
        of_plugin.take_while(|(of, _)| *of == plugin).map(|(_, id)| *id).collect()
    }

    /// A plugin has joined an end to another one, and answers for it from now on.
    pub(crate) fn set_through(&mut self, id: EndId, plugin: PluginId) {
        if let Some(end) = self.get_mut(id) {
            let caller = caller_of(end.info.as_ref());
            let before = end.change(|rare| rare.through.replace(plugin));
            if let Some(before) = before {
                self.through.remove(&(before, id));
                self.count(Table::Plugin(before), caller, -1);
            }
            self.through.insert((plugin, id));
            self.count(Table::Plugin(plugin), caller, 1);
        }
    }

    /// Counts an end in a table, and there for the server of the caller.
    fn count(&mut self, table: Table, caller: Option<Key>, change: isize) {
        if let Table::Plugin(plugin) = table {
            let count = self.counts.entry(plugin).or_default();
            *count = count.saturating_add_signed(change);
            if *count == 0 {
                self.counts.remove(&plugin);
            }
        }
        if let Some(server) = caller {
            self.callers.count(table, server, change);
        }
    }

    /// Notes between whom the channel of an end is; gives what was noted before.
    pub(crate) fn replace_info(
        &mut self,
        id: EndId,
        info: Option<Arc<ChannelInfo>>,
    ) -> Option<Arc<ChannelInfo>> {
        let end = self.get_mut(id)?;
        let (tables, now) = (end.tables(), caller_of(info.as_ref()));
        let replaced = core::mem::replace(&mut end.info, info);
        let before = caller_of(replaced.as_ref());
        for table in tables.filter(|_| before != now) {
            before.into_iter().for_each(|server| self.callers.count(table, server, -1));
            now.into_iter().for_each(|server| self.callers.count(table, server, 1));
        }
        replaced
    }

    /// How many channels of each table were opened by plugins of each server.
    pub(crate) fn callers(&self) -> &Callers {
        &self.callers
    }

    /// How many ends a plugin answers for: its own, and those that it has joined to others.
    pub(crate) fn count_of(&self, plugin: PluginId) -> usize {
        self.counts.get(&plugin).copied().unwrap_or(0)
    }

    #[inline]
    pub(crate) fn get(&self, id: EndId) -> Option<&End> {
        self.slots.get(id)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: EndId) -> Option<&mut End> {
        self.slots.get_mut(id)
    }

    pub(crate) fn handle(&self, id: EndId) -> Handle {
        Handle::new(self.get(id).map_or(0, |end| end.generation), id)
    }

    pub(crate) fn lookup(&self, handle: Handle) -> Lookup {
        self.slots.lookup(handle)
    }

    /// The end that a handle names, if it exists.
    #[inline]
    pub(crate) fn live(&self, handle: Handle) -> Option<&End> {
        let end = self.get(handle.id()?)?;
        (end.generation == handle.generation()).then_some(end)
    }

    /// All ends, in the order of the table.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (EndId, &End)> {
        self.slots.iter()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.live == 0
    }
}

/// The server whose plugin opened a channel.
fn caller_of(info: Option<&Arc<ChannelInfo>>) -> Option<Key> {
    info.map(|info| info.from.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bymux::StreamId;
    use crate::ids::ConnId;
    use crate::name::Name;
    use crate::route::Route;

    const PLUGIN: PluginId = PluginId(1);
    const CALLER: Key = Key([1; 32]);

    fn asked() -> Option<Arc<ChannelInfo>> {
        let name = || "echo".parse::<Name>().expect("a name");
        let (from, to) = ((name(), CALLER), (name(), Key([2; 32])));
        Some(Arc::new(ChannelInfo { from, to, route: Route::Link }))
    }

    fn counted(ends: &Ends) -> usize {
        ends.callers().of(Table::Plugin(PLUGIN), CALLER)
    }

    #[test]
    fn a_channel_counts_for_its_caller_also_when_the_plugin_has_joined_it_to_another() {
        let mut ends = Ends::default();
        let mut end = End::new(Owner::Plugin(PLUGIN), Phase::Open);
        end.info = asked();
        let near = ends.add(end).expect("there is room");
        let stream = Owner::Stream(ConnId(1), StreamId::CONTROL);
        let far = ends.add(End::new(stream, Phase::Open)).expect("there is room");
        assert_eq!(counted(&ends), 1);
        let info = ends.replace_info(near, None);
        ends.remove(near);
        assert_eq!(counted(&ends), 0);
        ends.replace_info(far, info);
        ends.set_through(far, PLUGIN);
        assert_eq!((counted(&ends), ends.count_of(PLUGIN)), (1, 1));
        ends.remove(far);
        assert!(ends.callers().is_empty());
    }
}
