//! The limits of the kernel for one process (`setrlimit`). A process without capabilities cannot
//! raise them again.

use super::{System, TASKS};
use rustix::process::{Resource, Rlimit, setrlimit};

/// Memory that may be locked, in bytes: some keys, and no more.
const LOCKED: u64 = 64 * 1024;

pub(super) fn memory(mib: &u64) -> Result<String, String> {
    set(Resource::Data, mib << 20)?;
    Ok("RLIMIT_DATA, for each process".into())
}

pub(super) fn open_files(most: &u64) -> Result<String, String> {
    set(Resource::Nofile, *most)?;
    Ok("RLIMIT_NOFILE".into())
}

/// One process is kept by `calls.rs`. More are counted with their threads, by their user or in
/// their cgroup, where `tasks` says whether that is possible.
pub(super) fn processes(
    most: u64,
    system: System,
    tasks: Result<String, String>,
) -> Result<String, String> {
    if system.other_user {
        set(Resource::Nproc, most.saturating_mul(TASKS))?;
    }
    countable(most, system, tasks)
}

/// By which means so many processes are counted.
pub(super) fn countable(
    most: u64,
    system: System,
    tasks: Result<String, String>,
) -> Result<String, String> {
    match (most, system.other_user, tasks) {
        (1, _, _) => Ok("seccomp".into()),
        (_, true, _) => Ok(format!("RLIMIT_NPROC, with {TASKS} threads each")),
        (_, false, Ok(means)) => Ok(format!("{means}, with {TASKS} threads each")),
        (_, false, Err(why)) => {
            Err(format!("processes are counted by their user; add `user` (or a cgroup: {why})"))
        }
    }
}

/// Nothing of its memory is written to a core dump, and little of it is locked.
pub(super) fn leave_no_secrets() -> Result<(), String> {
    set(Resource::Core, 0)?;
    set(Resource::Memlock, LOCKED)
}

fn set(resource: Resource, most: u64) -> Result<(), String> {
    let limit = Rlimit { current: Some(most), maximum: Some(most) };
    setrlimit(resource, limit).map_err(|error| format!("{resource:?} cannot be set: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_processes_need_a_user_of_their_own_or_a_cgroup() {
        let system = System { landlock: 6, other_user: false };
        let none = || Err("none here".to_owned());
        assert_eq!(countable(1, system, none()), Ok("seccomp".into()));
        let counted = countable(2, system, Ok("cgroup pids.max".into()));
        assert_eq!(counted, Ok("cgroup pids.max, with 64 threads each".into()));
        let expected = "processes are counted by their user; add `user` (or a cgroup: none here)";
        assert_eq!(countable(2, system, none()), Err(expected.into()));
    }
}
