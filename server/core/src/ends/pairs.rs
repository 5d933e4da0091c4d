//! The pairs of plugins that have channels, each stored once, however many channels it has.

use super::ChannelInfo;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;

/// With fewer pairs than this, unused pairs are not removed.
const FEW: usize = 64;

/// The pairs that have a channel, and some that no longer have one.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    known: BTreeSet<Arc<ChannelInfo>>,
    /// The number of pairs at which those without a channel are removed.
    sweep_at: usize,
}

impl Pairs {
    /// The shared copy of a pair. Pairs without channels are removed when there are twice as many
    /// as after the last removal, so that a channel costs no search for them.
    pub(crate) fn share(&mut self, pair: ChannelInfo) -> Arc<ChannelInfo> {
        if let Some(known) = self.known.get(&pair) {
            return known.clone();
        }
        if self.known.len() >= self.sweep_at.max(FEW) {
            self.known.retain(|pair| Arc::strong_count(pair) > 1);
            self.sweep_at = 2 * self.known.len();
        }
        let pair = Arc::new(pair);
        self.known.insert(pair.clone());
        pair
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Key;
    use crate::route::Route;
    use alloc::format;

    fn pair(number: usize) -> ChannelInfo {
        let name = |text: &str| format!("{text}{number}").parse().expect("a name");
        let from = (name("a"), Key([1; 32]));
        ChannelInfo { from, to: (name("b"), Key([2; 32])), route: Route::Link }
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes when interpreted")]
    fn a_pair_is_stored_once_and_removed_after_its_channels() {
        let mut pairs = Pairs::default();
        let kept = pairs.share(pair(0));
        assert!(Arc::ptr_eq(&kept, &pairs.share(pair(0))), "a pair was kept twice");
        for number in 1..100 * FEW {
            pairs.share(pair(number));
        }
        assert!(pairs.known.len() <= 2 * FEW, "{} pairs are known", pairs.known.len());
        assert!(Arc::ptr_eq(&kept, &pairs.share(pair(0))), "a pair with a channel was forgotten");
    }
}
