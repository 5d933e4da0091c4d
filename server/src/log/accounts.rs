//! How much each plugin may log. What exceeds it is dropped and counted.

use std::collections::BTreeMap;
use std::time::Duration;

/// Bytes a second. It is some 400 lines, more than a person reads, and a disk takes it for long.
pub(super) const RATE: u64 = 64 * 1024;

/// Bytes at once: what a plugin may say at its start, or about one large failure.
const BURST: u64 = 512 * 1024;

/// The shortest time between two lines about what was dropped of one source.
const INTERVAL: Duration = Duration::from_secs(1);

/// The accounts by source. Sources are the plugins of this process and of its hosts, so the
/// configuration bounds their number.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    accounts: BTreeMap<String, Account>,
}

#[derive(Debug)]
struct Account {
    /// Bytes that it may log now.
    left: u64,
    /// Since when `left` has not grown.
    counted: Duration,
    dropped: u64,
    /// When what was dropped may be said.
    say_at: Duration,
}

/// Whether a line may be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Admitted,
    /// It is the first one since the count was said: [`Accounts::deadline`] has changed.
    FirstDropped,
    Dropped,
}

impl Accounts {
    /// Charges a line to its source.
    pub(super) fn admit(&mut self, source: &str, cost: usize, now: Duration) -> Verdict {
        if !self.accounts.contains_key(source) {
            let account = Account { left: BURST, counted: now, dropped: 0, say_at: now };
            self.accounts.insert(source.to_owned(), account);
        }
        match self.accounts.get_mut(source) {
            Some(account) => account.admit(cost as u64, now),
            None => Verdict::Admitted,
        }
    }

    /// The sources of which lines were dropped, with their number, as far as that may be said now.
    pub(super) fn due(&mut self, now: Duration) -> Vec<(String, u64)> {
        let mut due = Vec::new();
        for (source, account) in &mut self.accounts {
            if account.dropped > 0 && account.say_at <= now {
                due.push((source.clone(), std::mem::take(&mut account.dropped)));
                account.say_at = now + INTERVAL;
            }
        }
        due
    }

    /// When [`due`](Self::due) has something to say.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let dropped = self.accounts.values().filter(|account| account.dropped > 0);
        dropped.map(|account| account.say_at).min()
    }
}

impl Account {
    fn admit(&mut self, cost: u64, now: Duration) -> Verdict {
        let passed = now.saturating_sub(self.counted).as_millis() as u64;
        let earned = passed.saturating_mul(RATE) / 1000;
        if earned > 0 {
            self.left = self.left.saturating_add(earned).min(BURST);
            self.counted = now;
        }
        if let Some(left) = self.left.checked_sub(cost) {
            self.left = left;
            return Verdict::Admitted;
        }
        self.dropped += 1;
        match self.dropped {
            1 => Verdict::FirstDropped,
            _ => Verdict::Dropped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: usize = 128;

    #[test]
    fn a_source_gets_a_burst_and_then_its_rate() {
        let (mut accounts, mut now) = (Accounts::default(), Duration::ZERO);
        let mut admitted = |now| {
            let verdicts = (0..100_000).map(|_| accounts.admit("a", LINE, now));
            verdicts.filter(|verdict| *verdict == Verdict::Admitted).count() as u64
        };
        assert_eq!(admitted(now), BURST / LINE as u64);
        for _ in 0..5 {
            now += Duration::from_secs(1);
            assert_eq!(admitted(now), RATE / LINE as u64);
        }
        now += Duration::from_secs(3600);
        assert_eq!(admitted(now), BURST / LINE as u64, "it saves up no more than a burst");
    }

    #[test]
    fn one_source_does_not_use_the_budget_of_another() {
        let mut accounts = Accounts::default();
        while accounts.admit("a", LINE, Duration::ZERO) == Verdict::Admitted {}
        assert_eq!(accounts.admit("b", LINE, Duration::ZERO), Verdict::Admitted);
    }

    #[test]
    fn dropped_lines_are_said_once_a_second() {
        let mut accounts = Accounts::default();
        let second = Duration::from_secs(1);
        assert_eq!((accounts.due(second), accounts.deadline()), (vec![], None));
        let too_long = BURST as usize + 1;
        assert_eq!(accounts.admit("a", too_long, second), Verdict::FirstDropped);
        assert_eq!(accounts.admit("a", too_long, second), Verdict::Dropped);
        assert_eq!(accounts.deadline(), Some(second));
        assert_eq!(accounts.due(second), [("a".to_owned(), 2)]);
        assert_eq!(accounts.admit("a", too_long, second), Verdict::FirstDropped);
        assert_eq!((accounts.due(second), accounts.deadline()), (vec![], Some(2 * second)));
        assert_eq!(accounts.due(2 * second), [("a".to_owned(), 1)]);
    }
}
