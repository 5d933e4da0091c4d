//! Drives the target `config` of `tests/fuzz`.
#![no_main]

trunkline_fuzz::drive!("config");
