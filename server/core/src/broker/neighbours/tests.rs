//! The neighbours alone, without a broker: when they dial, which link stays, and what is over with
//! a connection.

use super::children::ChildState;
use super::connections::{Conn, ConnPhase};
use super::ending::Was;
use super::linking::ServerLink;
use super::{Event, Neighbours};
use crate::broker::effect::{Effect, Effects, Queued};
use crate::broker::{
    Accept, ChildConfig, ChildId, Grants, Keep, Names, Opened, Opening, PeerConfig, PeerId,
    PeerProcess, Placement, PluginId, Restart, Rights, Security, Settings, TimerKey,
};
use crate::control::{Hello, Message, PROTOCOL, Role, Wanted};
use crate::ids::ConnId;
use crate::key::Key;
use crate::limits::{Limit, Limits};
use crate::reason::{Code, Reason};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use trunkline_shs::Identity;

const LOW: Key = Key([0; 32]);
const HIGH: Key = Key([255; 32]);
const PLUGIN: PluginId = PluginId(7);

fn neighbours(limits: Limits) -> Neighbours {
    Neighbours::new(&Settings {
        identity: Identity::from_seed(&[1; 32]),
        network: [0; 32],
        accept: Accept::Anyone,
        name: "ours".into(),
        role: Role::Server,
        machine: Key([9; 32]),
        software: String::new(),
        limits,
        secret: [1; 32],
        seed: 1,
    })
}

fn peer(key: Option<Key>) -> PeerConfig {
    let address: crate::address::Address = "net:192.0.2.1:8008".parse().expect("an address");
    let (role, keep, rights) = (Role::Server, Keep::WhileUseful, Rights::none());
    let (endpoints, _) = address.endpoints();
    PeerConfig { key, name: None, endpoints, role, keep, rights }
}

fn open(neighbours: &mut Neighbours, id: u32, how: Opened) -> ConnId {
    let conn = Conn::new(&Opening {
        how,
        grants: Grants::Server,
        address: "somewhere".into(),
        security: Security::NoAuth,
        from: None,
        process: PeerProcess::Foreign,
    });
    let id = ConnId(id);
    assert_eq!(neighbours.connected(id, conn, true, |_| false), None);
    id
}

fn greet(neighbours: &mut Neighbours, id: ConnId, key: Key, role: Role) -> Result<(), Reason> {
    neighbours.greet(
        id,
        &Hello {
            protocol: PROTOCOL,
            role,
            key,
            name: "far".into(),
            machine: key,
            plugins: Vec::new(),
            software: None,
            seen: None,
        },
    )
}

/// A link to a server, which it serves.
fn serving(neighbours: &mut Neighbours, id: u32, how: Opened, key: Key) -> ConnId {
    let id = open(neighbours, id, how);
    greet(neighbours, id, key, Role::Server).expect("it may stay");
    assert_eq!(neighbours.server_linked(id, key), ServerLink::First);
    neighbours.peer_linked(key);
    id
}

fn dials(effects: &mut Effects) -> Vec<PeerId> {
    let mut peers = Vec::new();
    while let Some(queued) = effects.pop_front() {
        match queued {
            Queued::Effect(Effect::Dial(dial)) => peers.push(dial.peer),
            other => panic!("nothing but a dial was due: {other:?}"),
        }
    }
    peers
}

/// The deadlines that were set since the last look, and how many lines the log has to say.
fn armed(neighbours: &mut Neighbours) -> (Vec<(TimerKey, Duration)>, usize) {
    let (mut timers, mut lines) = (Vec::new(), 0);
    while let Some(event) = neighbours.next_event() {
        match event {
            Event::Arm(key, at) => timers.push((key, at)),
            Event::Disarm(key) => timers.retain(|(other, _)| *other != key),
            Event::Line(..) => lines += 1,
            Event::Reached(limit) => panic!("{limit:?} is not reached"),
            Event::NotLinked { .. } => panic!("no plugin wants a link"),
        }
    }
    (timers, lines)
}

