//! An explanation as JSON, in the stable form that `trunkline explain --json` prints.

use serde::Serialize;
use trunkline_core::broker::Explanation;

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
}

#[derive(Serialize)]
struct Rule<'a> {
    rule: &'static str,
    verdict: &'static str,
    text: &'a str,
}

/// The explanation as JSON text.
pub(super) fn render(explanation: &Explanation) -> Vec<u8> {
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
    };
    serde_json::to_vec(&document).unwrap_or_else(|error| {
        log::error!("an explanation cannot be written: {error}");
        Vec::new()
    })
}
