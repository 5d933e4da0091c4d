//! Unix sockets: listening with a file of its own, accepting, dialling, and removing what killed
//! processes left.

use crate::accepting::{self, Accepted};
use crate::credentials;
use crate::lock::{FileLock, Holder};
use rustix::fs::{Mode, chmod, fchmod};
use rustix::net::{SocketFlags, accept_with};
use rustix::process::{Pid, getpid, test_kill_process};
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::{File, symlink_metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Connections that may wait to be accepted: the kernel's usual bound.
const BACKLOG: i32 = 4096;

/// Only our user may connect.
const MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Longest path that the kernel binds a socket to, in bytes.
const PATH_MAX: usize = 107;

/// The file of a listening socket. Dropping it removes the file, if it is still that of this
/// socket.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
    /// `None` if no other process uses this name, or where no file can be locked.
    lock: Option<FileLock>,
}

/// Listens on a path that other processes may want too. A lock beside it (`NAME.lock`) decides
/// which of them has it, for as long as that process lives. A socket that a killed process left is
/// replaced in one step.
///
/// # Errors
///
/// `AddrInUse` if another process listens there; `AlreadyExists` if a file that is not a socket is
/// there; or why a file cannot be made.
pub fn listen(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let mut lock = match FileLock::take(&beside(path, "", ".lock")) {
        Ok(lock) => Some(lock),
        Err(Holder::Process(process)) => return Err(in_use(Some(process))),
        Err(Holder::NoLocks) => None,
        Err(Holder::Unknown(error)) => return Err(error),
    };
    if let Err(found) = check_unused(path) {
        // The kernel grants one process a lock twice. Closing the file would release both.
        if let (Found::Listener(Some(process)), Some(lock)) = (&found, lock.take())
            && *process == getpid()
        {
            lock.leak();
        }
        return Err(found.into_error());
    }
    bind(path, lock)
}

/// Listens on a path that no other process uses, because its name is random.
///
/// # Errors
///
/// Why the file cannot be made.
pub fn listen_at_random_name(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    bind(path, None)
}

/// Accepts the next connection.
pub fn accept(listener: impl AsFd) -> Accepted<UnixStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    accepting::accept(|| accept_with(&listener, flags).map(UnixStream::from))
}

/// Connects without waiting.
///
/// # Errors
///
/// `ConnectionRefused` if nothing listens there; `WouldBlock` if the listener's queue is full.
pub fn dial(path: &Path) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(socket.into())
}

/// Connects and gives a blocking socket, none of whose operations takes longer than `patience`.
///
/// # Errors
///
/// As of [`dial`]; `WouldBlock` if the listener's queue stays full.
pub fn connect_within(path: &Path, patience: Duration) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_read_timeout(Some(patience))?;
    // It also limits the wait for a place in the queue.
    socket.set_write_timeout(Some(patience))?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(socket.into())
}

/// Removes the sockets in a folder that killed processes left, if their names are `ours`. Younger
/// ones stay, because an older release may not listen on them yet.
pub fn remove_dead(folder: &Path, older_than: Duration, ours: impl Fn(&str) -> bool) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let is_ours =
        |file: &PathBuf| file.file_name().and_then(|name| name.to_str()).is_some_and(&ours);
    let files = entries.filter_map(Result::ok).map(|entry| entry.path());
    for file in files.filter(is_ours) {
        let made = symlink_metadata(&file).and_then(|metadata| metadata.modified());
        // A time that is yet to come is that of a clock which has been set back since.
        let age = made.map_or(Duration::ZERO, |at| at.elapsed().unwrap_or(Duration::MAX));
        // Only a dead socket refuses. A live one may have a full queue.
        let refused = |error: io::Error| error.kind() == ErrorKind::ConnectionRefused;
        if age > older_than && dial(&file).is_err_and(refused) {
            // Another process may have removed it meanwhile.
            let _ = std::fs::remove_file(&file);
        }
    }
}

impl SocketFile {
    /// Removes the file, and lets other processes use its name. A file that another process put in
    /// its place stays.
    ///
    /// # Errors
    ///
    /// Why it cannot be removed.
    pub fn remove(mut self) -> io::Result<()> {
        self.remove_if_ours()
    }

    fn remove_if_ours(&mut self) -> io::Result<()> {
        let removed = match identity(&self.path) {
            Ok(found) if found == self.identity => std::fs::remove_file(&self.path),
            _ => Ok(()),
        };
        self.identity = (0, 0);
        self.lock = None;
        removed
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A socket that stays is replaced by the next start.
        let _ = self.remove_if_ours();
    }
}

