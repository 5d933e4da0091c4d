//! A file's content in memory that nobody can change any more.

use std::ffi::{OsStr, c_void};
use std::fs::File;
use std::io::{self, Read};
use std::mem;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::slice;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// At most so many bytes of a file's name are shown in `/proc/PID/maps`; Linux takes 249.
const LONGEST_NAME: usize = 200;

/// A sealed copy of a file.
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

    /// What the file held when it was copied.
    pub(super) fn bytes(&self) -> &[u8] {
        let Mapping { start, len } = self.mapping;
        if len == 0 {
            return &[];
        }
        // SAFETY: so many bytes are mapped there as long as `self` lives, and the seals keep
        // everybody from changing them or cutting them off.
        unsafe { slice::from_raw_parts(start.cast(), len) }
    }

    /// Where the copy can be opened, as long as it is kept.
    pub(super) fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.memory.as_raw_fd())
    }

    /// Keeps the number of the descriptor from ever being used again: to the dynamic linker, the
    /// same path is the same library.
    pub(super) fn keep_for_ever(self) {
        mem::forget(self.memory);
    }
}

/// A file in memory, mapped to be read.
struct Mapping {
    /// Null when there is nothing to map.
    start: *mut c_void,
    len: usize,
}

impl Mapping {
    fn new(memory: &File, len: usize) -> io::Result<Self> {
        if len == 0 {
            return Ok(Self { start: ptr::null_mut(), len });
        }
        let (protection, flags) = (ProtFlags::READ, MapFlags::PRIVATE);
        // SAFETY: a new mapping, at a place of the kernel's choice, harms nobody.
        let start = unsafe { mmap(ptr::null_mut(), len, protection, flags, memory, 0)? };
        Ok(Self { start, len })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: `new` mapped it, and nobody has a reference into it any more. An error would
            // leave it mapped, which is harmless.
            let _ = unsafe { munmap(self.start, self.len) };
        }
    }
}