#[test]
fn a_peer_that_does_not_answer_is_dialled_after_growing_pauses_and_logged_once() {
    let (mut neighbours, mut effects) = (neighbours(Limits::default()), Effects::default());
    let id = neighbours.add_peer(Vec::new(), peer(None), &mut effects);
    let mut pauses = Vec::new();
    for round in 0..9 {
        assert_eq!(dials(&mut effects), [id], "round {round}");
        neighbours.dial(id, &mut effects);
        assert_eq!(dials(&mut effects), [], "it is being dialled");
        neighbours.dial_failed(id, "nobody answers");
        let (timers, lines) = armed(&mut neighbours);
        assert_eq!(lines, usize::from(round == 0), "round {round}");
        let [(TimerKey::Redial(redialled), at)] = timers[..] else { panic!("{timers:?}") };
        assert_eq!(redialled, id);
        pauses.push(at);
        neighbours.dial(id, &mut effects);
    }
    let limits = Limits::default();
    assert!(pauses[0] <= limits.redial_min, "{pauses:?}");
    assert!(pauses[8] >= limits.redial_max / 2 && pauses[8] <= limits.redial_max, "{pauses:?}");
}

#[test]
fn a_process_that_ends_dials_no_peer_and_starts_no_host() {
    let (mut neighbours, mut effects) = (neighbours(Limits::default()), Effects::default());
    let child = neighbours.add_child(child(), &mut effects);
    assert!(matches!(effects.pop_front(), Some(Queued::Effect(Effect::StartChild(_)))));
    neighbours.stop();
    let peer = neighbours.add_peer(Vec::new(), peer(None), &mut effects);
    neighbours.child_ended(child, "it was killed");
    neighbours.start_child(child, &mut effects);
    neighbours.dial_failed(peer, "nobody answers");
    assert_eq!(dials(&mut effects), []);
    assert_eq!(armed(&mut neighbours).0, []);
}

fn child() -> ChildConfig {
    let rights = Rights { names: Names::First, ..Rights::none() };
    let (placement, restart) = (Placement::Process, Restart::OnFailure);
    ChildConfig { name: "child".parse().expect("a name"), placement, restart, rights }
}

#[test]
fn a_host_that_ended_is_started_again_and_one_that_is_started_never_keeps_the_old_link() {
    let (mut neighbours, mut effects) = (neighbours(Limits::default()), Effects::default());
    let id = neighbours.add_child(child(), &mut effects);
    let conn = open(&mut neighbours, 1, Opened::Child(id));
    assert_eq!(neighbours.link_of_child(id), Some(conn));
    neighbours.child_ended(id, "exit code 3");
    let (timers, lines) = armed(&mut neighbours);
    assert!(matches!(timers[..], [(TimerKey::Restart(ChildId(0)), _)]), "{timers:?}");
    assert_eq!(lines, 1);
    let reason = Reason::server(Code::HostLost, "it is started again");
    let over = neighbours.link_over(conn, &reason).expect("it was up");
    neighbours.dial_after(conn, over.was, reason, &mut effects);
    assert_eq!(neighbours.link_of_child(id), None);
}

#[test]
fn a_host_whose_connection_is_lost_is_lost_before_its_process_is_waited_for() {
    let panicked = Reason::server(Code::PluginFailed, "it panicked");
    let lost = Reason::server(Code::TransportLost, "the peer closed the connection");
    for (reason, code) in [(lost, Code::HostLost), (panicked, Code::PluginFailed)] {
        let (mut neighbours, mut effects) = (neighbours(Limits::default()), Effects::default());
        let id = neighbours.add_child(child(), &mut effects);
        let conn = open(&mut neighbours, 1, Opened::Child(id));
        let over = neighbours.link_over(conn, &reason).expect("it was up");
        neighbours.dial_after(conn, over.was, reason, &mut effects);
        for step in ["the link is over", "the process is waited for"] {
            let ChildState::Ended(shown) = &neighbours.children[&id].state else {
                panic!("{step}")
            };
            assert!(shown.is(code), "{step}: {shown}");
            neighbours.child_ended(id, "signal: 9");
        }
    }
}

