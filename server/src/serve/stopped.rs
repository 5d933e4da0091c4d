//! Notices that the process of a host is stopped (`SIGSTOP`). Its own watchdog cannot report that,
//! because it is stopped too. The kernel tells the parent.

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use std::process::Child as Process;
use std::time::Duration;

/// Whether a process is stopped, and what was logged of it.
#[derive(Debug, Default)]
pub(super) struct Stopped {
    since: Option<Duration>,
    reported: bool,
}

impl Stopped {
    /// Notes whether a process was stopped or continued since the last call. The kernel reports
    /// each change once.
    pub(super) fn look(&mut self, process: &Process, name: &str, now: Duration) {
        let how = WaitIdOptions::STOPPED | WaitIdOptions::CONTINUED | WaitIdOptions::NOHANG;
        while let Ok(Some(change)) = waitid(WaitId::Pid(Pid::from_child(process)), how) {
            match change.stopped() {
                true => drop(self.since.get_or_insert(now)),
                false => self.goes_on(name, now),
            }
        }
    }

    fn goes_on(&mut self, name: &str, now: Duration) {
        let Stopped { since, reported } = std::mem::take(self);
        if let Some(since) = since.filter(|_| reported) {
            let seconds = now.saturating_sub(since).as_secs_f64();
            log::info!(
                "the process of plugin {name} goes on after it was stopped for {seconds:.1} s"
            );
        }
    }

    /// When this process has been stopped for as long as a plugin may block.
    pub(super) fn deadline(&self, limit: Duration) -> Option<Duration> {
        self.since.filter(|_| !self.reported).map(|since| since.saturating_add(limit))
    }

    /// For how long it has been stopped, if that is too long. It is returned once.
    pub(super) fn take_overdue(&mut self, limit: Duration, now: Duration) -> Option<Duration> {
        self.deadline(limit).filter(|deadline| *deadline <= now)?;
        self.reported = true;
        self.since.map(|since| now.saturating_sub(since))
    }
}
