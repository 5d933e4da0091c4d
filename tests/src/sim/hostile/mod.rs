//! Hostile peers: they speak the protocol correctly and ask for as much as it allows, beside
//! innocent ones whose messages must go on.
//!
//! Unlike the simulation around it, which breaks pipes and processes, this one models what a peer
//! can do to the loop of a server: it has turns, each with the budgets of the real loop, and the
//! attackers' sockets are always full. Work and memory are counted. CPU time is bounded as well,
//! but so generously that only work which grows with what others have reaches the bound.

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

/// Runs attacks at the same time, beside innocent peers; and once more, to see what grows.
///
/// # Errors
/// What an innocent peer suffered, or what was left of the attackers.
pub fn together(meter: Meter, bounds: Bounds, plans: &[&Plan]) -> Result<Cost, String> {
    let mut stage = Stage::new(meter, bounds);
    stage.settle()?;
    let mut random = Random::new(1);
    let turns = plans.iter().map(|plan| plan.turns).max().unwrap_or(0);
    let mut kept = Vec::new();
    // The first ones make tables as large as they get; the last one must add nothing to them.
    for _ in 0..ATTACKS {
        let rogues: Vec<usize> =
            plans.iter().flat_map(|plan| stage.attack(plan, &mut random)).collect();
        stage.turns(turns / 2)?;
        stage.add_late_host();
        stage.turns(turns.div_ceil(2))?;
        stage.dismiss(&rogues);
        kept.push(stage.leave()?);
    }
    stage.finish(kept[ATTACKS - 2], kept[ATTACKS - 1])
}

/// How often each attack is made, one after the other.
const ATTACKS: usize = 3;

/// Attacks that one mixture has at a time, at most.
const AT_ONCE: u64 = 4;

/// Attacks of one mixture in all, at most.
const IN_ALL: u64 = 8;

/// Runs attacks that a seed draws, beside each other and after each other.
///
/// # Errors
/// What an innocent peer suffered, or what was left of the attackers.
pub fn mixture(meter: Meter, bounds: Bounds, seed: u64, plans: &[Plan]) -> Result<Cost, String> {
    let mut random = Random::new(seed);
    // Tables stay as large as several attackers at a time made them.
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
            stage.dismiss(&rogues);
        }
    }
    for (_, rogues) in running {
        stage.dismiss(&rogues);
    }
    let kept = stage.leave().map_err(|what| format!("after all of them: {what}"))?;
    stage.finish(kept, kept)
}
