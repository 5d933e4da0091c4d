//! Conversions between the types of the broker and those of the plugin API.

use trunkline_core::address::Scope;
use trunkline_core::broker::{LinkChange, Outcome};
use trunkline_core::directory;
use trunkline_core::key::Key;
use trunkline_core::reason;
use trunkline_plugin as api;

/// A reason for a plugin.
pub(super) fn to_plugin(reason: &reason::Reason) -> api::Reason {
    let by = match reason.by {
        reason::By::Server => api::By::Server,
        reason::By::Plugin => api::By::Plugin,
    };
    // A peer can send any text as a code.
    api::Reason::from_parts(by, &reason.code, &reason.text)
        .unwrap_or_else(|| api::Reason::new("unreadable-code", reason.text.clone()))
}

/// Why a call has no answer; `None` if it has one.
pub(super) fn unanswered(outcome: &Outcome) -> Option<api::Unanswered> {
    match outcome {
        Outcome::Answered(_) => None,
        Outcome::Refused(reason) => Some(api::Unanswered::Refused(to_plugin(reason))),
        Outcome::Cancelled => Some(api::Unanswered::Cancelled),
        Outcome::Deadline => Some(api::Unanswered::Deadline),
        Outcome::Lost(reason) => Some(api::Unanswered::Lost(to_plugin(reason))),
    }
}

/// A reason from a plugin, which is always marked as made by a plugin.
pub(super) fn from_plugin(reason: &api::Reason) -> reason::Reason {
    reason::Reason::plugin(reason.code(), reason.text())
}

pub(super) fn entry(entry: &directory::Entry, home: Key) -> api::Entry {
    api::Entry {
        name: entry.name.to_string(),
        version: entry.version,
        server: api::Key(entry.server.0),
        local: entry.server == home,
    }
}

pub(super) fn change(change: &directory::Change, home: Key) -> api::Change {
    let entry = entry(&change.entry, home);
    match change.kind {
        directory::ChangeKind::Appeared => api::Change::Appeared(entry),
        directory::ChangeKind::Changed => api::Change::Changed(entry),
        directory::ChangeKind::Left => api::Change::Left(entry),
    }
}

pub(super) fn link(key: Key, name: &str) -> api::Link {
    api::Link { peer: api::Server { key: api::Key(key.0), name: name.to_owned() } }
}

pub(super) fn link_change(change: &LinkChange) -> api::LinkChange {
    let link = link(change.server, &change.name);
    match &change.down {
        None => api::LinkChange::Up(link),
        Some(reason) => api::LinkChange::Down(link, to_plugin(reason)),
    }
}

pub(super) fn scope(reach: api::Reach) -> Scope {
    match reach {
        api::Reach::Device => Scope::Device,
        api::Reach::Local => Scope::Local,
        _ => Scope::Public,
    }
}
