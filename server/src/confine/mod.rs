//! Confines this process: what its plugin may read, change, reach and use. Each means has a file.
//!
//! [`confine`] runs in the process of a host, before its second thread starts and before any code
//! of its plugin runs, because a plugin's constructors are code. The order of its steps is the one
//! in which they are possible: each takes away a right that an earlier one needs.

mod calls;
mod descriptors;
mod files;
mod foresight;
mod groups;
mod identity;
mod limits;
mod network;
mod refused;
mod report;
mod telling;

pub(crate) use foresight::foresee;
pub(crate) use report::{Bound, Report};
pub(crate) use telling::{Listener, Teller};

use crate::config::{Confine, Network};
use groups::Group;
use identity::Account;
use std::os::fd::BorrowedFd;
use std::path::Path;

/// What a confined process keeps of what it had.
#[derive(Debug)]
pub(crate) struct Kept<'a> {
    /// The plugin's name.
    pub(crate) plugin: &'a str,
    /// The plugin's data folder, if it may change that.
    pub(crate) data: Option<&'a Path>,
    /// Its descriptors beside standard input, output and error.
    pub(crate) files: &'a [BorrowedFd<'a>],
}

/// What differs between the systems on which this runs, as far as it decides what is possible.
#[derive(Clone, Copy, Debug)]
pub(crate) struct System {
    /// The version of landlock's interface; 0 without landlock.
    pub(crate) landlock: u32,
    /// Whether the process runs as a user to which the server does not belong.
    pub(crate) other_user: bool,
}

/// Tasks, which are threads, that each process of a plugin may have where they are counted.
const TASKS: u64 = 64;

/// Confines this process, which must have one thread. An error says which bound cannot be kept;
/// the process must then end.
pub(crate) fn confine(asked: &Confine, kept: &Kept<'_>) -> Result<Report, String> {
    let mut report = Report::new(asked.best_effort);
    descriptors::close_all_but(kept.files)?;
    let account = asked.user.as_deref().map(Account::look_up).transpose()?;
    let landlock = files::version();
    // Paths are opened as the server's user: another one need not reach their folders.
    let rules = files::rules(asked, kept.data, landlock)?;
    if let (Some(account), Some(data)) = (&account, kept.data) {
        account.own(data)?;
    }
    let group = group(asked, kept.plugin);
    report.add("cpu-percent", asked.cpu_percent, |percent| {
        group.as_ref().map_err(String::clone)?.limit_processor(*percent)
    })?;
    report.add("memory-mib", asked.memory_mib, |mib| {
        let counted = group.as_ref().map_err(String::clone);
        counted.and_then(|group| group.limit_memory(*mib)).or_else(|_| limits::memory(mib))
    })?;
    let most = asked.processes.saturating_mul(TASKS);
    let tasks = group.and_then(|group| group.limit_tasks(most));
    report.add("open-files", asked.open_files, limits::open_files)?;
    if asked.network == Network::Loopback {
        report.add("network", Some("loopback"), |_| network::leave())?;
    }
    limits::leave_no_secrets()?;
    identity::close_way_to_capabilities()?;
    if let Some(account) = &account {
        report.add("user", asked.user.as_deref(), |_| account.become_it())?;
    }
    let other_user = account.is_some_and(|account| account.is_in_force());
    let system = System { landlock, other_user };
    report
        .add("processes", Some(asked.processes), |most| limits::processes(*most, system, tasks))?;
    report.add("privileges", Some("none"), |_| identity::drop_privileges())?;
    files::enforce(rules, asked, system, &mut report)?;
    calls::enforce(asked, system, &mut report)?;
    Ok(report)
}

/// The cgroup of the plugin, if a bound needs one.
fn group(asked: &Confine, plugin: &str) -> Result<Group, String> {
    let needed = asked.cpu_percent.or(asked.memory_mib).is_some() || asked.processes > 1;
    match needed {
        true => Group::enter(plugin),
        false => Err("no bound needs a cgroup".into()),
    }
}
