//! Limits the log lines that one peer can cause: at most one a second of each kind. It decides and
//! counts; the caller logs.

use alloc::collections::BTreeMap;
use core::fmt;
use core::time::Duration;

/// The shortest time between two lines of one kind. A person reads no faster, and at 200 bytes a
/// line a peer then fills less than 20 MB of log in a day.
const INTERVAL: Duration = Duration::from_secs(1);

/// What a log line that a peer causes is about. Each kind has its own interval and its own count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LogKind {
    /// A host registered a plugin whose name it cannot have.
    RefusedName,
    /// A host asked for rights that its server does not grant.
    WithheldRights,
    /// A peer opened a stream that was refused.
    RefusedStream,
    /// A plugin of a peer could not be connected to one that it invites, or that invites it.
    RefusedOffer,
    /// A peer announced more plugins than it may.
    TooManyPlugins,
    /// A plugin of a host asked for a link that it cannot have.
    RefusedLink,
}

impl fmt::Display for LogKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LogKind::RefusedName => "refused plugin names",
            LogKind::WithheldRights => "withheld rights",
            LogKind::RefusedStream => "refused streams",
            LogKind::RefusedOffer => "refused offers",
            LogKind::TooManyPlugins => "plugins over the limit",
            LogKind::RefusedLink => "refused links",
        })
    }
}

/// The lines that one connection has caused. It holds at most one entry for each [`LogKind`].
#[derive(Debug, Default)]
pub(crate) struct LogLimiter {
    kinds: BTreeMap<LogKind, Recent>,
}

/// The latest lines of one kind.
#[derive(Debug)]
struct Recent {
    /// When the next line may be logged.
    next: Duration,
    /// Lines since the last one that was logged.
    suppressed: u64,
}

/// How many lines of the same kind were suppressed before this one; for the end of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Suppressed(u64);

impl LogLimiter {
    /// Whether a line may be logged now. If not, it is counted.
    #[must_use]
    pub(crate) fn admit(&mut self, kind: LogKind, now: Duration) -> Option<Suppressed> {
        let first = Recent { next: Duration::ZERO, suppressed: 0 };
        let recent = self.kinds.entry(kind).or_insert(first);
        if now < recent.next {
            recent.suppressed = recent.suppressed.saturating_add(1);
            return None;
        }
        recent.next = now.saturating_add(INTERVAL);
        Some(Suppressed(core::mem::take(&mut recent.suppressed)))
    }

    /// Forgets everything, and gives the kinds of which lines were suppressed since the last one
    /// that was logged, with their number: for the end of the connection.
    pub(crate) fn finish(&mut self) -> impl Iterator<Item = (LogKind, u64)> + use<> {
        let kinds = core::mem::take(&mut self.kinds).into_iter();
        kinds.map(|(kind, recent)| (kind, recent.suppressed)).filter(|(_, count)| *count > 0)
    }
}

impl fmt::Display for Suppressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(f, " ({count} more like this since the last line)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    const KIND: LogKind = LogKind::RefusedName;

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn one_line_a_second_is_admitted_and_tells_how_many_were_not() {
        let mut limiter = LogLimiter::default();
        let first = limiter.admit(KIND, at(5_000)).expect("the first line is logged at once");
        assert_eq!(first.to_string(), "");
        for moment in 5_000..5_999 {
            assert_eq!(limiter.admit(KIND, at(moment)), None, "at {moment} ms");
        }
        let next = limiter.admit(KIND, at(6_000)).expect("a second has passed");
        assert_eq!(next.to_string(), " (999 more like this since the last line)");
        let later = limiter.admit(KIND, at(60_000)).expect("a minute has passed");
        assert_eq!(later.to_string(), "", "what was told once is not told again");
    }

    #[test]
    fn the_end_tells_what_no_line_has_told() {
        let mut limiter = LogLimiter::default();
        assert_eq!(limiter.finish().count(), 0, "nothing was suppressed");
        let _ = limiter.admit(KIND, at(0));
        assert_eq!(limiter.finish().count(), 0, "what was logged needs no other line");
        let _ = limiter.admit(KIND, at(0));
        let _ = limiter.admit(KIND, at(1));
        let _ = limiter.admit(KIND, at(2));
        assert_eq!(limiter.finish().collect::<Vec<_>>(), [(KIND, 2)]);
        assert_eq!(limiter.finish().count(), 0, "it is told once");
    }
}
