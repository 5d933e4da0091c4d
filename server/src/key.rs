//! The file with a server's secret key: reading it, and making it once. Keys are proved elsewhere.

use crate::ownership::check_owner;
use crate::secret_page::SecretPage;
use base64ct::{Base64, Encoding};
use rustix::fs::{AtFlags, CWD, OFlags, RenameFlags, linkat, renameat_with};
use rustix::io::Errno;
use rustix::process::{Pid, geteuid, test_kill_process};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use trunkline_core::key::Key;
use trunkline_shs::Identity;
use zeroize::Zeroizing;

/// Only the owner may read a secret, from the moment it exists.
const MODE: u32 = 0o600;
/// Bytes of a seed in base64.
const TEXT: usize = 44;
/// The end of the name of a key file that is being made. The number of the process is before it.
const LEFTOVER: &str = ".new";
/// Longest key file in bytes: a seed in base64, a line end, and some space that an editor may add.
const FILE_MAX: usize = 64;

/// An ed25519 secret key with its public key. Its `Debug` does not show the secret, of which all
/// clones share one copy.
#[derive(Clone)]
pub struct SecretKey {
    identity: Identity,
}

/// Whether a key file existed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It existed.
    Found,
    /// It was made just now.
    Made,
}

/// Why a key file cannot be used: the file, and what to do.
#[derive(Debug)]
pub struct KeyFileError {
    file: PathBuf,
    why: String,
}

impl SecretKey {
    /// The key of this seed, which the caller should wipe.
    pub fn from_seed(seed: &[u8; 32]) -> SecretKey {
        let page = SecretPage::new().map(|page| Identity::kept_in(page, seed));
        let identity = match page {
            Ok(Some(identity)) => identity,
            Ok(None) => Identity::from_seed(seed),
            Err(error) => {
                log::warn!("core dumps of this process would hold its secret key: {error}");
                Identity::from_seed(seed)
            }
        };
        SecretKey { identity }
    }

    /// A new key that no file holds.
    pub fn random() -> SecretKey {
        SecretKey::from_seed(&random_seed())
    }

    /// The public key.
    pub fn public(&self) -> Key {
        Key(*self.identity.public())
    }

    /// The key pair, to prove the key with.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Reads a key file. One of another user, or that others may read, is refused, because its
    /// secret may be known.
    pub fn read(file: &Path) -> Result<SecretKey, KeyFileError> {
        let wrong = |why: String| KeyFileError { file: file.into(), why };
        let failed = |error: io::Error| wrong(format!("cannot be read: {error}"));
        // A fifo would block, and a folder can be opened, so the type is checked first.
        if !std::fs::metadata(file).map_err(failed)?.is_file() {
            return Err(wrong("not a file; name another one".into()));
        }
        let mut opened = File::open(file).map_err(failed)?;
        let metadata = opened.metadata().map_err(failed)?;
        check_owner(&metadata).map_err(|whose| wrong(format!("{whose}; make one of your own")))?;
        let mode = metadata.mode() & 0o777;
        if mode & 0o077 != 0 {
            let hint = format!("chmod 600 {}", file.display());
            return Err(wrong(format!("others may read it (mode {mode:03o}); use `{hint}`")));
        }
        // One byte more than there may be tells that there are too many.
        let mut text = Zeroizing::new([0; FILE_MAX + 1]);
        let length = fill(&mut opened, &mut *text).map_err(failed)?;
        let not_a_key =
            || wrong("not a key: the base64 of 32 bytes was expected; name another file".into());
        let text = std::str::from_utf8(&text[..length]).map_err(|_| not_a_key())?;
        // A seed is written as a public key is.
        let mut seed = Zeroizing::new([0; 32]);
        match Base64::decode(text.trim_end(), &mut *seed) {
            Ok(decoded) if decoded.len() == 32 => {}
            _ => return Err(not_a_key()),
        }
        Ok(SecretKey::from_seed(&seed))
    }

