//! Fields of messages that are checked when they are decoded: addresses, and names of unix sockets.

use crate::address::{ReceivedAddress, Shareable};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use minicbor::decode::Error;
use minicbor::encode::Write;
use minicbor::{Decode, Decoder, Encode, Encoder};

/// Addresses in one field: a machine has few, and a peer must not make us dial many.
pub const ADDRESSES_MAX: usize = 8;

/// Bytes of all addresses of one field together, so that they fit into a preface or an answer.
const TEXT_MAX: usize = 2048;

/// Addresses that are valid on other machines. Others that a peer sends are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses(pub Vec<Shareable>);

/// The name of a unix socket in the folder that all processes of one user on one machine share.
///
/// A message never holds a path, so a peer can only name files in that folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SocketName(String);

/// Characters of a socket's name.
const SOCKET_NAME: usize = 32;

impl SocketName {
    /// The name for 16 random bytes.
    pub fn new(random: [u8; 16]) -> SocketName {
        let digit = |n: u8| char::from(b"0123456789abcdef"[usize::from(n & 15)]);
        SocketName(random.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect())
    }

    /// The name: 32 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Proves that a direct connection was mediated. It works once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub [u8; 32]);

impl fmt::Debug for Ticket {
    /// A reader of the log must not be able to use the ticket.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket")
    }
}

impl<C> Encode<C> for Ticket {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Ticket {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, Error> {
        d.bytes()?.try_into().map(Ticket).map_err(|_| Error::message("a ticket has 32 bytes"))
    }
}

impl<C> Encode<C> for SocketName {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for SocketName {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, Error> {
        let text = d.str()?;
        let legal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        match text.len() == SOCKET_NAME && text.bytes().all(legal) {
            true => Ok(SocketName(text.into())),
            false => Err(Error::message("a socket's name is 32 hexadecimal digits")),
        }
    }
}

impl<C> Encode<C> for Addresses {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        let mut room = TEXT_MAX;
        let fits = |address: &&Shareable| {
            room = room.saturating_sub(address.to_string().len());
            room > 0
        };
        let told: Vec<&Shareable> = self.0.iter().take(ADDRESSES_MAX).take_while(fits).collect();
        e.array(told.len() as u64)?;
        for address in told {
            address.encode(e, ctx)?;
        }
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for Addresses {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, Error> {
        let mut heard = Vec::new();
        for address in d.array_iter_with::<C, ReceivedAddress>(ctx)? {
            heard.extend(address?.0);
        }
        heard.truncate(ADDRESSES_MAX);
        Ok(Addresses(heard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_has_a_name_and_never_a_path() {
        let name = SocketName::new([0x1f; 16]);
        let read: SocketName = minicbor::decode(&minicbor::to_vec(&name).unwrap()).unwrap();
        assert_eq!((read.as_str(), read.as_str().len()), ("1f".repeat(16).as_str(), 32));
        for bad in ["", "/run/x.sock", "..", &"g".repeat(32), &"a".repeat(33), "../../../../run/a"]
        {
            let read = minicbor::decode::<SocketName>(&minicbor::to_vec(bad).unwrap());
            assert!(read.is_err(), "{bad} was taken for a socket's name");
        }
    }

    #[test]
    fn device_scope_addresses_of_a_peer_are_ignored() {
        let said = ["net:127.0.0.1:22~shs", "unix:/run/x", "net:10.1.1.1:8008~shs", "no address"];
        let Addresses(heard) = minicbor::decode(&minicbor::to_vec(said).unwrap()).unwrap();
        let heard: Vec<String> = heard.iter().map(ToString::to_string).collect();
        assert_eq!(heard, ["net:10.1.1.1:8008~shs"]);
        let many = ["net:10.1.1.1:8008~shs"; 100];
        let Addresses(heard) = minicbor::decode(&minicbor::to_vec(many).unwrap()).unwrap();
        assert_eq!(heard.len(), ADDRESSES_MAX);
    }
}
