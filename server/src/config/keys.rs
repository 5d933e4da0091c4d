//! Public keys in a configuration file, and the key that each dialled address must prove.

use super::problem::Report;
use super::read::Text;
use trunkline_core::address::{Endpoint, Transform};
use trunkline_core::key::Key;

/// The key of a text, if it is one.
pub(super) fn key(text: &Text<'_>, report: &mut Report<'_>) -> Option<Key> {
    let key = text.text.parse::<Key>();
    if let Err(error) = &key {
        text.reject(report, format!("{error}; `trunkline key FILE` prints one"));
    }
    key.ok()
}

/// The `key` of the table in which an address is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum TableKey {
    Key(Key),
    /// It is not a valid key, which has been reported.
    Invalid,
    Absent,
}

impl TableKey {
    pub(super) fn key(self) -> Option<Key> {
        match self {
            TableKey::Key(key) => Some(key),
            TableKey::Invalid | TableKey::Absent => None,
        }
    }
}

/// Sets the key that each endpoint of an address must prove, and returns it. It is the table's key,
/// or the key of any alternate, because all alternates lead to the same server. Without a key, the
/// problem is `missing`.
pub(super) fn resolve(
    text: &Text<'_>,
    endpoints: &mut [Endpoint],
    table_key: TableKey,
    missing: &str,
    report: &mut Report<'_>,
) -> Option<Key> {
    let mut named = endpoints.iter().filter_map(|endpoint| match endpoint.transform {
        Transform::Shs(key) => Some(key),
        Transform::NoAuth | Transform::ShsKnownKey => None,
    });
    let (key, differs) = match table_key {
        TableKey::Key(key) => (Some(key), "its key is not the peer's `key`; remove one of the two"),
        TableKey::Invalid | TableKey::Absent => (
            named.next(),
            "its alternates name different keys, and must lead to the same place; remove one",
        ),
    };
    if named.any(|named| Some(named) != key) {
        text.reject(report, differs);
    }
    let mut unknown = endpoints.iter_mut().filter(|e| e.transform == Transform::ShsKnownKey);
    match (key, table_key) {
        (Some(key), _) => unknown.for_each(|endpoint| endpoint.transform = Transform::Shs(key)),
        (None, TableKey::Absent) if unknown.next().is_some() => text.reject(report, missing),
        (None, _) => {}
    }
    key
}
