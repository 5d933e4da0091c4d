//! Whether files that a server trusts are those of its user.

use rustix::process::geteuid;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Root can replace every file anyway.
const ROOT: u32 = 0;
/// Mode bits of a folder in which others can make files, and of one in which they cannot replace
/// those of its owner.
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Checks that a file or a folder belongs to our user or to root.
pub(crate) fn check_owner(metadata: &Metadata) -> Result<(), String> {
    match metadata.uid() {
        owner if owner == geteuid().as_raw() || owner == ROOT => Ok(()),
        owner => Err(format!("it belongs to another user (number {owner})")),
    }
}

/// Checks that no other user can put files into a folder of ours or replace it, and that a symlink
/// to it is ours.
pub(crate) fn check_folder(folder: &Path) -> Result<(), String> {
    let unknown = |error: io::Error| error.to_string();
    check_owner(&folder.symlink_metadata().map_err(unknown)?)?;
    let metadata = folder.metadata().map_err(unknown)?;
    check_owner(&metadata)?;
    match metadata.mode() & (OTHERS_WRITE | STICKY) {
        OTHERS_WRITE => {
            Err(format!("all users may write to it; use `chmod o-w {}`", folder.display()))
        }
        _ => Ok(()),
    }
}
