//! Somebody who is no server of the run: what they say is noise, or half a conversation.

#![allow(clippy::expect_used)] // The script is ours: a name that is none must not go on.

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

/// Bytes without a meaning.
pub(super) fn noise(random: &mut Random) -> Vec<u8> {
    (0..random.size(1, 400)).map(|_| random.bits() as u8).collect()
}

/// What a stranger says: noise, or hello and some channels with a flaw in it; to a server whose key
/// is asked for, the beginning of a handshake.
pub(super) fn speech(random: &mut Random, secured: Option<Key>) -> Vec<u8> {
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

/// What somebody says to a process, without having been invited: a ticket that nobody gave, or the
/// beginning of a handshake.
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

/// A first message that is in order, and noise where the third should be.
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

/// Plugins of each of them. They fit into the control credit of a link, where their names are as
/// long as they may be; what a host is told of them does not, as the server is named too.
const CROWD_PLUGINS: usize = 1300;

/// What a server of a crowd says: hello, and all its plugins.
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
