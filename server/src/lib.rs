//! The shell around the broker: the only place with sockets, clocks, files and signals.

pub mod cli;
pub mod config;
mod confine;
mod inherited;
pub mod key;
pub mod loader;
mod log;
mod other_side;
mod ownership;
mod secret_page;
mod serve;
