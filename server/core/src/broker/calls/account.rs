//! What calls take up: bytes that wait, on the account of their link or of their plugin, and calls
//! that a callee has to answer, of which each stream leaves a share to others.

use super::{Asked, Asker, CallCounts, Calls, Event};
use crate::calls::MESSAGE_COST;
use crate::ids::{ConnId, EndId, PluginId};
use crate::limits::Limit;
use crate::reason::{Code, Reason};
use alloc::format;
use alloc::string::String;

impl Calls {
    /// Whether a request or an answer is not longer than one may be.
    pub(super) fn fits(&mut self, length: usize, what: &str) -> Result<(), Reason> {
        let most = self.limits.call_size;
        if length <= most {
            return Ok(());
        }
        let text = format!("the {what} has {length} bytes, at most {most} are taken");
        Err(self.limit_reached(Limit::CallSize, text))
    }

    /// Whether so many bytes may be kept beside those that are.
    pub(super) fn holds(&mut self, held: u64, length: usize) -> Result<(), Reason> {
        let most = self.limits.link_window;
        if held + length as u64 + MESSAGE_COST <= most {
            return Ok(());
        }
        self.happens(Event::Reached(Limit::LinkWindow));
        let text = format!("requests and answers that wait may have {most} bytes together");
        Err(Reason::server(Code::TooManyCalls, text))
    }

    /// Counts a call for its plugins, if they have room for it.
    pub(super) fn count_call(&mut self, asker: Asker, asked: Asked) -> Result<(), Reason> {
        let (caller, callee) = (asker.plugin(), asked.plugin());
        let most = self.parties.most();
        let full = |plugin: Option<PluginId>, count: fn(CallCounts) -> usize| {
            plugin.filter(|plugin| count(self.parties.counts(*plugin)) >= most)
        };
        if let Some(caller) = full(caller, |counts| counts.made) {
            let name = self.parties.label(caller);
            let text = format!("{name} waits for {most} calls, as many as a plugin may");
            return Err(self.too_many(text));
        }
        if let Some(callee) = full(callee, |counts| counts.asked) {
            let name = self.parties.label(callee);
            let text = format!("{name} has {most} calls to answer, as many as a plugin may have");
            return Err(self.too_many(text));
        }
        self.change_counts(caller, |counts| counts.made += 1);
        self.change_counts(callee, |counts| counts.asked += 1);
        Ok(())
    }

    fn too_many(&mut self, text: String) -> Reason {
        self.happens(Event::Reached(Limit::Calls));
        Reason::server(Code::TooManyCalls, text)
    }

    /// Of the calls that a callee may have to answer, a stream leaves as many free as it has
    /// itself, so that one caller cannot use them up, however many it makes.
    pub(super) fn leaves_a_share(&mut self, callee: PluginId, end: EndId) -> Result<(), Reason> {
        let asked = self.parties.counts(callee).asked;
        let free = self.parties.most().saturating_sub(asked);
        let taken = self.streams.get(&end).map_or(0, |stream| stream.calls());
        if taken <= free {
            return Ok(());
        }
        let name = self.parties.label(callee);
        let text =
            format!("{name} has {taken} of these calls to answer, and {free} are for others");
        Err(self.too_many(text))
    }

    /// Changes the counts of the plugin at a call's side, if it is a plugin.
    pub(super) fn change_counts(
        &mut self,
        plugin: Option<PluginId>,
        change: impl FnOnce(&mut CallCounts),
    ) {
        if let Some(plugin) = plugin {
            self.parties.change(plugin, change);
        }
    }

    /// Brings the account up to what a stream's messages cost now, and to the connection that
    /// carries them now.
    pub(crate) fn charge_stream(&mut self, end: EndId, conn: Option<ConnId>) {
        let Some(stream) = self.streams.get_mut(&end) else { return };
        let plugin = stream.plugin;
        let new = (conn, stream.held());
        let old = core::mem::replace(&mut stream.charged, new);
        if old == new {
            return;
        }
        self.release(old, plugin);
        self.charge(new, plugin);
    }

    /// What is on the account on which a stream's messages are charged.
    pub(super) fn charged(&self, end: EndId) -> u64 {
        let Some(stream) = self.streams.get(&end) else { return 0 };
        match stream.charged.0 {
            Some(conn) => self.held_by_conn.get(&conn).copied().unwrap_or(0),
            None => self.parties.counts(stream.plugin).held,
        }
    }

    pub(super) fn charge(&mut self, (conn, amount): (Option<ConnId>, u64), plugin: PluginId) {
        match conn {
            Some(conn) if amount > 0 => *self.held_by_conn.entry(conn).or_default() += amount,
            Some(_) => {}
            None => self.parties.change(plugin, |counts| counts.held += amount),
        }
    }

    pub(super) fn release(&mut self, (conn, amount): (Option<ConnId>, u64), plugin: PluginId) {
        let Some(conn) = conn else {
            let release = |counts: &mut CallCounts| {
                counts.held = counts.held.saturating_sub(amount);
            };
            return self.parties.change(plugin, release);
        };
        if let Some(held) = self.held_by_conn.get_mut(&conn) {
            *held = held.saturating_sub(amount);
            if *held == 0 {
                self.held_by_conn.remove(&conn);
            }
        }
    }
}
