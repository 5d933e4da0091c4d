//! Attacks on a link: invitations in answer to offers, credit for a byte at a time, a peer that
//! never reads, and one that links over and over.

use super::{Attack, Plan, SLOWLY, TURNS, of_server};
use crate::sim::hostile::rogue::{Reads, Rogue, RogueEvent, name};
use std::collections::VecDeque;
use trunkline_core::bymux::StreamId;
use trunkline_core::control::{
    Announced, Answer, Invitation, Message, Plugins, Ticket, Wanted, Withdrawn,
};
use trunkline_core::key::Key;

/// Invites plugins of the victim, and answers the channels that follow with invitations.
pub(super) const INVITATIONS_TO_OFFERS: Plan = Plan {
    pace: SLOWLY / 4,
    ..of_server("invitations in answer to offers", |_| Box::<InvitationsToOffers>::default())
};

#[derive(Default)]
struct InvitationsToOffers {
    next: u64,
    answered: VecDeque<StreamId>,
}

impl Attack for InvitationsToOffers {
    fn send_more(&mut self, rogue: &mut Rogue) {
        /// Plugins that it has at a time.
        const AT_A_TIME: u64 = 256;
        let (key, next) = (rogue.key().0[0], self.next);
        self.next += 1;
        let invites = Some(vec![name(["inline", "hosted"][next as usize % 2])]);
        let plugin = Announced::new(name(&format!("o{key}-{next}")), 1);
        let plugins = vec![Announced { invites, ..plugin }];
        rogue.send_message(&Message::Plugins(Plugins { plugins }));
        if let Some(old) = next.checked_sub(AT_A_TIME) {
            let names = vec![name(&format!("o{key}-{old}"))];
            rogue.send_message(&Message::Withdrawn(Withdrawn { names, server: None }));
        }
    }

    fn receive(&mut self, rogue: &mut Rogue, event: RogueEvent) {
        let RogueEvent::Opened(stream) = event else { return };
        let invitation = Invitation {
            ticket: Ticket([1; 32]),
            routes: Vec::new(),
            process: Key([2; 32]),
            socket: None,
            net: None,
            seen: None,
            loopback: None,
        };
        rogue.grant(stream, 1 << 16);
        rogue.write(stream, &Answer::Direct(Box::new(invitation)).frame());
        rogue.close(stream);
        // An end that is sent at once would overtake the answer.
        self.answered.push_back(stream);
        while self.answered.len() > 64 {
            self.answered.pop_front().into_iter().for_each(|stream| rogue.end(stream));
        }
    }
}

/// Makes the victim send many answers, and gives it credit for one byte at a time.
pub(super) const ONE_BYTE_CREDITS: Plan =
    of_server("one-byte credits", |_| Box::new(OneByteCredits { asked: 0 }));

struct OneByteCredits {
    asked: usize,
}

impl Attack for OneByteCredits {
    fn begin(&mut self, rogue: &mut Rogue) {
        self.asked = 0;
        rogue.reads = Reads::WithoutCredit;
        rogue.send_hello(Vec::new());
        rogue.send_message(&Message::Wanted(Wanted { wanted: true }));
    }

    fn send_more(&mut self, rogue: &mut Rogue) {
        /// Answers of 10 bytes each. They fill the control stream's credit and the queue behind it.
        const ASKED: usize = 100_000;
        if self.asked < ASKED && rogue.unsent() < 64 * 1024 {
            for _ in 0..256 {
                rogue.send_message(&Message::Other(99));
            }
            self.asked += 256;
        } else if self.asked >= ASKED {
            for _ in 0..64 {
                rogue.grant(StreamId::CONTROL, 1);
            }
        }
    }
}

/// Requests answers, pongs and channels, and reads nothing.
pub(super) const NEVER_READING: Plan = of_server("never reading", |_| Box::new(NeverReading));

struct NeverReading;

impl Attack for NeverReading {
    fn begin(&mut self, rogue: &mut Rogue) {
        rogue.reads = Reads::Nothing;
        rogue.send_hello(Vec::new());
    }

    fn send_more(&mut self, rogue: &mut Rogue) {
        for to in ["inline", "hosted", "nobody"] {
            if let Some(stream) = rogue.open(to, |_| ()) {
                rogue.write(stream, &[7; 256]);
                rogue.grant(stream, 1 << 20);
            }
        }
        for _ in 0..16 {
            rogue.ping();
            rogue.send_message(&Message::Other(99));
        }
    }
}

/// Says hello, opens a channel to a plugin that does not exist and disconnects, repeatedly.
pub(super) const LINKING_ANEW: Plan =
    Plan { peers: 3, turns: 4 * TURNS, ..of_server("linking anew", |_| Box::new(LinkingAnew)) };

struct LinkingAnew;

impl Attack for LinkingAnew {
    fn begin(&mut self, rogue: &mut Rogue) {
        rogue.send_hello(Vec::new());
        rogue.open("nobody", |_| ());
    }

    fn send_more(&mut self, rogue: &mut Rogue) {
        rogue.closes = true;
    }
}
