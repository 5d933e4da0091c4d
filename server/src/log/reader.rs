//! The thread that reads what this process and the processes of its plugins print. It never stops
//! reading, so that no `println!` waits.

use super::entry::Entry;
use super::lines::Lines;
use super::{PLUGIN, Shared};
use log::Level;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes of one read. A pipe holds as many by default.
const READ_BUFFER: usize = 64 * 1024;

/// Reads of one source when the process ends. More than a pipe holds has been printed meanwhile.
const LAST_READS: usize = 32;

/// Whose output it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// This process: a plugin of it, or a program that one started.
    Printed,
    /// The process of the plugin with this name.
    Plugin(String),
}

pub(super) struct Reader {
    messages: Mutex<Vec<Message>>,
    wake: OwnedFd,
}

enum Message {
    Add(Output),
    /// Everything that has been printed by now is to be read.
    Drain(Sender<()>),
}

/// A pipe, and what was read from it.
struct Output {
    pipe: OwnedFd,
    source: Source,
    lines: Lines,
}

impl Reader {
    pub(super) fn new() -> io::Result<Reader> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Reader { messages: Mutex::default(), wake })
    }

    /// Reads from a pipe, until all of its writers have closed it. An earlier one of the same
    /// plugin is closed.
    pub(super) fn add(&self, pipe: OwnedFd, source: Source) -> io::Result<()> {
        fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
        self.send(Message::Add(Output { pipe, source, lines: Lines::default() }));
        Ok(())
    }

    /// Waits until everything that has been printed is in the queue, or until the deadline.
    pub(super) fn drain(&self, end: Instant) {
        let (done, drained) = channel();
        self.send(Message::Drain(done));
        let _ = drained.recv_timeout(end.saturating_duration_since(Instant::now()));
    }

    /// Makes the thread look for what is due.
    pub(super) fn wake(&self) {
        // It fails only if the thread has been woken countless times and not looked.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    fn send(&self, message: Message) {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).push(message);
        self.wake();
    }

    /// Reads, for the rest of the process's life.
    pub(super) fn run(&self, shared: &Shared) {
        let (mut outputs, mut buffer) = (Vec::new(), vec![0; READ_BUFFER]);
        let mut timeout = None;
        loop {
            let ready = wait(&self.wake, &outputs, timeout);
            let mut number = 0;
            outputs.retain_mut(|output: &mut Output| {
                number += 1;
                ready.get(number - 1) != Some(&true) || output.read(1, &mut buffer, shared)
            });
            self.take_messages(&mut outputs, &mut buffer, shared);
            timeout = shared.say_dropped();
        }
    }

    fn take_messages(&self, outputs: &mut Vec<Output>, buffer: &mut [u8], shared: &Shared) {
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        let messages =
            std::mem::take(&mut *self.messages.lock().unwrap_or_else(PoisonError::into_inner));
        for message in messages {
            match message {
                Message::Add(new) => {
                    for old in outputs.extract_if(.., |old| old.source == new.source) {
                        finish(old, buffer, shared);
                    }
                    outputs.push(new);
                }
                Message::Drain(done) => {
                    for output in outputs.iter_mut() {
                        output.read(LAST_READS, buffer, shared);
                        output.end(shared);
                    }
                    shared.say_dropped();
                    // When the deadline has passed, this is not awaited any more.
                    let _ = done.send(());
                }
            }
        }
    }
}

/// Waits for output, a message or the end of this time. Returns for each output whether it is
/// ready.
fn wait(wake: &OwnedFd, outputs: &[Output], timeout: Option<Duration>) -> Vec<bool> {
    let mut polled = vec![PollFd::new(wake, PollFlags::IN)];
    polled.extend(outputs.iter().map(|output| PollFd::new(&output.pipe, PollFlags::IN)));
    let timeout = timeout.and_then(|time| Timespec::try_from(time).ok());
    match poll(&mut polled, timeout.as_ref()) {
        Ok(_) => polled[1..].iter().map(|file| !file.revents().is_empty()).collect(),
        Err(_) => Vec::new(),
    }
}

/// Reads what is left in a pipe that is closed then.
fn finish(mut output: Output, buffer: &mut [u8], shared: &Shared) {
    output.read(LAST_READS, buffer, shared);
    output.end(shared);
}

impl Output {
    /// Reads at most so many times. Returns whether more may come.
    fn read(&mut self, times: usize, buffer: &mut [u8], shared: &Shared) -> bool {
        for _ in 0..times {
            match rustix::io::read(&self.pipe, &mut *buffer) {
                Ok(0) => {
                    self.end(shared);
                    return false;
                }
                Ok(count) => {
                    let source = &self.source;
                    self.lines.take(&buffer[..count], |line| source.log(line, shared));
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return true,
                Err(_) => return false,
            }
        }
        true
    }

    fn end(&mut self, shared: &Shared) {
        let source = &self.source;
        self.lines.end(|line| source.log(line, shared));
    }
}

impl Source {
    fn log(&self, line: &[u8], shared: &Shared) {
        match self {
            Source::Printed => {
                let (target, text) = (shared.target_of_prints(), String::from_utf8_lossy(line));
                let entry = Entry::new(Level::Info, &target, &format_args!("{text}"));
                shared.admit_line(&target, entry);
            }
            Source::Plugin(name) => {
                shared.admit_line(&format!("{PLUGIN}{name}"), Entry::of_plugin(name, line));
            }
        }
    }
}
