//! The file with a server's secret key: reading it, and making it once; nothing is proved here.

use dryoc::classic::crypto_sign::{crypto_sign_keypair, crypto_sign_seed_keypair};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use trunkline_core::key::Key;

/// Only the owner may read a secret, from the moment it exists.
const MODE: u32 = 0o600;
/// Longest key file in bytes: 44 of base64, a line end, and some space that an editor may add.
const FILE_MAX: u64 = 64;

/// An ed25519 secret key with its public key. Its `Debug` does not show the secret.
#[derive(Clone)]
pub struct SecretKey {
    seed: [u8; 32],
    public: Key,
}

/// Whether a key file was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was.
    Found,
    /// It has just been made.
    Made,
}

/// Why a key file is of no use: the file, and what to do.
#[derive(Debug)]
pub struct KeyFileError {
    file: PathBuf,
    why: String,
}

impl SecretKey {
    /// The key of this seed.
    pub fn from_seed(seed: [u8; 32]) -> SecretKey {
        let (public, _) = crypto_sign_seed_keypair(&seed);
        SecretKey { seed, public: Key(public) }
    }

    /// A new key that no file holds.
    pub fn random() -> SecretKey {
        let mut seed = [0; 32];
        dryoc::rng::copy_randombytes(&mut seed);
        SecretKey::from_seed(seed)
    }

    /// The public key.
    pub fn public(&self) -> Key {
        self.public
    }

    /// The secret: the seed of the ed25519 key pair.
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// Reads a key file. A file that others may read is refused: its secret may be known.
    pub fn read(file: &Path) -> Result<SecretKey, KeyFileError> {
        let wrong = |why: String| KeyFileError { file: file.into(), why };
        let failed = |error: io::Error| wrong(format!("cannot be read: {error}"));
        // A fifo must not hold us up, and a folder can be opened: look first at what it is.
        if !std::fs::metadata(file).map_err(failed)?.is_file() {
            return Err(wrong("not a file; name another one".into()));
        }
        let opened = File::open(file).map_err(failed)?;
        let mode = opened.metadata().map_err(failed)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            let hint = format!("chmod 600 {}", file.display());
            return Err(wrong(format!("others may read it (mode {mode:03o}); use `{hint}`")));
        }
        let mut text = String::new();
        let not_a_key = "not a key: the base64 of 32 bytes was expected; name another file";
        opened.take(FILE_MAX + 1).read_to_string(&mut text).map_err(|_| wrong(not_a_key.into()))?;
        // A seed is written as a public key is.
        let Key(seed) = text.trim_end().parse().map_err(|_| wrong(not_a_key.into()))?;
        Ok(SecretKey::from_seed(seed))
    }

    /// Reads a key file, or makes it with mode 0600 if there is none. Never overwrites anything,
    /// also when two processes do this at the same moment.
    pub fn read_or_make(file: &Path) -> Result<(SecretKey, Origin), KeyFileError> {
        if std::fs::symlink_metadata(file).is_err() {
            match make(file) {
                Ok(()) => return Ok((SecretKey::read(file)?, Origin::Made)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    let why = format!("cannot be made: {error}");
                    return Err(KeyFileError { file: file.into(), why });
                }
            }
        }
        Ok((SecretKey::read(file)?, Origin::Found))
    }
}

/// Writes a new key beside the file and links it there, so that no half key can ever be found.
fn make(file: &Path) -> io::Result<()> {
    let (_, secret) = crypto_sign_keypair();
    let mut seed = [0; 32];
    // A libsodium secret key is the seed, then the public key.
    seed.copy_from_slice(&secret[..32]);
    let mut name = file.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.new", std::process::id()));
    let fresh = file.with_file_name(name);
    let mut opened = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&fresh)?;
    let written = writeln!(opened, "{}", Key(seed))
        .and_then(|()| opened.sync_all())
        .and_then(|()| std::fs::hard_link(&fresh, file));
    std::fs::remove_file(&fresh).and(written)
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", self.public)
    }
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.why)
    }
}

impl std::error::Error for KeyFileError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_key_is_that_of_rfc_8032() {
        let seed = *b"\x9d\x61\xb1\x9d\xef\xfd\x5a\x60\xba\x84\x4a\xf4\x92\xec\x2c\xc4\
                      \x44\x49\xc5\x69\x7b\x32\x69\x19\x70\x3b\xac\x03\x1c\xae\x7f\x60";
        let public = *b"\xd7\x5a\x98\x01\x82\xb1\x0a\xb7\xd5\x4b\xfe\xd3\xc9\x64\x07\x3a\
                        \x0e\xe1\x72\xf3\xda\xa6\x23\x25\xaf\x02\x1a\x68\xf7\x07\x51\x1a";
        assert_eq!(SecretKey::from_seed(seed).public(), Key(public));
    }

    #[test]
    fn a_secret_is_not_shown() {
        let secret = SecretKey::from_seed([7; 32]);
        assert!(!format!("{secret:?}").contains(&Key([7; 32]).to_string()));
    }
}
