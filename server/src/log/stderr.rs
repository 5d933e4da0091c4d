//! Descriptors 1 and 2: the only place that writes to stderr, and that replaces both.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::Errno;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Writes of at most this many bytes to a pipe are done as a whole or not at all (POSIX).
pub(super) const PIPE_BUF: usize = 4096;

/// The stderr that this process was started with, under another number.
pub(super) struct Sink {
    file: OwnedFd,
    /// How to write without waiting, if that is possible.
    pub(super) direct: Option<Direct>,
}

/// A pipe that is opened a second time, so that only this process's writes through it do not wait.
#[derive(Debug)]
pub(super) struct Direct(OwnedFd);

impl Sink {
    pub(super) fn open() -> io::Result<Sink> {
        let file = io::stderr().as_fd().try_clone_to_owned()?;
        let is_pipe = FileType::from_raw_mode(fstat(&file)?.st_mode) == FileType::Fifo;
        let direct = match is_pipe {
            true => reopen(&file).ok().map(Direct),
            false => None,
        };
        Ok(Sink { file, direct })
    }

    /// Another descriptor of the file.
    pub(super) fn copy(&self) -> io::Result<OwnedFd> {
        self.file.try_clone()
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.file.is_terminal()
    }

    /// Writes all bytes, and waits as long as that takes. An error is how many were written.
    pub(super) fn write(&self, bytes: &[u8]) -> Result<(), usize> {
        let mut written = 0;
        while written < bytes.len() {
            match rustix::io::write(&self.file, &bytes[written..]) {
                Ok(0) => return Err(written),
                Ok(count) => written += count,
                Err(Errno::INTR) => {}
                // Others may have made it non-blocking, because they share it.
                Err(Errno::AGAIN) => {
                    let _ = poll(&mut [PollFd::new(&self.file, PollFlags::OUT)], None);
                }
                Err(_) => return Err(written),
            }
        }
        Ok(())
    }
}

impl Direct {
    /// Writes all bytes or none, at once. Returns whether they are written.
    pub(super) fn write(&self, bytes: &[u8]) -> bool {
        bytes.len() <= PIPE_BUF && rustix::io::write(&self.0, bytes) == Ok(bytes.len())
    }
}

fn reopen(pipe: &OwnedFd) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", pipe.as_raw_fd());
    Ok(open(path, OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?)
}

/// Makes descriptors 1 and 2 a pipe, of which this is the other end.
pub(super) fn redirect_prints() -> io::Result<OwnedFd> {
    let (reader, writer) = io::pipe()?;
    rustix::stdio::dup2_stdout(&writer)?;
    rustix::stdio::dup2_stderr(&writer)?;
    Ok(reader.into())
}

/// Writes a line to stderr as it is.
pub(super) fn write_line(line: &str) {
    // If stderr is closed, nothing can be said.
    let _ = writeln!(io::stderr(), "{line}");
}
