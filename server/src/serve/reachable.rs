//! The addresses of a server: those it announces, or those on which it listens, with its key.

use if_addrs::{IfAddr, get_if_addrs};
use trunkline_core::address::{Endpoint, Host, Scope, Transform, Transport};
use trunkline_core::key::Key;

/// The addresses of a server with this key: those that its configuration announces, then those on
/// which it listens, the widest scope first. A listener on all interfaces gives one address for
/// each.
pub(super) fn addresses(announce: &[Endpoint], listening: &[Endpoint], key: Key) -> Vec<Endpoint> {
    let mut found: Vec<Endpoint> = announce.to_vec();
    let mut listened: Vec<Endpoint> =
        listening.iter().flat_map(|endpoint| expand(endpoint, listening)).collect();
    listened.sort_by_key(|endpoint| std::cmp::Reverse(endpoint.scope()));
    for endpoint in listened {
        // Announced addresses replace those on which others could dial the server.
        if announce.is_empty() || endpoint.scope() == Scope::Device {
            found.push(endpoint);
        }
    }
    for endpoint in &mut found {
        if endpoint.transform == Transform::ShsKnownKey {
            endpoint.transform = Transform::Shs(key);
        }
    }
    found
}

/// The endpoint itself, or, if it listens on all interfaces, one for each address of this machine.
/// IPv4 addresses belong to the IPv4 listener of the same port, if the process has one.
pub(super) fn expand(endpoint: &Endpoint, all: &[Endpoint]) -> Vec<Endpoint> {
    let Transport::Net { host, port } = &endpoint.transport else { return vec![endpoint.clone()] };
    let takes_v4 = |other: &Endpoint| match &other.transport {
        Transport::Net { host: Host::V4(_), port: theirs } => theirs == port,
        _ => false,
    };
    let (four, six) = match host {
        Host::V4(ip) if ip.is_unspecified() => (true, false),
        Host::V6(ip) if ip.is_unspecified() => (!all.iter().any(takes_v4), true),
        _ => return vec![endpoint.clone()],
    };
    let interfaces = get_if_addrs().unwrap_or_else(|error| {
        log::warn!("the addresses of this machine cannot be listed: {error}");
        Vec::new()
    });
    let hosts = interfaces.into_iter().filter_map(|interface| match interface.addr {
        IfAddr::V4(v4) if four => Some(Host::V4(v4.ip)),
        // Other machines cannot dial a link-local address without its interface.
        IfAddr::V6(v6) if six && !v6.ip.is_unicast_link_local() => Some(Host::V6(v6.ip)),
        IfAddr::V4(_) | IfAddr::V6(_) => None,
    });
    let at =
        |host| Endpoint { transport: Transport::Net { host, port: *port }, ..endpoint.clone() };
    hosts.map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_core::address::Address;

    const KEY: Key = Key([7; 32]);

    fn endpoints(text: &str) -> Vec<Endpoint> {
        text.parse::<Address>().unwrap().listen_endpoints().0
    }

    fn printed(announce: &str, listening: &str) -> Vec<String> {
        let announce = if announce.is_empty() { Vec::new() } else { endpoints(announce) };
        let found = addresses(&announce, &endpoints(listening), KEY);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn announced_addresses_replace_those_that_a_server_listens_on() {
        let listening = "unix:/run/a.sock;net:10.1.1.1:8008~shs";
        let own = format!("net:10.1.1.1:8008~shs:{KEY}");
        assert_eq!(printed("", listening), [own, "unix:/run/a.sock~noauth".into()]);
        let public = format!("net:alpha.example:8008~shs:{KEY}");
        let expected = [public, "unix:/run/a.sock~noauth".into()];
        assert_eq!(printed("net:alpha.example:8008", listening), expected);
    }

    #[test]
    fn a_listener_on_all_interfaces_has_an_address_for_each() {
        let found = printed("", "net:0.0.0.0:8008~shs");
        assert!(found.contains(&format!("net:127.0.0.1:8008~shs:{KEY}")), "{found:?}");
        assert!(found.iter().all(|address| !address.contains("0.0.0.0")), "{found:?}");
    }
}
