//! Ping: measures round trips and throughput to a plugin that echoes, such as `echo`.
//!
//! It opens one channel to each server that has the plugin, as soon as the plugin appears there. A
//! run is `count` round trips of `size` bytes, one after another, and then `bulk-mib` MiB there and
//! back as fast as the channel takes them. Each byte that comes back is checked. A finished run is
//! one line in the log, at the level `info`:
//!
//! ```text
//! ping echo@beta: 1000 round trips of 64 bytes, p50 31.4 us, p99 58.2 us, 913.7 MB/s over 64 MiB
//! ```
//!
//! After its last run the channel stays open, so that `trunkline status` shows it.

mod config;
mod pattern;
mod ping;
mod report;
mod run;
mod session;

trunkline_plugin::export_plugin!(ping::Ping);
