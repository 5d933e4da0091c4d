//! The keys that the caller hands in. Every secret is wiped when it is dropped.

use core::fmt;

use crate::primitives::{self, Secret, SigningKey};

/// A long-term ed25519 public key: who a server is.
pub type PublicKey = [u8; 32];

/// 32 bytes that all servers of one network know; only those can shake hands.
pub type NetworkId = [u8; 32];

/// A server's long-term key pair.
#[derive(Clone)]
pub struct Identity {
    signing: SigningKey,
    public: PublicKey,
    curve: Secret,
}

/// A key pair for one handshake. Its secret must be 32 fresh random bytes each time: whoever
/// repeats them loses the secrecy of both sessions.
pub struct Ephemeral {
    pub(crate) secret: Secret,
    pub(crate) public: [u8; 32],
}

impl Identity {
    /// The key pair of a 32-byte seed, which is what a key file holds.
    pub fn from_seed(seed: &[u8; 32]) -> Identity {
        let (public, signing) = primitives::signing_key(seed);
        let curve = primitives::to_curve_secret(&signing);
        Identity { signing, public, curve }
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(crate) fn curve(&self) -> &Secret {
        &self.curve
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        primitives::sign(&self.signing, message)
    }
}

impl Ephemeral {
    /// The key pair of 32 random bytes. The caller should wipe its own copy of them.
    pub fn from_secret(secret: &[u8; 32]) -> Ephemeral {
        let secret = Secret::new(*secret);
        Ephemeral { public: primitives::curve_public(&secret), secret }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("public", &self.public).finish_non_exhaustive()
    }
}

impl fmt::Debug for Ephemeral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ephemeral").finish_non_exhaustive()
    }
}
