//! The test harness.

pub mod binaries;
pub mod demo;
pub mod fixtures;
pub mod floods;
pub mod folder;
pub mod harness;
pub mod mesh;
pub mod netns;
pub mod old_peer;
pub mod played_link;
pub mod processes;
pub mod sim;
pub mod skip;
pub mod tap;
pub mod tidy;
