//! Reads and checks configuration files. Nothing here starts, opens or creates anything.
//!
//! [`Config::load`] and [`HostConfig::load`] find all problems of a file at once, each with its
//! line. [`check`] also loads the plugin files and finds the problems that only these show.

mod addresses;
pub mod check;
mod confine;
mod file;
mod host;
mod identity;
mod json;
mod keys;
mod limits;
mod logging;
mod model;
mod peer;
mod plugin;
mod problem;
mod read;
mod server;
mod syntax;

pub(crate) use addresses::socket_path;
pub use logging::{LogConfig, LogFormat, LogTarget};
pub use model::{Blocked, Config, File, HostConfig, Loopback, Peer, PeerRole};
pub use model::{Confine, Network, PluginConfig, Required, Writable};
pub use problem::Problem;
// These are defined once, in the core.
pub use trunkline_core::broker::{Accept, Advertise, Expose, Keep, Permission, Placement, Restart};
