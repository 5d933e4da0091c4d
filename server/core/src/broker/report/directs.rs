//! Channels of hosts that do not pass through this server, as their hosts tell of them.

use crate::ids::ConnId;
use crate::key::Key;
use crate::name::Name;
use crate::route::Route;
use alloc::collections::BTreeMap;

/// From which plugin of the host, to which plugin of which server, and how.
pub(crate) type DirectPair = (Name, Name, Key, Route);

/// How many such channels each host has, by the plugins that they are between.
#[derive(Debug, Default)]
pub(crate) struct Directs(BTreeMap<ConnId, BTreeMap<DirectPair, usize>>);

impl Directs {
    /// A host has one more channel; of more than `most` pairs, nothing is noted.
    pub(crate) fn begin(&mut self, host: ConnId, pair: DirectPair, most: usize) {
        let pairs = self.0.entry(host).or_default();
        if pairs.len() < most || pairs.contains_key(&pair) {
            let count = pairs.entry(pair).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// A host has one channel less.
    pub(crate) fn end(&mut self, host: ConnId, pair: &DirectPair) {
        let Some(pairs) = self.0.get_mut(&host) else { return };
        let Some(count) = pairs.get_mut(pair) else { return };
        *count -= 1;
        if *count == 0 {
            pairs.remove(pair);
        }
    }

    /// A host is gone.
    pub(crate) fn forget(&mut self, host: ConnId) {
        self.0.remove(&host);
    }

    /// Each channel of all hosts.
    pub(crate) fn channels(&self) -> impl Iterator<Item = &DirectPair> {
        let pairs = self.0.values().flatten();
        pairs.flat_map(|(pair, count)| core::iter::repeat_n(pair, *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
