//! Waits for processes that hosts have left to this server, which is their subreaper: daemons, and
//! what a host that ended had started. Children of an inline plugin are left to that plugin.

use super::proc_stat::Stat;
use rustix::process::{Pid, WaitId, WaitIdOptions, getpgrp, getpid, waitid};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// How long a process that has ended is left to an inline plugin that may be waiting for it.
const LEFT_TO_PLUGINS: Duration = Duration::from_secs(2);

/// Children that are looked at when one has ended. The others have their turn when these are gone;
/// until then a process that has ended only keeps its number.
const LOOKS_MAX: usize = 256;

/// Children that have ended, and when that was seen.
#[derive(Debug, Default)]
pub(super) struct Adopted(HashMap<Pid, Duration>);

impl Adopted {
    /// A child of this process may have ended, or time has passed. `hosts` are waited for
    /// elsewhere.
    pub(super) fn look(&mut self, hosts: &HashSet<Pid>, now: Duration) {
        if !any_child_has_ended() {
            self.0.clear();
            return;
        }
        let group = Some(getpgrp());
        // An inline plugin's child is in the group of its server, unless the plugin says otherwise.
        let is_left = |child: &Pid| {
            let stat = Stat::of(*child);
            stat.is_some_and(|stat| stat.state == 'Z' && stat.group != group)
        };
        let others = children().into_iter().filter(|child| !hosts.contains(child));
        let left: HashSet<Pid> = others.take(LOOKS_MAX).filter(is_left).collect();
        self.0.retain(|child, _| left.contains(child));
        for child in left {
            let seen = *self.0.entry(child).or_insert(now);
            if seen + LEFT_TO_PLUGINS <= now {
                // A plugin may just have waited for it.
                let _ = waitid(WaitId::Pid(child), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
                self.0.remove(&child);
            }
        }
    }

    /// When the next process is waited for.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.0.values().min().map(|seen| *seen + LEFT_TO_PLUGINS)
    }
}

fn any_child_has_ended() -> bool {
    let how = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(waitid(WaitId::All, how), Ok(Some(_)))
}

/// The children of the process's first thread, to which the kernel gives what hosts leave. None
/// where the kernel does not list them.
fn children() -> Vec<Pid> {
    let this = getpid().as_raw_nonzero();
    let list = std::fs::read_to_string(format!("/proc/self/task/{this}/children"));
    let list = list.unwrap_or_default();
    list.split_whitespace().filter_map(|word| Pid::from_raw(word.parse().ok()?)).collect()
}
