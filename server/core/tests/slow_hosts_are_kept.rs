//! A host that reads nothing for a while, as when its plugin blocks, is not ended for what others
//! cause.

#![allow(clippy::expect_used)] // Helpers of tests may panic as well.

mod raw_link;

use raw_link::{Arrived, HERE, RawLink, name, plugin, server};
use std::collections::BTreeSet;
use trunkline_core::broker::Broker;
use trunkline_core::control::{
    Announced, At, Goodbye, Message, Origin, Plugins, Preface, Registration, Request, Role,
    SocketName,
};
use trunkline_core::key::Key;
use trunkline_core::limits::Limits;
use trunkline_core::reason::Reason;

fn broker() -> Broker {
    let mut broker = server(Limits { outbox: 64 * 1024, ..Limits::default() });
    plugin(&mut broker, "inline");
    broker
}

/// The servers that a host takes to be linked behind these messages.
fn linked(arrived: &[Arrived]) -> BTreeSet<Key> {
    let mut servers = BTreeSet::new();
    for message in arrived {
        match message {
            Arrived::Message(Message::Linked(linked)) => {
                servers.extend(linked.servers.iter().map(|server| server.key));
            }
            Arrived::Message(Message::Unlinked(over)) => {
                servers.remove(&over.server.key);
            }
            _ => {}
        }
    }
    servers
}

#[test]
fn servers_that_come_and_go_end_no_slow_host() {
    let mut broker = broker();
    let mut host = RawLink::greeted(&mut broker, 60, Role::Host);
    let mut stays = RawLink::greeted(&mut broker, 61, Role::Server);
    let goodbye = Goodbye { reason: Reason::plugin("enough", &"x".repeat(1_000)) };
    for n in 0..1_000u16 {
        let mut peer = RawLink::greeted(&mut broker, 100 + (n % 50) as u8, Role::Server);
        peer.send(&Message::Goodbye(goodbye.clone()));
        peer.flush(&mut broker);
        assert!(!broker.is_ending(host.conn), "the host is ended after {n} servers");
    }
    stays.exchange(&mut broker);
    let servers = linked(&host.exchange(&mut broker));
    assert_eq!(servers, BTreeSet::from([Key([61; 32])]), "it hears what has come of it");
    assert_eq!(broker.audit(), Ok(()));
}

#[test]
fn requests_for_direct_connections_end_no_slow_host() {
    let mut broker = broker();
    let mut host = RawLink::greeted(&mut broker, 60, Role::Host);
    let socket = Some(SocketName::new([7; 16]));
    let registration = Some(Registration { peers: true, socket, ..Registration::default() });
    let hosted = Announced { registration, ..Announced::new(name("hosted"), 1) };
    host.send(&Message::Plugins(Plugins { plugins: vec![hosted] }));
    host.exchange(&mut broker);
    let mut peer = RawLink::greeted(&mut broker, 61, Role::Server);
    let (mut invited, mut passed_on) = (0, 0);
    for n in 0..1_500 {
        let from = Origin::new(name("caller"), 1);
        let at = Some(At { process: Key([77; 32]), machine: HERE, seen: None });
        let request = Request { at, ..Request::new(name("hosted"), 0, from) };
        peer.open(&Preface::channel(request));
        let arrived = peer.exchange(&mut broker);
        match arrived.iter().any(|arrived| matches!(arrived, Arrived::Invited(_))) {
            true => invited += 1,
            false => passed_on += 1,
        }
        assert!(!broker.is_ending(host.conn), "the host is ended after {n} requests");
    }
    assert!(invited > 500 && passed_on > 0, "{invited} invited, {passed_on} passed on");
    let heard = host.exchange(&mut broker);
    let expected = |arrived: &&Arrived| matches!(arrived, Arrived::Message(Message::Expect(_)));
    assert_eq!(heard.iter().filter(expected).count(), invited, "it hears of each that is invited");
    assert_eq!(broker.audit(), Ok(()));
}
