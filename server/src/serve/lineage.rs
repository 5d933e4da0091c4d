//! Finds the host of this server to which a process belongs: by its id, its process group, its
//! session, or those of its ancestors. A daemon that left all of them is not found.

use super::proc_stat::Stat;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use std::collections::HashMap;
use trunkline_core::broker::{ChildId, PeerProcess};

/// Ancestors that are searched. Deep trees, such as a shell in a script in a build, have some 10.
const ANCESTORS_MAX: usize = 32;

/// Which host a process belongs to, given the process groups of all hosts.
pub(super) fn classify(process: Pid, hosts: &HashMap<Pid, ChildId>) -> PeerProcess {
    if hosts.is_empty() {
        return PeerProcess::Foreign;
    }
    match owner(process, hosts, Stat::of) {
        Some(host) => PeerProcess::OfChild(host),
        None if test_kill_process(process) == Err(Errno::SRCH) => PeerProcess::Ended,
        None => PeerProcess::Foreign,
    }
}

fn owner(
    process: Pid,
    hosts: &HashMap<Pid, ChildId>,
    stat: impl Fn(Pid) -> Option<Stat>,
) -> Option<ChildId> {
    let mut process = process;
    for _ in 0..ANCESTORS_MAX {
        let Stat { parent, group, session, .. } = stat(process)?;
        let numbers = [Some(process), group, session].into_iter().flatten();
        if let Some(host) = numbers.filter_map(|number| hosts.get(&number)).next() {
            return Some(*host);
        }
        process = parent?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pid(number: i32) -> Pid {
        Pid::from_raw(number).expect("not 0")
    }

    /// The host of a process, given all processes with their parent, group and session.
    fn found(process: i32, all: &[(i32, [i32; 3])]) -> Option<u32> {
        let hosts = HashMap::from([(pid(100), ChildId(1)), (pid(200), ChildId(2))]);
        let stat = |process| {
            let (_, numbers) = *all.iter().find(|(known, _)| pid(*known) == process)?;
            let [parent, group, session] = numbers.map(Pid::from_raw);
            Some(Stat { state: 'S', parent, group, session, started: 0 })
        };
        owner(pid(process), &hosts, stat).map(|host| host.0)
    }

    #[test]
    fn a_process_is_found_by_itself_its_group_its_session_and_its_ancestors() {
        let all = [
            (50, [1, 50, 50]),
            (100, [50, 100, 50]),
            (101, [100, 100, 50]),
            // Its parent has ended.
            (102, [1, 100, 50]),
            // It has a group of its own, and then a session.
            (103, [101, 103, 50]),
            (104, [103, 104, 104]),
            (200, [50, 200, 200]),
            (201, [1, 201, 200]),
            (300, [50, 300, 50]),
            // A daemon: it has left its group, its session and its parent.
            (301, [1, 301, 301]),
        ];
        for host_1 in [100, 101, 102, 103, 104] {
            assert_eq!(found(host_1, &all), Some(1), "{host_1}");
        }
        for host_2 in [200, 201] {
            assert_eq!(found(host_2, &all), Some(2), "{host_2}");
        }
        for foreign in [50, 300, 301, 999] {
            assert_eq!(found(foreign, &all), None, "{foreign}");
        }
    }
}
