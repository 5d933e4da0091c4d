//! What `explain` says of plugins that invite others, or are to be connected to others.

use super::explain::{Explanation, Rule, Subject, Verdict};
use crate::broker::Registry;
use crate::name::Name;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Whether one of the two invites the other. An invitation goes by the names of the configuration:
/// a plugin that was renamed is not invited by its built-in name.
pub(super) fn rule_invited(registry: &Registry, told: &mut Explanation, a: &Subject, b: &Subject) {
    for (host, guest) in [(a, b), (b, a)] {
        let names = invited_by(registry, host);
        if names.is_empty() {
            continue;
        }
        let (host, guest) = (&host.name, &guest.name);
        let (verdict, text) = match names.contains(guest) {
            true => (Verdict::Holds, format!("{host} invites {guest}")),
            false => {
                let names = listed(names.iter());
                (Verdict::Open, format!("{host} invites {names}, and no plugin named {guest}"))
            }
        };
        told.rules.push(Rule { name: "invited", verdict, text });
    }
}

/// Which plugins one uses and invites, where a server is not linked that may have one of them.
pub(super) fn rule_wants(registry: &Registry, told: &mut Explanation, a: &Subject) {
    let record = a.plugin.and_then(|plugin| registry.plugin(plugin));
    if let Some(record) = record.filter(|_| told.rules.iter().any(|rule| rule.name == "link")) {
        let uses = listed(record.config.uses.iter().map(|(name, _)| name));
        let text =
            format!("{} uses {uses}, and invites {}", a.name, listed(&record.config.invites));
        told.rules.push(Rule { name: "invited", verdict: Verdict::Open, text });
    }
}

/// The names that a plugin of this server, or of a linked one, invites.
fn invited_by<'a>(registry: &'a Registry, host: &Subject) -> &'a [Name] {
    match host.plugin.and_then(|plugin| registry.plugin(plugin)) {
        Some(record) => &record.config.invites,
        None => registry.invited_by(host.server, &host.name),
    }
}

fn listed<'a>(names: impl IntoIterator<Item = &'a Name>) -> String {
    let names: Vec<&str> = names.into_iter().map(Name::as_str).collect();
    match names.is_empty() {
        true => "no plugin".into(),
        false => names.join(", "),
    }
}
