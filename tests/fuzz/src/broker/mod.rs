//! A whole broker among hostile peers, beside an innocent one.
//!
//! The first bytes of an input say which processes are ours: a server with an innocent server or
//! host that is linked to it, or a host whose server is hostile. Each step that follows is
//! something that a hostile peer says, that a plugin of ours does, or that time brings. After each
//! step all brokers are audited; at times the innocent asks whether it is still served; and at the
//! end, when the hostile peers are gone, nothing of them may be left.

mod checks;
mod node;
mod peer;
mod plugins;
mod setup;
mod steps;
mod world;

use super::words::{identity, key, name};
use super::{Script, words};
use std::sync::OnceLock;
use world::World;

/// The process that hostile peers connect to, by its number among those that are ours.
const VICTIM: usize = 0;
/// The one that does nothing wrong.
const INNOCENT: usize = 1;

/// Steps of a run.
const STEPS_MAX: u64 = 200;

/// Bytes that hostile peers say in a run: more of the same only takes longer.
const SAID_MAX: u64 = 400_000;

/// Bytes that tables and queues have grown by when all is over: they keep their room. That of the
/// queue of effects is not among them.
const LEFT: i64 = 64 * 1024;

/// Bytes that the queue of effects of one process may keep: room for 8,192 of them.
const EFFECTS_LEFT: i64 = 1 << 20;

/// What a run begins with; see [`setup::world`].
const CASTS: [u8; 4] = [0, 1, 2, 3];

pub(super) fn run(data: &[u8]) {
    static WITHOUT_STEPS: OnceLock<[Option<i64>; CASTS.len()]> = OnceLock::new();
    let control = WITHOUT_STEPS.get_or_init(|| CASTS.map(|cast| play(&[cast]).left()));
    let cast = Script::new(data).below(CASTS.len());
    let world = play(data);
    if let (Some(left), Some(usual)) = (world.left(), control[cast]) {
        let left = left - usual;
        assert!(left <= LEFT, "{left} bytes are left of {} that were said", world.said);
    }
}

/// All that happens in a run. What is left are processes without plugins, links and peers.
fn play(data: &[u8]) -> World {
    let mut script = Script::new(data);
    let mut world = setup::world(&mut script);
    while !script.is_over() && world.steps < STEPS_MAX && world.said < SAID_MAX {
        world.steps += 1;
        world.step(&mut script);
        world.settle();
        world.check_costs();
    }
    world.check_innocent();
    world.part();
    world
}
