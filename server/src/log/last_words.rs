//! What this process prints in the moment in which it is aborted, such as that there is no memory
//! left. The pipe of prints ends with the process, so the handler of the signal writes the text to
//! stderr. Only functions that a handler may call are called here.

use super::stderr::PIPE_BUF;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, write};
use signal_hook::consts::SIGABRT;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;

/// How long an aborted process lives on if the log's own threads have the text already.
const OTHERS_WRITE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Reads of the pipe at most: more than it holds.
const READS: usize = 32;

const ABORTED: &[u8] = b"trunkline: this process is aborted: ";

static WORDS: OnceLock<Words> = OnceLock::new();

/// Descriptors of its own, which no other code closes.
struct Words {
    prints: OwnedFd,
    stderr: OwnedFd,
}

/// From now on, what is in the pipe of prints is written to stderr when this process is aborted.
pub(super) fn keep(prints: &OwnedFd, stderr: OwnedFd) -> io::Result<()> {
    if WORDS.set(Words { prints: prints.try_clone()?, stderr }).is_err() {
        return Ok(());
    }
    // SAFETY: the handler reads a static that was set before, and calls `read`, `write` and `poll`,
    // which POSIX allows; it neither allocates nor locks.
    unsafe { signal_hook::low_level::register(SIGABRT, say) }.map(drop)
}

fn say() {
    let Some(words) = WORDS.get() else { return };
    let mut buffer = [0; PIPE_BUF];
    let mut said = false;
    for _ in 0..READS {
        match read(&words.prints, &mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                if !said {
                    words.write(ABORTED);
                }
                said = true;
                words.write(&buffer[..count]);
            }
            Err(Errno::INTR) => {}
            Err(_) => break,
        }
    }
    if !said {
        let _ = poll(&mut [], Some(&OTHERS_WRITE));
        words.write(ABORTED);
        words.write(b"why is not known, or said above\n");
    }
}

impl Words {
    /// Writes if that needs no waiting, because the other end may not read.
    fn write(&self, bytes: &[u8]) {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let ready = poll(&mut [PollFd::new(&self.stderr, PollFlags::OUT)], Some(&now));
        if ready == Ok(1) {
            let _ = write(&self.stderr, bytes);
        }
    }
}
