//! The targets of the design's section on speed, and the measured values.

use serde::Serialize;

use crate::calls::{ANSWER_64, ANSWER_EMPTY, ANSWERS, DYNAMIC, EMPTY, GUARDED, LOADED, WORK};
use crate::encryption::{DECRYPT, ENCRYPT, ENCRYPTION, PRIMITIVE_DECRYPT, PRIMITIVE_ENCRYPT};
use crate::fact::Fact;
use crate::fairness::{ALONE, BESIDE, FAIRNESS};
use crate::loading::{LOADING, PLAIN, WHOLE};
use crate::memory::{LINK_OPENED, LINK_TAKEN, MEMORY, WITHIN};
use crate::plan::BULK;
use crate::rounds::Outcome;
use crate::routes::{LINK_SHS, LINK_TCP, LINK_UNIX, TCP, UNIX};
use crate::shapes::{
    BARE_TCP, BARE_UNIX, CALL_EMPTY, CALL_LOCAL, CHANNELS, ROUND_TRIPS, SIZES, YAMUX_TCP,
    YAMUX_UNIX,
};
use crate::statistics::Spread;

/// One line of the table.
#[derive(Debug, Serialize)]
pub(crate) struct Target {
    pub(crate) what: String,
    pub(crate) against: &'static str,
    pub(crate) bound: Bound,
    /// The ratios of all rounds; none if it could not be measured here.
    pub(crate) measured: Option<Spread>,
    pub(crate) unit: &'static str,
}

/// The bound of the median.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Bound::AtMost(most) => value <= most,
            Bound::AtLeast(least) => value >= least,
        }
    }
}

impl Target {
    /// Whether the median meets the bound; `None` if nothing was measured.
    pub(crate) fn met(&self) -> Option<bool> {
        self.measured.map(|measured| self.bound.holds(measured.median))
    }
}

/// All results, from which ratios are computed.
struct Measured<'a> {
    outcomes: &'a [Outcome],
    facts: &'a [Fact],
}

impl Measured<'_> {
    fn outcome(&self, key: &str, x: usize) -> Option<&Outcome> {
        self.outcomes.iter().find(|outcome| outcome.key == key && outcome.x == x)
    }

    /// The ratios of two contenders of one group.
    fn ratio(&self, key: &str, x: usize, of: &str, against: &str) -> Option<Spread> {
        self.outcome(key, x)?.ratio(of, against)
    }

    /// The ratio of two contenders of different groups, by their medians.
    fn across(&self, of: (&str, usize, &str), against: (&str, usize, &str)) -> Option<Spread> {
        let values = |(key, x, name): (&str, usize, &str)| {
            let outcome = self.outcome(key, x)?;
            Spread::of(outcome.row(name)?.values(outcome.metric))
        };
        let (of, against) = (values(of)?, values(against)?);
        Spread::of_ratios(&[of.min, of.median, of.max], &[against.median; 3])
    }
}

/// The whole table.
pub(crate) fn all(outcomes: &[Outcome], facts: &[Fact]) -> Vec<Target> {
    let measured = Measured { outcomes, facts };
    let mut targets = calls(&measured);
    targets.extend(round_trips(&measured));
    targets.extend(throughput(&measured));
    targets.extend(encryption(&measured));
    targets.extend(sharing(&measured));
    targets.extend(memory(&measured));
    targets.push(target(
        "loading a plugin",
        PLAIN,
        Bound::AtMost(1.3),
        measured.ratio(LOADING, 0, WHOLE, PLAIN),
    ));
    targets
}

fn target(
    what: impl Into<String>,
    against: &'static str,
    bound: Bound,
    measured: Option<Spread>,
) -> Target {
    Target { what: what.into(), against, bound, measured, unit: "x" }
}

fn calls(measured: &Measured<'_>) -> Vec<Target> {
    let call = |what: &str, key, of, most| {
        target(what, DYNAMIC, Bound::AtMost(most), measured.ratio(key, 0, of, DYNAMIC))
    };
    let between = |what: &str, of: &'static str, key: &'static str, against: &'static str| {
        let ratio = measured.across((ROUND_TRIPS, 1, of), (key, 0, against));
        target(format!("call within a server, {what}"), against, Bound::AtMost(10.0), ratio)
    };
    vec![
        call("guarded call, empty", EMPTY, GUARDED, 1.5),
        call("guarded call, empty, from a .so file", EMPTY, LOADED, 1.5),
        call("guarded call, 64 bytes of work", WORK, GUARDED, 1.1),
        call("guarded call, 64 bytes of work, from a .so file", WORK, LOADED, 1.1),
        between("empty", CALL_EMPTY, EMPTY, DYNAMIC),
        between("empty", CALL_EMPTY, ANSWERS, ANSWER_EMPTY),
        between("64 bytes there and back", CALL_LOCAL, ANSWERS, ANSWER_64),
    ]
}

fn round_trips(measured: &Measured<'_>) -> Vec<Target> {
    let trips = [
        (UNIX.name, BARE_UNIX, 1.05),
        (TCP.name, BARE_TCP, 1.05),
        (LINK_UNIX.name, BARE_UNIX, 1.10),
        (LINK_TCP.name, BARE_TCP, 1.10),
    ];
    let trip = |cores: usize, place: &str, (name, against, most): (&'static str, _, _)| {
        let ratio = measured.ratio(ROUND_TRIPS, cores, name, against);
        target(format!("round trip, {name}; {place}"), against, Bound::AtMost(most), ratio)
    };
    let apart = trips.map(|it| trip(2, "two cores", it));
    apart.into_iter().chain(trips.map(|it| trip(1, "one core", it))).collect()
}

