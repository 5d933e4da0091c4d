//! A file's content in memory that can no longer be changed.

use std::ffi::{OsStr, c_void};
use std::fs::File;
use std::io::{self, Read};
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::slice;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// The most bytes of a file's name that are shown in `/proc/PID/maps`; Linux takes 249.
const LONGEST_NAME: usize = 200;

/// A sealed copy of a file.
#[derive(Debug)]
pub(super) struct Sealed {
    memory: File,
    mapping: Mapping,
}

impl Sealed {
    /// Copies at most `limit` bytes, inside the kernel; `name` is what debuggers show.
    pub(super) fn copy(name: &OsStr, file: File, limit: u64) -> io::Result<Self> {
        let name = name.as_bytes();
        let name = &name[..name.len().min(LONGEST_NAME)];
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut memory = File::from(memfd_create(name, flags)?);
        let len = io::copy(&mut file.take(limit), &mut memory)?;
        let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        fcntl_add_seals(&memory, seals)?;
        let mapping = Mapping::new(&memory, usize::try_from(len).map_err(io::Error::other)?)?;
        Ok(Self { memory, mapping })
    }

    /// The content of the file when it was copied.
    pub(super) fn bytes(&self) -> &[u8] {
        let Mapping { start, len } = self.mapping;
        if len == 0 {
            return &[];
        }
        // SAFETY: that many bytes are mapped there as long as `self` lives, and the seals prevent
        // every change and truncation.
        unsafe { slice::from_raw_parts(start.cast(), len) }
    }

    /// The path of the copy, valid as long as the copy is kept.
    pub(super) fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.memory.as_raw_fd())
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }

    /// Keeps the descriptor's number from ever being reused, because to the dynamic linker the same
    /// path is the same library.
    pub(super) fn keep_forever(self) {
        mem::forget(self.memory);
    }
}

/// A file in memory, mapped for reading.
#[derive(Debug)]
struct Mapping {
    /// Null if the file is empty.
    start: *mut c_void,
    len: usize,
}

impl Mapping {
    fn new(memory: &File, len: usize) -> io::Result<Self> {
        if len == 0 {
            return Ok(Self { start: ptr::null_mut(), len });
        }
        let (protection, flags) = (ProtFlags::READ, MapFlags::PRIVATE);
        // SAFETY: a new mapping, at a place that the kernel chooses, affects no other memory.
        let start = unsafe { mmap(ptr::null_mut(), len, protection, flags, memory, 0)? };
        Ok(Self { start, len })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: `new` mapped it, and no reference into it remains. On an error it stays
            // mapped, which is harmless.
            let _ = unsafe { munmap(self.start, self.len) };
        }
    }
}
