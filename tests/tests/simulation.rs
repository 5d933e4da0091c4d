//! The simulation over many seeds: `SEEDS=n` says how many, `SEED=x` runs that one alone.

use std::collections::BTreeMap;
use trunkline_tests::sim;

/// Seeds of an ordinary run.
const SEEDS: u64 = 256;

/// What must have happened at least once over the seeds, or the simulation has lost its teeth.
const MUST_BE_SEEN: [&str; 33] = [
    "a channel cut",
    "a channel from a stranger",
    "a clock jump",
    "a cut",
    "a cut told",
    "a cut with bytes under way",
    "a failed dial",
    "a full pipe",
    "a join to itself",
    "a late answer",
    "a plugin came back",
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
    "an end told",
    "an open refused at once",
    "dialling each other",
    "garbage",
    "late credit",
    "one-byte reads",
    "reading stopped",
    "stop-read told",
    "two links at once",
    "a window grew",
];

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number, it is {text:?}")))
}

#[test]
fn servers_keep_their_promises_whatever_happens() {
    if let Some(seed) = number("SEED") {
        let report = sim::run(seed).unwrap_or_else(|what| panic!("{what}"));
        println!("{report:#?}");
        return;
    }
    let seeds = number("SEEDS").unwrap_or(SEEDS);
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut streams, mut bytes) = (0, 0);
    for seed in 0..seeds {
        let report = sim::run(seed)
            .unwrap_or_else(|what| panic!("{what}\nto see it again: make sim SEED={seed}"));
        for (what, count) in report.seen {
            *seen.entry(what).or_default() += count;
        }
        streams += report.streams;
        bytes += report.bytes;
    }
    println!("{seeds} seeds, {streams} streams, {bytes} bytes checked: {seen:#?}");
    if seeds >= SEEDS {
        for what in MUST_BE_SEEN {
            assert!(seen.contains_key(what), "over {seeds} seeds, this never happened: {what}");
        }
    }
}
