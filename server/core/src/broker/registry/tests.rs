//! The registry alone, without a broker: what servers and hosts say of plugins, what each listener
//! is told, and what others hear of.

use super::plugins::{Direct, PluginConfig, PluginState, Runs};
use super::{Event, FIRST_OF_HOSTS, Registry};
use crate::broker::effect::{Effects, Queued};
use crate::broker::{Expose, LinkChange};
use crate::control::{Announced, Message};
use crate::directory::Wanted;
use crate::ids::{ConnId, PluginId};
use crate::key::Key;
use crate::limits::{Limit, Limits};
use crate::name::{Name, Version};
use crate::reason::{Code, Reason};
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

const FAR: Key = Key([2; 32]);
const LINK: ConnId = ConnId(1);
const NEWER: ConnId = ConnId(2);

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn registry() -> Registry {
    Registry::new(Key([1; 32]), false, &Limits::default())
}

/// A plugin of this server that runs.
fn running(registry: &mut Registry, text: &str, expose: Expose, runs: Runs) -> PluginId {
    let config = PluginConfig { expose, ..PluginConfig::new(name(text), 1) };
    let plugin = registry.add_record(config, runs, Direct::default()).expect("the name is free");
    registry.plugin_started(plugin, &mut Effects::default());
    plugin
}

/// A plugin of another server, and whom it invites.
fn announced(text: &str, version: Version, invites: &[&str]) -> Announced {
    let invites = invites.iter().map(|guest| name(guest)).collect();
    Announced { invites: Some(invites), ..Announced::new(name(text), version) }
}

fn says(registry: &mut Registry, link: ConnId, plugins: Vec<Announced>) {
    registry.peer_plugins(link, plugins, &mut Effects::default());
}

/// Our plugin and the other one of each pair that is to be connected.
fn pairs(registry: &mut Registry) -> Vec<(String, String)> {
    let events = core::iter::from_fn(|| registry.next_event());
    let pairs = events.filter_map(|event| match event {
        Event::Pair(pair) => Some((pair.ours.to_string(), pair.theirs.name.to_string())),
        _ => None,
    });
    pairs.collect()
}

/// The names that a listener is told next: of plugins that are there, and of those that are gone.
fn told(registry: &mut Registry, listener: ConnId) -> [Vec<String>; 2] {
    let [mut there, mut gone] = [Vec::new(), Vec::new()];
    for message in registry.next_told(listener, Some(FAR)).messages {
        match message {
            Message::Plugins(told) => {
                there.extend(told.plugins.iter().map(|plugin| plugin.name.to_string()));
            }
            Message::Withdrawn(told) => gone.extend(told.names.iter().map(Name::to_string)),
            other => panic!("this is no news of plugins: {other:?}"),
        }
    }
    [there, gone]
}

#[test]
fn a_pair_is_connected_once_and_again_when_the_inviting_plugin_comes_back() {
    let mut registry = registry();
    running(&mut registry, "guest", Expose::Peers, Runs::Here);
    registry.first_plugins(LINK, None);
    registry.link_serves(LINK, FAR, "far", true);
    for version in [1, 1, 2] {
        says(&mut registry, LINK, vec![announced("inviting", version, &["guest"])]);
    }
    let pair = [("guest".to_string(), "inviting".to_string())];
    assert_eq!(pairs(&mut registry), pair);
    registry.peer_withdraws(LINK, &[name("inviting")], &mut Effects::default());
    says(&mut registry, LINK, vec![announced("inviting", 2, &["guest"])]);
    assert_eq!(pairs(&mut registry), pair);
}

#[test]
fn a_pair_that_is_refused_is_tried_again_at_the_next_announcement() {
    let mut registry = registry();
    running(&mut registry, "guest", Expose::Peers, Runs::Here);
    registry.first_plugins(LINK, None);
    registry.link_serves(LINK, FAR, "far", true);
    for _ in 0..2 {
        says(&mut registry, LINK, vec![announced("inviting", 1, &["guest"])]);
        let pair = core::iter::from_fn(|| registry.next_event()).find_map(|event| match event {
            Event::Pair(pair) => Some(pair),
            _ => None,
        });
        registry.pair_refused(&pair.expect("it is tried"));
    }
    registry.link_serves_no_more(LINK);
    assert!(registry.partners.paired.of("guest").next().is_none(), "nothing is left of it");
}

