//! Drives the target `control` of `tests/fuzz`.
#![no_main]

trunkline_fuzz::drive!("control");
