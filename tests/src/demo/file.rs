//! The file that is fetched, and the digest by which it is compared.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::folder::Folder;

/// A SHA-256, as lower-case hexadecimal digits.
pub(super) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file on disk that does not compress and does not repeat.
pub(super) struct File {
    path: PathBuf,
    size: usize,
    digest: String,
}

impl File {
    /// Makes a file of `size` bytes.
    pub(super) fn make(folder: &Folder, size: usize) -> Result<Self, String> {
        let content = numbers(size);
        let path = folder.path().join("file");
        fs::write(&path, &content).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { path, size, digest: sha256(&content) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// In bytes.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn digest(&self) -> &str {
        &self.digest
    }
}

/// Bytes of a xorshift generator, the same each time, so that a failure can be reproduced.
fn numbers(size: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut bytes = Vec::with_capacity(size + 7);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_standard() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc"), expected);
    }

    #[test]
    fn no_piece_of_the_file_is_like_another() {
        let bytes = numbers(1001);
        assert_eq!(bytes.len(), 1001);
        let pieces: std::collections::BTreeSet<&[u8]> = bytes.chunks(8).collect();
        assert_eq!(pieces.len(), 126);
    }
}
