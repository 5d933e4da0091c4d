//! Limits the log lines that others can cause: at most one a second of each source and kind. What
//! is suppressed is counted, and the latest of it is logged when the second is over.

use crate::ids::{ChildId, PeerId};
use crate::key::Key;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::net::IpAddr;
use core::time::Duration;
use log::Level;

/// The shortest time between two lines of one source and kind. A person reads no faster, and at 200
/// bytes a line a source then fills less than 20 MB of log in a day.
const INTERVAL: Duration = Duration::from_secs(1);

/// Sources at a time that no configuration lists. Keys and addresses are free, so that all further
/// ones count as one source. It is as many as strangers may be half-open by default.
const UNLISTED_MAX: usize = 64;

/// The target of these records.
const TARGET: &str = "trunkline_core";

/// The cause of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LogSource {
    /// A peer of the configuration.
    Peer(PeerId),
    /// A host of the configuration.
    Child(ChildId),
    /// The owner of a key that is not listed.
    Key(Key),
    /// A stranger without a key, by its address.
    Address(IpAddr),
    /// All others together.
    Others,
}

impl LogSource {
    /// Whether the configuration bounds how many of these there are.
    fn is_listed(self) -> bool {
        matches!(self, LogSource::Peer(_) | LogSource::Child(_) | LogSource::Others)
    }
}

/// What a line is about. Each kind has its own interval and its own count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogKind {
    /// A link came up.
    LinkUp,
    /// A link or a connection ended.
    LinkEnded,
    /// A peer could not be dialled.
    Unreachable,
    /// A peer was reached, and could not be linked.
    NotLinked,
    /// Two servers use one key.
    SharedKey,
    /// A host that this server started has ended.
    HostEnded,
    /// A host registered a plugin whose name it cannot have.
    RefusedName,
    /// A host asked for rights that its server does not grant.
    WithheldRights,
    /// A peer opened a stream that was refused.
    RefusedStream,
    /// A direct connection was refused, or is not expected.
    RefusedDirect,
    /// A plugin of a peer could not be connected to one that it invites, or that invites it.
    RefusedOffer,
    /// A peer announced more plugins than it may.
    TooManyPlugins,
    /// A plugin of a host asked for a link that it cannot have.
    RefusedLink,
    /// Another user of this machine dialled a socket of ours.
    OtherUser,
    /// The system lets no connection be accepted.
    NotAccepted,
    /// The system lets connections be accepted again.
    AcceptedAgain,
}

impl LogKind {
    fn level(self) -> Level {
        match self {
            LogKind::LinkUp
            | LogKind::LinkEnded
            | LogKind::RefusedStream
            | LogKind::RefusedDirect
            | LogKind::RefusedOffer
            | LogKind::AcceptedAgain => Level::Info,
            _ => Level::Warn,
        }
    }
}

/// The lines that others have caused lately.
#[derive(Debug, Default)]
pub(crate) struct LogLimiter {
    recent: BTreeMap<(LogSource, LogKind), Recent>,
    /// When the next line of each may be logged.
    order: BTreeSet<(Duration, LogSource, LogKind)>,
    /// Sources that no configuration lists, with the number of their kinds.
    unlisted: BTreeMap<LogSource, usize>,
    /// Of how many sources and kinds lines were suppressed.
    behind: usize,
}

/// The latest lines of one source and kind.
#[derive(Debug)]
struct Recent {
    /// When the next line may be logged.
    next: Duration,
    /// Lines since the last one that was logged, and the latest of them.
    suppressed: u64,
    latest: String,
}

/// How many lines of the same kind were suppressed before this one; for the end of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Suppressed(u64);

impl LogLimiter {
    /// Logs a line, or counts it.
    pub(crate) fn line(
        &mut self,
        source: LogSource,
        kind: LogKind,
        now: Duration,
        text: fmt::Arguments<'_>,
    ) {
        if log::log_enabled!(target: TARGET, kind.level())
            && let Some(more) = self.admit(source, kind, now, text)
        {
            log::log!(target: TARGET, kind.level(), "{text}{more}");
        }
    }

    /// Logs the latest of the lines that were suppressed, as far as their time has come; all of
    /// them at the end.
    pub(crate) fn catch_up(&mut self, now: Duration) {
        for (kind, text, more) in self.due(now) {
            log::log!(target: TARGET, kind.level(), "{text}{more}");
        }
    }

