//! Drives the target `calls` of `tests/fuzz`.
#![no_main]

trunkline_fuzz::drive!("calls");