fn throughput(measured: &Measured<'_>) -> Vec<Target> {
    let rate = |name: &'static str, against, least| {
        let ratio = measured.ratio(SIZES, BULK, name, against);
        target(format!("throughput, {name}"), against, Bound::AtLeast(least), ratio)
    };
    vec![
        rate(UNIX.name, BARE_UNIX, 0.95),
        rate(TCP.name, BARE_TCP, 0.95),
        rate(LINK_UNIX.name, BARE_UNIX, 0.95),
        rate(LINK_TCP.name, BARE_TCP, 0.95),
        rate(LINK_UNIX.name, YAMUX_UNIX, 4.0),
        rate(LINK_TCP.name, YAMUX_TCP, 4.0),
    ]
}

fn encryption(measured: &Measured<'_>) -> Vec<Target> {
    let alone = |what: &str, of, against| {
        target(what, against, Bound::AtLeast(0.85), measured.ratio(ENCRYPTION, 0, of, against))
    };
    let link = measured.across((SIZES, BULK, LINK_SHS.name), (ENCRYPTION, 0, PRIMITIVE_ENCRYPT));
    let name = format!("throughput, {}", LINK_SHS.name);
    vec![
        alone("box stream, encrypt", ENCRYPT, PRIMITIVE_ENCRYPT),
        alone("box stream, decrypt", DECRYPT, PRIMITIVE_DECRYPT),
        target(name, PRIMITIVE_ENCRYPT, Bound::AtLeast(0.85), link),
    ]
}

/// A link that many channels share.
fn sharing(measured: &Measured<'_>) -> Vec<Target> {
    let [many, one] = [1000, 1].map(|channels| (CHANNELS, channels, LINK_UNIX.name));
    let total = measured.across(many, one);
    let summary = measured
        .outcome(CHANNELS, 1000)
        .and_then(|outcome| outcome.row(LINK_UNIX.name).and_then(|row| outcome.summary(row)));
    let shares = summary.and_then(|summary| summary.shares);
    let share = |of: fn((f64, f64)) -> f64| shares.and_then(|shares| Spread::of([of(shares)]));
    let name = |what: &str| format!("1,000 channels on one link: {what}");
    vec![
        target(name("total"), "one channel", Bound::AtLeast(0.90), total),
        target(name("least share"), "the fair share", Bound::AtLeast(0.5), share(|it| it.0)),
        target(name("greatest share"), "the fair share", Bound::AtMost(2.0), share(|it| it.1)),
        small_beside_bulk(measured),
    ]
}

/// Whether the p99 with a bulk channel is at most twice the one without, and one quantum more.
fn small_beside_bulk(measured: &Measured<'_>) -> Target {
    let p99 = |name: &str| {
        let outcome = measured.outcome(FAIRNESS, 0)?;
        outcome.summary(outcome.row(name)?)?.p99
    };
    let rate = measured
        .outcome(SIZES, BULK)
        .and_then(|outcome| Spread::of(outcome.row(LINK_UNIX.name)?.values(outcome.metric)));
    let quantum = rate.map(|rate| BULK as f64 / rate.median);
    let bound = p99(ALONE).zip(quantum).map(|(alone, quantum)| 2.0 * alone.median + quantum);
    let measured = p99(BESIDE).zip(bound).and_then(|(beside, bound)| {
        Spread::of_ratios(&[beside.min, beside.median, beside.max], &[bound; 3])
    });
    let against = "2 x p99 alone + 64 KiB at the link's rate";
    target("99 small channels beside a bulk one: p99", against, Bound::AtMost(1.0), measured)
}

fn memory(measured: &Measured<'_>) -> Vec<Target> {
    let idle = |name: &'static str| {
        let facts = measured.facts.iter().rev();
        let mut of_name = facts.filter(|fact| fact.section == MEMORY && fact.name == name);
        let value = of_name.next().and_then(|fact| Spread::of(fact.value));
        let bound = Bound::AtMost(256.0);
        Target { unit: " B", ..target(format!("idle channel: {name}"), "bytes", bound, value) }
    };
    vec![idle(LINK_OPENED), idle(LINK_TAKEN), idle(WITHIN)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contender::{Metric, Sample};
    use crate::rounds::Row;

    fn row(name: &str, seconds: &[f64]) -> Row {
        let samples = seconds.iter().map(|seconds| Sample::of(1, 1, *seconds)).collect();
        Row { name: name.into(), baseline: None, samples, skipped: None }
    }

    #[test]
    fn a_target_is_met_missed_or_not_measured() {
        let rows =
            vec![row(DYNAMIC, &[1.0, 1.0]), row(GUARDED, &[1.4, 1.5]), row(LOADED, &[1.9, 2.0])];
        let (title, metric) = (String::new(), Metric::Latency);
        let outcomes = [Outcome { key: EMPTY, title, metric, x: 0, rows }];
        let table = all(&outcomes, &[Fact::new(MEMORY, WITHIN, 1000, 300.0, "B")]);
        let met = |what: &str| {
            let found = table.iter().find(|target| target.what == what);
            found.unwrap_or_else(|| panic!("there is no target {what:?}")).met()
        };
        assert_eq!(met("guarded call, empty"), Some(true));
        assert_eq!(met("guarded call, empty, from a .so file"), Some(false));
        assert_eq!(met("guarded call, 64 bytes of work"), None);
        assert_eq!(met(&format!("idle channel: {WITHIN}")), Some(false));
    }
}
