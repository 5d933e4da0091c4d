//! The tables that are printed.

use trunkline_tests::demo::aligned;

use super::quantity::{count, plain, rate, time};
use super::{Report, bytes};
use crate::contender::Metric;
use crate::fact::Fact;
use crate::rounds::{Outcome, Row};
use crate::statistics::Spread;
use crate::targets::{Bound, Target};

/// All tables. The targets are last, so that they are visible in a terminal.
pub(crate) fn text(report: &Report) -> String {
    let mut text = String::new();
    for outcome in &report.outcomes {
        text += &format!("\n{}\n", outcome.title);
        text += &aligned(
            &GROUP,
            &outcome.rows.iter().map(|row| cells(outcome, row)).collect::<Vec<_>>(),
        );
    }
    if !report.facts.is_empty() {
        text += "\nMemory, scale and instructions\n";
        text += &aligned(&FACTS, &report.facts.iter().map(fact).collect::<Vec<_>>());
    }
    // In a partial run, targets without a measurement are not shown.
    let whole = report.plan.only.is_none();
    let targets = report.targets.iter().filter(|target| whole || target.measured.is_some());
    let targets: Vec<Vec<String>> = targets.map(target).collect();
    if !targets.is_empty() {
        text += "\nTargets\n";
        text += &aligned(&TARGETS, &targets);
    }
    let met = report.targets.iter().filter(|target| target.met() == Some(true)).count();
    let missed = report.targets.iter().filter(|target| target.met() == Some(false)).count();
    let took = report.took.as_secs_f64();
    text + &format!("\n{met} targets met, {missed} missed; it took {took:.0} s.\n")
}

/// The heading of the table of a group; columns with `>` are aligned to the right.
pub(crate) const GROUP: [&str; 8] = [
    "Contender",
    ">Median",
    ">Min..max",
    ">p99",
    ">Ratio",
    ">Min..max",
    ">CPU s/million",
    ">CPU s/GiB",
];

/// The heading of the table of single numbers.
pub(crate) const FACTS: [&str; 4] = ["What", "Of", ">How many", ">Value"];

/// The heading of the table of targets.
pub(crate) const TARGETS: [&str; 6] = ["What", "Against", ">Target", ">Measured", ">Min..max", ""];

/// A row of that table; see [`GROUP`].
pub(crate) fn cells(outcome: &Outcome, row: &Row) -> Vec<String> {
    let Some(summary) = outcome.summary(row) else {
        let why = row.skipped.as_deref().unwrap_or("nothing was measured");
        return vec![row.name.clone(), format!("skipped: {why}")];
    };
    let unit = |value: f64| match outcome.metric {
        Metric::Latency => time(value),
        Metric::Rate => rate(value),
    };
    let or_dash = |spread: Option<Spread>, show: &dyn Fn(Spread) -> String| {
        spread.map_or("-".to_owned(), show)
    };
    let median = |spread: Spread| plain(spread.median);
    vec![
        row.name.clone(),
        unit(summary.value.median),
        format!("{}..{}", unit(summary.value.min), unit(summary.value.max)),
        or_dash(summary.p99, &|p99| time(p99.median)),
        or_dash(summary.ratio, &|ratio| format!("{:.2}x", ratio.median)),
        or_dash(summary.ratio, &|ratio| format!("{:.2}..{:.2}", ratio.min, ratio.max)),
        or_dash(summary.cpu_per_million, &median),
        or_dash(summary.cpu_per_gib, &median),
    ]
}

/// A row of the table of single numbers.
pub(crate) fn fact(fact: &Fact) -> Vec<String> {
    let value = match (fact.value, &fact.skipped) {
        (Some(value), _) => match fact.unit {
            "s" => time(value),
            "B" => bytes(value),
            unit => format!("{} {unit}", plain(value)),
        },
        (None, Some(why)) => format!("skipped: {why}"),
        (None, None) => "-".to_owned(),
    };
    vec![fact.section.to_owned(), fact.name.clone(), count(fact.count), value]
}

/// A row of the table of targets.
pub(crate) fn target(target: &Target) -> Vec<String> {
    let Target { what, against, bound, measured, unit } = target;
    let number = |value: f64| match unit.trim() {
        "x" => format!("{value:.2}"),
        _ => plain(value),
    };
    let bound = match *bound {
        Bound::AtMost(most) => format!("\u{2264} {}{unit}", number(most)),
        Bound::AtLeast(least) => format!("\u{2265} {}{unit}", number(least)),
    };
    let verdict = match target.met() {
        Some(true) => "met",
        Some(false) => "missed",
        None => "not measured",
    };
    let measured = measured.as_ref();
    vec![
        what.clone(),
        (*against).to_owned(),
        bound,
        measured.map_or("-".to_owned(), |spread| format!("{}{unit}", number(spread.median))),
        measured.map_or("-".to_owned(), |it| format!("{}..{}", number(it.min), number(it.max))),
        verdict.to_owned(),
    ]
}
