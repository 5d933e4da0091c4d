//! An explanation as JSON, in the stable form that `trunkline explain --json` prints.

use crate::confine::Report;
use serde::Serialize;
use std::collections::BTreeMap;
use trunkline_core::broker::{Broker, ChildId, Explanation};

#[derive(Serialize)]
struct Document<'a> {
    from: &'a str,
    to: &'a str,
    /// The routes of the channels between the two plugins.
    connected: Vec<&'static str>,
    /// Whether the one has called the other within one process.
    calls: bool,
    rules: Vec<Rule<'a>>,
    change: Option<&'a str>,
    /// Those of the two that run in a confined process of this server.
    confined: Vec<Confined<'a>>,
}

#[derive(Serialize)]
struct Confined<'a> {
    plugin: String,
    #[serde(flatten)]
    report: &'a Report,
}

#[derive(Serialize)]
struct Rule<'a> {
    rule: &'static str,
    verdict: &'static str,
    text: &'a str,
}

/// The explanation as JSON text, with the bounds of confined processes.
pub(super) fn render(
    explanation: &Explanation,
    broker: &Broker,
    bounds: &BTreeMap<ChildId, Report>,
) -> Vec<u8> {
    let Explanation { from, to, connected, calls, rules, change } = explanation;
    let rules = rules.iter().map(|rule| Rule {
        rule: rule.name,
        verdict: rule.verdict.as_str(),
        text: &rule.text,
    });
    let document = Document {
        from,
        to,
        connected: connected.iter().map(|route| route.as_str()).collect(),
        calls: *calls,
        rules: rules.collect(),
        change: change.as_deref(),
        confined: confined([from, to], broker, bounds),
    };
    serde_json::to_vec(&document).unwrap_or_else(|error| {
        log::error!("an explanation cannot be written: {error}");
        Vec::new()
    })
}

fn confined<'a>(
    plugins: [&str; 2],
    broker: &Broker,
    bounds: &'a BTreeMap<ChildId, Report>,
) -> Vec<Confined<'a>> {
    if bounds.is_empty() {
        return Vec::new();
    }
    let (status, here) = (broker.status(), &broker.settings().name);
    let own = status.plugins.iter().filter_map(|plugin| {
        let report = bounds.get(&plugin.child?)?;
        let name = plugin.name.as_str();
        let asked = plugins.iter().any(|full| *full == name || *full == format!("{name}@{here}"));
        asked.then(|| Confined { plugin: name.into(), report })
    });
    own.collect()
}
