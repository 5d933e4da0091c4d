//! The raw numbers as JSON.

use serde_json::{Value, json};

use super::Report;
use crate::contender::{Metric, Sample};
use crate::rounds::{Outcome, Row};

/// The whole report as one document. Times are in seconds, sizes in bytes.
pub(crate) fn text(report: &Report) -> Result<String, String> {
    let document = json!({
        "mode": report.plan.name,
        "rounds": report.plan.rounds,
        "seconds-per-turn": report.plan.turn.as_secs_f64(),
        "took-seconds": report.took.as_secs_f64(),
        "machine": report.machine,
        "targets": report.targets.iter().map(|target| {
            json!({
                "what": target.what, "against": target.against, "bound": target.bound,
                "measured": target.measured, "unit": target.unit.trim(), "met": target.met(),
            })
        }).collect::<Vec<_>>(),
        "groups": report.outcomes.iter().map(group).collect::<Vec<_>>(),
        "facts": report.facts,
    });
    serde_json::to_string_pretty(&document).map_err(|error| format!("report.json: {error}"))
}

fn group(outcome: &Outcome) -> Value {
    json!({
        "key": outcome.key,
        "title": outcome.title,
        "metric": match outcome.metric {
            Metric::Latency => "seconds for each operation",
            Metric::Rate => "bytes for each second",
        },
        "x": outcome.x,
        "contenders": outcome.rows.iter().map(|row| contender(outcome, row)).collect::<Vec<_>>(),
    })
}

fn contender(outcome: &Outcome, row: &Row) -> Value {
    json!({
        "name": row.name,
        "baseline": row.baseline,
        "skipped": row.skipped,
        "summary": outcome.summary(row),
        "rounds": row.samples.iter().map(round).collect::<Vec<_>>(),
    })
}

fn round(sample: &Sample) -> Value {
    json!({
        "operations": sample.operations, "bytes": sample.bytes, "seconds": sample.seconds,
        "cpu-seconds": sample.cpu, "percentiles": sample.percentiles, "shares": sample.shares,
    })
}
