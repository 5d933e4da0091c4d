//! Multiserver addresses: their grammar, their reach, and which may be sent to others.
//!
//! An [`Address`] is what the grammar says and nothing more, so that any address of any peer can be
//! read and printed again. An [`Endpoint`] is an alternate that we support. A [`Shareable`] is an
//! address without its device-scope alternates; messages to other machines accept no other type.
//! This module neither dials nor resolves.

mod endpoint;
mod grammar;
mod host;
mod scope;
mod shareable;
mod suggestion;

pub use endpoint::{Endpoint, Skipped, Transform, Transport, UNIX_PATH_MAX, WhySkipped};
pub use grammar::{AddressError, Rule};
pub use host::{Host, HostError, HostName};
pub use scope::Scope;
pub use shareable::{ReceivedAddress, Shareable};
pub use suggestion::suggestion;

use alloc::string::String;
use alloc::vec::Vec;

/// Longest address in bytes as printed. A peer must not make us keep more, and real ones are far
/// shorter.
pub const ADDRESS_MAX: usize = 4096;

/// One or more ways to reach the same place, the best one first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    alternates: Vec<Alternate>,
}

/// One way to reach a place: a transport, then its transforms.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Alternate {
    transport: Part,
    transforms: Vec<Part>,
}

/// A transport or a transform: a name and its data, unescaped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part {
    name: String,
    data: Vec<String>,
}

impl Address {
    /// An address of these alternates. Fails if there are none, or if they print to more than
    /// [`ADDRESS_MAX`] bytes.
    pub fn new(alternates: Vec<Alternate>) -> Result<Address, AddressError> {
        grammar::check_length(&alternates)?;
        Ok(Address { alternates })
    }

    /// The alternates, at least one, in the order in which they should be tried.
    pub fn alternates(&self) -> &[Alternate] {
        &self.alternates
    }

    /// The alternates that can be dialled, and why each of the others cannot.
    pub fn endpoints(&self) -> (Vec<Endpoint>, Vec<Skipped>) {
        self.view(Endpoint::dialled)
    }

    /// The alternates on which one can listen: as [`Address::endpoints`], but port 0 is valid.
    pub fn listen_endpoints(&self) -> (Vec<Endpoint>, Vec<Skipped>) {
        self.view(Endpoint::listened)
    }

    /// The part of this address that may be sent to others: the alternates that we support and that
    /// reach at least as far as `least`. `None` if none is left. [`Scope::Device`] is read as
    /// [`Scope::Local`], because device-scope addresses are never shared.
    pub fn shareable(&self, least: Scope) -> Option<Shareable> {
        Shareable::new(self, least)
    }

    fn view(
        &self,
        read: fn(&Alternate) -> Result<Endpoint, WhySkipped>,
    ) -> (Vec<Endpoint>, Vec<Skipped>) {
        let (mut endpoints, mut skipped) = (Vec::new(), Vec::new());
        for alternate in &self.alternates {
            match read(alternate) {
                Ok(endpoint) => endpoints.push(endpoint),
                Err(why) => skipped.push(Skipped { alternate: alternate.clone(), why }),
            }
        }
        (endpoints, skipped)
    }
}

impl Alternate {
    /// A transport with its transforms, the innermost first.
    pub fn new(transport: Part, transforms: Vec<Part>) -> Alternate {
        Alternate { transport, transforms }
    }

    /// The transport, such as `net`.
    pub fn transport(&self) -> &Part {
        &self.transport
    }

    /// The transforms, such as `shs`, in order.
    pub fn transforms(&self) -> &[Part] {
        &self.transforms
    }
}

impl Part {
    /// A part with this name and these data, unescaped. The position in an error counts bytes in
    /// the wrong name or datum.
    pub fn new(name: &str, data: Vec<String>) -> Result<Part, AddressError> {
        grammar::check_name(name, 0)?;
        for datum in &data {
            grammar::check_datum(datum)?;
        }
        Ok(Part { name: name.into(), data })
    }

    /// The name, such as `net` or `shs`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The data, unescaped; a datum may be empty.
    pub fn data(&self) -> &[String] {
        &self.data
    }
}
