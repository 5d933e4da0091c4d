//! Which machine this is: the same for all processes that can reach each other's unix sockets.

use sha2::{Digest, Sha256};
use trunkline_core::key::Key;

/// The machine's id. It is made of the boot, so that a copied disk is another machine, and of the
/// mount namespace, so that a container with files of its own is another machine too. It is a hash,
/// because peers are told it.
pub(super) fn id() -> Key {
    let boot = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let mounts = std::fs::read_link("/proc/self/ns/mnt").unwrap_or_default();
    let mut hash = Sha256::new();
    hash.update(b"trunkline machine");
    hash.update(boot);
    hash.update(mounts.as_os_str().as_encoded_bytes());
    Key(hash.finalize().into())
}