#[test]
fn of_two_servers_that_see_both_plugins_the_one_that_accepted_the_link_connects_them() {
    for (accepted, expose, connects) in [
        (true, Expose::Peers, true),
        (false, Expose::Peers, false),
        // The other server cannot do it: it does not know the plugin.
        (false, Expose::Local, true),
    ] {
        let mut registry = registry();
        running(&mut registry, "guest", expose.clone(), Runs::Here);
        registry.first_plugins(LINK, None);
        registry.link_serves(LINK, FAR, "far", accepted);
        says(&mut registry, LINK, vec![announced("inviting", 1, &["guest"])]);
        let connected = !pairs(&mut registry).is_empty();
        assert_eq!(connected, connects, "accepted: {accepted}, seen by {expose:?}");
    }
}

#[test]
fn a_pair_is_connected_only_after_the_peer_was_told_of_our_plugin() {
    let mut registry = registry();
    registry.first_plugins(LINK, None);
    registry.link_serves(LINK, FAR, "far", true);
    running(&mut registry, "guest", Expose::Peers, Runs::Here);
    says(&mut registry, LINK, vec![announced("inviting", 1, &["guest"])]);
    assert_eq!(pairs(&mut registry), []);
    assert_eq!(told(&mut registry, LINK)[0], ["guest"]);
    assert_eq!(pairs(&mut registry).len(), 1);
}

#[test]
fn names_connect_two_servers_as_long_as_both_plugins_are_there() {
    let mut registry = registry();
    let user = running(&mut registry, "user", Expose::Local, Runs::Here);
    registry.link_serves(LINK, FAR, "far", true);
    says(&mut registry, LINK, vec![announced("wanted", 3, &[])]);
    assert!(!registry.have_in_common(LINK));
    for (least, common) in [(4, false), (3, true)] {
        registry.uses(user, name("wanted"), least, &mut Effects::default()).expect("few names");
        assert_eq!(registry.have_in_common(LINK), common, "with version {least} or later");
    }
    assert!(registry.plugin_ends(user, PluginState::Stopped).is_some(), "it ran");
    registry.forget_plugin(user, &mut Effects::default());
    assert!(!registry.have_in_common(LINK));
}

#[test]
fn a_link_that_gave_way_to_a_newer_one_brings_nothing_any_more() {
    let mut registry = registry();
    registry.link_serves(LINK, FAR, "far", true);
    says(&mut registry, LINK, vec![announced("kept", 1, &[])]);
    registry.link_serves(NEWER, FAR, "far", false);
    registry.peer_withdraws(LINK, &[name("kept")], &mut Effects::default());
    says(&mut registry, LINK, vec![announced("late", 1, &[])]);
    registry.link_serves_no_more(LINK);
    assert_eq!((registry.served_by(LINK), registry.served_by(NEWER)), (None, Some(FAR)));
    assert_eq!(registry.links().collect::<Vec<_>>(), [(FAR, NEWER)]);
    let known: Vec<_> = registry.directory().entries().map(|e| e.name.to_string()).collect();
    assert_eq!(known, ["kept"]);
}

#[test]
fn plugins_over_the_limit_of_a_peer_are_ignored_counted_and_logged_once_a_message() {
    let limits = Limits { announced: 2, ..Limits::default() };
    let mut registry = Registry::new(Key([1; 32]), false, &limits);
    registry.link_serves(LINK, FAR, "far", true);
    let plugins = ["a", "b", "c", "d"].map(|text| announced(text, 1, &[]));
    says(&mut registry, LINK, plugins.to_vec());
    assert_eq!(registry.directory().count(FAR), 2);
    let events: Vec<_> = core::iter::from_fn(|| registry.next_event()).collect();
    let reached = events.iter().filter(|e| matches!(e, Event::Reached(Limit::Announced)));
    let logged = events.iter().filter(|event| match event {
        Event::Log(LINK, _, text) => text.contains("2 plugins over the limit of 2"),
        _ => false,
    });
    assert_eq!((reached.count(), logged.count()), (1, 1), "{events:?}");
}

#[test]
fn a_server_is_found_by_the_name_of_its_newest_link_and_by_none_when_it_is_gone() {
    let mut registry = registry();
    let home = (Key([1; 32]), "home");
    let tell = |registry: &mut Registry, name: &str, down| {
        let change = LinkChange { server: FAR, name: name.into(), down };
        registry.tell_link(&change, &mut Effects::default());
    };
    registry.link_serves(LINK, FAR, "first", true);
    tell(&mut registry, "first", None);
    registry.link_serves(NEWER, FAR, "second", true);
    assert!(matches!(registry.wanted(Some("second"), home), Ok(Wanted::At(FAR))));
    assert!(registry.wanted(Some("first"), home).is_err());
    registry.link_serves_no_more(NEWER);
    tell(&mut registry, "second", Some(Reason::server(Code::LinkLost, "gone")));
    for name in ["first", "second"] {
        assert!(registry.wanted(Some(name), home).is_err(), "{name}");
    }
    assert!(registry.partners.is_empty());
}

