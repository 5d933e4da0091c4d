//! The machine id, which is the same for all processes that can reach each other's unix sockets.

use sha2::{Digest, Sha256};
use trunkline_core::key::Key;

/// The machine's id. It depends on the boot id, so a copied disk is another machine. It depends on
/// the mount namespace, so a container with its own files is another machine too. It is a hash,
/// because peers receive it.
pub(super) fn id() -> Key {
    let boot = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let mounts = std::fs::read_link("/proc/self/ns/mnt").unwrap_or_default();
    let mut hash = Sha256::new();
    hash.update(b"trunkline machine");
    hash.update(boot);
    hash.update(mounts.as_os_str().as_encoded_bytes());
    Key(hash.finalize().into())
}
