//! What the programs in `fuzz_targets` have in common: libFuzzer, and an allocator that counts.

pub use libfuzzer_sys;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes that are in use.
pub fn in_use() -> i64 {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated as i64 - stats.bytes_deallocated as i64
}

/// Drives a target, by its name.
#[macro_export]
macro_rules! drive {
    ($name:literal) => {
        $crate::libfuzzer_sys::fuzz_target!(
            init: trunkline_fuzz_targets::memory::measure($crate::in_use),
            |data: &[u8]| trunkline_fuzz_targets::run($name, data)
        );
    };
}
