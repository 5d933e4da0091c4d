//! Attacks by hosts of the victim: endless registrations, disconnecting during hello, and a plugin
//! that opens channels only to abort them.

use super::{ANNOUNCED, Attack, Plan, SLOWLY, TURNS, of_host};
use crate::sim::hostile::rogue::{Reads, Rogue, name, plugins};
use std::collections::VecDeque;
use trunkline_core::broker::Grants;
use trunkline_core::bymux::StreamId;
use trunkline_core::control::{Announced, Message, Plugins, Registration, Withdrawn};
use trunkline_core::key::Key;
use trunkline_core::name::Name;

/// Plugins of a host that every server may see.
fn registered(key: Key, set: char, count: usize) -> Vec<Announced> {
    let registration = Some(Registration { peers: true, ..Registration::default() });
    let all = plugins(key, set, count).into_iter();
    all.map(|plugin| Announced { registration: registration.clone(), ..plugin }).collect()
}

/// Registers as many plugins as it may, and withdraws them, over and over.
pub(super) const REGISTERS_AND_WITHDRAWS: Plan =
    of_host("a host that registers and withdraws", |_| Box::new(RegistersAndWithdraws));

struct RegistersAndWithdraws;

impl Attack for RegistersAndWithdraws {
    fn send_more(&mut self, rogue: &mut Rogue) {
        let all = registered(rogue.key(), 'r', ANNOUNCED);
        rogue.announce(&all);
        let names: Vec<Name> = all.into_iter().map(|plugin| plugin.name).collect();
        for names in names.chunks(1024) {
            rogue.send_message(&Message::Withdrawn(Withdrawn {
                names: names.to_vec(),
                server: None,
            }));
        }
    }
}

/// Registers names that the victim does not grant it, among them those of innocent plugins.
pub(super) const REGISTERS_WITHOUT_RIGHTS: Plan = Plan {
    grants: Grants::Host,
    ..of_host("a host that registers without rights", |_| Box::new(RegistersWithoutRights))
};

struct RegistersWithoutRights;

impl Attack for RegistersWithoutRights {
    fn send_more(&mut self, rogue: &mut Rogue) {
        let innocent = ["inline", "hosted", "far"].map(|plugin| Announced::new(name(plugin), 9));
        let allow = vec!["links".to_string()];
        let registration = Registration { peers: true, allow, ..Registration::default() };
        let all = plugins(rogue.key(), 'w', 600).into_iter().chain(innocent);
        let all: Vec<Announced> = all
            .map(|plugin| Announced { registration: Some(registration.clone()), ..plugin })
            .collect();
        rogue.announce(&all);
    }
}

/// Says hello with many plugins, reads nothing and disconnects, over and over.
pub(super) const GONE_WHILE_GREETED: Plan = Plan {
    peers: 3,
    ..of_host("a host that is gone while it is greeted", |random| {
        Box::new(GoneWhileGreeted { plugins: 100 + random.below(400) as usize, stays: 0 })
    })
};

struct GoneWhileGreeted {
    plugins: usize,
    stays: u32,
}

impl Attack for GoneWhileGreeted {
    fn begin(&mut self, rogue: &mut Rogue) {
        rogue.reads = Reads::Nothing;
        rogue.send_hello(registered(rogue.key(), 'c', self.plugins));
        let more = registered(rogue.key(), 'm', ANNOUNCED);
        rogue.announce(&more);
        self.stays = 0;
    }

    fn send_more(&mut self, rogue: &mut Rogue) {
        self.stays += 1;
        rogue.closes = self.stays > 16;
    }
}

/// Registers without reading, until it is disconnected in the middle of its registrations.
pub(super) const CUT_WHILE_REGISTERING: Plan = Plan {
    pace: 2 * SLOWLY,
    turns: 6 * TURNS,
    ..of_host("a host that is cut while it registers", |_| {
        Box::new(CutWhileRegistering { next: 0 })
    })
};

struct CutWhileRegistering {
    next: u64,
}

impl Attack for CutWhileRegistering {
    fn begin(&mut self, rogue: &mut Rogue) {
        rogue.reads = Reads::Nothing;
        rogue.send_hello(Vec::new());
    }

    /// Changes that the victim has to announce to it, and then new names.
    fn send_more(&mut self, rogue: &mut Rogue) {
        const FLIPS: u64 = 1000;
        const NEW: u64 = 20;
        let key = rogue.key().0[0];
        let flip = |n: u64| Announced::new(name(&format!("x{key}-f")), 1 + n % 2);
        let next = self.next;
        let new = (next..next + NEW).map(|n| Announced::new(name(&format!("x{key}-n{n}")), 1));
        let plugins = (0..FLIPS).map(flip).chain(new).collect();
        rogue.send_message(&Message::Plugins(Plugins { plugins }));
        self.next += NEW;
    }
}

/// A plugin of a host opens and aborts channels to a plugin of another server.
pub(super) const ABORTED_BY_A_HOST: Plan =
    of_host("channels aborted by a host", |_| Box::new(AbortedByAHost { open: VecDeque::new() }));

struct AbortedByAHost {
    open: VecDeque<StreamId>,
}

impl Attack for AbortedByAHost {
    fn begin(&mut self, rogue: &mut Rogue) {
        self.open.clear();
        let registration = Some(Registration { peers: true, ..Registration::default() });
        let plugin = name(&format!("rogue-{}", rogue.key().0[0]));
        rogue.send_hello(vec![Announced { registration, ..Announced::new(plugin, 1) }]);
    }

    fn send_more(&mut self, rogue: &mut Rogue) {
        let plugin = name(&format!("rogue-{}", rogue.key().0[0]));
        for to in ["far", "inline", "hosted"] {
            let opened = rogue.open(to, |request| request.from.name = plugin.clone());
            if let Some(stream) = opened {
                rogue.grant(stream, 4096);
                self.open.push_back(stream);
            }
        }
        while self.open.len() > 1024 {
            if let Some(stream) = self.open.pop_front() {
                rogue.abort(stream);
            }
        }
    }
}
