//! Drives the target `addresses` of `tests/fuzz`.
#![no_main]

trunkline_fuzz::drive!("addresses");
