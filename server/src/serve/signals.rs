//! The thread that owns the signals that end a server or a host. It asks the loop to stop, and ends
//! the process if that takes too long: a plugin may block the loop forever. SIGCHLD is the loop's.

use super::process_groups::ProcessGroups;
use super::wake::Mailbox;
use super::watchdog::Observer;
use crate::inherited;
use mio::{Events, Interest, Poll, Token, Waker};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::signal_name;
use signal_hook_mio::v1_0::Signals as Received;
use std::io;
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How long a process may take to end after the first signal, or after anything else that stops it.
pub(super) const STOP_TIME: Duration = Duration::from_secs(5);

/// How much of it the loop has to stop in order. In what is left it kills the hosts that remain.
pub(super) const ORDERLY_TIME: Duration = Duration::from_millis(4_500);

/// Signals within this time are one. Programs such as `timeout` send a signal to a process and to
/// its group; a person needs longer to send another one.
const ONE_SIGNAL: Duration = Duration::from_millis(200);

/// How long the last line of the log may take, because its reader may have stopped reading.
const LAST_LINE: Duration = Duration::from_millis(250);

/// The exit code of a process that did not end in order.
const CUT_SHORT: i32 = 1;

const SIGNAL: Token = Token(0);
const WAKE: Token = Token(1);

/// The loop's handle of the thread.
pub(super) struct Signals {
    waker: Waker,
    stopping_since: Arc<OnceLock<Instant>>,
}

/// What the thread has.
struct Owner {
    poll: Poll,
    received: Received,
    /// When the first signal came.
    first: Option<Instant>,
    stopping_since: Arc<OnceLock<Instant>>,
    mailbox: Arc<Mailbox>,
    observer: Observer,
    groups: Arc<ProcessGroups>,
}

impl Signals {
    /// Starts the thread. It stops the loop of this mailbox; `observer` knows what the loop does.
    pub(super) fn own(
        mailbox: Arc<Mailbox>,
        observer: Observer,
        groups: Arc<ProcessGroups>,
    ) -> io::Result<Signals> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKE)?;
        // With `nohup`, a server outlives its terminal.
        let hangup = (!inherited::is_ignored(SIGHUP)).then_some(SIGHUP);
        let mut received = Received::new([SIGINT, SIGTERM].into_iter().chain(hangup))?;
        poll.registry().register(&mut received, SIGNAL, Interest::READABLE)?;
        let stopping_since = Arc::new(OnceLock::new());
        let since = stopping_since.clone();
        let first = None;
        let owner =
            Owner { poll, received, first, stopping_since: since, mailbox, observer, groups };
        std::thread::Builder::new().name("signals".into()).spawn(move || owner.run())?;
        Ok(Signals { waker, stopping_since })
    }

    /// The loop stops, for whatever reason: from now on the process has to end in time. Returns
    /// since when that is so.
    pub(super) fn stop_begins(&self) -> Instant {
        let since = *self.stopping_since.get_or_init(Instant::now);
        if let Err(error) = self.waker.wake() {
            log::error!("the thread of signals cannot be woken: {error}");
        }
        since
    }
}

impl Owner {
    fn run(mut self) {
        let mut events = Events::with_capacity(2);
        loop {
            let since = self.stopping_since.get();
            let left = since.map(|since| STOP_TIME.saturating_sub(since.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                self.end_late();
            }
            match self.poll.poll(&mut events, left) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    log::error!("signals cannot be received any more: {error}");
                    return;
                }
                _ => {}
            }
            // Those that are pending together count as one.
            if let Some(signal) = self.received.pending().last() {
                self.signal(signal);
            }
        }
    }

    fn signal(&mut self, signal: i32) {
        match self.first {
            None => {
                self.first = Some(Instant::now());
                self.stopping_since.get_or_init(Instant::now);
                self.mailbox.stop(signal_name(signal).unwrap_or("a signal"));
            }
            Some(first) if first.elapsed() > ONE_SIGNAL => self.end_now(),
            Some(_) => {}
        }
    }

    /// Ends the process, because its time is over.
    fn end_late(&self) -> ! {
        let doing = self.observer.foreign_code().unwrap_or_else(|| "its loop is busy".into());
        let seconds = STOP_TIME.as_secs();
        self.end(move || log::error!("not stopped in {seconds} s, ending at once: {doing}"))
    }

    /// Ends the process, because a second signal says so.
    fn end_now(&self) -> ! {
        let doing =
            self.observer.foreign_code().map(|doing| format!("; {doing}")).unwrap_or_default();
        self.end(move || log::warn!("a second signal: ending at once{doing}"))
    }

    fn end(&self, say: impl FnOnce() + Send + 'static) -> ! {
        self.groups.kill_all();
        let (said, heard) = mpsc::channel();
        let last_line = move || {
            say();
            crate::log::finish();
            // When it came too late, no thread waits for this.
            let _ = said.send(());
        };
        if std::thread::Builder::new().name("last-line".into()).spawn(last_line).is_ok() {
            let _ = heard.recv_timeout(LAST_LINE);
        }
        // Without destructors and exit handlers, which may wait for the blocked plugin.
        signal_hook::low_level::exit(CUT_SHORT)
    }
}
