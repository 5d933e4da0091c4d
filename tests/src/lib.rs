//! The harness.

pub mod binaries;
pub mod fixtures;
pub mod folder;