#[test]
fn of_two_links_the_one_that_the_lower_key_dialled_stays() {
    for (key, stays) in [(LOW, Opened::Accepted), (HIGH, Opened::Dialled(PeerId(0)))] {
        for accepted_first in [true, false] {
            let mut neighbours = neighbours(Limits::default());
            let id = neighbours.add_peer(Vec::new(), peer(Some(key)), &mut Effects::default());
            let hows = match accepted_first {
                true => [Opened::Accepted, Opened::Dialled(id)],
                false => [Opened::Dialled(id), Opened::Accepted],
            };
            let first = serving(&mut neighbours, 1, hows[0], key);
            let second = open(&mut neighbours, 2, hows[1]);
            greet(&mut neighbours, second, key, Role::Server).expect("it may stay");
            let expected = match hows[0] == stays {
                true => ServerLink::Loses,
                false => ServerLink::Replaces(first),
            };
            assert_eq!(neighbours.server_linked(second, key), expected, "{key:?} {hows:?}");
            let stayed = neighbours.link_to(key).and_then(|id| neighbours.conn(id));
            assert_eq!(stayed.map(|conn| conn.how), Some(stays), "{key:?} {hows:?}");
        }
    }
}

#[test]
fn a_link_that_is_over_is_over_once_and_its_peer_is_dialled_again() {
    let (mut neighbours, mut effects) = (neighbours(Limits::default()), Effects::default());
    let id = neighbours.add_peer(Vec::new(), peer(Some(LOW)), &mut effects);
    assert_eq!(dials(&mut effects), [id]);
    let conn = serving(&mut neighbours, 1, Opened::Dialled(id), LOW);
    assert_eq!(armed(&mut neighbours).0, []);
    let reason = Reason::server(Code::TransportLost, "it was cut");
    let over = neighbours.link_over(conn, &reason).expect("it was up");
    assert_eq!(over.was, Was::Serving(LOW));
    assert_eq!(over.links.len(), 1);
    assert_eq!(over.links[0].down, Some(reason.clone()));
    assert_eq!(neighbours.link_to(LOW), None);
    neighbours.dial_after(conn, over.was, reason.clone(), &mut effects);
    let (timers, _) = armed(&mut neighbours);
    assert!(timers.iter().all(|(key, _)| *key == TimerKey::Redial(id)), "{timers:?}");
    assert!(!timers.is_empty());
    assert!(neighbours.link_over(conn, &reason).is_none());
    neighbours.conn_gone(conn);
    assert_eq!((neighbours.conns().count(), neighbours.places().count()), (0, 0));
}

#[test]
fn a_peer_with_nothing_in_common_is_dialled_only_after_plugins_have_changed() {
    let (mut neighbours, mut effects) = (neighbours(Limits::default()), Effects::default());
    let id = neighbours.add_peer(Vec::new(), peer(Some(LOW)), &mut effects);
    assert_eq!(dials(&mut effects), [id]);
    let conn = serving(&mut neighbours, 1, Opened::Dialled(id), LOW);
    let _ = armed(&mut neighbours);
    neighbours.rest_if_useless(conn, true);
    let (timers, _) = armed(&mut neighbours);
    let at = Limits::default().nothing_in_common;
    assert_eq!(timers, [(TimerKey::Useless(conn), at)]);
    let reason = neighbours.end_if_useless(conn, true).expect("nobody needs it");
    let over = neighbours.link_over(conn, &reason).expect("it was up");
    neighbours.dial_after(conn, over.was, reason, &mut effects);
    assert_eq!(armed(&mut neighbours).0, []);
    neighbours.dial(id, &mut effects);
    assert_eq!(dials(&mut effects), []);
    neighbours.wake_peers(&mut effects);
    assert_eq!(dials(&mut effects), [id]);
}

