//! How a confined process tells its server which bounds are in force: through a pipe that is closed
//! before any code of the plugin runs, so that the plugin can say nothing there.

use super::Report;
use rustix::fs::{OFlags, fcntl_setfl};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Bytes of a report at most. A pipe takes as many without waiting.
const REPORT_MAX: u64 = 64 * 1024;

/// The server's end of the pipe.
#[derive(Debug)]
pub(crate) struct Listener {
    pipe: PipeReader,
    text: Vec<u8>,
    heard: Option<Result<Report, String>>,
}

/// The process's end of the pipe.
#[derive(Debug)]
pub(crate) struct Teller(PipeWriter);

impl Listener {
    /// A listener, and the other end, which the process inherits.
    pub(crate) fn new() -> io::Result<(Listener, PipeWriter)> {
        let (pipe, theirs) = io::pipe()?;
        fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
        Ok((Listener { pipe, text: Vec::new(), heard: None }, theirs))
    }

    /// What the process has told: its bounds, or why it cannot be confined. `None` as long as it
    /// has said nothing.
    pub(crate) fn heard(&mut self) -> Option<&Result<Report, String>> {
        let room = REPORT_MAX.saturating_sub(self.text.len() as u64);
        let read = (&self.pipe).take(room).read_to_end(&mut self.text);
        // It is whole when the other end is closed.
        if self.heard.is_none() && read.is_ok() {
            self.heard = serde_json::from_slice(&self.text).ok();
        }
        self.heard.as_ref()
    }
}

impl Teller {
    /// The end that this process inherited.
    pub(crate) fn new(pipe: OwnedFd) -> Teller {
        Teller(pipe.into())
    }

    /// Its descriptor, which is needed until it has told.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Tells the server, and closes the pipe.
    pub(crate) fn tell(mut self, confined: &Result<Report, String>) -> Result<(), String> {
        let text = serde_json::to_vec(confined).map_err(|error| error.to_string())?;
        let written = self.0.write_all(&text);
        written.map_err(|error| format!("its server cannot be told of its bounds: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_hears_what_its_process_told() {
        for told in [Ok(Report::new(true)), Err("no landlock".to_owned())] {
            let (mut listener, theirs) = Listener::new().expect("a pipe");
            assert_eq!(listener.heard(), None, "nothing was said yet");
            Teller::new(theirs.into()).tell(&told).expect("it has room");
            assert_eq!(listener.heard(), Some(&told));
            assert_eq!(listener.heard(), Some(&told), "and remembers it");
        }
    }

    #[test]
    fn a_process_that_ends_without_a_word_has_told_nothing() {
        let (mut listener, theirs) = Listener::new().expect("a pipe");
        drop(theirs);
        assert_eq!(listener.heard(), None);
    }
}
