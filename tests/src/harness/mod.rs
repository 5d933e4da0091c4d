//! Real servers, and simulated peers that talk to them. It contains no test.

mod forwards;
mod host;
mod log;
mod peer;
mod process;
mod proxy;
mod raw_peer;
mod secured;
mod server;
mod setup;
mod socket;
mod status;

pub use forwards::{Forwards, free_port};
pub use host::HostSetup;
pub use log::Log;
pub use peer::{Chan, Peer, PeerEvent, request};
pub use process::{Process, wait_until};
pub use proxy::{Direction, Proxy, Recorded};
pub use raw_peer::RawPeer;
pub use secured::{Secured, fresh, key_of, message_3};
pub use server::{Server, run_to_its_end};
pub use setup::{NOBODY, Setup};
pub use socket::Socket;
pub use status::{ChannelInfo, LinkInfo, PluginInfo, ServerInfo, Status};

use std::time::Duration;
use trunkline_core::control::{Hello, PROTOCOL, Role};
use trunkline_core::key::Key;

/// The time after which a test fails: far longer than anything takes on a slow machine that others
/// use too.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The hello of a simulated server without plugins.
#[must_use]
pub fn hello(key: Key) -> Hello {
    Hello {
        protocol: PROTOCOL,
        role: Role::Server,
        key,
        name: format!("peer-{}", key.short()),
        machine: Key([0; 32]),
        plugins: Vec::new(),
        software: None,
        seen: None,
    }
}