#[test]
#[cfg_attr(miri, ignore = "takes minutes when interpreted")]
fn a_change_of_many_plugins_asks_for_each_link_once() {
    let mut registry = registry();
    registry.link_serves(LINK, FAR, "far", true);
    says(&mut registry, LINK, vec![announced("used", 1, &[])]);
    for number in 0..64 {
        let uses = vec![(name("used"), 0)];
        let config =
            PluginConfig { uses, ..PluginConfig::new(name(&alloc::format!("user{number}")), 1) };
        let plugin = registry.add_record(config, Runs::Here, Direct::default());
        registry.plugin_started(plugin.expect("the name is free"), &mut Effects::default());
    }
    let events: Vec<_> = core::iter::from_fn(|| registry.next_event()).collect();
    assert_eq!(events.len(), 2, "one for the link, one for the peers at rest: {events:?}");
}

#[test]
#[cfg_attr(miri, ignore = "takes minutes when interpreted")]
fn a_flood_of_versions_is_one_change_for_plugins_and_one_for_a_host() {
    let (mut registry, mut effects) = (registry(), Effects::default());
    let host = NEWER;
    assert_eq!(registry.add_host(host, Key([3; 32]), "a host".into()), []);
    assert_eq!(registry.greet_host(host).len(), 0);
    registry.link_serves(LINK, FAR, "far", true);
    for version in 1..1_000 {
        registry.peer_plugins(LINK, vec![announced("flips", version, &[])], &mut effects);
    }
    assert!(matches!(effects.pop_front(), Some(Queued::News(FAR, _))));
    assert_eq!(effects.len(), 0);
    assert_eq!(told(&mut registry, host), [vec!["flips".to_string()], vec![]]);
    assert!(!registry.is_behind(host));
}

#[test]
fn a_server_is_told_only_of_plugins_that_it_may_see() {
    let mut registry = registry();
    let keyed = Expose::Keys(vec![FAR]);
    for (text, expose) in [("all", Expose::Peers), ("mine", Expose::Local), ("some", keyed)] {
        running(&mut registry, text, expose, Runs::Here);
    }
    for (peer, seen) in
        [(None, vec!["all"]), (Some(FAR), vec!["all", "some"]), (Some(Key([9; 32])), vec!["all"])]
    {
        let plugins = registry.first_plugins(LINK, peer);
        let names: Vec<_> = plugins.iter().map(|plugin| plugin.name.as_str()).collect();
        assert_eq!(names, seen, "as {peer:?}");
    }
}

#[test]
fn plugins_of_a_lost_host_are_over_at_once_and_leave_one_by_one() {
    let (mut registry, mut effects) = (registry(), Effects::default());
    let host = ConnId(7);
    assert_eq!(registry.add_host(host, FAR, "a host".into()), []);
    let plugins =
        ["one", "two"].map(|text| running(&mut registry, text, Expose::Local, Runs::At(host)));
    let taken = PluginConfig::new(name("one"), 1);
    let refused = registry.add_record(taken, Runs::Here, Direct::default()).expect_err("taken");
    assert!(refused.text.contains("a plugin of the host a host"), "{refused}");
    registry.remove_host(host, &Reason::server(Code::LinkLost, "it is gone"));
    assert!(plugins.iter().all(|plugin| !registry.is_live(*plugin)));
    assert_eq!(registry.lapsed(&name("one")), Some(plugins[0]));
    while let Some(plugin) = registry.next_lost() {
        registry.forget_plugin(plugin, &mut effects);
        registry.remove_record(plugin);
    }
    assert_eq!((registry.plugins().count(), registry.directory().entries().count()), (0, 0));
    assert_eq!(registry.lapsed(&name("one")), None);
}

#[test]
fn a_host_that_links_anew_gives_up_its_older_link() {
    let mut registry = registry();
    let [older, newer, other] = [ConnId(5), ConnId(6), ConnId(7)];
    assert_eq!(registry.add_host(older, FAR, "a host".into()), []);
    assert_eq!(registry.add_host(other, Key([4; 32]), "another".into()), []);
    assert_eq!(registry.add_host(newer, FAR, "a host".into()), [older]);
}

#[test]
fn numbers_of_hosts_plugins_begin_again_and_are_never_those_of_plugins_here() {
    let mut registry = registry();
    registry.next_of_hosts = FIRST_OF_HOSTS - 1;
    let host = Runs::At(ConnId(1));
    assert_eq!(registry.number(Runs::Here), PluginId(0));
    assert_eq!(registry.number(host), PluginId(u32::MAX));
    assert_eq!(registry.number(host), PluginId(FIRST_OF_HOSTS));
    assert_eq!(registry.number(Runs::Here), PluginId(1));
}
