//! The `[[peer]]` tables.

use super::Peer;
use super::addresses::{Context, Purpose};
use super::problem::Report;
use super::read::{Table, Text};
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

/// The key of a text, if it is one.
pub(super) fn key(text: &Text<'_>, report: &mut Report<'_>) -> Option<Key> {
    let key = text.text.parse::<Key>();
    if let Err(error) = &key {
        text.wrong(report, format!("{error}; `trunkline key FILE` prints one"));
    }
    key.ok()
}

fn read(mut table: Table<'_>, context: &Context<'_>, report: &mut Report<'_>) -> Peer {
    let key_text = table.string("key", report);
    let address = table.string("address", report);
    if key_text.is_none() && address.is_none() {
        let message = "[[peer]]: says nothing; add its `key`, its `address`, or both";
        report.missing(Some(table.span()), message.into());
    }
    match table.string("role", report) {
        Some(text) if text.text == "host" => text.wrong(report, "hosts do not work yet"),
        Some(text) if text.text != "server" => text.wrong(report, "known are server, host"),
        _ => {}
    }
    let addresses = address.map(|text| context.endpoints(&text, Purpose::Dial, report));
    let keep = table.flag("keep", report).unwrap_or(false);
    let line = report.line(table.span());
    table.refuse_unknown(report);
    let key = key_text.and_then(|text| key(&text, report));
    Peer { key, addresses: addresses.unwrap_or_default(), keep, line }
}

fn same(earlier: &Peer, peer: &Peer) -> Option<String> {
    let line = earlier.line;
    if let Some(key) = peer.key.filter(|key| earlier.key == Some(*key)) {
        return Some(format!("the key {key} is that of line {line}"));
    }
    let address = peer.addresses.iter().find(|address| earlier.addresses.contains(address))?;
    Some(format!("the address {address} is that of line {line}"))
}
