//! Strangers: peers that are not nodes of the run. They send noise, or a part of a conversation.

#![allow(clippy::expect_used)] // A wrong name in the script must fail the test.

use super::random::Random;
use std::time::Duration;
use trunkline_core::bymux::MuxRole;
use trunkline_core::control::{
    Announced, Hello, Message, Origin, PROTOCOL, Plugins, Preface, Presented, Request, Role,
    Ticket, Wanted,
};
use trunkline_core::key::{Key, NETWORK};
use trunkline_core::limits::Limits;
use trunkline_core::link::Link;
use trunkline_core::route::Route;
use trunkline_shs::{Handshake, Identity};

/// Random bytes.
pub(super) fn noise(random: &mut Random) -> Vec<u8> {
    (0..random.size(1, 400)).map(|_| random.bits() as u8).collect()
}

/// The bytes of a stranger: noise, or hello and some channels with an error in them. To a server
/// with a key, they are the start of a handshake.
pub(super) fn bytes(random: &mut Random, secured: Option<Key>) -> Vec<u8> {
    if random.chance(200) {
        return noise(random);
    }
    if let Some(target) = secured {
        return greeting(random, target);
    }
    let mut bytes = conversation(random);
    match random.below(4) {
        0 => bytes.truncate(random.below(bytes.len() as u64) as usize),
        1 => {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << random.below(8);
        }
        2 => bytes.extend(noise(random)),
        _ => {}
    }
    bytes
}

/// The bytes of a stranger to a process that has not invited it: a made-up ticket, or the start of
/// a handshake.
pub(super) fn false_ticket(random: &mut Random, secured: Option<Key>) -> Vec<u8> {
    if let Some(target) = secured {
        return greeting(random, target);
    }
    let mut link = Link::new(MuxRole::Dialler, Duration::ZERO, &Limits::default(), 0);
    let ticket = Ticket(std::array::from_fn(|_| random.bits() as u8));
    let presented = Presented { ticket, route: Route::Unix };
    if let Some(stream) = link.open(0) {
        link.mux().write(stream, &Preface::Direct(presented).frame());
        link.mux().write(stream, b"let me in");
    }
    link.outbox().slices().concat()
}

/// A valid first message of a handshake, and noise in place of the third.
fn greeting(random: &mut Random, target: Key) -> Vec<u8> {
    let us = Identity::from_seed(&[200; 32]);
    let mut bytes = Vec::new();
    let begun = Handshake::dial(&NETWORK, &us, &target.0, random.ephemeral(), &mut bytes);
    begun.expect("the key of a server");
    if random.chance(700) {
        bytes.extend(noise(random));
    }
    bytes
}

fn conversation(random: &mut Random) -> Vec<u8> {
    let mut link = Link::new(MuxRole::Dialler, Duration::ZERO, &Limits::default(), 0);
    let name = |text: &str| text.parse().expect("a name of the script");
    let plugins = vec![Announced::new(name("trap"), 1 + random.below(9))];
    let hello = Hello {
        protocol: PROTOCOL,
        role: if random.chance(200) { Role::Host } else { Role::Server },
        key: Key([200 + random.below(3) as u8; 32]),
        name: "stranger".to_string(),
        machine: Key([0; 32]),
        plugins,
        software: None,
        seen: None,
    };
    link.send(&Message::Hello(hello)).expect("the first message fits");
    for tag in 0..random.below(6) as u32 {
        let Some(stream) = link.open(tag) else { break };
        let to = random.pick(&["echo", "sink", "later", "deaf", "source", "relay", "nobody"]);
        let from = Origin::new(name("trap"), 1);
        let preface = Preface::channel(Request::new(name(to), random.below(4), from));
        link.mux().write(stream, &preface.frame());
        let junk = noise(random);
        link.mux().write(stream, &junk);
        match random.below(4) {
            0 => link.mux().close(stream),
            1 => link.mux().stop_read(stream),
            _ => {}
        }
    }
    link.outbox().slices().concat()
}

/// Servers of one crowd.
pub(super) const CROWD: u8 = 2;

/// Plugins of each of them, with the longest names. Their announcements fit into the control credit
/// of a link. Announced to a host, they do not fit, because the server is named there too.
const CROWD_PLUGINS: usize = 1300;

/// The bytes of one server of a crowd: hello, and all its plugins.
pub(super) fn crowd(key: u8) -> Vec<u8> {
    let mut link = Link::new(MuxRole::Dialler, Duration::ZERO, &Limits::default(), 0);
    let named = |n: usize| format!("crowd-{key}-{n:0>56}").parse().expect("a name of the script");
    let plugins = |numbers: std::ops::Range<usize>| -> Vec<Announced> {
        numbers.map(|n| Announced::new(named(n), 1)).collect()
    };
    let hello = Hello {
        protocol: PROTOCOL,
        role: Role::Server,
        key: Key([210 + key; 32]),
        name: format!("crowd-{key}"),
        machine: Key([0; 32]),
        plugins: plugins(0..CROWD_PLUGINS / 2),
        software: None,
        seen: None,
    };
    link.send(&Message::Hello(hello)).expect("the first message fits");
    let plugins = plugins(CROWD_PLUGINS / 2..CROWD_PLUGINS);
    link.send(&Message::Plugins(Plugins { plugins })).expect("the second message fits");
    link.send(&Message::Wanted(Wanted { wanted: true })).expect("the third message fits");
    link.outbox().slices().concat()
}
