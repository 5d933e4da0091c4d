//! What must always hold of calls, checked for tests.

use super::{Asked, Asker, CallCounts, Heard};
use crate::broker::{Broker, ConnId, Effect, PluginId, TimerKey, Told};
use crate::calls::MESSAGE_COST;
use crate::ends::{End, Flag};
use crate::ids::{EndId, Handle};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

impl Broker {
    /// The handles of the ends on which a plugin's calls travel, of which it is not told.
    pub fn call_channels(&self, plugin: PluginId) -> Vec<Handle> {
        self.calls.call_streams_of(plugin).into_iter().map(|end| self.switch.handle(end)).collect()
    }

    /// Each call has its two sides, and the sums agree.
    pub(crate) fn audit_calls(&self) -> Result<(), String> {
        let mut counts: BTreeMap<PluginId, CallCounts> = BTreeMap::new();
        let mut numbers: BTreeMap<EndId, usize> = BTreeMap::new();
        let timed = self.calls.table.values().filter(|call| call.timed).count();
        let timers = self.timers.keys().filter(|key| matches!(key, TimerKey::Call(_))).count();
        if timed != timers {
            return Err(format!("{timers} timers run for {timed} calls with a deadline"));
        }
        let astray = |key: &&TimerKey| match key {
            TimerKey::IdleCalls(end) => !self.calls.streams.contains_key(end),
            _ => false,
        };
        if let Some(key) = self.timers.keys().find(astray) {
            return Err(format!("{key:?} is of a stream that is over"));
        }
        for (id, call) in self.calls.table.iter() {
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
            let of_stream = match (call.asker, call.asked) {
                (Asker::Stream(..), Asked::Stream(..)) => {
                    return Err(format!("{id:?} is of two streams"));
                }
                (Asker::Stream(end, number), _) | (_, Asked::Stream(end, number)) => {
                    *numbers.entry(end).or_default() += 1;
                    Some((end, number))
                }
                (Asker::Plugin(_), Asked::Plugin(..)) => None,
            };
            if let Some((end, number)) = of_stream
                && self.calls.streams.get(&end).and_then(|s| s.numbers.get(&number)) != Some(id)
            {
                return Err(format!("{id:?} is not number {number} of {end}"));
            }
        }
        for effect in self.effects.iter() {
            if let Effect::Tell(plugin, Told::Reply(_, outcome)) = effect {
                counts.entry(*plugin).or_default().held += outcome.cost();
            }
        }
        self.audit_call_streams(&numbers, &mut counts)?;
        counts.retain(|_, counts| *counts != CallCounts::default());
        if counts != self.calls.counts {
            return Err(format!("plugins have {counts:?}, counted are {:?}", self.calls.counts));
        }
        Ok(())
    }

    /// Each stream has an end, its numbers name calls, and it is charged with what it costs.
    fn audit_call_streams(
        &self,
        numbers: &BTreeMap<EndId, usize>,
        counts: &mut BTreeMap<PluginId, CallCounts>,
    ) -> Result<(), String> {
        let mut accounts: BTreeMap<ConnId, u64> = BTreeMap::new();
        for (end, stream) in &self.calls.streams {
            let ours =
                |end: &&End| end.flags.has(Flag::Calls) && end.plugin() == Some(stream.plugin);
            if self.switch.end(*end).filter(ours).is_none() {
                return Err(format!("a stream of calls has no end {end}"));
            }
            if numbers.get(end).copied().unwrap_or(0) != stream.numbers.len() {
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
        if accounts != self.calls.held_by_conn {
            let counted = &self.calls.held_by_conn;
            return Err(format!("calls hold {accounts:?} bytes, counted are {counted:?}"));
        }
        match self.calls.frames.is_empty() {
            true => Ok(()),
            false => Err("a call is running between two turns".into()),
        }
    }
}
