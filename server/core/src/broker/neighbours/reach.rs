//! Where the processes of this server are, as others can be told it.

use super::Neighbours;
use crate::address::{Address, Endpoint, Host, Scope, Transform, Transport};
use crate::control::Addresses;
use crate::ids::ConnId;
use crate::key::Key;
use alloc::string::ToString;
use core::net::SocketAddr;

impl Neighbours {
    /// The key of this process, and its machine.
    pub(crate) fn own_process(&self) -> (Key, Key) {
        (self.own_key, self.own_machine)
    }

    /// The address from which a connection came, as others can be told it.
    pub(crate) fn seen(&self, id: ConnId) -> Option<Addresses> {
        seen(self.conn(id)?.from?)
    }
}

/// An address that a peer was seen at, if it means something elsewhere.
fn seen(from: SocketAddr) -> Option<Addresses> {
    let host = match from {
        SocketAddr::V4(v4) => Host::V4(*v4.ip()),
        SocketAddr::V6(v6) => Host::V6(*v6.ip()),
    };
    let transport = Transport::Net { host, port: from.port() };
    let endpoint = Endpoint { transport, transform: Transform::ShsKnownKey };
    let address: Address = endpoint.to_string().parse().ok()?;
    address.shareable(Scope::Local).map(|address| Addresses([address].to_vec()))
}
