//! The socket on which a host that a server started shows its own status. Its name is new at each
//! start, because a process that the last host left behind may hold the last one.

use std::path::Path;
use std::time::Duration;
use trunkline_core::address::{Endpoint, Transform, Transport};

/// Characters of a name that differ at each start.
const RANDOM: usize = 8;

/// The socket for the next start of a host. `None` if its path would be too long.
pub(super) fn new(state: &Path, host: &str) -> Option<Endpoint> {
    let mut random = [0; RANDOM / 2];
    dryoc::rng::copy_randombytes(&mut random);
    let name = format!("{host}.{:08x}.sock", u32::from_be_bytes(random));
    let transport = crate::config::socket_path(state, &name).ok()?;
    Some(Endpoint { transport, transform: Transform::NoAuth })
}

/// Removes the sockets of earlier starts of this host on which no process listens.
pub(super) fn remove_dead(socket: &Endpoint) {
    let Transport::Unix { path } = &socket.transport else { return };
    let path = Path::new(path);
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return };
    let Some(host) = name.to_str().and_then(host_of) else { return };
    trunkline_net::unix::remove_dead(folder, Duration::ZERO, |name| host_of(name) == Some(host));
}

/// The host whose socket has this name.
fn host_of(name: &str) -> Option<&str> {
    let (host, random) = name.strip_suffix(".sock")?.rsplit_once('.')?;
    let is_random = random.len() == RANDOM && random.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_random.then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_names_its_host_and_differs_at_each_start() {
        let socket = |host| new(Path::new("/s"), host).expect("a short path").to_string();
        let name = |host| socket(host).replace("unix:/s/", "").replace("~noauth", "");
        assert_ne!(name("echo"), name("echo"));
        for host in ["echo", "echo.two", "echo.0123abcd"] {
            assert_eq!(host_of(&name(host)), Some(host));
        }
        for other in ["echo.sock", "echo.0123abcd", "echo.0123abc.sock", "echo.0123abcx.sock"] {
            assert_eq!(host_of(other), None, "{other}");
        }
        assert!(new(Path::new(&"/s".repeat(60)), "echo").is_none(), "its path is too long");
    }
}
