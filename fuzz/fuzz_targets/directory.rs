//! Drives the target `directory` of `tests/fuzz`.
#![no_main]

trunkline_fuzz::drive!("directory");
