//! The contents of the four handshake messages: making and checking them, without any state.

use zeroize::Zeroizing;

use crate::primitives::{self, Nonce, Secret, Tag};
use crate::{Error, Identity, NetworkId, PublicKey};

/// Messages 1 and 2: a 32-byte authenticator and an ephemeral key.
pub(crate) const GREETING: usize = 64;
/// Message 3: a tag of 16, a signature of 64 and the dialler's key.
pub(crate) const HELLO_BOX: usize = 112;
/// Message 4: a tag of 16 and a signature of 64.
pub(crate) const ANSWER_BOX: usize = 80;

/// The content of the box of message 3. It identifies the dialler, so it is wiped.
pub(crate) type Hello = Zeroizing<[u8; 96]>;

/// The nonce of all boxes of the handshake: each key is used for one box only.
const NONCE: Nonce = [0; 24];

/// Messages 1 and 2 prove that their sender knows the network id, and carry its ephemeral key.
pub(crate) fn greeting(network: &NetworkId, ephemeral: &[u8; 32]) -> [u8; GREETING] {
    let mut message = [0; GREETING];
    message[..32].copy_from_slice(&primitives::authenticator(network, ephemeral));
    message[32..].copy_from_slice(ephemeral);
    message
}

/// The ephemeral key of message 1 or 2.
pub(crate) fn read_greeting(
    network: &NetworkId,
    message: &[u8; GREETING],
) -> Result<[u8; 32], Error> {
    let (mac, ephemeral) = (chunk(message, 0), chunk(message, 32));
    if primitives::is_authenticator(&mac, network, &ephemeral) {
        Ok(ephemeral)
    } else {
        Err(Error::Network)
    }
}

/// What the dialler signs, and then sends as message 3.
pub(crate) fn hello(us: &Identity, network: &NetworkId, to: &PublicKey, ab: &Secret) -> Hello {
    let mut hello = Hello::new([0; 96]);
    hello[..64].copy_from_slice(&us.sign(&hello_signed(network, to, ab)[..]));
    hello[64..].copy_from_slice(us.public());
    hello
}

/// Message 3.
pub(crate) fn seal_hello(hello: &Hello, k2: &Secret) -> [u8; HELLO_BOX] {
    let mut message = [0; HELLO_BOX];
    message[16..].copy_from_slice(&hello[..]);
    let tag = primitives::seal(&mut message[16..], &NONCE, k2);
    message[..16].copy_from_slice(&tag);
    message
}

/// The hello of message 3, and the key that signed it.
pub(crate) fn read_hello(
    message: &[u8; HELLO_BOX],
    k2: &Secret,
    network: &NetworkId,
    us: &PublicKey,
    ab: &Secret,
) -> Result<(Hello, PublicKey), Error> {
    let mut hello = Hello::new(chunk(message, 16));
    let tag: Tag = chunk(message, 0);
    if !primitives::open(&mut hello[..], &tag, &NONCE, k2) {
        return Err(Error::Hello);
    }
    let (signature, caller) = (chunk(&hello[..], 0), chunk(&hello[..], 64));
    if primitives::is_signature(&signature, &hello_signed(network, us, ab)[..], &caller) {
        Ok((hello, caller))
    } else {
        Err(Error::HelloSignature)
    }
}

/// Message 4.
pub(crate) fn answer(
    us: &Identity,
    network: &NetworkId,
    hello: &Hello,
    ab: &Secret,
    k3: &Secret,
) -> [u8; ANSWER_BOX] {
    let mut message = [0; ANSWER_BOX];
    message[16..].copy_from_slice(&us.sign(&answer_signed(network, hello, ab)[..]));
    let tag = primitives::seal(&mut message[16..], &NONCE, k3);
    message[..16].copy_from_slice(&tag);
    message
}

/// Whether message 4 comes from the server that we dialled.
pub(crate) fn check_answer(
    message: &[u8; ANSWER_BOX],
    from: &PublicKey,
    network: &NetworkId,
    hello: &Hello,
    ab: &Secret,
    k3: &Secret,
) -> Result<(), Error> {
    let mut signature: Zeroizing<[u8; 64]> = Zeroizing::new(chunk(message, 16));
    let tag: Tag = chunk(message, 0);
    if !primitives::open(&mut signature[..], &tag, &NONCE, k3) {
        return Err(Error::Answer);
    }
    if primitives::is_signature(&signature, &answer_signed(network, hello, ab)[..], from) {
        Ok(())
    } else {
        Err(Error::AnswerSignature)
    }
}

