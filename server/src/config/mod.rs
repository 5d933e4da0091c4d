//! What a configuration file says, checked; nothing here starts, opens or makes anything.
//!
//! [`Config::load`] finds all problems of a file at once, each with its line. What only the plugin
//! files themselves can tell is found by [`check`], which loads them.

mod addresses;
pub mod check;
mod json;
mod limits;
mod model;
mod peer;
mod plugin;
mod problem;
mod read;
mod server;
mod syntax;

pub use model::{Accept, Config, Expose, Loopback, Peer, PluginConfig, Required};
pub use problem::Problem;