    /// When [`catch_up`](Self::catch_up) has something to log.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.order.first().filter(|_| self.behind > 0).map(|(at, ..)| *at)
    }

    /// Whether a line may be logged now. If not, it is counted, and kept as the latest one.
    fn admit(
        &mut self,
        source: LogSource,
        kind: LogKind,
        now: Duration,
        text: fmt::Arguments<'_>,
    ) -> Option<Suppressed> {
        let source = self.account(source, now);
        let next = now.saturating_add(INTERVAL);
        let Some(recent) = self.recent.get_mut(&(source, kind)) else {
            if !source.is_listed() {
                *self.unlisted.entry(source).or_default() += 1;
            }
            let recent = Recent { next, suppressed: 0, latest: String::new() };
            self.recent.insert((source, kind), recent);
            self.order.insert((next, source, kind));
            return Some(Suppressed(0));
        };
        if now < recent.next {
            self.behind += usize::from(recent.suppressed == 0);
            recent.suppressed = recent.suppressed.saturating_add(1);
            recent.latest.clear();
            // A string takes everything.
            let _ = recent.latest.write_fmt(text);
            return None;
        }
        self.order.remove(&(recent.next, source, kind));
        self.order.insert((next, source, kind));
        recent.next = next;
        self.behind -= usize::from(recent.suppressed > 0);
        Some(Suppressed(core::mem::take(&mut recent.suppressed)))
    }

    /// The source to which a line is charged.
    fn account(&mut self, source: LogSource, now: Duration) -> LogSource {
        if source.is_listed() || self.unlisted.contains_key(&source) {
            return source;
        }
        self.forget_quiet(now);
        match self.unlisted.len() < UNLISTED_MAX {
            true => source,
            false => LogSource::Others,
        }
    }

    /// Forgets those whose last line was a second ago.
    fn forget_quiet(&mut self, now: Duration) {
        while let Some((at, source, kind)) = self.order.first().copied()
            && at <= now
            && self.recent.get(&(source, kind)).is_none_or(|recent| recent.suppressed == 0)
        {
            self.forget(at, source, kind);
        }
    }

    fn forget(&mut self, at: Duration, source: LogSource, kind: LogKind) {
        self.order.remove(&(at, source, kind));
        self.recent.remove(&(source, kind));
        if let Some(kinds) = self.unlisted.get_mut(&source) {
            *kinds -= 1;
            if *kinds == 0 {
                self.unlisted.remove(&source);
            }
        }
    }

    fn due(&mut self, now: Duration) -> Vec<(LogKind, String, Suppressed)> {
        let mut lines = Vec::new();
        while let Some((at, source, kind)) = self.order.first().copied().filter(|due| due.0 <= now)
        {
            let Some(recent) = self.recent.get_mut(&(source, kind)) else { break };
            if recent.suppressed == 0 {
                self.forget(at, source, kind);
                continue;
            }
            let more = Suppressed(core::mem::take(&mut recent.suppressed) - 1);
            lines.push((kind, core::mem::take(&mut recent.latest), more));
            recent.next = now.saturating_add(INTERVAL);
            self.behind -= 1;
            self.order.remove(&(at, source, kind));
            self.order.insert((recent.next, source, kind));
        }
        lines
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

    const KIND: LogKind = LogKind::RefusedName;
    const SOURCE: LogSource = LogSource::Key(Key([1; 32]));

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn says(limiter: &mut LogLimiter, source: LogSource, milliseconds: u64) -> Option<String> {
        let more = limiter.admit(source, KIND, at(milliseconds), format_args!("{milliseconds}"));
        more.map(|more| more.to_string())
    }

    #[test]
    fn one_line_a_second_is_admitted_and_tells_how_many_were_not() {
        let mut limiter = LogLimiter::default();
        assert_eq!(says(&mut limiter, SOURCE, 5_000).as_deref(), Some(""), "logged at once");
        for moment in 5_000..5_999 {
            assert_eq!(says(&mut limiter, SOURCE, moment), None, "at {moment} ms");
        }
        let next = says(&mut limiter, SOURCE, 6_000);
        assert_eq!(next.as_deref(), Some(" (999 more like this since the last line)"));
        let later = says(&mut limiter, SOURCE, 60_000);
        assert_eq!(later.as_deref(), Some(""), "what was told once is not told again");
    }

    #[test]
    fn the_latest_line_is_logged_when_its_second_is_over() {
        let mut limiter = LogLimiter::default();
        says(&mut limiter, SOURCE, 0);
        assert_eq!(limiter.deadline(), None, "nothing was suppressed, so that nobody wakes up");
        (1..4).for_each(|moment| drop(says(&mut limiter, SOURCE, moment)));
        assert_eq!(limiter.deadline(), Some(at(1_000)));
        assert!(limiter.due(at(999)).is_empty());
        assert_eq!(limiter.due(at(1_000)), [(KIND, "3".into(), Suppressed(2))]);
        assert_eq!(limiter.deadline(), None);
        assert_eq!(says(&mut limiter, SOURCE, 1_500), None, "that line began another second");
        assert_eq!(limiter.due(at(2_000)), [(KIND, "1500".into(), Suppressed(0))]);
        assert!(limiter.due(at(3_000)).is_empty());
        assert!(limiter.recent.is_empty() && limiter.unlisted.is_empty(), "it is forgotten");
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes when interpreted")]
    fn each_listed_source_is_heard_and_all_others_share_what_is_left() {
        let mut limiter = LogLimiter::default();
        let count = |limiter: &mut LogLimiter, source: fn(u32) -> LogSource| {
            (0..1_000).filter(|n| says(limiter, source(*n), 0).is_some()).count()
        };
        let strangers = |n: u32| LogSource::Address(IpAddr::V4(n.into()));
        assert_eq!(count(&mut limiter, strangers), UNLISTED_MAX + 1);
        assert_eq!(count(&mut limiter, |n| LogSource::Peer(PeerId(n))), 1_000);
        assert_eq!(limiter.due(at(1_000)).len(), 1, "the others' latest line");
        assert_eq!(says(&mut limiter, SOURCE, 1_001).as_deref(), Some(""), "there is room again");
    }
}
