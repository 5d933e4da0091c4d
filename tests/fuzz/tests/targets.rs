//! Each fuzz target can be fuzzed, and has inputs that are replayed.

#![allow(clippy::expect_used)] // Helpers of tests may panic as well.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use trunkline_fuzz_targets::{TARGETS, Target};

/// All that is kept, in bytes: it is a part of each clone.
const CORPORA_MAX: u64 = 2 << 20;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// What is in a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

fn names(folder: &str) -> BTreeSet<String> {
    let stem = |path: &PathBuf| path.file_stem().expect("a name").to_string_lossy().into_owned();
    files(&fuzz().join(folder)).iter().map(stem).collect()
}

fn inputs(target: &Target) -> Vec<PathBuf> {
    files(&fuzz().join("corpus").join(target.name))
}

#[test]
fn each_target_can_be_fuzzed_and_has_inputs() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|target| target.name.into()).collect();
    assert_eq!(names("corpus"), targets, "folders of inputs");
    assert_eq!(names("fuzz_targets"), targets, "programs for libFuzzer");
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).expect("a manifest");
    for target in &targets {
        let program = format!("name = \"{target}\"\npath = \"fuzz_targets/{target}.rs\"");
        assert!(manifest.contains(&program), "fuzz/Cargo.toml has no [[bin]] for {target}");
    }
    let without = TARGETS.iter().find(|target| inputs(target).len() < 2);
    assert!(without.is_none(), "{without:?} has no inputs that could be replayed");
}

#[test]
fn the_inputs_are_small() {
    let size = |input: PathBuf| fs::metadata(input).expect("a file").len();
    let all: u64 = TARGETS.iter().flat_map(inputs).map(size).sum();
    assert!(all < CORPORA_MAX, "{all} bytes are kept, of at most {CORPORA_MAX}; minimize them");
}
