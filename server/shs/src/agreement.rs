//! From the Diffie-Hellman results to the keys of the session: pure functions, the same for both
//! roles.

use crate::primitives::{self, Nonce, Secret};
use crate::{Error, NetworkId, PublicKey};

/// The long-term and ephemeral public keys of both ends.
pub(crate) struct PublicKeys {
    pub(crate) dialler: PublicKey,
    pub(crate) acceptor: PublicKey,
    pub(crate) dialler_ephemeral: [u8; 32],
    pub(crate) acceptor_ephemeral: [u8; 32],
}

/// Key and first nonce of one direction.
pub(crate) struct Direction {
    pub(crate) key: Secret,
    pub(crate) nonce: Nonce,
}

/// X25519, whose result must not be all zeros.
pub(crate) fn agree(secret: &[u8; 32], public: &[u8; 32]) -> Result<Secret, Error> {
    primitives::shared_secret(secret, public).ok_or(Error::LowOrder)
}

/// The key of message 3, from ab and aB.
pub(crate) fn hello_key(network: &NetworkId, ab: &Secret, a_long_b: &Secret) -> Secret {
    primitives::hash(&[network, &ab[..], &a_long_b[..]])
}

/// The key of message 4, from ab, aB and Ab.
pub(crate) fn answer_key(
    network: &NetworkId,
    ab: &Secret,
    a_long_b: &Secret,
    long_a_b: &Secret,
) -> Secret {
    primitives::hash(&[network, &ab[..], &a_long_b[..], &long_a_b[..]])
}

/// The direction from the dialler to the acceptor.
pub(crate) fn to_acceptor(
    network: &NetworkId,
    answer_key: &Secret,
    ends: &PublicKeys,
) -> Direction {
    direction(network, answer_key, &ends.acceptor, &ends.acceptor_ephemeral)
}

/// The direction from the acceptor to the dialler.
pub(crate) fn to_dialler(network: &NetworkId, answer_key: &Secret, ends: &PublicKeys) -> Direction {
    direction(network, answer_key, &ends.dialler, &ends.dialler_ephemeral)
}

/// Key and nonce depend on the receiver.
fn direction(
    network: &NetworkId,
    answer_key: &Secret,
    receiver: &PublicKey,
    receiver_ephemeral: &[u8; 32],
) -> Direction {
    let session = primitives::hash(&[&answer_key[..]]);
    let mac = primitives::authenticator(network, receiver_ephemeral);
    Direction {
        key: primitives::hash(&[&session[..], receiver]),
        nonce: core::array::from_fn(|i| mac[i]),
    }
}
