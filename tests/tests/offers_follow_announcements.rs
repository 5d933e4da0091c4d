//! A server connects its plugin to one that invites it when the peer knows the plugin, and not
//! before: otherwise the peer's plugin would be asked on behalf of one that it never heard of.

#![allow(clippy::expect_used)] // Helpers of tests may panic as well.

use trunkline_core::broker::{Expose, PluginConfig};
use trunkline_core::control::{Announced, Message, Plugins, Preface, Role};
use trunkline_core::name::Name;
use trunkline_tests::played_link::{PlayedLink, Said, turn};
use trunkline_tests::processes::Processes;

/// So many plugins, each of which invites so many others, that their announcements take more than
/// the first credit of a link.
const MANY: usize = 100;
const INVITED: usize = 60;

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn start(all: &mut Processes, text: &str, invites: Vec<Name>) {
    let broker = &mut all.all[0].broker;
    let new = PluginConfig::new(name(text), 1);
    let config = PluginConfig { expose: Expose::Peers, invites, ..new };
    let plugin = broker.add_plugin(config).expect("a new name");
    broker.plugin_started(plugin);
}

fn announces(said: &Said, plugin: &Name) -> bool {
    matches!(said, Said::Message(Message::Plugins(Plugins { plugins }))
        if plugins.iter().any(|announced| announced.name == *plugin))
}

fn asks_for(said: &Said, plugin: &Name) -> bool {
    matches!(said, Said::Preface(Preface::Channel(request)) if request.to == *plugin)
}

#[test]
fn a_peer_that_reads_slowly_knows_an_invited_plugin_before_it_is_connected() {
    let mut all = Processes::default();
    all.add(Role::Server, 1, "ours");
    let mut peer = PlayedLink::connect(&mut all);
    peer.greet(&mut all, 50, Role::Server);
    let bar = Announced { invites: Some(vec![name("guest")]), ..Announced::new(name("bar"), 1) };
    peer.say(&[Message::Plugins(Plugins { plugins: vec![bar] })]);
    turn(&mut all, &[(peer.conn, peer.bytes())]);

    let invited = |n| name(&format!("i{n}{}", "x".repeat(50)));
    (0..MANY).for_each(|n| start(&mut all, &format!("p{n}"), (0..INVITED).map(invited).collect()));
    start(&mut all, "guest", Vec::new());
    for _ in 0..20 {
        turn(&mut all, &[]);
        let said = peer.take(&mut all);
        let early = said.iter().find(|said| asks_for(said, &name("bar")));
        assert!(early.is_none(), "it has given no credit, and is asked: {early:?}");
        assert!(!said.iter().any(|said| announces(said, &name("guest"))), "too few plugins");
    }

    let mut said = Vec::new();
    while !said.iter().any(|said| asks_for(said, &name("bar"))) {
        let credit = peer.bytes();
        assert!(!credit.is_empty() || all.all[0].broker.has_touched(), "it comes to rest");
        turn(&mut all, &[(peer.conn, credit)]);
        said.extend(peer.take(&mut all));
    }
    assert!(said.iter().any(|said| announces(said, &name("guest"))), "it never heard of guest");
}

#[test]
fn a_plugin_that_ends_and_starts_again_is_connected_anew_over_each_link() {
    let mut all = Processes::default();
    all.add(Role::Server, 1, "ours");
    let mut peers = [50, 51].map(|number| {
        let mut peer = PlayedLink::connect(&mut all);
        peer.greet(&mut all, number, Role::Server);
        let bar = Announced { invites: Some(vec![name("ours")]), ..Announced::new(name("bar"), 1) };
        peer.say(&[Message::Plugins(Plugins { plugins: vec![bar] })]);
        turn(&mut all, &[(peer.conn, peer.bytes())]);
        peer
    });
    let mut asked = |all: &mut Processes| {
        peers.each_mut().map(|peer| {
            turn(all, &[(peer.conn, peer.bytes())]);
            peer.take(all).iter().filter(|said| asks_for(said, &name("bar"))).count()
        })
    };
    assert_eq!(asked(&mut all), [1, 1], "both invite it");

    let plugin = all.all[0].plugin;
    all.all[0].broker.plugin_stopped(plugin);
    assert_eq!(asked(&mut all), [0, 0]);
    start(&mut all, "ours", Vec::new());
    assert_eq!(asked(&mut all), [1, 1], "it is another one of that name");
}
