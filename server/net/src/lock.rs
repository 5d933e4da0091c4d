//! Locks between processes: a file that at most one process holds, until it ends in any way.

use rustix::fs::{FlockOperation, fcntl_lock, fstat, lstat};
use rustix::io::Errno;
use rustix::process::{Flock, FlockType, fcntl_getlk};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// How often a lock file may be removed by its last holder between opening and locking it.
const REMOVED_MAX: usize = 100;

/// A lock file that this process holds. Dropping it removes the file.
///
/// It is a record lock of POSIX (`F_SETLK`), because these belong to the process. The locks of
/// `flock` belong to the open file, which a child shares from `fork` on: a child that was just
/// being started, or that never calls `exec`, would still hold the lock of a server that was
/// killed. A record lock has its own trap: closing any descriptor of the file releases it. The file
/// is therefore used for nothing else, and [`leak`](FileLock::leak) is for a second holder in one
/// process, which the kernel does not tell apart.
#[derive(Debug)]
pub struct FileLock {
    path: PathBuf,
    file: Option<File>,
}

/// Why a lock cannot be had.
#[derive(Debug)]
pub enum Holder {
    /// This process has it; 0 if the kernel does not say which.
    Process(u32),
    /// The file system has no locks, as NFS without its lock service.
    NoLocks,
    /// The file cannot be made or locked.
    Unknown(io::Error),
}

impl FileLock {
    /// Takes the lock, and creates the file if it does not exist. Never waits.
    ///
    /// # Errors
    ///
    /// Which process has it, or why that is not known.
    pub fn take(path: &Path) -> Result<FileLock, Holder> {
        for _ in 0..REMOVED_MAX {
            let file = open(path).map_err(Holder::Unknown)?;
            match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::AGAIN | Errno::ACCESS) => return Err(Holder::Process(holder(&file))),
                Err(Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                    return Err(Holder::NoLocks);
                }
                Err(error) => return Err(Holder::Unknown(error.into())),
            }
            // Its last holder may have removed the file meanwhile, and another process locked a
            // new one.
            if is_at(&file, path) {
                return Ok(FileLock { path: path.into(), file: Some(file) });
            }
        }
        Err(Holder::Unknown(io::Error::other("its lock file is removed again and again")))
    }

    /// Never releases the lock before this process ends.
    pub fn leak(mut self) {
        std::mem::forget(self.file.take());
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // The file of a successor, made after ours had been removed, stays. Ours is removed before
        // it is unlocked, so that no process can lock it in between.
        if let Some(file) = &self.file
            && is_at(file, &self.path)
        {
            // A file that cannot be removed does no harm: no process locks it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.mode(0o600).custom_flags(no_follow).open(path)
}

/// Whether this file is still the one of this name.
fn is_at(file: &File, path: &Path) -> bool {
    match (fstat(file), lstat(path)) {
        (Ok(ours), Ok(there)) => (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino),
        _ => false,
    }
}

/// The process that holds the lock of a file.
fn holder(file: &File) -> u32 {
    let asked = Flock::from(FlockType::WriteLock);
    let found = fcntl_getlk(file, &asked).ok().flatten();
    found.and_then(|lock| lock.pid).map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs())
}
