//! The scope of an endpoint: this machine, this network, or everywhere.

use super::{Endpoint, Host, Transport};
use core::net::{Ipv4Addr, Ipv6Addr};

/// The scope of an endpoint; a wider scope is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// This machine only: unix sockets, loopback, "any address", addresses on a named interface.
    Device,
    /// This network only: private, link-local and carrier-grade ranges, `.local` names.
    Local,
    /// Everywhere with internet; also every other name that has to be resolved.
    Public,
}

impl Endpoint {
    /// The scope of this endpoint.
    pub fn scope(&self) -> Scope {
        match &self.transport {
            Transport::Unix { .. } => Scope::Device,
            Transport::Net { host, .. } => host.scope(),
        }
    }
}

impl Host {
    /// The scope of this host.
    pub fn scope(&self) -> Scope {
        match self {
            Host::V4(v4) => v4_scope(*v4),
            Host::V6(v6) => v6_scope(*v6),
            // The name of an interface is valid on this machine only (RFC 4007, section 6).
            Host::V6Zone(..) => Scope::Device,
            Host::Name(name) if name.is("localhost") || name.is_below(".localhost") => {
                Scope::Device
            }
            Host::Name(name) if name.is_below(".local") => Scope::Local,
            Host::Name(_) => Scope::Public,
        }
    }
}

fn v4_scope(v4: Ipv4Addr) -> Scope {
    let [a, b, ..] = v4.octets();
    // 0.0.0.0/8 is "this machine" wherever it is dialled.
    if v4.is_loopback() || a == 0 {
        return Scope::Device;
    }
    let carrier_grade = a == 100 && (64..128).contains(&b);
    match v4.is_private() || v4.is_link_local() || carrier_grade {
        true => Scope::Local,
        false => Scope::Public,
    }
}

fn v6_scope(v6: Ipv6Addr) -> Scope {
    if let Some(v4) = v6.to_ipv4_mapped() {
        return v4_scope(v4);
    }
    if v6.is_loopback() || v6.is_unspecified() {
        return Scope::Device;
    }
    match v6.is_unicast_link_local() || v6.is_unique_local() {
        true => Scope::Local,
        false => Scope::Public,
    }
}
