//! What a peer says in one go is dealt with over several turns, and others are served meanwhile;
//! and so is what is left of a peer or a host that is gone.

#![allow(clippy::expect_used)] // Helpers of tests may panic as well.

use trunkline_core::control::{Announced, Message, Plugins, Registration, Role, Withdrawn};
use trunkline_core::key::Key;
use trunkline_core::name::Name;
use trunkline_tests::played_link::{PlayedLink, turn};
use trunkline_tests::processes::Processes;

/// More plugins than any turn deals with, and as many as a peer may have.
const MANY: usize = 4_000;

/// The most that one turn may do for one peer: names noted, or plugins ended.
const MOST: usize = 400;

fn name(n: usize) -> Name {
    format!("n{n}").parse().expect("a name")
}

fn announced(count: usize) -> Vec<Announced> {
    (0..count).map(|n| Announced::new(name(n), 1)).collect()
}

fn known(all: &Processes, server: u8) -> usize {
    let entries = all.all[0].broker.directory();
    entries.filter(|entry| entry.server == Key([server; 32])).count()
}

/// Turns until nothing is left to do. In each of them, no more is done than may be.
fn turns(all: &mut Processes, mut each: impl FnMut(&mut Processes, usize)) -> usize {
    let mut turns = 0;
    while all.all[0].broker.has_touched() || all.all[0].broker.effects_waiting() > 0 {
        let told = turn(all, &[]);
        each(all, told);
        turns += 1;
        assert!(turns < 10_000, "it does not come to rest");
    }
    turns
}

#[test]
fn a_long_list_is_noted_over_several_turns_and_others_are_heard_in_between() {
    let mut all = Processes::default();
    all.add(Role::Server, 1, "ours");
    let (mut flood, mut innocent) = (PlayedLink::connect(&mut all), PlayedLink::connect(&mut all));
    flood.greet(&mut all, 50, Role::Server);
    innocent.greet(&mut all, 51, Role::Server);

    flood.say(&[Message::Plugins(Plugins { plugins: announced(MANY) })]);
    let bytes = flood.bytes();
    turn(&mut all, &[(flood.conn, bytes)]);
    let first = known(&all, 50);
    assert!((1..MOST).contains(&first), "{first} names were noted in the first turn");
    assert!(all.all[0].broker.is_behind(flood.conn), "the rest waits");

    innocent.say(&[Message::Plugins(Plugins { plugins: announced(1) })]);
    let bytes = innocent.bytes();
    turn(&mut all, &[(innocent.conn, bytes)]);
    assert_eq!(known(&all, 51), 1, "what another says is heard at once");

    let mut before = known(&all, 50);
    turns(&mut all, |all, told| {
        let now = known(all, 50);
        assert!(now - before < MOST, "{} names were noted in one turn", now - before);
        assert!(told < MOST, "plugins were told {told} times in one turn");
        before = now;
    });
    assert_eq!(known(&all, 50), MANY);
}

#[test]
fn messages_that_say_nothing_are_counted_too() {
    let mut all = Processes::default();
    all.add(Role::Server, 1, "ours");
    let mut flood = PlayedLink::connect(&mut all);
    flood.greet(&mut all, 50, Role::Server);
    let empty = Message::Withdrawn(Withdrawn { names: Vec::new(), server: None });
    flood.say(&vec![empty; 5_000]);
    flood.say(&[Message::Plugins(Plugins { plugins: announced(1) })]);
    let bytes = flood.bytes();
    turn(&mut all, &[(flood.conn, bytes)]);
    assert_eq!(known(&all, 50), 0, "what comes last waits");
    let turns = turns(&mut all, |_, _| ());
    assert!(turns > 10, "5,000 messages took {turns} turns");
    assert_eq!(known(&all, 50), 1);
}

#[test]
fn plugins_of_a_lost_server_are_not_found_and_leave_over_several_turns() {
    let mut all = Processes::default();
    all.add(Role::Server, 1, "ours");
    let mut peer = PlayedLink::connect(&mut all);
    peer.greet(&mut all, 50, Role::Server);
    peer.say(&[Message::Plugins(Plugins { plugins: announced(MANY) })]);
    let bytes = peer.bytes();
    turn(&mut all, &[(peer.conn, bytes)]);
    turns(&mut all, |_, _| ());
    assert_eq!(known(&all, 50), MANY);

    all.all[0].broker.disconnected(peer.conn, "cut");
    assert_eq!(known(&all, 50), 0, "none is found any more");
    let mut left = 0;
    turns(&mut all, |_, told| {
        assert!(told < 2 * MOST, "plugins were told {told} times in one turn");
        left += told;
    });
    assert!(left >= MANY, "plugins were told of {left} that left");
}

#[test]
fn plugins_of_a_lost_host_leave_over_several_turns_and_their_names_are_free_at_once() {
    let mut all = Processes::default();
    all.add(Role::Server, 1, "ours");
    let plugins: Vec<Announced> = announced(MANY)
        .into_iter()
        .map(|plugin| Announced { registration: Some(Registration::default()), ..plugin })
        .collect();
    let mut host = PlayedLink::connect(&mut all);
    host.greet(&mut all, 60, Role::Host);
    let own = Key(*all.all[0].broker.settings().identity.public());
    let of_host = |all: &Processes| {
        let entries = all.all[0].broker.directory();
        entries.filter(|entry| entry.server == own).count() - 1
    };
    for some in plugins.chunks(1_000) {
        host.say(&[Message::Plugins(Plugins { plugins: some.to_vec() })]);
        let bytes = host.bytes();
        turn(&mut all, &[(host.conn, bytes)]);
        turns(&mut all, |_, _| ());
        host.take(&mut all);
    }
    assert_eq!(of_host(&all), MANY);

    all.all[0].broker.disconnected(host.conn, "cut");
    let mut again = PlayedLink::connect(&mut all);
    again.greet(&mut all, 61, Role::Host);
    // The last name of the lost host, which has not left yet.
    let last = plugins.last().expect("there are many").clone();
    let before = of_host(&all);
    assert!(before > MANY / 2, "{before} are left after some turns");
    again.say(&[Message::Plugins(Plugins { plugins: vec![last.clone()] })]);
    let bytes = again.bytes();
    turn(&mut all, &[(again.conn, bytes)]);
    again.take(&mut all);

    let mut before = of_host(&all);
    turns(&mut all, |all, _| {
        let now = of_host(all);
        assert!(before - now < MOST, "{} plugins left in one turn", before - now);
        before = now;
    });
    let left: Vec<Name> = all.all[0].broker.directory().map(|entry| entry.name).collect();
    assert!(left.contains(&last.name), "the name is another host's now");
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(all.all[0].broker.audit(), Ok(()));
}
