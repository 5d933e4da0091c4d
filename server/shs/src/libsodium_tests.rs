//! Every primitive compared with libsodium, on random contents and lengths.

extern crate std;

use std::vec::Vec;

use libsodium_rs::{crypto_auth, crypto_hash, crypto_onetimeauth, crypto_scalarmult};
use libsodium_rs::{crypto_secretbox, crypto_sign};
use zeroize::Zeroizing;

use crate::primitives::{self, Secret};
use crate::{HEADER, header::HeaderCipher};

/// How many random inputs each comparison uses.
const ROUNDS: u64 = 300;

/// A pseudo-random generator (xorshift), so that every failure can be repeated.
struct Random(u64);

impl Random {
    fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        core::array::from_fn(|_| self.number() as u8)
    }

    fn secret(&mut self) -> Secret {
        Zeroizing::new(self.array())
    }

    /// Up to `most` bytes; short lengths as often as long ones.
    fn bytes(&mut self, most: u64) -> Vec<u8> {
        let most = if self.number().is_multiple_of(2) { most.min(150) } else { most };
        let length = self.number() % (most + 1);
        (0..length).map(|_| self.number() as u8).collect()
    }
}

fn rounds(test: impl Fn(&mut Random, u64)) {
    let mut random = Random(0x7261_6e64_6f6d);
    for round in 0..ROUNDS {
        test(&mut random, round);
    }
}

fn sodium_box(plain: &[u8], nonce: &[u8; 24], key: &Secret) -> Vec<u8> {
    let key = crypto_secretbox::Key::from_bytes(&key[..]).unwrap();
    crypto_secretbox::seal(plain, &crypto_secretbox::Nonce::from_bytes(*nonce), &key)
}

#[test]
fn boxes_are_the_same_and_open() {
    rounds(|random, round| {
        let (key, nonce, plain) = (random.secret(), random.array(), random.bytes(5000));
        let theirs = sodium_box(&plain, &nonce, &key);
        let mut data = plain.clone();
        let tag = primitives::seal(&mut data, &nonce, &key);
        assert!([&tag, &data[..]].concat() == theirs, "round {round}: in place");
        let mut boxed = std::vec![0; plain.len()];
        let tag = primitives::seal_from(&plain, &mut boxed, &nonce, &key);
        assert!([&tag, &boxed[..]].concat() == theirs, "round {round}: between buffers");
        let mut forged = tag;
        forged[random.number() as usize % 16] ^= 1 << (random.number() % 8);
        assert!(!primitives::open(&mut boxed, &forged, &nonce, &key), "round {round}: forged");
        assert!(boxed == theirs[16..], "round {round}: a forged box was touched");
        assert!(primitives::open(&mut boxed, &tag, &nonce, &key), "round {round}: not opened");
        assert!(boxed == plain, "round {round}: opened wrongly");
    });
}

#[test]
fn headers_are_boxes() {
    rounds(|random, round| {
        let (key, mut nonce) = (random.secret(), random.array::<24>());
        if round % 3 == 0 {
            // The subkey changes, or the counter wraps, after a few headers.
            nonce[if round % 2 == 0 { 16 } else { 0 }..].fill(0xff);
            nonce[23] = random.number() as u8 | 0xf0;
        }
        let (mut sealing, mut opening) =
            (HeaderCipher::new(&key, &nonce), HeaderCipher::new(&key, &nonce));
        for number in 0..20 {
            let plain = random.array();
            let theirs = sodium_box(&plain, sealing.nonce(), &key);
            let mut ours = [0; HEADER];
            sealing.seal(&plain, &mut ours);
            assert!(ours == theirs[..], "round {round}, header {number}");
            let mut forged = ours;
            forged[random.number() as usize % HEADER] ^= 1 << (random.number() % 8);
            assert_eq!(opening.open(&forged), None, "round {round}, header {number}: forged");
            assert_eq!(opening.open(&ours), Some(plain), "round {round}, header {number}");
        }
    });
}

