//! The `[[peer]]` tables.

use super::addresses::{Context, Purpose};
use super::keys::{self, TableKey};
use super::problem::Report;
use super::read::{Table, Text};
use super::{Keep, Peer, PeerRole, identity, plugin};
use std::collections::BTreeSet;
use trunkline_core::address::Endpoint;
use trunkline_core::broker::{Names, Rights};
use trunkline_core::key::Key;

pub(super) fn read_all(
    tables: Vec<Table<'_>>,
    context: &Context<'_>,
    report: &mut Report<'_>,
) -> Vec<Peer> {
    let mut peers = Vec::new();
    for table in tables {
        let span = table.span().clone();
        let peer = read(table, context, report);
        if let Some(why) = peers.iter().find_map(|earlier| same(earlier, &peer)) {
            report.problem(&span, format!("[[peer]]: {why}; remove one"));
        }
        peers.push(peer);
    }
    peers
}

fn read(mut table: Table<'_>, context: &Context<'_>, report: &mut Report<'_>) -> Peer {
    let key_text = table.string("key", report);
    let address = table.string("address", report);
    let name_text = table.string("name", report);
    let roles = [("server", PeerRole::Server), ("host", PeerRole::Host)];
    let role = table.choice("role", &roles, report).unwrap_or(PeerRole::Server);
    let keep = match table.flag("keep", report) {
        Some(true) => Keep::Always,
        _ => Keep::WhileUseful,
    };
    let rights = rights(&mut table, role, report);
    let line = report.line(table.span());
    match role {
        PeerRole::Host if key_text.is_none() => {
            let message = "[[peer]]: a host is identified by its key; add its `key`";
            report.missing(Some(table.span()), message.into());
        }
        PeerRole::Server if key_text.is_none() && address.is_none() => {
            let message = "[[peer]]: `key` and `address` are missing; add one of them, or both";
            report.missing(Some(table.span()), message.into());
        }
        _ => {}
    }
    table.refuse_unknown(report);
    let table_key = match key_text.map(|text| keys::key(&text, report)) {
        Some(Some(key)) => TableKey::Key(key),
        Some(None) => TableKey::Invalid,
        None => TableKey::Absent,
    };
    let (key, addresses) = match (role, address) {
        (PeerRole::Server, Some(text)) => dialled(&text, table_key, context, report),
        (PeerRole::Host, Some(text)) => {
            text.reject(report, "a host dials its server, which never dials it; remove this");
            (table_key.key(), Vec::new())
        }
        (_, None) => (table_key.key(), Vec::new()),
    };
    let name = name_text.and_then(|text| bound_name(&text, key, role, report));
    Peer { key, name, role, addresses, keep, rights, line }
}

/// The name that is reserved for the server's key.
fn bound_name(
    text: &Text<'_>,
    key: Option<Key>,
    role: PeerRole,
    report: &mut Report<'_>,
) -> Option<String> {
    let name = identity::legal_name(text, "a server's", report)?;
    match (role, key) {
        (PeerRole::Host, _) => text.reject(report, "only a server has a name here; remove this"),
        (PeerRole::Server, None) => {
            text.reject(report, "a name is bound to a key; add the peer's `key`");
        }
        (PeerRole::Server, Some(_)) => return Some(name),
    }
    None
}

/// What a host may register. An absent key grants everything, because files of earlier releases,
/// which had no such keys, must keep working.
fn rights(table: &mut Table<'_>, role: PeerRole, report: &mut Report<'_>) -> Rights {
    let all = Rights::all();
    let given = ["names", "expose", "allow"].map(|key| (key, table.get(key).map(|v| v.span())));
    if role == PeerRole::Server {
        for (key, span) in given.iter().filter_map(|(key, span)| Some((key, span.as_ref()?))) {
            let why = "only a host registers plugins; remove this, or add `role = \"host\"`";
            report.problem(span, format!("`{key}`: {why}"));
        }
        return Rights::none();
    }
    let [names, expose, allow] = given.map(|(_, span)| span.is_some());
    Rights {
        names: if names { plugin_names(table, report) } else { all.names },
        expose: if expose { plugin::expose(table, report) } else { all.expose },
        allow: if allow { plugin::allow(table, report).into_iter().collect() } else { all.allow },
        advertise: all.advertise,
    }
}

/// The names of plugins that a host may register.
fn plugin_names(table: &mut Table<'_>, report: &mut Report<'_>) -> Names {
    let mut names = BTreeSet::new();
    for text in table.strings("names", report) {
        if let Some(name) = plugin::name(&text, report)
            && !names.insert(name)
        {
            text.reject_duplicate(report);
        }
    }
    Names::Only(names)
}

/// The peer's key and where to dial it.
fn dialled(
    text: &Text<'_>,
    table_key: TableKey,
    context: &Context<'_>,
    report: &mut Report<'_>,
) -> (Option<Key>, Vec<Endpoint>) {
    let missing = "`~shs`, the default of `net`, needs the server's key; add `key`, or write \
                   `~shs:KEY`";
    let mut endpoints = context.endpoints(text, Purpose::Dial, report);
    let key = keys::resolve(text, &mut endpoints, table_key, missing, report);
    (key, endpoints)
}

/// Why two tables describe the same peer.
fn same(earlier: &Peer, peer: &Peer) -> Option<String> {
    let line = earlier.line;
    if let Some(key) = peer.key.filter(|key| earlier.key == Some(*key)) {
        return Some(format!("the key {key} is already in line {line}"));
    }
    if let Some(name) = peer.name.as_ref().filter(|name| earlier.name.as_ref() == Some(name)) {
        return Some(format!("the name {name} is already in line {line}"));
    }
    // The transform does not matter, because the server at one place has one key.
    let is_shared = |address: &&Endpoint| {
        earlier.addresses.iter().any(|other| other.transport == address.transport)
    };
    let address = peer.addresses.iter().find(is_shared)?;
    Some(format!("the address {address} is already in line {line}"))
}
