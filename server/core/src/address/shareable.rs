//! Addresses that may be sent to another machine: the only ones that a message can hold.

use super::{Address, Endpoint, Scope, Transform};
use alloc::vec::Vec;
use core::fmt;
use minicbor::{Decode, Decoder, Encode, Encoder};

/// An address for other machines: each alternate is supported, reaches beyond this machine and
/// requires keys.
///
/// It can only be made by [`Address::shareable`], and is the only address that can be encoded:
/// ```
/// # use trunkline_core::address::{Address, Scope};
/// let address: Address = "unix:/run/a.sock;net:192.168.1.2:8008~shs".parse().unwrap();
/// let shareable = address.shareable(Scope::Local).unwrap();
/// assert_eq!(shareable.to_string(), "net:192.168.1.2:8008~shs");
/// minicbor::to_vec(&shareable).unwrap();
/// ```
/// One that was not filtered does not compile:
/// ```compile_fail
/// # use trunkline_core::address::{Address, Scope};
/// let address: Address = "unix:/run/a.sock;net:192.168.1.2:8008~shs".parse().unwrap();
/// minicbor::to_vec(&address).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shareable(Address);

/// An address from a peer's message, reduced to the alternates that a peer may send; `None` if none
/// is left.
///
/// A peer that sends a path, or a transport that we do not know, breaks no rule: it has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedAddress(pub Option<Shareable>);

impl Shareable {
    pub(super) fn new(address: &Address, least: Scope) -> Option<Shareable> {
        let least = least.max(Scope::Local);
        let may_leave = |endpoint: &Endpoint| {
            endpoint.scope() >= least && !matches!(endpoint.transform, Transform::NoAuth)
        };
        let alternates = address.alternates().iter();
        let kept = alternates.filter(|a| Endpoint::dialled(a).is_ok_and(|e| may_leave(&e)));
        Address::new(kept.cloned().collect::<Vec<_>>()).ok().map(Shareable)
    }

    /// The address, which has no alternate of device scope.
    pub fn address(&self) -> &Address {
        &self.0
    }

    /// The alternates, understood.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.0.endpoints().0
    }
}

impl fmt::Display for Shareable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// As a text.
impl<C> Encode<C> for Shareable {
    fn encode<W: minicbor::encode::Write>(
        &self,
        encoder: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        encoder.str(&alloc::string::ToString::to_string(&self.0))?.ok()
    }
}

impl<'b, C> Decode<'b, C> for ReceivedAddress {
    fn decode(
        decoder: &mut Decoder<'b>,
        _: &mut C,
    ) -> Result<ReceivedAddress, minicbor::decode::Error> {
        let address = decoder.str()?.parse::<Address>().ok();
        Ok(ReceivedAddress(address.and_then(|address| address.shareable(Scope::Local))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString};

    fn received(text: &str) -> Option<String> {
        let bytes = minicbor::to_vec(text).unwrap();
        let ReceivedAddress(heard) = minicbor::decode(&bytes).unwrap();
        heard.map(|shareable| shareable.to_string())
    }

    #[test]
    fn alternates_that_a_peer_may_not_send_are_ignored() {
        let said = "unix:/root/x;net:localhost:22;net:10.1.1.1:8008~shs;future:1";
        assert_eq!(received(said).as_deref(), Some("net:10.1.1.1:8008~shs"));
        assert_eq!(received("unix:/root/x"), None);
        assert_eq!(received("not an address"), None);
    }

    #[test]
    fn a_sent_address_is_received_unchanged() {
        let address: Address = "net:example.com:8008;unix:/x".parse().unwrap();
        let shared = address.shareable(Scope::Public).unwrap();
        let bytes = minicbor::to_vec(&shared).unwrap();
        assert_eq!(
            minicbor::decode::<ReceivedAddress>(&bytes).unwrap(),
            ReceivedAddress(Some(shared))
        );
    }
}
