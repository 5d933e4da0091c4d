//! Public keys in a configuration file, and which of them must be proved at a place to dial.

use super::problem::Report;
use super::read::Text;
use trunkline_core::address::{Endpoint, Transform};
use trunkline_core::key::Key;

/// The key of a text, if it is one.
pub(super) fn key(text: &Text<'_>, report: &mut Report<'_>) -> Option<Key> {
    let key = text.text.parse::<Key>();
    if let Err(error) = &key {
        text.wrong(report, format!("{error}; `trunkline key FILE` prints one"));
    }
    key.ok()
}

/// A key that stands beside an address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Beside {
    Key(Key),
    /// There is something that is no key, and a problem of its own.
    Wrong,
    Nothing,
}

impl Beside {
    pub(super) fn key(self) -> Option<Key> {
        match self {
            Beside::Key(key) => Some(key),
            Beside::Wrong | Beside::Nothing => None,
        }
    }
}

/// Gives the endpoints of an address the key that must be proved at each of them, and returns it:
/// the one beside the address, or the one that any alternate names, as all lead to the same place.
/// Where there is none, `missing` says what to do.
pub(super) fn resolve(
    text: &Text<'_>,
    endpoints: &mut [Endpoint],
    beside: Beside,
    missing: &str,
    report: &mut Report<'_>,
) -> Option<Key> {
    let mut named = endpoints.iter().filter_map(|endpoint| match endpoint.transform {
        Transform::Shs(key) => Some(key),
        Transform::NoAuth | Transform::ShsKnownKey => None,
    });
    let (key, differs) = match beside {
        Beside::Key(key) => (Some(key), "its key is not the peer's `key`; remove one of the two"),
        Beside::Wrong | Beside::Nothing => (
            named.next(),
            "its alternates name different keys, and must lead to the same place; remove one",
        ),
    };
    if named.any(|named| Some(named) != key) {
        text.wrong(report, differs);
    }
    let mut unknown = endpoints.iter_mut().filter(|e| e.transform == Transform::ShsKnownKey);
    match (key, beside) {
        (Some(key), _) => unknown.for_each(|endpoint| endpoint.transform = Transform::Shs(key)),
        (None, Beside::Nothing) if unknown.next().is_some() => text.wrong(report, missing),
        (None, _) => {}
    }
    key
}