#[test]
fn a_link_is_of_use_while_it_has_a_channel_or_either_side_wants_it() {
    let mut neighbours = neighbours(Limits::default());
    let conn = serving(&mut neighbours, 1, Opened::Accepted, LOW);
    let _ = armed(&mut neighbours);
    assert_eq!(neighbours.update_need(conn, false), None, "the peer knows that already");
    neighbours.rest_if_useless(conn, false);
    assert_eq!(armed(&mut neighbours).0, [], "it has a channel");
    let told = neighbours.update_need(conn, true);
    assert_eq!(told, Some(Message::Wanted(Wanted { wanted: true })));
    neighbours.rest_if_useless(conn, true);
    assert_eq!(armed(&mut neighbours).0, [], "we want it");
    neighbours.peer_wants(conn, true);
    let told = neighbours.update_need(conn, false);
    assert_eq!(told, Some(Message::Wanted(Wanted { wanted: false })));
    assert_eq!(neighbours.end_if_useless(conn, true), None, "the peer wants it");
    neighbours.peer_wants(conn, false);
    assert!(neighbours.end_if_useless(conn, true).is_some());
}

#[test]
fn a_dial_says_whether_the_configuration_lists_the_peer() {
    for wanted_by in [Vec::new(), [PluginId(1)].to_vec()] {
        let (mut neighbours, mut effects) = (neighbours(Limits::default()), Effects::default());
        let for_plugins = !wanted_by.is_empty();
        neighbours.add_peer(wanted_by, peer(None), &mut effects);
        let Some(Queued::Effect(Effect::Dial(dial))) = effects.pop_front() else {
            panic!("it is dialled at once")
        };
        assert_eq!(dial.for_plugins, for_plugins);
    }
}

#[test]
fn all_plugins_that_want_a_link_hear_that_it_does_not_come_about() {
    let (mut neighbours, mut effects) = (neighbours(Limits::default()), Effects::default());
    let endpoints = peer(None).endpoints;
    for plugin in [PLUGIN, PluginId(8), PLUGIN] {
        let wanted = neighbours.want_link(plugin, (LOW, endpoints.clone()), &mut effects);
        wanted.expect("there is room");
    }
    let [id] = dials(&mut effects)[..] else { panic!("it is dialled once") };
    neighbours.dial_failed(id, "nobody answers");
    let mut told = Vec::new();
    while let Some(event) = neighbours.next_event() {
        let Event::NotLinked { plugin, server, .. } = event else { panic!("{event:?}") };
        told.push((plugin, server));
    }
    assert_eq!(told, [(PLUGIN, LOW), (PluginId(8), LOW)]);
    assert!(neighbours.peer(id).is_none(), "it is not dialled again");
}

#[test]
fn a_stranger_makes_room_and_a_peer_that_has_spoken_keeps_its_place() {
    let mut neighbours = neighbours(Limits { half_open: 2, ..Limits::default() });
    for id in 0..2 {
        open(&mut neighbours, id, Opened::Accepted);
    }
    let has_spoken = |id| id == ConnId(0);
    assert!(neighbours.accepts(Grants::Server, has_spoken));
    assert!(!neighbours.accepts(Grants::Server, |_| true), "all places are taken");
    assert_eq!(neighbours.first_to_go(has_spoken), Some(ConnId(1)));
    let reason = neighbours.too_late(ConnId(1), false).expect("it said no hello");
    assert!(reason.is(Code::HandshakeTimeout));
    let event = neighbours.next_event();
    assert!(matches!(event, Some(Event::Reached(Limit::Handshake))), "{event:?}");
    greet(&mut neighbours, ConnId(1), LOW, Role::Server).expect("it may stay");
    assert_eq!(neighbours.too_late(ConnId(1), false), None);
    assert_eq!(neighbours.first_to_go(|_| false), None);
    assert_eq!(neighbours.phase(ConnId(1)), Some(ConnPhase::Up));
}

#[test]
fn a_hello_is_refused_that_the_connection_is_not_granted() {
    let mut neighbours = neighbours(Limits::default());
    let conn = open(&mut neighbours, 1, Opened::Accepted);
    for role in [Role::Host, Role::Command] {
        let refused = greet(&mut neighbours, conn, LOW, role).expect_err("it is not granted");
        assert!(refused.is(Code::NotAllowed), "{refused}");
    }
    let ours = neighbours.home_key();
    let refused = greet(&mut neighbours, conn, ours, Role::Server);
    assert!(refused.expect_err("it is our own key").is(Code::SelfLink));
    assert_eq!(neighbours.phase(conn), Some(ConnPhase::AwaitsHello));
}
