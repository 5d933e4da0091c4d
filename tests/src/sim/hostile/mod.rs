//! Hostile peers: they follow the protocol and use as much as it allows, beside innocent peers
//! whose messages must keep arriving.
//!
//! The simulation around it breaks pipes and processes. This one models the load that a peer can
//! put on a server's loop: it has turns with the budgets of the real loop, and the attackers'
//! sockets are always full. Work and memory are counted. CPU time is bounded too, but so generously
//! that only work that grows with the state of other peers exceeds the bound.

pub mod attacks;
mod cost;
mod plugins;
mod process;
mod rogue;
mod socket;
mod stage;

pub use attacks::{ALL, Attack, Plan};
pub use cost::{Bounds, Cost, Meter, Reading};
pub use stage::Stage;

use super::random::Random;

/// Runs attacks at the same time, beside innocent peers, and repeats them to see what grows.
///
/// # Errors
/// The harm to an innocent peer, or the state that attackers left behind.
pub fn together(meter: Meter, bounds: Bounds, plans: &[&Plan]) -> Result<Cost, String> {
    let mut stage = Stage::new(meter, bounds);
    stage.settle()?;
    let mut random = Random::new(1);
    let turns = plans.iter().map(|plan| plan.turns).max().unwrap_or(0);
    let mut kept = Vec::new();
    // The first attacks grow the tables. The last one must add nothing to them.
    for _ in 0..ATTACKS {
        let rogues: Vec<usize> =
            plans.iter().flat_map(|plan| stage.attack(plan, &mut random)).collect();
        stage.turns(turns / 2)?;
        stage.add_late_host();
        stage.turns(turns.div_ceil(2))?;
        stage.disconnect(&rogues);
        kept.push(stage.check_nothing_left()?);
    }
    stage.finish(kept[ATTACKS - 2], kept[ATTACKS - 1])
}

/// How often the attacks are repeated.
const ATTACKS: usize = 3;

/// Attacks of a mixture at the same time, at most.
const AT_ONCE: u64 = 4;

/// Attacks of a mixture in total, at most.
const IN_ALL: u64 = 8;

/// Runs attacks that a seed draws, at the same time and one after the other.
///
/// # Errors
/// The harm to an innocent peer, or the state that attackers left behind.
pub fn mixture(meter: Meter, bounds: Bounds, seed: u64, plans: &[Plan]) -> Result<Cost, String> {
    let mut random = Random::new(seed);
    // Tables keep the size that several attackers at a time have given them.
    let bounds = Bounds { spare: bounds.spare * AT_ONCE as i64, ..bounds };
    let mut stage = Stage::new(meter, bounds);
    stage.settle()?;
    let mut running = Vec::new();
    let count = 1 + random.below(IN_ALL);
    let late = random.below(count);
    for number in 0..count {
        let plan = &plans[random.below(plans.len() as u64) as usize];
        running.push((plan.name, stage.attack(plan, &mut random)));
        if number == late {
            stage.add_late_host();
        }
        while running.len() as u64 > random.below(AT_ONCE) {
            let turns = 1 + random.below(plan.turns);
            let names: Vec<&str> = running.iter().map(|(name, _)| *name).collect();
            stage.turns(turns).map_err(|what| format!("during {names:?}: {what}"))?;
            let (_, rogues) = running.swap_remove(random.below(running.len() as u64) as usize);
            stage.disconnect(&rogues);
        }
    }
    for (_, rogues) in running {
        stage.disconnect(&rogues);
    }
    let kept = stage.check_nothing_left().map_err(|what| format!("after all of them: {what}"))?;
    stage.finish(kept, kept)
}
