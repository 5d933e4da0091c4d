//! The keys that the caller provides. Every secret is wiped when it is dropped.

use alloc::sync::Arc;
use core::fmt;

use zeroize::Zeroizing;

use crate::primitives::{self, Secret};

/// A long-term ed25519 public key: the identity of a server.
pub type PublicKey = [u8; 32];

/// 32 bytes that all servers of one network know; only those can complete a handshake with each
/// other.
pub type NetworkId = [u8; 32];

/// Bytes of the secret half of an [`Identity`]: an ed25519 key, then the X25519 key that belongs to
/// it.
pub const SECRET_BYTES: usize = SIGNING + 32;

/// Bytes of a secret ed25519 key.
const SIGNING: usize = 64;

/// A server's long-term key pair. Its clones share one copy of the secret half.
#[derive(Clone)]
pub struct Identity {
    secret: Arc<dyn AsRef<[u8]> + Send + Sync>,
    public: PublicKey,
}

/// A key pair for one handshake. Its secret must be 32 fresh random bytes each time: repeating them
/// destroys the secrecy of both sessions.
pub struct Ephemeral {
    pub(crate) secret: Secret,
    pub(crate) public: [u8; 32],
}

impl Identity {
    /// The key pair of a 32-byte seed, which is what a key file holds.
    pub fn from_seed(seed: &[u8; 32]) -> Identity {
        let mut secret = Arc::new(Zeroizing::new([0; SECRET_BYTES]));
        let public = fill(&mut secret, seed);
        Identity { secret, public }
    }

    /// As [`from_seed`](Self::from_seed), with the secret half in memory of the caller's, which has
    /// to wipe itself when it is dropped. `None` if it has less than [`SECRET_BYTES`].
    pub fn kept_in(
        memory: impl AsRef<[u8]> + AsMut<[u8]> + Send + Sync + 'static,
        seed: &[u8; 32],
    ) -> Option<Identity> {
        if memory.as_ref().len() < SECRET_BYTES {
            return None;
        }
        let mut secret = Arc::new(memory);
        let public = fill(&mut secret, seed);
        Some(Identity { secret, public })
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(crate) fn curve(&self) -> &[u8; 32] {
        let secret = (*self.secret).as_ref();
        // It is there: the constructor has checked the length.
        secret.get(SIGNING..).and_then(|rest| rest.first_chunk()).unwrap_or(&[0; 32])
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        // As above.
        let key = (*self.secret).as_ref().first_chunk().unwrap_or(&[0; SIGNING]);
        primitives::sign(key, message)
    }
}

/// Writes the secret half directly into its final memory, because a copy that is moved afterwards
/// would leave itself behind. Returns the public half.
fn fill<M: AsMut<[u8]>>(memory: &mut Arc<M>, seed: &[u8; 32]) -> PublicKey {
    let mut public = [0; 32];
    let memory = Arc::get_mut(memory).map(|memory| memory.as_mut());
    if let Some((signing, rest)) = memory.and_then(|memory| memory.split_first_chunk_mut())
        && let Some(curve) = rest.first_chunk_mut()
    {
        primitives::signing_key(seed, &mut public, signing);
        primitives::to_curve_secret(signing, curve);
    }
    public
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