/// Why a path cannot be used.
enum Found {
    /// This process listens there, if the kernel says which.
    Listener(Option<Pid>),
    NotASocket,
}

impl Found {
    fn into_error(self) -> io::Error {
        match self {
            Found::Listener(process) => {
                in_use(process.map(|process| process.as_raw_nonzero().get().unsigned_abs()))
            }
            Found::NotASocket => {
                let text =
                    "a file that is not a socket has this path; remove it, or name another path";
                io::Error::new(ErrorKind::AlreadyExists, text)
            }
        }
    }
}

fn in_use(process: Option<u32>) -> io::Error {
    let which = match process {
        Some(process) if process != 0 => format!(" (process {process})"),
        _ => String::new(),
    };
    let text = format!("another server{which} listens there; stop it or name another path");
    io::Error::new(ErrorKind::AddrInUse, text)
}

/// Checks that nothing is at this path, or a socket on which no running process listens. A process
/// of an earlier release listens without a lock.
fn check_unused(path: &Path) -> Result<(), Found> {
    let Ok(metadata) = symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(Found::NotASocket);
    }
    match dial(path) {
        Err(error)
            if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) =>
        {
            Ok(())
        }
        Err(_) => Err(Found::Listener(None)),
        // The socket may be that of a killed process, of which a child has a copy: one that was
        // just being started, or that never calls `exec`.
        Ok(stream) => match credentials(&stream).ok().and_then(|it| it.process) {
            Some(process) if has_ended(process) => Ok(()),
            process => Err(Found::Listener(process)),
        },
    }
}

/// Whether a process does not run any more, even if its parent has not collected it.
fn has_ended(process: Pid) -> bool {
    if test_kill_process(process) == Err(rustix::io::Errno::SRCH) {
        return true;
    }
    let file = format!("/proc/{}/stat", process.as_raw_nonzero());
    // The state follows the name, which can hold anything.
    let state = std::fs::read_to_string(file).ok().and_then(|text| {
        let rest = text.rsplit(')').next()?.trim_start();
        rest.chars().next()
    });
    matches!(state, Some('Z' | 'X'))
}

/// Makes the socket under a temporary name, and gives it its place when it listens. So a
/// socket that does not answer is never found at the path.
fn bind(path: &Path, lock: Option<FileLock>) -> io::Result<(UnixListener, SocketFile)> {
    // A path that is too long could be bound in the following way, but not dialled.
    SockAddr::unix(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    // The kernel gives the file the mode of its socket, so it is never open to other users. The
    // process's mask, which belongs to all threads, is not changed for it.
    fchmod(&socket, MODE)?;
    let temporary = temporary(path);
    // A killed process may have left one. We have the lock, or the name is random.
    let _ = std::fs::remove_file(&temporary);
    bind_to(&socket, &temporary)?;
    let placed = place(&socket, &temporary, path);
    let identity = placed.inspect_err(|_| {
        // The error that led here says more than one of this.
        let _ = std::fs::remove_file(&temporary);
    })?;
    Ok((socket.into(), SocketFile { path: path.into(), identity, lock }))
}

fn place(socket: &Socket, temporary: &Path, path: &Path) -> io::Result<(u64, u64)> {
    // The mask may have taken bits from the mode.
    chmod(temporary, MODE)?;
    socket.listen(BACKLOG)?;
    let identity = identity(temporary)?;
    std::fs::rename(temporary, path)?;
    Ok(identity)
}

/// The name of a socket until it has its place. It is the same in each process that wants this
/// place, so that the next one removes what a killed one left.
fn temporary(path: &Path) -> PathBuf {
    let readable = beside(path, ".", ".new");
    if readable.as_os_str().len() <= PATH_MAX {
        return readable;
    }
    let mut hasher = DefaultHasher::new();
    path.file_name().hash(&mut hasher);
    path.with_file_name(format!(".{:016x}.new", hasher.finish()))
}

/// Binds a socket to a path in a folder whose path may be too long for it.
fn bind_to(socket: &Socket, path: &Path) -> io::Result<()> {
    if path.as_os_str().len() <= PATH_MAX {
        return socket.bind(&SockAddr::unix(path)?);
    }
    let whole = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
    let mut options = File::options();
    options.read(true).custom_flags(whole.bits().cast_signed());
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = options.open(parent.unwrap_or(Path::new(".")))?;
    let name = path.file_name().unwrap_or_default();
    let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    socket.bind(&SockAddr::unix(short)?)
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

/// The path with this before and after its last name.
fn beside(path: &Path, before: &str, after: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(before);
    name.push(path.file_name().unwrap_or_default());
    name.push(after);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests;
