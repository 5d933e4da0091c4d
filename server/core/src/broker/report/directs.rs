//! Channels of hosts that do not pass through their server: each host tells of its own, as fast as
//! the server reads.

use crate::control::{DirectChannel, Message};
use crate::ends::ChannelInfo;
use crate::ids::ConnId;
use crate::key::Key;
use crate::name::Name;
use crate::route::Route;
use alloc::collections::BTreeMap;

/// From which plugin of the host, to which plugin of which server, and how.
pub(crate) type DirectPair = (Name, Name, Key, Route);

/// These channels, by the plugins that they are between.
#[derive(Debug, Default)]
pub(crate) struct Directs {
    /// How many each host has, as it tells.
    of_hosts: BTreeMap<ConnId, BTreeMap<DirectPair, usize>>,
    /// How many more, or fewer, this host has than its server has been told. These are no more
    /// pairs than have channels now or had some when the server was told last.
    owed: BTreeMap<DirectPair, i64>,
}

impl Directs {
    /// A host tells of a channel that does not pass through this server. Of more than `most` pairs
    /// of plugins, nothing is noted.
    pub(crate) fn host_has_direct(&mut self, host: ConnId, direct: DirectChannel, most: usize) {
        let DirectChannel { from, to, server, route, ended } = direct;
        let pair = (from, to, server, route);
        match ended {
            true => self.end(host, &pair),
            false => self.begin(host, pair, most),
        }
    }

    /// A host has one more channel; of more than `most` pairs, nothing is noted.
    fn begin(&mut self, host: ConnId, pair: DirectPair, most: usize) {
        let pairs = self.of_hosts.entry(host).or_default();
        if pairs.len() < most || pairs.contains_key(&pair) {
            let count = pairs.entry(pair).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// A host has one channel less.
    fn end(&mut self, host: ConnId, pair: &DirectPair) {
        let Some(pairs) = self.of_hosts.get_mut(&host) else { return };
        let Some(count) = pairs.get_mut(pair) else { return };
        *count -= 1;
        if *count == 0 {
            pairs.remove(pair);
        }
    }

    /// A host is gone.
    pub(crate) fn forget(&mut self, host: ConnId) {
        self.of_hosts.remove(&host);
    }

    /// Each channel of all hosts.
    pub(crate) fn channels(&self) -> impl Iterator<Item = &DirectPair> {
        let pairs = self.of_hosts.values().flatten();
        pairs.flat_map(|(pair, count)| core::iter::repeat_n(pair, *count))
    }

    /// A channel of this host goes over a connection of its own, or has ended: its server does not
    /// see it otherwise, and has to be told.
    pub(crate) fn tell_direct(&mut self, info: &ChannelInfo, ended: bool) {
        if info.route.is_direct() {
            let (to, server) = info.to.clone();
            self.owe((info.from.0.clone(), to, server, info.route), ended);
        }
    }

    /// The server of this host has still to be told of one channel more, or of the end of one.
    fn owe(&mut self, pair: DirectPair, ended: bool) {
        let change = if ended { -1 } else { 1 };
        let owed = self.owed.get(&pair).copied().unwrap_or(0) + change;
        match owed {
            0 => self.owed.remove(&pair),
            _ => self.owed.insert(pair, owed),
        };
    }

    /// What the server of this host has to be told next.
    pub(crate) fn next_told(&mut self) -> Option<Message> {
        let ((from, to, server, route), ended) = self.next_owed()?;
        Some(Message::DirectChannel(DirectChannel { from, to, server, route, ended }))
    }

    /// Takes one thing that the server of this host has still to be told: between whom a channel
    /// has begun, or has ended.
    fn next_owed(&mut self) -> Option<(DirectPair, bool)> {
        let (pair, owed) = self.owed.first_key_value()?;
        let (pair, ended) = (pair.clone(), *owed < 0);
        self.owe(pair.clone(), !ended);
        Some((pair, ended))
    }

    /// Whether the server of this host has still to be told something.
    #[inline]
    pub(crate) fn is_owing(&self) -> bool {
        !self.owed.is_empty()
    }

    /// The server of this host is gone, with all that it was told.
    pub(crate) fn owe_nothing(&mut self) {
        self.owed.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn pair(name: &str) -> DirectPair {
        let name: Name = name.parse().expect("a name");
        (name.clone(), name, Key([1; 32]), Route::Tcp)
    }

    #[test]
    fn each_channel_is_counted_until_it_ends_or_its_host_is_gone() {
        let (mut directs, host) = (Directs::default(), ConnId(1));
        for name in ["a", "a", "b"] {
            directs.begin(host, pair(name), 1);
        }
        assert_eq!(directs.channels().count(), 2, "a second pair is over the limit");
        directs.end(host, &pair("a"));
        directs.end(host, &pair("b"));
        assert_eq!(directs.channels().count(), 1);
        directs.forget(host);
        assert_eq!(directs.channels().count(), 0);
    }

    #[test]
    fn what_the_server_has_not_been_told_is_kept_as_counts() {
        let mut directs = Directs::default();
        for _ in 0..1_000 {
            directs.owe(pair("a"), false);
            directs.owe(pair("a"), true);
            directs.owe(pair("b"), false);
            directs.owe(pair("b"), true);
        }
        assert_eq!(directs.owed.len(), 0, "what has begun and ended is not worth a word");
        directs.owe(pair("a"), true);
        directs.owe(pair("b"), false);
        directs.owe(pair("b"), false);
        let told = core::iter::from_fn(|| directs.next_owed()).collect::<Vec<_>>();
        assert_eq!(told, [(pair("a"), true), (pair("b"), false), (pair("b"), false)]);
        assert_eq!(directs.owed.len(), 0);
    }
}
