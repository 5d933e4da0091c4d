//! CBOR for the project's own types, and the envelope `[kind, body]` of all messages.

use crate::key::Key;
use crate::name::Name;
use crate::reason::{By, Reason};
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;
use minicbor::data::Type;
use minicbor::decode::Error;
use minicbor::encode::Write;
use minicbor::{Decode, Decoder, Encode, Encoder};

/// A message, preface or answer could not be decoded.
#[derive(Debug)]
pub struct DecodeError(Error);

impl From<Error> for DecodeError {
    fn from(error: Error) -> Self {
        DecodeError(error)
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl core::error::Error for DecodeError {}

/// Reads `[kind, body]` and leaves the decoder in front of the body.
pub(super) fn open_envelope<'b>(bytes: &'b [u8]) -> Result<(u64, Decoder<'b>), DecodeError> {
    let mut decoder = Decoder::new(bytes);
    if decoder.array()? != Some(2) {
        return Err(Error::message("a message is an array of kind and body").into());
    }
    let kind = decoder.u64()?;
    if decoder.datatype()? != Type::Map {
        return Err(Error::message("the body of a message is a map").into());
    }
    Ok((kind, decoder))
}

/// Reads the body, which must end where the frame ends.
pub(super) fn body<'b, T: Decode<'b, ()>>(mut decoder: Decoder<'b>) -> Result<T, DecodeError> {
    let value = decoder.decode()?;
    match decoder.position() == decoder.input().len() {
        true => Ok(value),
        false => Err(Error::message("bytes behind the message").into()),
    }
}

/// A frame that holds `[kind, body]`, with its length in front.
pub(super) fn frame(kind: u64, body: &impl Encode<()>) -> Vec<u8> {
    let mut bytes = Vec::from([0; super::LENGTH_BYTES]);
    let mut encoder = Encoder::new(&mut bytes);
    // Writing to a `Vec` cannot fail. If it did, the frame would be short and the peer would report
    // it.
    let _ = encoder.array(2).and_then(|e| e.u64(kind)).and_then(|e| e.encode(body));
    let length = u32::try_from(bytes.len() - super::LENGTH_BYTES).unwrap_or(u32::MAX);
    bytes[..super::LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
    bytes
}

impl<C> Encode<C> for Key {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Key {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, Error> {
        let bytes = d.bytes()?;
        bytes.try_into().map(Key).map_err(|_| Error::message("a key has 32 bytes"))
    }
}

impl<C> Encode<C> for Name {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(self.as_str())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Name {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, Error> {
        d.str()?.parse().map_err(|error: crate::name::NameError| Error::message(error.to_string()))
    }
}

/// The encoding of a reason: who gave it, code, text.
#[derive(Encode, Decode)]
#[cbor(map)]
struct WireReason<'a> {
    #[n(1)]
    by: u8,
    #[b(2)]
    code: &'a str,
    #[b(3)]
    text: &'a str,
}

impl<C> Encode<C> for Reason {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        let by = u8::from(self.by == By::Plugin);
        WireReason { by, code: &self.code, text: &self.text }.encode(e, ctx)
    }
}

impl<'b, C> Decode<'b, C> for Reason {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, Error> {
        let wire = WireReason::decode(d, ctx)?;
        let by = if wire.by == 0 { By::Server } else { By::Plugin };
        Ok(Reason { by, ..Reason::plugin(wire.code, wire.text) })
    }
}
