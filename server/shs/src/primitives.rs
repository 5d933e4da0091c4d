//! All cryptographic primitives: the only module that names the crate that provides them.
//!
//! `dryoc` is a young crate. Only this module would have to change to replace it, and
//! `libsodium_tests.rs` compares every function that we use with libsodium's.

use dryoc::classic::{
    crypto_auth, crypto_box, crypto_core, crypto_hash, crypto_onetimeauth, crypto_secretbox,
    crypto_sign, crypto_sign_ed25519,
};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// 32 secret bytes, wiped on drop.
pub(crate) type Secret = Zeroizing<[u8; 32]>;
/// An ed25519 secret key as libsodium keeps it: the seed and the public key.
pub(crate) type SigningKey = [u8; 64];
/// The proof that a box was not changed.
pub(crate) type Tag = [u8; 16];
/// A number used once with a key. It is not secret.
pub(crate) type Nonce = [u8; 24];

/// HMAC-SHA-512 cut to 32 bytes.
pub(crate) fn authenticator(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let mut mac = [0; 32];
    crypto_auth::crypto_auth(&mut mac, message, key);
    mac
}

/// Whether `mac` is [`authenticator`] of the rest, in constant time.
pub(crate) fn is_authenticator(mac: &[u8; 32], key: &[u8; 32], message: &[u8]) -> bool {
    crypto_auth::crypto_auth_verify(mac, message, key).is_ok()
}

/// SHA-256 of the concatenated parts.
pub(crate) fn hash(parts: &[&[u8]]) -> Secret {
    let mut state = crypto_hash::crypto_hash_sha256_init();
    for part in parts {
        crypto_hash::crypto_hash_sha256_update(&mut state, part);
    }
    let mut digest = Secret::default();
    crypto_hash::crypto_hash_sha256_final(state, &mut digest);
    digest
}

/// Makes the ed25519 key pair of a seed.
pub(crate) fn signing_key(seed: &[u8; 32], public: &mut [u8; 32], secret: &mut SigningKey) {
    crypto_sign::crypto_sign_seed_keypair_inplace(public, secret, seed);
}

/// An ed25519 signature.
pub(crate) fn sign(key: &SigningKey, message: &[u8]) -> [u8; 64] {
    let mut signature = [0; 64];
    // This cannot fail: all lengths are in the types. A signature of zeros would be refused anyway.
    let _ = crypto_sign::crypto_sign_detached(&mut signature, message, key);
    signature
}

/// Whether `signature` was made over `message` with the secret of `public`.
pub(crate) fn is_signature(signature: &[u8; 64], message: &[u8], public: &[u8; 32]) -> bool {
    crypto_sign::crypto_sign_verify_detached(signature, message, public).is_ok()
}

/// The X25519 public key of a secret key.
pub(crate) fn curve_public(secret: &Secret) -> [u8; 32] {
    let mut public = [0; 32];
    crypto_core::crypto_scalarmult_base(&mut public, secret);
    public
}

/// Makes the X25519 secret that belongs to an ed25519 key.
pub(crate) fn to_curve_secret(key: &SigningKey, curve: &mut [u8; 32]) {
    crypto_sign_ed25519::crypto_sign_ed25519_sk_to_curve25519(curve, key);
}

/// The X25519 public key that belongs to an ed25519 one; `None` when it is not on the curve, of low
/// order or not in the main subgroup.
pub(crate) fn to_curve_public(public: &[u8; 32]) -> Option<[u8; 32]> {
    let mut curve = [0; 32];
    let converted = crypto_sign_ed25519::crypto_sign_ed25519_pk_to_curve25519(&mut curve, public);
    converted.is_ok().then_some(curve)
}

/// X25519; `None` if the result is all zeros, because then everyone could know it.
pub(crate) fn shared_secret(secret: &[u8; 32], public: &[u8; 32]) -> Option<Secret> {
    let mut shared = Secret::default();
    let result = crypto_core::crypto_scalarmult(&mut shared, secret, public);
    // The library refuses zeros as well; this check must not depend on its version.
    let zeros = bool::from(shared.ct_eq(&[0; 32]));
    (result.is_ok() && !zeros).then_some(shared)
}

/// XSalsa20-Poly1305 in place. The returned tag has to be sent with the data.
pub(crate) fn seal(data: &mut [u8], nonce: &Nonce, key: &Secret) -> Tag {
    let mut tag = Tag::default();
    // A box "after precomputation" equals a secret box byte for byte; the library offers this
    // variant only under that name.
    crypto_box::crypto_box_detached_afternm_inplace(data, &mut tag, nonce, key);
    tag
}

/// As [`seal`], from one buffer to another of the same length.
pub(crate) fn seal_from(data: &[u8], boxed: &mut [u8], nonce: &Nonce, key: &Secret) -> Tag {
    debug_assert_eq!(data.len(), boxed.len(), "a box has the length of its data");
    let mut tag = Tag::default();
    // It fails only when `boxed` is shorter; then the tag of zeros makes the peer refuse the frame.
    let _ = crypto_secretbox::crypto_secretbox_detached(boxed, &mut tag, data, nonce, key);
    tag
}

/// Opens in place. When it returns false, `data` is as it was.
#[must_use]
pub(crate) fn open(data: &mut [u8], tag: &Tag, nonce: &Nonce, key: &Secret) -> bool {
    crypto_box::crypto_box_open_detached_afternm_inplace(data, tag, nonce, key).is_ok()
}

/// Poly1305 of `message`. The key must never be used again.
pub(crate) fn one_time_tag(key: &[u8; 32], message: &[u8]) -> Tag {
    let mut tag = Tag::default();
    crypto_onetimeauth::crypto_onetimeauth(&mut tag, message, key);
    tag
}

/// Whether `tag` is [`one_time_tag`] of the rest, in constant time.
pub(crate) fn is_one_time_tag(tag: &Tag, key: &[u8; 32], message: &[u8]) -> bool {
    crypto_onetimeauth::crypto_onetimeauth_verify(tag, message, key).is_ok()
}

/// The key under which XSalsa20 runs Salsa20 for all nonces that begin with `prefix`.
pub(crate) fn subkey(key: &Secret, prefix: &[u8; 16]) -> Secret {
    let mut subkey = Secret::default();
    crypto_core::crypto_core_hsalsa20(&mut subkey, prefix, key, None);
    subkey
}
