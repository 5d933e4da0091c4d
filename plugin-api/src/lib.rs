//! What a Trunkline plugin needs: the trait [`Plugin`], the [`Host`] handle and [`export_plugin!`].
//!
//! A plugin is a plain Rust type in a `cdylib` crate whose only dependency for Trunkline is this
//! crate. The ABI below it is stable: a plugin built against any 1.x loads in any 1.y server, older
//! or newer, whichever compiler built the two.
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
//! * All callbacks of one plugin run on one thread, its host loop, one at a time, and never while
//!   one of them is on the stack. A callback must return soon and must not block.
//! * Bytes count as consumed when [`Plugin::write`] returns, and their credit goes back to the
//!   sender. A plugin that holds bytes back calls [`Host::hold`].
//! * [`Host::write`] returns how many bytes it took, and [`Plugin::credit`] is called when there is
//!   room for more.
//! * [`Host::call`] returns the outcome of a call if the callee runs in the same process, and
//!   otherwise the call whose outcome [`Plugin::reply`] receives. Each call has one outcome.
//! * A panic marks the plugin as failed and closes its channels; the server goes on.
//! * Records of the `log` macros reach the server's log under the target `plugin::<name>`.

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

/// Everything that a plugin's file uses, in one `use` line.
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
/// Write it once in a crate, at the end of `lib.rs`, as in the [example](crate#a-whole-plugin).
#[macro_export]
macro_rules! export_plugin {
    ($plugin:ty) => {
        // The name is the one that `abi_stable` looks for; a test of this crate compares them.
        #[doc(hidden)]
        #[unsafe(no_mangle)]
        pub static _1as_0lib_1header_0root_bmodule_bloader: $crate::__private::Header =
            $crate::__private::header::<$crate::__private::Export<$plugin>>();
    };
}
