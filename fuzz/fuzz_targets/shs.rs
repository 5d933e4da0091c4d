//! Drives the target `shs` of `tests/fuzz`.
#![no_main]

trunkline_fuzz::drive!("shs");
