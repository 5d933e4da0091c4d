//! Direct connections between processes: the folder of their unix sockets, and the ports where a
//! process takes them.

use super::listening::Listening;
use super::reachable::expand;
use crate::config::Advertise;
use std::fs::DirBuilder;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use trunkline_core::address::{Address, Endpoint, Host, Scope, Shareable, Transform, Transport};
use trunkline_core::broker::Direct;
use trunkline_core::control::SocketName;

/// A socket that is older has a listener, or never will have one.
const SETTLED: Duration = Duration::from_secs(60);

/// The folder in which all processes of this user on this machine have their sockets. No message
/// names a path: so nobody can make us dial any other socket.
pub(super) fn folder() -> io::Result<PathBuf> {
    let user = rustix::process::geteuid();
    let runtime = PathBuf::from(format!("/run/user/{}", user.as_raw()));
    let folder = match is_ours(&runtime) {
        true => runtime.join("trunkline"),
        false => std::env::temp_dir().join(format!("trunkline-{}", user.as_raw())),
    };
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let metadata = std::fs::symlink_metadata(&folder)?;
    if !is_ours(&folder) || metadata.mode() & 0o077 != 0 {
        let text = format!("{}: others may write there; remove it", folder.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    Ok(folder)
}

/// The path of a socket.
fn path(socket: &SocketName) -> io::Result<PathBuf> {
    Ok(folder()?.join(socket.as_str()))
}

/// Where to dial a socket.
pub(super) fn endpoint(socket: &SocketName) -> io::Result<Endpoint> {
    let path = path(socket)?.display().to_string();
    Ok(Endpoint { transport: Transport::Unix { path }, transform: Transform::NoAuth })
}

fn is_ours(folder: &Path) -> bool {
    let metadata = std::fs::symlink_metadata(folder);
    metadata.is_ok_and(|m| m.is_dir() && m.uid() == rustix::process::geteuid().as_raw())
}

/// Takes direct connections where a plugin's configuration says so.
pub(super) fn listen(places: &[Advertise], listening: &mut Listening) -> Result<Direct, String> {
    let mut direct = Direct::default();
    for place in places {
        match place {
            Advertise::Unix => {
                let socket = random_name();
                let path = path(&socket).map_err(|error| error.to_string())?;
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
        let connected = || std::os::unix::net::UnixStream::connect(&file);
        let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        if age > SETTLED && connected().is_err_and(refused) {
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
