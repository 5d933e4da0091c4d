//! The attacks: what each of them sends.

mod channels;
mod directory;
mod hosts;
mod links;

use super::rogue::{Rogue, RogueEvent};
use super::socket::CAPACITY;
use crate::sim::random::Random;
use std::fmt;
use trunkline_core::broker::Grants;
use trunkline_core::control::Role;

/// What an attacker does on one connection.
pub trait Attack {
    /// Sends hello and what follows at once on a new connection.
    fn begin(&mut self, rogue: &mut Rogue) {
        rogue.send_hello(Vec::new());
    }

    /// Sends more, because there is room. It is called again until it sends nothing.
    fn send_more(&mut self, rogue: &mut Rogue);

    /// Handles an event from the victim.
    fn receive(&mut self, _rogue: &mut Rogue, _event: RogueEvent) {}
}

/// One attack of the list.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Its name, for messages.
    pub name: &'static str,
    /// The number of its connections, each with its own key.
    pub peers: usize,
    /// The role in its hello.
    pub role: Role,
    /// The roles that the victim grants to its connections.
    pub grants: Grants,
    /// Bytes that each connection sends in one turn, at most. It is less than the socket holds if a
    /// flood would hide the effect.
    pub pace: usize,
    /// Its duration in turns of the victim.
    pub turns: u64,
    /// Makes the attack of one connection.
    pub make: fn(&mut Random) -> Box<dyn Attack>,
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// An attack of a server on one connection.
const fn of_server(name: &'static str, make: fn(&mut Random) -> Box<dyn Attack>) -> Plan {
    let (role, grants) = (Role::Server, Grants::Everything);
    Plan { name, peers: 1, role, grants, pace: CAPACITY, turns: TURNS, make }
}

/// An attack of a host on one connection.
const fn of_host(name: &'static str, make: fn(&mut Random) -> Box<dyn Attack>) -> Plan {
    Plan { role: Role::Host, ..of_server(name, make) }
}

/// Turns of an attack. They are enough for 8 MB, because the victim reads 128 KiB in a turn.
const TURNS: u64 = 64;

/// Bytes in a turn for an attack with small messages.
const SLOWLY: usize = 4096;

/// Plugins that one peer may announce.
pub(super) const ANNOUNCED: usize = 4096;

/// All attacks.
pub const ALL: &[Plan] = &[
    directory::FLIPPING_VERSIONS,
    directory::EMPTY_WITHDRAWALS,
    directory::EMPTY_WITHDRAWALS_BESIDE_INVITES,
    directory::LARGE_DIRECTORIES,
    directory::ALTERNATING_NAMES,
    channels::UNKNOWN_NAMES,
    channels::MADE_UP_TICKETS,
    channels::HONEST_REQUESTS,
    channels::HALF_PREFACES,
    channels::ABORTED_CHANNELS,
    channels::ABORTED_RELAYS,
    links::INVITATIONS_TO_OFFERS,
    links::ONE_BYTE_CREDITS,
    links::NEVER_READING,
    links::LINKING_ANEW,
    hosts::REGISTERS_AND_WITHDRAWS,
    hosts::REGISTERS_WITHOUT_RIGHTS,
    hosts::GONE_WHILE_GREETED,
    hosts::CUT_WHILE_REGISTERING,
    hosts::ABORTED_BY_A_HOST,
];
