//! What is fuzzed: each target takes bytes and panics where something does not hold that has to.
//!
//! `fuzz/` drives the targets with libFuzzer, on a nightly toolchain; `tests/corpora.rs`
//! replays the inputs that are kept in `fuzz/corpus`, on any. Nothing here decides by chance or by
//! the clock: the same input does the same.
//!
//! To add a target: a module with a `run` function, a row in [`TARGETS`], a file in
//! `fuzz/fuzz_targets` with its `[[bin]]`, and a folder in `fuzz/corpus`. A test compares these.

#![allow(clippy::expect_used)] // A panic is how a target says what does not hold.

mod addresses;
mod broker;
mod bymux;
mod calls;
mod config;
mod control;
mod directory;
mod elf;
pub mod memory;
mod script;
mod shs;
mod words;

use script::Script;

/// Something that is fuzzed.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, for `make fuzz TARGET=name` and the folder of its inputs.
    pub name: &'static str,
    /// Does with an input what has to go well.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "addresses", run: addresses::run },
    Target { name: "broker", run: broker::run },
    Target { name: "bymux", run: bymux::run },
    Target { name: "calls", run: calls::run },
    Target { name: "config", run: config::run },
    Target { name: "control", run: control::run },
    Target { name: "directory", run: directory::run },
    Target { name: "elf", run: elf::run },
    Target { name: "shs", run: shs::run },
];

/// Runs one target.
///
/// # Panics
/// When there is none of this name, or something does not hold.
pub fn run(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.unwrap_or_else(|| panic!("there is no target {name}")).run)(input);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The longest input, in bytes.
    const LONGEST: usize = 1024;

    /// Inputs for each target.
    const INPUTS: u64 = 200;

    /// A small generator (xorshift64*), so that a failure can be repeated.
    fn noise(seed: u64, longest: usize) -> Vec<u8> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
        };
        let length = next() as usize % longest;
        (0..length).map(|_| next() as u8).collect()
    }

    #[test]
    fn every_target_takes_noise() {
        let first = std::env::var("NOISE").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        for target in TARGETS {
            for seed in first..first + INPUTS {
                let input = noise(seed, LONGEST);
                let went_well = std::panic::catch_unwind(|| (target.run)(&input)).is_ok();
                assert!(went_well, "{} fails at seed {seed}: {input:02x?}", target.name);
            }
        }
    }

    #[test]
    #[should_panic(expected = "there is no target")]
    fn a_target_that_there_is_not_is_named() {
        run("nothing", b"");
    }
}
