//! Direct connections between processes: the unix sockets and the ports where a process takes them.

use super::listening::Listening;
use super::reachable::expand;
use super::socket::Stream;
use super::socket_folders::SocketFolders;
use crate::config::Advertise;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;
use trunkline_core::address::{Address, Endpoint, Host, Scope, Shareable, Transform, Transport};
use trunkline_core::broker::Direct;
use trunkline_core::control::SocketName;

/// A socket that is older has a listener, or never will have one.
const SETTLED: Duration = Duration::from_secs(60);

/// Where to dial a socket.
pub(super) fn endpoint(socket: &SocketName, folders: &SocketFolders) -> io::Result<Endpoint> {
    let path = folders.find(socket)?.display().to_string();
    Ok(Endpoint { transport: Transport::Unix { path }, transform: Transform::NoAuth })
}

/// Takes direct connections where a plugin's configuration says so.
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
                let path = folders.place(&socket).map_err(|error| error.to_string())?;
                remove_dead_sockets(&path);
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
                direct.net.extend(expand(&bound).iter().filter_map(shareable));
            }
        }
    }
    Ok(direct)
}

/// Removes the sockets beside this one that processes left which were killed.
fn remove_dead_sockets(path: &Path) {
    let Some(Ok(entries)) = path.parent().map(std::fs::read_dir) else { return };
    for file in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        let made = std::fs::symlink_metadata(&file).and_then(|metadata| metadata.modified());
        let age = made.ok().and_then(|made| made.elapsed().ok()).unwrap_or_default();
        // A listener whose queue is full must not hold us up: it refuses nothing, and is alive.
        let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        if age > SETTLED && Stream::dial_unix(&file).is_err_and(refused) {
            // Somebody else may have removed it.
            let _ = std::fs::remove_file(&file);
        }
    }
}

fn random_name() -> SocketName {
    let mut random = [0; 16];
    dryoc::rng::copy_randombytes(&mut random);
    SocketName::new(random)
}

/// The port, if it can be reached on 127.0.0.1.
fn on_loopback(bound: &Endpoint) -> Option<u16> {
    match &bound.transport {
        Transport::Net { host: Host::V4(ip), port } => {
            (ip.is_unspecified() || *ip == Ipv4Addr::LOCALHOST).then_some(*port)
        }
        _ => None,
    }
}

/// An endpoint as other machines may be told it; not one that means something on this one only.
fn shareable(endpoint: &Endpoint) -> Option<Shareable> {
    endpoint.to_string().parse::<Address>().ok()?.shareable(Scope::Local)
}
