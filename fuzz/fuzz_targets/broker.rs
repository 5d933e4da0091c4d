//! Drives the target `broker` of `tests/fuzz`.
#![no_main]

trunkline_fuzz::drive!("broker");
