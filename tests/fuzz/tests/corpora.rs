//! What fuzzing has found once is tried again each time: the inputs in `fuzz/corpus`, on any
//! toolchain.

#![allow(clippy::expect_used)] // Helpers of tests may panic as well.

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use trunkline_fuzz_targets::{TARGETS, Target, memory};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes that are in use.
fn in_use() -> i64 {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated as i64 - stats.bytes_deallocated as i64
}

fn replay(target: &Target) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target.name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut inputs: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    inputs.sort();
    let fails = |input: &PathBuf| {
        let bytes = fs::read(input).expect("a file that can be read");
        catch_unwind(|| (target.run)(&bytes)).is_err()
    };
    inputs.into_iter().filter(fails).collect()
}

// One test, because what others allocate at the same time would be counted.
#[test]
fn every_kept_input_goes_well() {
    memory::measure(in_use);
    let failed: Vec<PathBuf> = TARGETS.iter().flat_map(replay).collect();
    assert!(failed.is_empty(), "these inputs do not go well, see above: {failed:#?}");
}