    /// Reads a key file, or makes it with mode 0600 if there is none. Never overwrites anything,
    /// even if two processes do this at the same moment.
    pub fn read_or_make(file: &Path) -> Result<(SecretKey, Origin), KeyFileError> {
        remove_leftovers(file);
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

fn random_seed() -> Zeroizing<[u8; 32]> {
    let mut seed = Zeroizing::new([0; 32]);
    dryoc::rng::copy_randombytes(&mut *seed);
    seed
}

/// Reads until the buffer is full or the file ends; gives how much that was. Nothing is read into
/// any other memory.
fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// Makes a new key. It is written to a file without a name, which then gets its name, so no half
/// key is ever found, and a killed process leaves none.
fn make(file: &Path) -> io::Result<()> {
    let seed = random_seed();
    let mut line = Zeroizing::new([b'\n'; TEXT + 1]);
    Base64::encode(&*seed, &mut line[..TEXT]).map_err(io::Error::other)?;
    match make_unnamed(file, &*line) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => make_named(file, &*line),
        made => made,
    }
}

fn make_unnamed(file: &Path, line: &[u8]) -> io::Result<()> {
    let unnamed = OFlags::TMPFILE.bits().cast_signed();
    let mut opened =
        OpenOptions::new().write(true).mode(MODE).custom_flags(unnamed).open(folder_of(file))?;
    opened.write_all(line)?;
    opened.sync_all()?;
    let source = format!("/proc/self/fd/{}", opened.as_raw_fd());
    linkat(CWD, source, CWD, file, AtFlags::SYMLINK_FOLLOW)?;
    Ok(())
}

/// For file systems without files that have no name, or without hard links.
fn make_named(file: &Path, line: &[u8]) -> io::Result<()> {
    let mut name = file.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}{LEFTOVER}", std::process::id()));
    let fresh = file.with_file_name(name);
    let placed = write_new(&fresh, line)
        .and_then(|()| Ok(renameat_with(CWD, &fresh, CWD, file, RenameFlags::NOREPLACE)?));
    match placed {
        Ok(()) => return Ok(()),
        // It may have been made by another process, or by none.
        Err(_) => drop(std::fs::remove_file(&fresh)),
    }
    match placed {
        // Without either, a process that is killed in between leaves half a key, which is refused.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => write_new(file, line),
        placed => placed,
    }
}

/// Writes a file that does not exist.
fn write_new(file: &Path, line: &[u8]) -> io::Result<()> {
    let mut opened = OpenOptions::new().write(true).create_new(true).mode(MODE).open(file)?;
    let written = opened.write_all(line).and_then(|()| opened.sync_all());
    written.inspect_err(|_| drop(std::fs::remove_file(file)))
}

/// Removes secret keys that processes left which were killed while they made this file. Those of
/// processes that still run stay.
fn remove_leftovers(file: &Path) {
    let Ok(entries) = std::fs::read_dir(folder_of(file)) else { return };
    let prefix = format!("{}.", file.file_name().unwrap_or_default().to_string_lossy());
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let maker = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(LEFTOVER));
        let maker = maker.and_then(|number| Pid::from_raw(number.parse().ok()?));
        let ended = |maker| test_kill_process(maker) == Err(Errno::SRCH);
        let ours = entry
            .metadata()
            .is_ok_and(|metadata| metadata.is_file() && metadata.uid() == geteuid().as_raw());
        if ours && maker.is_some_and(ended) {
            // It is tried again at the next start.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn folder_of(file: &Path) -> &Path {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", self.public())
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
        assert_eq!(SecretKey::from_seed(&seed).public(), Key(public));
    }

    #[test]
    fn a_secret_is_not_shown() {
        let secret = SecretKey::from_seed(&[7; 32]);
        assert!(!format!("{secret:?}").contains(&Key([7; 32]).to_string()));
    }
}
