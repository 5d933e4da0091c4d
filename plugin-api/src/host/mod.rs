//! The host's side: what a server needs to run plugins (feature `host`).
//!
//! A server implements [`HostApi`] once for each plugin that it runs, gets a [`Module`] from its
//! loader, and starts an [`Instance`] of it. Each callback of [`Plugin`](crate::Plugin) is a
//! method of the instance; each method of [`Host`](crate::Host) arrives at the `HostApi`.
//!
//! * All of it stays on one thread. A method of an instance takes `&mut self`, so that a plugin
//!   that is on the stack cannot be entered again.
//! * No panic crosses, in either direction. A plugin's becomes a [`Failure`], after which its
//!   instance should be dropped; the server's own is told to [`HostApi::host_panicked`].
//! * What a plugin records with `log` goes to this process's logger, with the target
//!   `plugin::<name>`; from a thread of the plugin's own, with the name that its file gives.

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
