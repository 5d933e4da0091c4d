//! `trunkline explain`: asks a running server why two plugins are, or are not, connected.

use super::status::{Form, socket};
use super::{Failed, Server, client, print, printable_json, table};
use crate::confine::Bound;
use serde::Deserialize;
use std::fmt::Write;
use trunkline_core::printable::Printable;

/// The server's answer.
#[derive(Deserialize)]
struct Explanation {
    from: String,
    to: String,
    connected: Vec<String>,
    /// A server of an earlier release does not say so.
    #[serde(default)]
    calls: bool,
    rules: Vec<Rule>,
    change: Option<String>,
    /// A server of an earlier release does not say so.
    #[serde(default)]
    confined: Vec<Confined>,
}

/// A plugin whose process is confined.
#[derive(Deserialize)]
struct Confined {
    plugin: String,
    bounds: Vec<Bound>,
}

#[derive(Deserialize)]
struct Rule {
    rule: String,
    verdict: String,
    text: String,
}

pub(super) fn explain(server: &Server, from: &str, to: &str, form: Form) -> Result<(), Failed> {
    for plugin in [from, to] {
        if plugin.is_empty() || plugin.contains(char::is_whitespace) {
            return Err(Failed::from(format!("explain: {plugin:?}: not a plugin's name")));
        }
    }
    let socket = socket(server)?;
    let command = format!("explain {from} {to}");
    let answer = client::request(&socket, &command).map_err(|why| format!("explain: {why}"))?;
    let text = String::from_utf8_lossy(&answer);
    match form {
        Form::Json => print(&printable_json(&text)),
        Form::Tables => {
            let explanation = serde_json::from_str(&text).map_err(|error| {
                format!("explain: {}: the answer cannot be read: {error}", socket.display())
            })?;
            print(&render(&explanation))
        }
    }
}

fn render(explanation: &Explanation) -> String {
    let Explanation { from, to, connected, calls, rules, change, confined } = explanation;
    let now = match connected.is_empty() {
        true if *calls => "no channel, because they only call".to_owned(),
        true => "not connected".to_owned(),
        false => format!("connected, over {}", connected.join(", ")),
    };
    let mut text = format!("{} to {}: {}\n\n", Printable(from), Printable(to), Printable(now));
    let width = rules.iter().map(|rule| rule.rule.len()).max().unwrap_or(0);
    for Rule { rule, verdict, text: why } in rules {
        let _ = writeln!(text, "  {verdict:3}  {rule:width$}  {}", Printable(why));
    }
    if let Some(change) = change {
        let _ = writeln!(text, "\nto change that: {}", Printable(change));
    }
    for Confined { plugin, bounds } in confined {
        let headings = ["BOUND", "ASKED", "IN FORCE", "MEANS"];
        let rows = table::table(&headings, bounds.iter().map(Bound::cells));
        let _ = write!(text, "\n{} is confined:\n{rows}", Printable(plugin));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_aligned_one_per_line() {
        let rule = |rule: &str, verdict: &str| Rule {
            rule: rule.into(),
            verdict: verdict.into(),
            text: "because".into(),
        };
        let explanation = Explanation {
            from: "a@x".into(),
            to: "b@y".into(),
            connected: Vec::new(),
            calls: false,
            rules: vec![rule("known", "yes"), rule("tcp", "-")],
            change: Some("do something".into()),
            confined: Vec::new(),
        };
        let expected = "a@x to b@y: not connected\n\n  yes  known  because\n  \
                        -    tcp    because\n\n\
                        to change that: do something\n";
        assert_eq!(render(&explanation), expected);
        let calling = Explanation { calls: true, ..explanation };
        assert!(render(&calling).starts_with("a@x to b@y: no channel, because they only call\n"));
    }

    #[test]
    fn the_bounds_of_a_confined_plugin_stand_below_the_rules() {
        let answer = r#"{"from":"a@x","to":"b@x","connected":["link"],"rules":[],"change":null,
            "confined":[{"plugin":"b","best_effort":true,"bounds":[{"bound":"network",
            "asked":"none","in_force":true,"means":"seccomp"},{"bound":"user","asked":"kv",
            "in_force":false,"means":"no rights"}]}]}"#;
        let expected = "a@x to b@x: connected, over link\n\n\n\
                        b is confined:\n\
                        BOUND    ASKED  IN FORCE  MEANS\n\
                        network  none   yes       seccomp\n\
                        user     kv     NO        no rights\n";
        assert_eq!(render(&serde_json::from_str(answer).unwrap()), expected);
    }
}
