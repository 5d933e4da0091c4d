//! What must always hold of calls, checked for tests.

use super::{Asked, Asker, Call, CallCounts, CallTimer, Calls, Heard};
use crate::broker::effect::{Effect, Effects, Told};
use crate::calls::MESSAGE_COST;
use crate::ids::{CallId, ConnId, EndId, PluginId};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;

impl Calls {
    /// Each call has its two sides, and the sums agree with what waits to be told.
    pub(crate) fn audit(&self, effects: &Effects) -> Result<(), String> {
        let mut counts: BTreeMap<PluginId, CallCounts> = BTreeMap::new();
        let mut numbers: BTreeMap<EndId, usize> = BTreeMap::new();
        for (id, call) in &self.table {
            count_sides(call, &mut counts);
            if let Some(end) = self.audit_stream_of(*id, call)? {
                *numbers.entry(end).or_default() += 1;
            }
        }
        for effect in effects.iter() {
            if let Effect::Tell(plugin, Told::Reply(_, outcome)) = effect {
                counts.entry(*plugin).or_default().held += outcome.cost();
            }
        }
        self.audit_streams(&numbers, &mut counts)?;
        counts.retain(|_, counts| *counts != CallCounts::default());
        let counted: BTreeMap<PluginId, CallCounts> = self.parties.counted().collect();
        if counts != counted {
            return Err(format!("plugins have {counts:?}, counted are {counted:?}"));
        }
        match (self.frames.is_empty(), self.is_settled()) {
            (true, true) => Ok(()),
            (false, _) => Err("a call is running between two turns".into()),
            (_, false) => Err("what others have to do for calls is not handed on".into()),
        }
    }

    /// All for which a timer has to run.
    pub(crate) fn timers(&self) -> impl Iterator<Item = CallTimer> {
        let calls = self.table.iter().filter(|(_, call)| call.timed);
        let streams = self.streams.iter().filter(|(_, stream)| stream.is_timed());
        let calls = calls.map(|(call, _)| CallTimer::Deadline(*call));
        calls.chain(streams.map(|(end, _)| CallTimer::Idle(*end)))
    }

    /// A call has at most one side that is a stream, which knows it by its number.
    fn audit_stream_of(&self, id: CallId, call: &Call) -> Result<Option<EndId>, String> {
        let (end, number) = match (call.asker, call.asked) {
            (Asker::Stream(..), Asked::Stream(..)) => {
                return Err(format!("{id:?} is of two streams"));
            }
            (Asker::Stream(end, number), _) | (_, Asked::Stream(end, number)) => (end, number),
            (Asker::Plugin(_), Asked::Plugin(..)) => return Ok(None),
        };
        match self.streams.get(&end).and_then(|stream| stream.numbers.get(&number)) == Some(&id) {
            true => Ok(Some(end)),
            false => Err(format!("{id:?} is not number {number} of {end}")),
        }
    }

    /// The numbers of each stream name calls, and it is charged with what it costs.
    fn audit_streams(
        &self,
        numbers: &BTreeMap<EndId, usize>,
        counts: &mut BTreeMap<PluginId, CallCounts>,
    ) -> Result<(), String> {
        let mut accounts: BTreeMap<ConnId, u64> = BTreeMap::new();
        for (end, stream) in &self.streams {
            if numbers.get(end).copied().unwrap_or(0) != stream.calls() {
                return Err(format!("numbers of {end} name calls that are over"));
            }
            if let Some(number) = stream.misplaced() {
                return Err(format!("{end} has begun a message of {number}, which it may not"));
            }
            if stream.charged.1 != stream.held() {
                return Err(format!("{end} is not charged with {}", stream.held()));
            }
            match stream.charged.0 {
                Some(conn) => *accounts.entry(conn).or_default() += stream.charged.1,
                None => counts.entry(stream.plugin).or_default().held += stream.charged.1,
            }
        }
        accounts.retain(|_, held| *held > 0);
        match accounts == self.held_by_conn {
            true => Ok(()),
            false => {
                let counted = &self.held_by_conn;
                Err(format!("calls hold {accounts:?} bytes, counted are {counted:?}"))
            }
        }
    }
}

/// Counts a call for its plugins.
fn count_sides(call: &Call, counts: &mut BTreeMap<PluginId, CallCounts>) {
    if let Asker::Plugin(plugin) = call.asker {
        let counts = counts.entry(plugin).or_default();
        counts.made += 1;
        if let Asked::Plugin(_, Heard::Queued(length)) = call.asked {
            counts.held += u64::from(length) + MESSAGE_COST;
        }
    }
    if let Asked::Plugin(plugin, heard) = call.asked {
        let counts = counts.entry(plugin).or_default();
        counts.asked += 1;
        counts.queued += usize::from(heard != Heard::Told);
    }
}
