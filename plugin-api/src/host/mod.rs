//! The host's side: what a server needs to run plugins (feature `host`).
//!
//! A server implements [`HostApi`] once for each plugin that it runs, gets a [`Module`] from its
//! loader, and starts an [`Instance`] of it. Each callback of [`Plugin`](crate::Plugin) is a
//! method of the instance; each method of [`Host`](crate::Host) arrives at the `HostApi`.
//!
//! * All of it stays on one thread. A method of an instance takes `&mut self`, so that a running
//!   plugin cannot be entered again.
//! * No panic crosses, in either direction. A plugin's panic becomes a [`Failure`], after which its
//!   instance should be dropped; the server's own is reported to [`HostApi::host_panicked`].
//! * Log records of a plugin go to this process's logger, with the target `plugin::<name>`. Those
//!   from a plugin's own threads carry the name of its file.

mod api;
mod context;
mod failure;
mod instance;
mod log_target;
mod module;
mod table;

pub use crate::target::Place;
pub use api::{Callee, CalleePlace, HostApi, ShowOutcome};
pub use failure::{Failure, StartError};
pub use instance::Instance;
pub use module::Module;
