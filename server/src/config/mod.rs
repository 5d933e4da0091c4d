//! What a configuration file says, checked; nothing here starts, opens or makes anything.
//!
//! [`Config::load`] and [`HostConfig::load`] find all problems of a file at once, each with its
//! line. What only the plugin files themselves can tell is found by [`check`], which loads them.

mod addresses;
pub mod check;
mod file;
mod host;
mod identity;
mod json;
mod keys;
mod limits;
mod model;
mod peer;
mod plugin;
mod problem;
mod read;
mod server;
mod syntax;

pub(crate) use addresses::socket_path;
pub use model::{Blocked, Config, File, HostConfig, Loopback, Peer, PeerRole};
pub use model::{PluginConfig, Required};
pub use problem::Problem;
// What a configuration grants has one definition, in the core.
pub use trunkline_core::broker::{Accept, Advertise, Expose, Keep, Permission, Placement, Restart};
