//! Direct connections between processes: the unix sockets and ports on which a process listens.

use super::listening::Listening;
use super::reachable::expand;
use super::socket_folders::SocketFolders;
use crate::config::Advertise;
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;
use trunkline_core::address::{Address, Endpoint, Host, Scope, Shareable, Transform, Transport};
use trunkline_core::broker::Direct;
use trunkline_core::control::SocketName;
use trunkline_net::unix;

/// A younger socket of an earlier release may still be between `bind` and `listen`, which are two
/// calls in a row. It is not removed.
const BIND_TIME: Duration = Duration::from_secs(1);

/// The endpoint of another process's socket.
pub(super) fn endpoint(socket: &SocketName, folders: &SocketFolders) -> io::Result<Endpoint> {
    let path = folders.find(socket)?.display().to_string();
    Ok(Endpoint { transport: Transport::Unix { path }, transform: Transform::NoAuth })
}

/// Listens for direct connections where a plugin's configuration says so.
pub(super) fn listen(
    places: &[Advertise],
    listening: &mut Listening,
    folders: &SocketFolders,
) -> Result<Direct, String> {
    let mut direct = Direct::default();
    for place in places {
        match place {
            Advertise::Unix => {
                let socket = random_name();
                let path = folders.path_for_new(&socket).map_err(|error| error.to_string())?;
                if let Some(folder) = path.parent() {
                    unix::remove_dead(folder, BIND_TIME, |_| true);
                }
                let transport = Transport::Unix { path: path.display().to_string() };
                let endpoint = Endpoint { transport, transform: Transform::NoAuth };
                listening.open_direct(&endpoint)?;
                direct.socket = Some(socket);
            }
            Advertise::Net { host, port } => {
                let transport = Transport::Net { host: host.clone(), port: *port };
                let endpoint = Endpoint { transport, transform: Transform::ShsKnownKey };
                let bound = listening.open_direct(&endpoint)?;
                direct.loopback = direct.loopback.or_else(|| on_loopback(&bound));
                direct.net.extend(expand(&bound, &[]).iter().filter_map(shareable));
            }
        }
    }
    Ok(direct)
}

fn random_name() -> SocketName {
    let mut random = [0; 16];
    dryoc::rng::copy_randombytes(&mut random);
    SocketName::new(random)
}

/// The port, if 127.0.0.1 reaches it.
fn on_loopback(bound: &Endpoint) -> Option<u16> {
    match &bound.transport {
        Transport::Net { host: Host::V4(ip), port } => {
            (ip.is_unspecified() || *ip == Ipv4Addr::LOCALHOST).then_some(*port)
        }
        _ => None,
    }
}

/// The endpoint, if it means something on other machines too.
fn shareable(endpoint: &Endpoint) -> Option<Shareable> {
    endpoint.to_string().parse::<Address>().ok()?.shareable(Scope::Local)
}
