//! How a channel's bytes travel, decided from the places of its two plugins.

use crate::key::Key;
use alloc::vec::Vec;
use minicbor::{Decode, Encode};

/// How a channel's bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Route {
    /// Both plugins are in one process.
    #[n(0)]
    Local,
    /// A unix socket between the processes of the two plugins.
    #[n(1)]
    Unix,
    /// A TCP connection between them.
    #[n(2)]
    Tcp,
    /// A TCP connection that both dial at the same moment, through the routers between them.
    #[n(3)]
    Punched,
    /// A stream of an existing link: of two servers, or of a host and its server.
    #[n(4)]
    Link,
    /// Streams of several links, joined by the servers between them.
    #[n(5)]
    Relay,
}

impl Route {
    /// All routes.
    pub const ALL: [Route; 6] =
        [Route::Local, Route::Unix, Route::Tcp, Route::Punched, Route::Link, Route::Relay];

    /// The word for it in logs and `status`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Route::Local => "local",
            Route::Unix => "unix",
            Route::Tcp => "tcp",
            Route::Punched => "punched",
            Route::Link => "link",
            Route::Relay => "relay",
        }
    }

    /// Whether the two processes get a connection of their own.
    pub const fn is_direct(self) -> bool {
        matches!(self, Route::Unix | Route::Tcp | Route::Punched)
    }
}

/// The place of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The plugin's server.
    pub server: Key,
    /// The machine of that server.
    pub server_machine: Key,
    /// The process that the plugin runs in. For an inline plugin, the server's own key.
    pub process: Key,
    /// The machine of that process.
    pub machine: Key,
    /// How the process can be reached directly.
    pub reach: Reach,
}

/// How a process can be reached directly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// The plugin advertises a unix socket.
    pub unix: bool,
    /// The plugin advertises a `net` address that is valid on other machines.
    pub net: bool,
    /// The plugin advertises a port on loopback, and its server is sure that its process is on the
    /// same machine.
    pub loopback: bool,
    /// The process has a TCP link, whose other end sees an address of it.
    pub seen: bool,
}

impl Place {
    fn is_inline(&self) -> bool {
        self.process == self.server
    }

    fn is_at_home(&self) -> bool {
        self.machine == self.server_machine
    }
}

/// The routes from the plugin at `a`, which opens a channel, to the one at `b`, in the order of the
/// attempts. The last one works as long as the links do.
pub fn routes(a: &Place, b: &Place) -> Vec<Route> {
    if a.process == b.process {
        return [Route::Local].to_vec();
    }
    let one_server = a.server == b.server;
    let at_home = a.is_at_home() && b.is_at_home();
    if !one_server && at_home {
        return [Route::Link].to_vec();
    }
    let one_machine = a.machine == b.machine;
    let one_link = one_server && (a.is_inline() || b.is_inline());
    let mut routes = Vec::new();
    if one_machine && b.reach.unix {
        routes.push(Route::Unix);
    }
    if !(one_link || one_server && at_home) {
        routes.extend(b.reach.net.then_some(Route::Tcp));
        routes.extend((!one_machine && a.reach.seen && b.reach.seen).then_some(Route::Punched));
    } else if !one_link && !b.reach.unix && b.reach.loopback {
        routes.push(Route::Tcp);
    }
    routes.push(if one_link { Route::Link } else { Route::Relay });
    routes
}

#[cfg(test)]
mod tests {
    use super::*;
    use Route::{Link, Local, Punched, Relay, Tcp, Unix};

    const ALL: Reach = Reach { unix: true, net: true, loopback: true, seen: true };
    const NOTHING: Reach = Reach { unix: false, net: false, loopback: false, seen: false };
    const LOOPBACK: Reach = Reach { loopback: true, ..NOTHING };

    /// A plugin of the server with this number and machine, in a process on a machine.
    fn at(server: (u8, u8), process: u8, machine: u8, reach: Reach) -> Place {
        Place {
            server: Key([server.0; 32]),
            server_machine: Key([server.1; 32]),
            process: Key([process; 32]),
            machine: Key([machine; 32]),
            reach,
        }
    }

    #[test]
    fn the_table_of_routes() {
        // Server 1 on machine 1, server 2 on machine 2; processes 11, 12 ... are hosts.
        let (one, two) = ((1, 1), (2, 2));
        let table: [(&str, Place, Place, &[Route]); 16] = [
            ("inline", at(one, 1, 1, ALL), at(one, 1, 1, ALL), &[Local]),
            ("one host", at(one, 11, 3, ALL), at(one, 11, 3, ALL), &[Local]),
            (
                "two hosts beside their server",
                at(one, 11, 1, ALL),
                at(one, 12, 1, ALL),
                &[Unix, Relay],
            ),
            (
                "two hosts beside it, TCP only",
                at(one, 11, 1, ALL),
                at(one, 12, 1, LOOPBACK),
                &[Tcp, Relay],
            ),
            (
                "loopback of another machine",
                at(one, 11, 3, ALL),
                at(one, 12, 4, LOOPBACK),
                &[Relay],
            ),
            ("without sockets", at(one, 11, 1, ALL), at(one, 12, 1, NOTHING), &[Relay]),
            ("inline and a host", at(one, 1, 1, NOTHING), at(one, 11, 1, ALL), &[Unix, Link]),
            ("a host and inline", at(one, 11, 1, NOTHING), at(one, 1, 1, NOTHING), &[Link]),
            ("inline and a host elsewhere", at(one, 1, 1, ALL), at(one, 11, 3, ALL), &[Link]),
            ("two servers", at(one, 1, 1, ALL), at(two, 2, 2, ALL), &[Link]),
            ("two servers, hosts beside them", at(one, 11, 1, ALL), at(two, 12, 2, ALL), &[Link]),
            (
                "one machine, its server elsewhere",
                at(one, 11, 3, ALL),
                at(one, 12, 3, ALL),
                &[Unix, Tcp, Relay],
            ),
            (
                "one machine, two servers elsewhere",
                at(one, 11, 3, ALL),
                at(two, 12, 3, ALL),
                &[Unix, Tcp, Relay],
            ),
            (
                "two machines of one server",
                at(one, 11, 3, ALL),
                at(one, 12, 4, ALL),
                &[Tcp, Punched, Relay],
            ),
            (
                "behind routers",
                at(one, 11, 3, ALL),
                at(two, 12, 4, Reach { net: false, ..ALL }),
                &[Punched, Relay],
            ),
            ("nothing advertised", at(one, 11, 3, ALL), at(two, 2, 2, NOTHING), &[Relay]),
        ];
        for (what, a, b, expected) in table {
            assert_eq!(routes(&a, &b), expected, "{what}");
        }
    }

    #[test]
    fn the_last_route_never_depends_on_advertised_addresses() {
        let reaches = [NOTHING, ALL, Reach { unix: true, ..NOTHING }];
        for (server, machine, reach) in
            (1..=2).flat_map(|s| (1..=3).flat_map(move |m| reaches.map(|r| (s, m, r))))
        {
            let a = at((1, 1), 11, 3, ALL);
            let b = at((server, server), 12, machine, reach);
            let last = routes(&a, &b).last().copied();
            assert!(last.is_some_and(|route| !route.is_direct()), "{a:?} to {b:?}: {last:?}");
        }
    }
}
