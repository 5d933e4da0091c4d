//! Drives the target `elf` of `tests/fuzz`.
#![no_main]

trunkline_fuzz::drive!("elf");
