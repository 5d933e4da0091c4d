//! Drives the target `bymux` of `tests/fuzz`.
#![no_main]

trunkline_fuzz::drive!("bymux");