#[test]
fn authenticators_and_hashes_are_the_same() {
    rounds(|random, round| {
        let (key, message) = (random.array::<32>(), random.bytes(500));
        let sodium_key = crypto_auth::Key::from_slice(&key).unwrap();
        let theirs = crypto_auth::auth(&message, &sodium_key).unwrap();
        let ours = primitives::authenticator(&key, &message);
        assert_eq!(ours, theirs.as_bytes(), "round {round}: HMAC");
        assert!(primitives::is_authenticator(&ours, &key, &message), "round {round}");
        let mut forged = ours;
        forged[round as usize % 32] ^= 4;
        assert!(!primitives::is_authenticator(&forged, &key, &message), "round {round}: forged");
        let (front, back) = message.split_at(message.len() / 3);
        let ours = primitives::hash(&[front, back]);
        assert_eq!(ours[..], crypto_hash::hash_sha256(&message)[..], "round {round}: SHA-256");
        let theirs = {
            let key = crypto_onetimeauth::Key::from_bytes(&key).unwrap();
            crypto_onetimeauth::onetimeauth(&message, &key)
        };
        assert_eq!(
            &primitives::one_time_tag(&key, &message),
            theirs.as_bytes(),
            "round {round}: Poly1305"
        );
    });
}

/// The key pair of a seed.
fn signing_key(seed: &[u8; 32]) -> ([u8; 32], [u8; 64]) {
    let (mut public, mut secret) = ([0; 32], [0; 64]);
    primitives::signing_key(seed, &mut public, &mut secret);
    (public, secret)
}

#[test]
fn keys_and_shared_secrets_are_the_same() {
    rounds(|random, round| {
        let seed = random.array();
        let (public, signing) = signing_key(&seed);
        let theirs = crypto_sign::keypair_from_seed(&seed).unwrap();
        assert_eq!(&public, theirs.public_key.as_bytes(), "round {round}: public key");
        assert_eq!(&signing[..], theirs.secret_key.as_bytes(), "round {round}: secret key");
        let secret = crypto_sign::ed25519_sk_to_curve25519(&theirs.secret_key).unwrap();
        let mut ours = primitives::Secret::default();
        primitives::to_curve_secret(&signing, &mut ours);
        assert_eq!(ours[..], secret, "round {round}: converted secret");
        let curve = crypto_sign::ed25519_pk_to_curve25519(&theirs.public_key).unwrap();
        assert_eq!(primitives::to_curve_public(&public), Some(curve), "round {round}");
        assert_eq!(primitives::curve_public(&ours), curve, "round {round}: X25519 public key");
        let other = random.array();
        let shared = crypto_scalarmult::curve25519::scalarmult(&secret, &other).unwrap();
        let agreed = primitives::shared_secret(&ours, &other).expect("it is not of low order");
        assert_eq!(agreed[..], shared, "round {round}: X25519");
        // Random bytes are a valid key for both or for neither.
        let theirs = crypto_sign::PublicKey::from_bytes(&other).unwrap();
        let theirs = crypto_sign::ed25519_pk_to_curve25519(&theirs).ok();
        assert_eq!(primitives::to_curve_public(&other), theirs, "round {round}: random bytes");
    });
}

#[test]
fn signatures_are_the_same() {
    rounds(|random, round| {
        let seed = random.array();
        let message = random.bytes(300);
        let (public, signing) = signing_key(&seed);
        let sodium = crypto_sign::keypair_from_seed(&seed).unwrap();
        let ours = primitives::sign(&signing, &message);
        let theirs = crypto_sign::sign_detached(&message, &sodium.secret_key).unwrap();
        assert_eq!(ours, theirs, "round {round}");
        assert!(primitives::is_signature(&ours, &message, &public), "round {round}");
        let mut forged = ours;
        forged[random.number() as usize % 64] ^= 1 << (random.number() % 8);
        assert!(!primitives::is_signature(&forged, &message, &public), "round {round}: forged");
    });
}