/// K, B and H(ab): a signature over them is valid for this server and this handshake only.
fn hello_signed(network: &NetworkId, to: &PublicKey, ab: &Secret) -> Zeroizing<[u8; 96]> {
    let mut signed = Zeroizing::new([0; 96]);
    signed[..32].copy_from_slice(network);
    signed[32..64].copy_from_slice(to);
    signed[64..].copy_from_slice(&primitives::hash(&[&ab[..]])[..]);
    signed
}

/// K, the hello and H(ab).
fn answer_signed(network: &NetworkId, hello: &Hello, ab: &Secret) -> Zeroizing<[u8; 160]> {
    let mut signed = Zeroizing::new([0; 160]);
    signed[..32].copy_from_slice(network);
    signed[32..128].copy_from_slice(&hello[..]);
    signed[128..].copy_from_slice(&primitives::hash(&[&ab[..]])[..]);
    signed
}

/// `N` bytes of a message; the callers' constants lie within it.
fn chunk<const N: usize>(message: &[u8], start: usize) -> [u8; N] {
    core::array::from_fn(|i| message[start + i])
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORK: NetworkId = [9; 32];

    fn identity(seed: u8) -> Identity {
        Identity::from_seed(&[seed; 32])
    }

    fn secret(byte: u8) -> Secret {
        Secret::new([byte; 32])
    }

    /// The acceptor's answer to a hello in a correct box.
    fn judge(hello: &Hello) -> Result<PublicKey, Error> {
        let message = seal_hello(hello, &secret(1));
        let us = identity(2);
        read_hello(&message, &secret(1), &NETWORK, us.public(), &secret(3)).map(|(_, peer)| peer)
    }

    #[test]
    fn a_hello_must_be_signed_by_the_key_that_it_names() {
        let (dialler, acceptor) = (identity(1), identity(2));
        let good = hello(&dialler, &NETWORK, acceptor.public(), &secret(3));
        assert_eq!(judge(&good), Ok(*dialler.public()));
        let mut stolen = good.clone();
        stolen[64..].copy_from_slice(identity(7).public());
        assert_eq!(judge(&stolen), Err(Error::HelloSignature), "another's key");
        let mut forged = good.clone();
        forged[0] ^= 1;
        assert_eq!(judge(&forged), Err(Error::HelloSignature), "a forged signature");
    }

    #[test]
    fn a_hello_is_valid_for_one_network_one_server_and_one_handshake() {
        let (dialler, acceptor) = (identity(1), identity(2));
        let us = acceptor.public();
        let elsewhere = [
            hello(&dialler, &[8; 32], us, &secret(3)),
            hello(&dialler, &NETWORK, identity(7).public(), &secret(3)),
            hello(&dialler, &NETWORK, us, &secret(4)),
        ];
        for (hello, what) in elsewhere.iter().zip(["network", "server", "handshake"]) {
            assert_eq!(judge(hello), Err(Error::HelloSignature), "it belongs to another {what}");
        }
    }

    #[test]
    fn an_answer_must_be_signed_by_the_server_for_this_hello() {
        let (dialler, acceptor) = (identity(1), identity(2));
        let said = hello(&dialler, &NETWORK, acceptor.public(), &secret(3));
        let judge = |message: &[u8; ANSWER_BOX]| {
            check_answer(message, acceptor.public(), &NETWORK, &said, &secret(3), &secret(5))
        };
        let good = answer(&acceptor, &NETWORK, &said, &secret(3), &secret(5));
        assert_eq!(judge(&good), Ok(()));
        let impostor = answer(&identity(7), &NETWORK, &said, &secret(3), &secret(5));
        assert_eq!(judge(&impostor), Err(Error::AnswerSignature), "another server's signature");
        let other = hello(&dialler, &NETWORK, acceptor.public(), &secret(4));
        let replayed = answer(&acceptor, &NETWORK, &other, &secret(3), &secret(5));
        assert_eq!(judge(&replayed), Err(Error::AnswerSignature), "an answer to another hello");
    }
}
