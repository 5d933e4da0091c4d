//! What must always hold inside the switch, checked for tests; nothing here decides anything.

use super::Switch;
use crate::broker::StreamAccount;
use crate::bymux::{HIGH_WATER, QUANTUM, StreamId};
use crate::ends::{Callers, End, Flag, Owner, Phase};
use crate::ids::{ConnId, EndId, Handle, PluginId};
use crate::link::NO_TAG;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Headers and Closes of streams that the outbox may hold beside data, in bytes.
const HEADERS_MAX: usize = 64 * 1024;

/// First frames, which are no part of any window, that may wait for a stream, in bytes.
const FRAMES_MAX: u64 = 8 * 1024;

impl Switch {
    /// Checks that ends name each other, that no queue is over its bound, that the sums agree, and
    /// that nothing was left unheard. `told` says that no effect waits. It costs time for each
    /// channel.
    ///
    /// # Errors
    /// What does not hold, for people.
    pub(crate) fn audit(&self, told: bool) -> Result<(), String> {
        for (id, end) in self.ends.iter() {
            self.audit_end(id, end, told).map_err(|what| format!("end {id}: {what}: {end:?}"))?;
        }
        for id in self.lines.keys() {
            self.audit_line(*id).map_err(|what| format!("{id:?}: {what}"))?;
        }
        self.audit_counts()?;
        match self.events.front() {
            Some(event) => Err(format!("nobody has heard of {event:?}")),
            None => Ok(()),
        }
    }

    /// The accounts of all streams of a connection, by their ids.
    pub(crate) fn stream_accounts(&self, id: ConnId) -> Vec<StreamAccount> {
        let Some(line) = self.lines.get(&id) else { return Vec::new() };
        let mux = line.link.mux_ref();
        let account = |(stream, _)| StreamAccount {
            stream,
            writable: mux.writable(stream),
            granted: mux.granted(stream),
        };
        mux.open().map(account).collect()
    }

    /// The plugins' ends of channels that go over a connection, and were not told of their end.
    pub(crate) fn channels_over(&self, id: ConnId) -> Vec<(PluginId, Handle)> {
        let over =
            |end: &End| end.peer.and_then(|peer| self.ends.get(peer)).map(|peer| peer.conn());
        let ends = self.ends.iter().filter(|(_, end)| over(end) == Some(Some(id)));
        let ends = ends.filter(|(_, end)| !end.flags.has(Flag::Ending));
        ends.filter_map(|(end, at)| Some((at.plugin()?, self.ends.handle(end)))).collect()
    }

    fn audit_end(&self, id: EndId, end: &End, told: bool) -> Result<(), String> {
        if let Some(peer) = end.peer
            && self.ends.get(peer).is_none_or(|peer| peer.peer != Some(id))
        {
            return Err(format!("its peer {peer} does not name it"));
        }
        match end.owner() {
            Owner::Plugin(_) => self.audit_plugin_end(id, end, told),
            Owner::Stream(conn, stream) => self.audit_stream_end(id, end, conn, stream),
        }
    }

    fn audit_plugin_end(&self, id: EndId, end: &End, told: bool) -> Result<(), String> {
        let window = self.window(id);
        let source = end.peer.and_then(|peer| self.ends.get(peer));
        // Of a plugin whose peer is a stream, bymux keeps the allowance.
        let allowance = source.map_or(0, |source| source.allowance);
        let kept = end.inbox.len() as u64 + u64::from(end.owed);
        let under_way = allowance.saturating_add(kept);
        if !end.flags.has(Flag::Manual) && under_way > window {
            return Err(format!("{under_way} bytes may come, over its window"));
        }
        let deaf = [Flag::ReadOver, Flag::Ending, Flag::Muted];
        let reads = end.is_up() && !deaf.into_iter().any(|flag| end.flags.has(flag));
        let settled = told && source.is_some() && !end.flags.has(Flag::Manual);
        if settled && reads && under_way < window {
            return Err(format!("{under_way} bytes may come, credit for the rest is lost"));
        }
        let over = [Flag::Ending, Flag::Closing].into_iter().any(|flag| end.flags.has(flag));
        if end.peer.is_none() && end.is_up() && !over {
            return Err("it has nobody at the other side".into());
        }
        Ok(())
    }

    fn audit_stream_end(
        &self,
        id: EndId,
        end: &End,
        conn: ConnId,
        stream: StreamId,
    ) -> Result<(), String> {
        let Some(line) = self.lines.get(&conn) else { return Err("its link is gone".into()) };
        // A stream may be gone, and its end not yet told so.
        if line.link.mux_ref().tag(stream).is_some_and(|tag| tag != id.tag()) {
            return Err("its stream belongs to another end".into());
        }
        let limits = &self.limits;
        let most = limits.window_max.max(limits.window) + limits.window + FRAMES_MAX;
        match end.inbox.len() as u64 > most {
            true => Err(format!("{} bytes wait for its stream", end.inbox.len())),
            false => Ok(()),
        }
    }

    fn audit_line(&self, id: ConnId) -> Result<(), String> {
        let Some(line) = self.lines.get(&id) else { return Ok(()) };
        let outbox = line.link.outbox();
        let data = outbox.len() - outbox.control_len();
        if data > HIGH_WATER + QUANTUM + HEADERS_MAX {
            return Err(format!("{data} bytes of data wait in its outbox"));
        }
        let ending = self.is_ending(id);
        for (stream, tag) in line.link.mux_ref().open().filter(|(_, tag)| *tag != NO_TAG) {
            let owner = EndId::of_tag(tag).and_then(|end| self.ends.get(end)).map(End::owner);
            if !ending && owner != Some(Owner::Stream(id, stream)) {
                return Err(format!("stream {stream} has no end, but {owner:?}"));
            }
        }
        let asking = |end: &&End| end.conn() == Some(id) && end.phase == Phase::Asking;
        let asking = self.ends.iter().map(|(_, end)| end).filter(asking).count();
        if asking != line.unanswered {
            let counted = line.unanswered;
            return Err(format!("{asking} streams wait for an answer, {counted} are counted"));
        }
        let is_charged = |(end, peer): (EndId, Option<EndId>)| {
            peer.and_then(|peer| self.grows_on(end, peer)) == Some(id)
        };
        let ends = self.ends.iter().filter(|(end, found)| is_charged((*end, found.peer)));
        let grown: u64 = ends.map(|(_, end)| end.rare().grown).sum();
        match grown == line.grown {
            true => Ok(()),
            false => Err(format!("windows grew by {grown}, {} are on its account", line.grown)),
        }
    }

    fn audit_counts(&self) -> Result<(), String> {
        let mut counted: BTreeMap<PluginId, usize> = BTreeMap::new();
        let mut callers = Callers::default();
        for (_, end) in self.ends.iter() {
            for plugin in end.plugins() {
                *counted.entry(plugin).or_default() += 1;
            }
            if let Some(info) = &end.info {
                end.tables().for_each(|table| callers.count(table, info.from.1, 1));
            }
        }
        for (id, found) in counted {
            let counts = self.ends.count_of(id);
            if found != counts {
                return Err(format!("{id:?} has {found} ends, {counts} are counted"));
            }
        }
        match callers == *self.ends.callers() {
            true => Ok(()),
            false => Err(format!("the callers are {callers:?}, counted {:?}", self.ends.callers())),
        }
    }
}
