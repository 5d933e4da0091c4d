//! Attacks on the directory: endless changes, empty messages, more entries than any queue holds,
//! and names that appear and leave.

use super::{ANNOUNCED, Attack, Plan, SLOWLY, of_server};
use crate::sim::hostile::rogue::{Rogue, name, plugins};
use trunkline_core::control::{Announced, Message, Plugins, Wanted, Withdrawn};
use trunkline_core::name::Name;

/// One plugin whose version goes up and down.
pub(super) const FLIPPING_VERSIONS: Plan =
    of_server("flipping versions", |_| Box::new(FlippingVersions));

struct FlippingVersions;

impl Attack for FlippingVersions {
    fn send_more(&mut self, rogue: &mut Rogue) {
        /// As many as fit into one message.
        const FLIPS: u64 = 8000;
        let flip = |n: u64| Announced::new(name("f"), 1 + n % 2);
        let plugins = (0..FLIPS).map(flip).collect();
        rogue.send_message(&Message::Plugins(Plugins { plugins }));
    }
}

/// Announces many plugins, and then sends withdrawals without names.
pub(super) const EMPTY_WITHDRAWALS: Plan = Plan {
    pace: SLOWLY,
    ..of_server("empty withdrawals", |_| Box::new(EmptyWithdrawals { invites: 0 }))
};

/// The same where each plugin invites 64 others.
pub(super) const EMPTY_WITHDRAWALS_BESIDE_INVITES: Plan = Plan {
    pace: SLOWLY,
    ..of_server("empty withdrawals beside invites", |_| Box::new(EmptyWithdrawals { invites: 64 }))
};

struct EmptyWithdrawals {
    invites: usize,
}

impl Attack for EmptyWithdrawals {
    fn begin(&mut self, rogue: &mut Rogue) {
        rogue.send_hello(Vec::new());
        let key = rogue.key().0[0];
        let invited = |plugin: usize| {
            let guest = |n: usize| name(&format!("g{key}-{}", plugin * self.invites + n));
            (self.invites > 0).then(|| (0..self.invites).map(guest).collect())
        };
        let all = plugins(rogue.key(), 'i', ANNOUNCED);
        let all: Vec<Announced> = all
            .into_iter()
            .enumerate()
            .map(|(number, plugin)| Announced { invites: invited(number), ..plugin })
            .collect();
        for some in all.chunks(64) {
            rogue.send_message(&Message::Plugins(Plugins { plugins: some.to_vec() }));
        }
    }

    fn send_more(&mut self, rogue: &mut Rogue) {
        rogue.send_message(&Message::Withdrawn(Withdrawn { names: Vec::new(), server: None }));
    }
}

/// 25 peers with 4,000 plugins each, which is more than any queue holds.
pub(super) const LARGE_DIRECTORIES: Plan =
    Plan { peers: 25, ..of_server("large directories", |_| Box::new(LargeDirectory)) };

struct LargeDirectory;

impl Attack for LargeDirectory {
    fn begin(&mut self, rogue: &mut Rogue) {
        rogue.send_hello(Vec::new());
        rogue.send_message(&Message::Wanted(Wanted { wanted: true }));
        let all = plugins(rogue.key(), 'd', 4000);
        rogue.announce(&all);
    }

    fn send_more(&mut self, _rogue: &mut Rogue) {}
}

/// Alternates between two sets of names, each as large as a peer may have.
pub(super) const ALTERNATING_NAMES: Plan =
    of_server("alternating names", |_| Box::new(AlternatingNames { odd: false }));

struct AlternatingNames {
    odd: bool,
}

impl Attack for AlternatingNames {
    fn send_more(&mut self, rogue: &mut Rogue) {
        let set = |odd| plugins(rogue.key(), if odd { 'o' } else { 'e' }, ANNOUNCED);
        let (leaving, coming) = (set(self.odd), set(!self.odd));
        self.odd = !self.odd;
        let names: Vec<Name> = leaving.into_iter().map(|plugin| plugin.name).collect();
        for names in names.chunks(1024) {
            rogue.send_message(&Message::Withdrawn(Withdrawn {
                names: names.to_vec(),
                server: None,
            }));
        }
        rogue.announce(&coming);
    }
}
