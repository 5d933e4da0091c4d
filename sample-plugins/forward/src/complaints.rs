//! Warnings about connections that ended. One of each kind is enough until it stops, because what
//! one connection lacks, all lack that come meanwhile. The others are in the log as `debug`.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// A kind that has not occurred for this long is news again.
const QUIET: Duration = Duration::from_secs(1);

/// A kind that does not stop is told of again after this time.
const AGAIN: Duration = Duration::from_secs(60);

/// The kinds that are remembered: a peer chooses codes, so they are bounded.
const KINDS_MAX: usize = 64;

/// Which kinds of warnings were given lately.
#[derive(Default)]
pub(crate) struct Complaints(HashMap<String, Kind>);

struct Kind {
    occurred: Instant,
    told: Instant,
    /// How many were not told since then.
    withheld: u64,
}

impl Complaints {
    /// Something of this kind has happened. Returns how many of it were withheld if it is to be
    /// told, and `None` if it is to be withheld.
    pub(crate) fn tell(&mut self, kind: &str, now: Instant) -> Option<u64> {
        if let Some(known) = self.0.get_mut(kind) {
            return known.tell(now);
        }
        if self.0.len() >= KINDS_MAX {
            self.0.retain(|_, kind| now.duration_since(kind.occurred) < QUIET);
        }
        if self.0.len() >= KINDS_MAX {
            return None;
        }
        self.0.insert(kind.to_owned(), Kind { occurred: now, told: now, withheld: 0 });
        Some(0)
    }
}

impl Kind {
    fn tell(&mut self, now: Instant) -> Option<u64> {
        let quiet = now.duration_since(self.occurred) >= QUIET;
        self.occurred = now;
        if !quiet && now.duration_since(self.told) < AGAIN {
            self.withheld += 1;
            return None;
        }
        self.told = now;
        Some(std::mem::take(&mut self.withheld))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_told_once_until_it_stops_or_a_minute_has_passed() {
        let (mut complaints, begun) = (Complaints::default(), Instant::now());
        let mut tell = |at: u64| complaints.tell("a", begun + Duration::from_millis(at));
        assert_eq!((tell(0), tell(500), tell(1_400)), (Some(0), None, None));
        assert_eq!(tell(2_400), Some(2), "it had stopped for a second");
        for at in (2_900..62_400).step_by(500) {
            assert_eq!(tell(at), None, "{at}");
        }
        assert_eq!(tell(62_400), Some(119), "it does not stop");
    }

    #[test]
    fn kinds_are_bounded_and_old_ones_make_room() {
        let (mut complaints, begun) = (Complaints::default(), Instant::now());
        for number in 0..KINDS_MAX {
            assert_eq!(complaints.tell(&number.to_string(), begun), Some(0));
        }
        assert_eq!(complaints.tell("one more", begun), None);
        assert_eq!(complaints.tell("one more", begun + QUIET), Some(0));
    }
}
