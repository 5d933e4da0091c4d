//! What a Trunkline plugin needs: the trait [`Plugin`], the [`Host`] handle and [`export_plugin!`].
//!
//! A plugin is a plain Rust type in a `cdylib` crate that depends on this crate alone. The ABI
//! below it is stable: a plugin built against 1.a loads in every server of 1.b, older or newer,
//! whatever compiler built either of them.
//!
//! # A whole plugin
//!
//! ```
//! use trunkline_plugin::prelude::*;
//!
//! /// Gives back whatever it is sent.
//! struct Echo;
//!
//! impl Plugin for Echo {
//!     const ABOUT: About = About::new("echo", 1);
//!
//!     fn start(_host: &Host, _config: Config) -> Result<Self, Reason> {
//!         Ok(Echo)
//!     }
//!
//!     fn open(&mut self, host: &Host, channel: Channel, caller: &Caller) -> Answer {
//!         log::debug!("echoing for {} {}", caller.name, caller.version);
//!         host.join(channel, channel);
//!         Answer::Accept
//!     }
//! }
//!
//! trunkline_plugin::export_plugin!(Echo);
//! # fn main() {}
//! ```
//!
//! # The contract in six sentences
//!
//! * All callbacks of one plugin run on one thread, its host loop, one at a time, and are never
//!   entered again while one is on the stack: a callback must return soon and must not block.
//! * What [`Plugin::write`] has returned from is consumed, and its credit goes back to the sender;
//!   a plugin that holds bytes back says so with [`Host::hold`].
//! * [`Host::write`] tells how many bytes it took, and [`Plugin::credit`] tells when there is room
//!   for more.
//! * [`Host::call`] gives the outcome of a call when the callee runs in the same process, and else
//!   says which call [`Plugin::reply`] will tell about; each has one outcome.
//! * A panic marks the plugin as failed and closes its channels; the server goes on.
//! * What the `log` macros record reaches the server's log under the target `plugin::<name>`.

#[doc(hidden)]
pub mod abi;
mod about;
mod call;
mod channel;
mod config;
mod directory;
mod export;
mod guard;
#[cfg(feature = "host")]
pub mod host;
mod host_handle;
mod log_forward;
mod panic_hook;
mod plugin;
mod reach;
mod readiness;
mod reason;
mod target;
mod views;
mod waker;

pub use about::{About, Use};
pub use call::{Called, Unanswered};
pub use channel::{Call, Channel, Timer, Watch};
pub use config::Config;
pub use directory::{Caller, Change, Entry, Key, Link, LinkChange, Server};
pub use host_handle::Host;
pub use log;
pub use plugin::{Answer, Plugin};
pub use reach::Reach;
pub use readiness::{Interest, Readiness};
pub use reason::{By, Reason};
pub use serde;
pub use target::{Place, Target};
pub use waker::Waker;

/// Everything that a plugin's file names, for one `use` line.
pub mod prelude {
    pub use crate::{
        About, Answer, By, Call, Called, Caller, Change, Channel, Config, Entry, Host, Interest,
        Key, Link, LinkChange, Plugin, Reach, Readiness, Reason, Server, Target, Timer, Unanswered,
        Waker, Watch, log, serde,
    };
}

/// What [`export_plugin!`] expands to; not for use by hand.
#[doc(hidden)]
pub mod __private {
    pub use crate::abi::{Header, header};
    pub use crate::export::Export;
}

/// Makes a type that implements [`Plugin`] the plugin of this `cdylib`.
///
/// It stands once in a crate, at the end of its `lib.rs`, as in the
/// [example](crate#a-whole-plugin).
#[macro_export]
macro_rules! export_plugin {
    ($plugin:ty) => {
        // The name is the one that `abi_stable` looks for; a test of this crate holds it.
        #[doc(hidden)]
        #[unsafe(no_mangle)]
        pub static _1as_0lib_1header_0root_bmodule_bloader: $crate::__private::Header =
            $crate::__private::header::<$crate::__private::Export<$plugin>>();
    };
}
