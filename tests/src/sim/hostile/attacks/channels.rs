//! Attacks that open channels: to unknown names, with made-up tickets, with valid requests that use
//! up tickets, with incomplete prefaces, and only to abort them.

use super::{Attack, Plan, of_server};
use crate::sim::hostile::rogue::{HERE, Rogue, RogueEvent};
use std::collections::VecDeque;
use trunkline_core::bymux::StreamId;
use trunkline_core::control::{At, Request, Ticket};
use trunkline_core::key::Key;

/// Streams that an attacker has open at a time, if no limit of its own applies.
const MANY: usize = 60_000;

/// Channels that are opened before the first of them is ended. An end would overtake its channel in
/// the outbox, so there are more than fit in a socket, and the victim has seen the channel.
const OPEN: usize = 4096;

/// Opens channels to an unknown name.
pub(super) const UNKNOWN_NAMES: Plan = of_server("unknown names", |_| Opens::boxed("nobody"));

/// Opens and aborts channels to a plugin of the victim.
pub(super) const ABORTED_CHANNELS: Plan = of_server("aborted channels", |_| Opens::boxed("inline"));

/// The same to a plugin of its host.
pub(super) const ABORTED_RELAYS: Plan = of_server("aborted relays", |_| Opens::boxed("hosted"));

struct Opens {
    to: &'static str,
    open: VecDeque<StreamId>,
}

impl Opens {
    fn boxed(to: &'static str) -> Box<dyn Attack> {
        Box::new(Opens { to, open: VecDeque::new() })
    }
}

impl Attack for Opens {
    fn begin(&mut self, rogue: &mut Rogue) {
        self.open.clear();
        rogue.send_hello(Vec::new());
    }

    fn send_more(&mut self, rogue: &mut Rogue) {
        for _ in 0..32 {
            if let Some(stream) = rogue.open(self.to, |_| ()) {
                rogue.grant(stream, 4096);
                self.open.push_back(stream);
            }
        }
        while self.open.len() > OPEN {
            if let Some(stream) = self.open.pop_front() {
                rogue.abort(stream);
            }
        }
    }
}

/// Opens channels with tickets that were never issued.
pub(super) const MADE_UP_TICKETS: Plan = of_server("made-up tickets", |random| {
    Box::new(Tickets { next: random.bits(), made_up: true, open: VecDeque::new() })
});

/// Opens channels from a process that claims to be on the victim's machine, so it is invited to
/// direct connections.
pub(super) const HONEST_REQUESTS: Plan = of_server("honest requests", |_| {
    Box::new(Tickets { next: 0, made_up: false, open: VecDeque::new() })
});

struct Tickets {
    next: u64,
    made_up: bool,
    open: VecDeque<StreamId>,
}

impl Tickets {
    fn ask(&mut self, request: &mut Request) {
        if self.made_up {
            let mut ticket = [0; 32];
            ticket[..8].copy_from_slice(&self.next.to_be_bytes());
            self.next = self.next.wrapping_add(1);
            request.ticket = Some(Ticket(ticket));
        } else {
            request.at = Some(At { process: Key([77; 32]), machine: HERE, seen: None });
        }
    }
}

impl Attack for Tickets {
    fn begin(&mut self, rogue: &mut Rogue) {
        self.open.clear();
        rogue.send_hello(Vec::new());
    }

    fn send_more(&mut self, rogue: &mut Rogue) {
        let to = if self.next.is_multiple_of(2) { "hosted" } else { "inline" };
        if let Some(stream) = rogue.open(to, |request| self.ask(request)) {
            rogue.grant(stream, 4096);
            self.open.push_back(stream);
        }
        if self.open.len() > OPEN
            && let Some(stream) = self.open.pop_front()
        {
            rogue.end(stream);
        }
    }
}

/// Opens streams and writes a preface without its end.
pub(super) const HALF_PREFACES: Plan =
    of_server("half prefaces", |_| Box::new(HalfPrefaces { open: 0 }));

struct HalfPrefaces {
    open: usize,
}

impl Attack for HalfPrefaces {
    fn begin(&mut self, rogue: &mut Rogue) {
        self.open = 0;
        rogue.send_hello(Vec::new());
    }

    fn send_more(&mut self, rogue: &mut Rogue) {
        if self.open < MANY && rogue.open_half(4 + 4095).is_some() {
            self.open += 1;
        }
    }

    fn receive(&mut self, _rogue: &mut Rogue, event: RogueEvent) {
        if let RogueEvent::Gone(_) = event {
            self.open -= 1;
        }
    }
}
