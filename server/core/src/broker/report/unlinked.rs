//! Why servers are not linked, for those who ask for a plugin that such a server may have.

use crate::broker::neighbours::connections::ConnPhase;
use crate::broker::{Neighbours, Peer};
use crate::control::Role;
use crate::key::Key;
use crate::reason::Code;
use alloc::format;
use alloc::string::{String, ToString};

/// Servers without a link that are named. The tables of `status` have all of them.
const NAMED_MAX: usize = 4;

/// What people call a server.
pub(super) fn server_name(neighbours: &Neighbours, server: Key) -> String {
    if server == neighbours.home_key() {
        return neighbours.home_name().into();
    }
    let named = neighbours.linked_servers().find(|(key, _)| *key == server).map(|(_, name)| name);
    let known = || neighbours.peers().find(|peer| peer.key == Some(server)).and_then(Peer::name);
    let named = named.filter(|name| !name.is_empty()).or_else(known);
    named.map_or_else(|| server.to_string(), Into::into)
}

/// The configured servers that are not linked, each with the reason, and with what would have to
/// change.
pub(super) fn unlinked(neighbours: &Neighbours) -> impl Iterator<Item = (String, String)> {
    let linked = |peer: &Peer| peer.key.is_some_and(|key| neighbours.link_to(key).is_some());
    let absent = neighbours.peers().filter(move |peer| {
        peer.wanted_by.is_empty() && peer.config.role == Role::Server && !linked(peer)
    });
    // The only peer of a host is its server.
    absent.filter(|_| !neighbours.is_host()).take(NAMED_MAX).map(|peer| {
        let (why, change) = state(peer);
        (format!("{} may have it: {why}", peer.label()), change)
    })
}

/// Why a server is not linked, and what would have to change.
pub(super) fn why_not_linked(neighbours: &Neighbours, server: &str) -> (String, String) {
    let peer = match server.parse::<Key>() {
        Ok(key) => neighbours.peers().find(|peer| peer.key == Some(key)),
        Err(_) => named(neighbours, server),
    };
    let Some(peer) = peer else {
        let change = format!("add a [[peer]] with the address of {server}");
        return ("no peer with that key or name is linked".into(), change);
    };
    let is_it =
        peer.key.is_some_and(|key| server.parse() == Ok(key)) || peer.name() == Some(server);
    let dialled = |key: Key| {
        let mut conns = neighbours.conns().map(|(_, conn)| conn);
        conns.any(|conn| conn.phase != ConnPhase::Ending && conn.expected == Some(key))
    };
    if is_it && peer.key.is_some_and(dialled) {
        return ("it is being dialled".into(), "wait until it answers".into());
    }
    let (why, change) = state(peer);
    match is_it {
        true => (why, change),
        false => (format!("{} may be it: {why}", peer.label()), change),
    }
}

/// The peer of a name; or one that has not been reached, and may have it.
fn named<'a>(neighbours: &'a Neighbours, name: &str) -> Option<&'a Peer> {
    let of_name = neighbours.peers().find(|peer| peer.name() == Some(name));
    let unknown = |peer: &&Peer| peer.name().is_none() && peer.conn.is_none();
    of_name.or_else(|| neighbours.peers().find(unknown))
}

/// Why a peer is not linked, and what would have to change.
fn state(peer: &Peer) -> (String, String) {
    match &peer.reason {
        Some(reason) if reason.is(Code::NothingInCommon) => {
            let change = "let a plugin of one server use or invite one of the other, or add \
                          `keep = true` to the [[peer]]";
            (format!("its link ended: {reason}"), change.into())
        }
        Some(reason) if peer.was_up => {
            (format!("its link ended: {reason}"), "start it, or mend its [[peer]]".into())
        }
        Some(reason) => {
            (format!("it is not linked: {reason}"), "start it, or mend its [[peer]]".into())
        }
        None => ("it has not been reached".into(), "start it, or mend its [[peer]]".into()),
    }
}
