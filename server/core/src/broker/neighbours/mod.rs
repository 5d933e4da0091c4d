//! Neighbours: peers and the links to them, hosts, and the server of a host.

pub(crate) mod children;
pub(crate) mod connections;
pub(crate) mod ending;
pub(crate) mod greeting;
pub(crate) mod peer_links;
pub(crate) mod peers;
pub(crate) mod proving;
pub(crate) mod uplink;
pub(crate) mod usefulness;
