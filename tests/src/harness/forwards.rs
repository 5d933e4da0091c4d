//! Two linked servers with the plugin `forward`: a port of the one leads to a service at the other.

// A test whose servers do not start must fail.
#![allow(clippy::expect_used)]

use super::{PATIENCE, Server, Setup, Status};
use crate::binaries::plugin;
use crate::folder::Folder;
use crate::netns::Machine;
use std::net::{SocketAddr, TcpListener, TcpStream};

/// Where alpha's `forward` listens, unless the test says otherwise.
const ANY_PORT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Both servers, which know each other's `forward`.
#[derive(Debug)]
pub struct Forwards {
    /// Its `forward` listens.
    pub alpha: Server,
    /// Its `forward` serves the service `web`.
    pub beta: Server,
    /// Where alpha's listens.
    pub at: SocketAddr,
}

impl Forwards {
    /// Starts both, for the service at this address.
    ///
    /// # Panics
    ///
    /// When they do not become ready, or are not linked, in time.
    #[must_use]
    pub fn start(folder: &Folder, machine: Option<&Machine>, web: SocketAddr) -> Forwards {
        Forwards::listening(folder, machine, web, ANY_PORT)
    }

    /// As above; alpha's `forward` listens at this address.
    ///
    /// # Panics
    ///
    /// As above.
    #[must_use]
    pub fn listening(
        folder: &Folder,
        machine: Option<&Machine>,
        web: SocketAddr,
        listens: SocketAddr,
    ) -> Forwards {
        let start = |setup: &Setup| match machine {
            Some(machine) => Server::start_on(machine, folder, setup),
            None => Server::start(folder, setup),
        };
        let listen = format!("[[plugin.config.listen]]\naddress = \"{listens}\"\nto = \"web\"");
        let dials = Setup::new("beta");
        // It has the same port when it is started again, so that beta finds it.
        let accepts = Setup::new("alpha").listen(&format!("net:{}~shs", free_port()));
        let accepts = accepts.peer_key(dials.key_in(folder));
        let alpha = start(&accepts.plugin(&plugin("forward"), &listen));
        let serve = format!("[plugin.config.serve]\nweb = \"{web}\"");
        let dials = dials.peer_with(alpha.key(), alpha.tcp_address());
        let beta = start(&dials.plugin(&plugin("forward"), &serve));
        alpha.wait_until("both servers know both plugins", knows_both);
        let line = alpha.log().wait_for(0, " for web");
        let text = line.split("listening on ").nth(1).and_then(|rest| rest.split(' ').next());
        let at = text.and_then(|text| text.parse().ok()).expect("the line names an address");
        Forwards { alpha, beta, at }
    }

    /// A client, whose reads and writes end in time.
    ///
    /// # Panics
    ///
    /// When nothing listens.
    #[must_use]
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.at).expect("forward listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time-out");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket takes a time-out");
        stream
    }
}

/// A port of loopback that is free now.
///
/// # Panics
///
/// When there is none.
#[must_use]
pub fn free_port() -> SocketAddr {
    let listener = TcpListener::bind(ANY_PORT).expect("a port of loopback");
    listener.local_addr().expect("a listener has an address")
}

fn knows_both(status: &Status) -> bool {
    status.plugins.iter().filter(|plugin| plugin.name == "forward").count() == 2
}
