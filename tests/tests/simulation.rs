//! The simulation over many seeds. `SEEDS=n` sets their number, `SEED=x` runs only that one.

use std::sync::atomic::{AtomicU64, Ordering};
use trunkline_tests::sim::{self, Report};

/// Seeds of an ordinary run.
const SEEDS: u64 = 256;

/// Events that must have occurred at least once over the seeds; otherwise the simulation does not
/// test them.
const MUST_BE_SEEN: [&str; 98] = [
    "a channel cut",
    "a channel from a stranger",
    "a clock jump",
    "a cut",
    "a cut reported",
    "a cut with bytes in flight",
    "a failed dial",
    "a full pipe",
    "a join to itself",
    "a late answer",
    "a plugin restarted",
    "a plugin stopped",
    "a plugin's misuse",
    "a plugin's panic",
    "a refusal",
    "a relay",
    "a short write",
    "a silent peer",
    "a stranger",
    "a write before accept",
    "a write cut short",
    "abort",
    "an abort before the answer",
    "an end reported",
    "an open refused at once",
    "dialling each other",
    "garbage",
    "late credit",
    "one-byte reads",
    "reading stopped",
    "stop-read reported",
    "two links at once",
    "a window grew",
    "garbage on a secured link",
    "links that are closed if useless",
    "nothing in common",
    "secured links",
    "a channel between hosts of two servers",
    "a channel from a host to another server",
    "a channel from a host to its server",
    "a channel to a host",
    "a channel within a host",
    "a host started again",
    "half a cut",
    "a host cut",
    "a host killed",
    "a host restarted",
    "a host stopped",
    "a host that cannot be started",
    "a host without plugins",
    "a lost host reported",
    "a lost host reported by a relay",
    "a lost link reported by a relay",
    "a refused key",
    "a relay between hosts",
    "a silent host",
    "a taken name",
    "a caller admitted late",
    "a dial cancelled",
    "a direct channel over tcp",
    "a direct channel over unix",
    "a direct channel that was punched",
    "a direct connection that came too late",
    "a direct connection that failed",
    "a relay that won over a slow direct connection",
    "an unknown ticket that became known",
    "hole punching succeeded",
    "a link that a plugin closed",
    "a link that a plugin opened",
    "a link that could not be opened",
    "an explanation of a channel",
    "an offer",
    "an offer accepted",
    "an offer refused",
    "plugins that invite each other",
    "a direct connection cut",
    "a host killed between invitation and dial",
    "a silent direct connection",
    "a made-up ticket",
    "a used ticket",
    "an abort while the answer is in flight",
    "a call answered",
    "a call answered later",
    "a call answered twice",
    "a call at once",
    "a call cancelled",
    "a call lost",
    "a call past its deadline",
    "a call refused by a server",
    "a call refused by its callee",
    "a call without an answer",
    "a call within a call",
    "a channel of calls guessed",
    "a cancelled call reported",
    "a panic within a call",
    "too many calls",
    "a crowd of plugins",
    "a host that linked beside a crowd of plugins",
];

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number, it is {text:?}")))
}

/// Runs seeds until one fails; each thread takes the next free one.
fn run_all(seeds: u64) -> Result<Vec<Report>, String> {
    let next = AtomicU64::new(0);
    let work = || {
        let mut reports = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return Ok(reports);
            }
            let report = sim::run(seed);
            if report.is_err() {
                next.store(seeds, Ordering::Relaxed);
            }
            let again =
                || format!("to see it again: make sim SEED={seed}, or with TRACE=1 all of it");
            reports.push(report.map_err(|what| format!("{what}\n{}", again()))?);
        }
    };
    std::thread::scope(|scope| {
        let count = std::thread::available_parallelism().map_or(1, |count| count.get());
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
        let broken = |_| Err("the simulation itself panicked".to_string());
        let done = threads.into_iter().map(|thread| thread.join().unwrap_or_else(broken));
        let done: Result<Vec<Vec<Report>>, String> = done.collect();
        Ok(done?.into_iter().flatten().collect())
    })
}

#[test]
fn servers_keep_their_promises_whatever_happens() {
    if let Some(seed) = number("SEED") {
        let report = sim::run(seed).unwrap_or_else(|what| panic!("{what}"));
        println!("{report:#?}");
        return;
    }
    let seeds = number("SEEDS").unwrap_or(SEEDS);
    let reports = run_all(seeds).unwrap_or_else(|what| panic!("{what}"));
    let mut sum = Report::default();
    for report in reports {
        for (what, count) in report.seen {
            *sum.seen.entry(what).or_default() += count;
        }
        sum.streams += report.streams;
        sum.bytes += report.bytes;
        sum.turns += report.turns;
    }
    println!("{seeds} seeds: {sum:#?}");
    if seeds >= SEEDS {
        for what in MUST_BE_SEEN {
            assert!(sum.seen.contains_key(what), "over {seeds} seeds, this never happened: {what}");
        }
    }
}
