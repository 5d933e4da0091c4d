//! By which name a server is known, when two have the same one or the configuration gives it one.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use std::collections::BTreeMap;
use std::time::Duration;
use trunkline_core::broker::{
    Broker, Grants, Keep, Opened, Opening, PeerConfig, PeerProcess, PluginId, Rights, Security,
    Step, Target,
};
use trunkline_core::bymux::MuxRole;
use trunkline_core::control::{Announced, Hello, Message, Role};
use trunkline_core::key::Key;
use trunkline_core::limits::Limits;
use trunkline_core::link::Link;
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Peer, Server, Setup, Socket, hello};
use trunkline_tests::processes::Processes;

const FIRST: Key = Key([50; 32]);
const SECOND: Key = Key([51; 32]);

/// A server named `alpha`, to which peers with one plugin each are linked under these names.
fn linked(bound: Option<&str>, names: [&str; 2]) -> (Processes, PluginId) {
    let mut all = Processes::default();
    all.add(Role::Server, 1, "ours");
    let plugin = all.all[0].plugin;
    let broker = &mut all.all[0].broker;
    if let Some(name) = bound {
        let (role, keep) = (Role::Server, Keep::Always);
        let (name, endpoints, rights) = (Some(name.into()), Vec::new(), Rights::none());
        broker.add_peer(PeerConfig { key: Some(SECOND), name, endpoints, role, keep, rights });
    }
    for (key, name) in [FIRST, SECOND].into_iter().zip(names) {
        link(broker, key, name);
    }
    (all, plugin)
}

/// Links a server that says that it is named so, and has a plugin `theirs`.
fn link(broker: &mut Broker, key: Key, name: &str) {
    let (how, grants, address) = (Opened::Accepted, Grants::Everything, "raw".into());
    let (security, from, process) = (Security::NoAuth, None, PeerProcess::Foreign);
    let conn = broker.connected(Opening { how, grants, address, security, from, process });
    let mut link = Link::new(MuxRole::Dialler, Duration::ZERO, &Limits::default(), 0);
    let plugins = vec![Announced::new("theirs".parse().expect("a name"), 1)];
    let hello = Hello { name: name.into(), plugins, ..hello(key) };
    link.send(&Message::Hello(hello)).expect("it fits");
    let bytes = link.outbox().slices().concat();
    let mut input = &bytes[..];
    while !matches!(broker.receive(conn, &mut input), Step::Done) {}
}

/// Opens a channel to `theirs` at the server of a name: why it cannot, if it cannot.
fn open(all: &mut Processes, plugin: PluginId, server: &str) -> Result<(), String> {
    let target =
        Target { name: "theirs".parse().expect("a name"), least: 0, server: Some(server.into()) };
    all.all[0].broker.open(plugin, &target).map(|_| ()).map_err(|reason| reason.code)
}

fn names(all: &Processes) -> Vec<(Key, String)> {
    all.all[0].broker.servers().map(|(key, name)| (key, name.to_owned())).collect()
}

#[test]
fn a_name_that_two_servers_have_leads_to_neither() {
    let (mut all, plugin) = linked(None, ["beta", "beta"]);
    assert_eq!(open(&mut all, plugin, "beta"), Err("unknown-server".to_owned()));
    assert_eq!(open(&mut all, plugin, &SECOND.to_string()), Ok(()));
}

#[test]
fn a_bound_name_leads_to_its_key_whatever_others_call_themselves() {
    let (mut all, plugin) = linked(Some("beta"), ["beta", "gamma"]);
    let expected = [(FIRST, FIRST.short()), (SECOND, "beta".to_owned())];
    assert_eq!(names(&all), expected);
    assert_eq!(open(&mut all, plugin, "beta"), Ok(()));
    let streams: Vec<_> = all.all[0].broker.status().channels.iter().map(|c| c.to.1).collect();
    assert_eq!(streams, [SECOND], "the channel goes to the server of the key");
    assert_eq!(open(&mut all, plugin, "gamma"), Err("unknown-server".to_owned()));
    assert_eq!(open(&mut all, plugin, &FIRST.short()), Ok(()), "it is known by its key");
}

#[test]
fn status_shows_a_server_under_the_name_that_its_table_gives_it() {
    let folder = Folder::new();
    let setup = Setup::new("alpha").peer_key(SECOND).more("name = \"beta\"").keep();
    let alpha = Server::start(&folder, &setup);
    let named = |name: &str, key| Hello { name: name.into(), ..hello(key) };
    let mut peers = vec![("beta", FIRST), ("gamma", SECOND)].into_iter().map(|(name, key)| {
        Peer::send_hello(Socket::unix(&alpha), MuxRole::Dialler, named(name, key))
    });
    let _peers: Vec<Peer> = peers.by_ref().collect();
    let status = alpha.wait_until("both are linked", |status| {
        status.links.iter().filter(|link| link.state == "up").count() == 2
    });
    let names: BTreeMap<&str, &str> =
        status.links.iter().map(|link| (&*link.peer, &*link.name)).collect();
    assert_eq!(names[&*FIRST.to_string()], FIRST.short());
    assert_eq!(names[&*SECOND.to_string()], "beta");
}
