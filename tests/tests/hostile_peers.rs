//! Hostile peers beside innocent ones, in the simulator: each attack alone, and mixtures that seeds
//! draw. `SEEDS=n` says how many mixtures, `SEED=x` runs that one alone.

use rustix::time::{ClockId, clock_gettime};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use trunkline_core::audit;
use trunkline_tests::sim::hostile::{self, ALL, Bounds, Plan, Reading};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Counts the lines of the log, those of the audit apart, and drops them.
struct Lines {
    others: AtomicU64,
    audited: AtomicU64,
}

static LINES: Lines = Lines { others: AtomicU64::new(0), audited: AtomicU64::new(0) };

impl log::Log for Lines {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Info
    }

    fn log(&self, record: &log::Record<'_>) {
        match record.target() {
            audit::TARGET => self.audited.fetch_add(1, Ordering::Relaxed),
            _ if self.enabled(record.metadata()) => self.others.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
    }

    fn flush(&self) {}
}

/// What is counted is counted for the whole program, so that one test runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Mixtures of an ordinary run.
const SEEDS: u64 = 8;

/// What an attack may cost. A turn is long if 25 peers leave at once, and 100,000 plugins with
/// them: beside other work on two cores it took up to 1 s.
const BOUNDS: Bounds = Bounds {
    latency: 4,
    opening: 12,
    joining: 128,
    kept: 8 << 20,
    spare: 4 << 20,
    left: 64 << 10,
    allocations: 4.0,
    effects: 4.0,
    sent: 1 << 20,
    longest: Duration::from_secs(3),
    lines: 4.0,
    audited: 0.02,
};

fn reading() -> Reading {
    let stats = ALLOCATOR.stats();
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Reading {
        live: stats.bytes_allocated as i64 - stats.bytes_deallocated as i64,
        allocations: (stats.allocations + stats.reallocations) as i64,
        cpu: Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32),
        lines: LINES.others.load(Ordering::Relaxed),
        audited: LINES.audited.load(Ordering::Relaxed),
    }
}

/// One test at a time, with a log that is counted.
fn alone() -> MutexGuard<'static, ()> {
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // All tests but the first find it set.
    let _ = log::set_logger(&LINES);
    log::set_max_level(log::LevelFilter::Info);
    alone
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number, it is {text:?}")))
}

fn plan(name: &str) -> &'static Plan {
    let found = ALL.iter().find(|plan| plan.name == name);
    found.unwrap_or_else(|| panic!("there is no attack {name}"))
}

/// Runs attacks at the same time, and compares what they cost with what they may.
fn survives(names: &[&str]) {
    let _alone = alone();
    let plans: Vec<&Plan> = names.iter().map(|name| plan(name)).collect();
    match hostile::together(reading, BOUNDS, &plans) {
        Ok(cost) => eprintln!("{names:?}: {cost:?}"),
        Err(what) => panic!("{names:?}: {what}"),
    }
}

fn mixtures(plans: &[Plan]) {
    let _alone = alone();
    let run = |seed| {
        let cost = hostile::mixture(reading, BOUNDS, seed, plans);
        let again = "to see it again: SEED=";
        cost.unwrap_or_else(|what| panic!("seed {seed}: {what}\n{again}{seed}"))
    };
    if let Some(seed) = number("SEED") {
        eprintln!("{:?}", run(seed));
        return;
    }
    for seed in 0..number("SEEDS").unwrap_or(SEEDS) {
        eprintln!("seed {seed}: {:?}", run(seed));
    }
}

#[test]
fn a_version_that_flips_is_no_harm_to_hosts() {
    survives(&["flipping versions"]);
}

#[test]
fn messages_that_name_nothing_cost_nothing() {
    survives(&["empty withdrawals"]);
}

#[test]
fn messages_that_name_nothing_cost_nothing_beside_many_invites() {
    survives(&["empty withdrawals beside invites"]);
}

#[test]
fn hosts_link_beside_a_hundred_thousand_plugins() {
    survives(&["large directories"]);
}

#[test]
fn names_that_come_and_go_are_no_harm_to_hosts() {
    survives(&["alternating names"]);
}

#[test]
fn requests_for_unknown_names_harm_no_other_peer() {
    survives(&["unknown names"]);
}

#[test]
fn made_up_tickets_take_no_tickets_from_others() {
    survives(&["made-up tickets"]);
}

#[test]
fn honest_requests_take_no_tickets_from_others() {
    survives(&["honest requests"]);
}

#[test]
fn half_prefaces_are_charged_to_their_link() {
    survives(&["half prefaces"]);
}

#[test]
fn channels_that_are_aborted_leave_nothing() {
    survives(&["aborted channels"]);
}

#[test]
fn relays_that_are_aborted_leave_nothing() {
    survives(&["aborted relays"]);
}

#[test]
fn invitations_in_answer_to_offers_leave_nothing() {
    survives(&["invitations in answer to offers"]);
}

#[test]
fn credit_a_byte_at_a_time_harms_no_other_peer() {
    survives(&["one-byte credits"]);
}

#[test]
fn a_peer_that_never_reads_harms_no_other() {
    survives(&["never reading"]);
}

#[test]
fn a_peer_that_links_over_and_over_fills_no_log() {
    survives(&["linking anew"]);
}

#[test]
fn a_host_may_register_and_withdraw_without_end() {
    survives(&["a host that registers and withdraws"]);
}

#[test]
fn a_host_without_rights_registers_nothing() {
    survives(&["a host that registers without rights"]);
}

#[test]
fn a_host_that_goes_while_it_is_greeted_leaves_nothing() {
    survives(&["a host that is gone while it is greeted"]);
}

#[test]
fn a_host_that_is_cut_while_it_registers_leaves_nothing() {
    survives(&["a host that is cut while it registers"]);
}

#[test]
fn a_host_that_is_cut_while_it_is_greeted_leaves_nothing() {
    survives(&["large directories", "a host that is gone while it is greeted"]);
}

#[test]
fn channels_that_a_host_aborts_are_no_harm_to_other_servers() {
    survives(&["channels aborted by a host"]);
}

#[test]
fn mixtures_of_all_attacks_harm_no_other_peer() {
    mixtures(ALL);
}
