//! Finds out whether a process descends from a host of this server. The server is the subreaper of
//! its hosts, so the kernel gives it what they leave: a daemon has the server among its ancestors,
//! although it has left its group, its session and its parent.

use super::proc_stat::Stat;
use super::process_handle::ProcessHandle;
use rustix::io::Errno;
use rustix::process::{Pid, getpid, set_child_subreaper, test_kill_process};
use std::collections::HashMap;
use trunkline_core::broker::{ChildId, PeerProcess};

/// Ancestors that are searched. Deep trees, such as a shell in a script in a build, have some 10;
/// each costs the reading of a small file.
const ANCESTORS_MAX: usize = 128;

/// How often the ancestors are searched again, if one ended meanwhile and its children were given
/// to another process.
const ATTEMPTS: usize = 8;

/// A server's process, and the processes of its hosts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lineage {
    server: Pid,
    /// When the first host began, by the kernel's clock. Its other children are older: a script
    /// that became the server by `exec` may have some.
    since: Option<u64>,
}

impl Lineage {
    /// The processes that descend from this one, which has started no host yet.
    pub(super) fn of_this_process() -> Lineage {
        Lineage { server: getpid(), since: None }
    }

    /// For a host that a server started: all processes that descend from that server. A server in
    /// another namespace has no number here, and its processes are not found.
    pub(super) fn of_host(server: Option<Pid>) -> Lineage {
        match server {
            Some(server) => Lineage { server, since: Some(0) },
            None => Lineage::of_this_process(),
        }
    }

    /// Has the kernel give to this process what its hosts leave. Must be called before the first
    /// one is started.
    pub(super) fn expect_hosts(self) {
        if self.since.is_none()
            && let Err(error) = set_child_subreaper(Some(self.server))
        {
            log::warn!("daemons of plugins cannot be told from other processes: {error}");
        }
    }

    /// A host was started.
    pub(super) fn begins_with(&mut self, host: Pid) {
        let started = || Stat::of(host).map_or(0, |stat| stat.started);
        self.since.get_or_insert_with(started);
    }

    /// What the process at the other end of a socket is, given the process groups of all hosts.
    pub(super) fn classify(
        self,
        process: &ProcessHandle,
        hosts: &HashMap<Pid, ChildId>,
    ) -> PeerProcess {
        let Some(since) = self.since else { return PeerProcess::Foreign };
        let search = Search { server: self.server, since, hosts, look: &look };
        let found = (0..ATTEMPTS).find_map(|_| search.origin(process.number()));
        // Its number may be used again since it has ended.
        match process.has_ended() {
            true => PeerProcess::Ended,
            false => found.unwrap_or(PeerProcess::Untraced),
        }
    }
}

/// What can be seen of a process.
#[derive(Clone, Copy, Debug)]
enum Look {
    Process(Stat),
    /// Of another user, where the kernel hides these.
    Hidden,
    /// It has ended; or the kernel hides it although it is of this user.
    Nothing,
}

fn look(process: Pid) -> Look {
    match Stat::of(process) {
        Some(stat) => Look::Process(stat),
        None if test_kill_process(process) == Err(Errno::PERM) => Look::Hidden,
        None => Look::Nothing,
    }
}

/// One search of the ancestors.
struct Search<'a> {
    server: Pid,
    since: u64,
    hosts: &'a HashMap<Pid, ChildId>,
    look: &'a dyn Fn(Pid) -> Look,
}

impl Search<'_> {
    /// `None` if that cannot be found, or if the processes changed meanwhile.
    fn origin(&self, process: Pid) -> Option<PeerProcess> {
        let (mut process, mut child): (Pid, Option<Stat>) = (process, None);
        for _ in 0..ANCESTORS_MAX {
            if process == self.server {
                let is_younger = child.is_some_and(|child| child.started >= self.since);
                let (descendant, foreign) = (PeerProcess::Descendant, PeerProcess::Foreign);
                return Some(if is_younger { descendant } else { foreign });
            }
            let stat = match (self.look)(process) {
                Look::Process(stat) => stat,
                Look::Hidden => return Some(PeerProcess::Foreign),
                Look::Nothing => return None,
            };
            if child.is_some_and(|child| child.started < stat.started) {
                // The number of the parent, which has ended, is used again.
                return None;
            }
            let numbers = [Some(process), stat.group, stat.session].into_iter().flatten();
            if let Some(host) = numbers.filter_map(|number| self.hosts.get(&number)).next() {
                return Some(PeerProcess::OfChild(*host));
            }
            let Some(parent) = stat.parent else { return Some(PeerProcess::Foreign) };
            (process, child) = (parent, Some(stat));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pid(number: i32) -> Pid {
        Pid::from_raw(number).expect("not 0")
    }

    /// A process: its number; its parent, group and session; when it began.
    type Row = (i32, [i32; 3], u64);

    /// The origin of a process, given all of them. The server is 50, and its hosts are 100 and 200.
    fn origin(process: i32, all: &[Row]) -> Option<PeerProcess> {
        let hosts = HashMap::from([(pid(100), ChildId(1)), (pid(200), ChildId(2))]);
        let look = |process| {
            let row = all.iter().find(|(known, ..)| pid(*known) == process);
            let Some((_, numbers, started)) = row else { return Look::Nothing };
            let [parent, group, session] = numbers.map(Pid::from_raw);
            Look::Process(Stat { state: 'S', parent, group, session, started: *started })
        };
        let search = Search { server: pid(50), since: 20, hosts: &hosts, look: &look };
        search.origin(pid(process))
    }

    const SYSTEM: [Row; 3] = [(1, [0, 1, 1], 0), (50, [1, 50, 50], 10), (300, [1, 300, 50], 5)];

    #[test]
    fn a_process_is_found_by_itself_its_group_its_session_and_its_ancestors() {
        let all = [
            (100, [50, 100, 50], 20),
            (101, [100, 100, 50], 20),
            // Its parent has ended.
            (102, [50, 100, 50], 20),
            // It has a group of its own, and then a session.
            (103, [101, 103, 50], 20),
            (104, [103, 104, 104], 20),
            (200, [50, 200, 200], 21),
            (201, [50, 201, 200], 21),
        ];
        let all = [&SYSTEM[..], &all].concat();
        for host_1 in [100, 101, 102, 103, 104] {
            let of_host = PeerProcess::OfChild(ChildId(1));
            assert_eq!(origin(host_1, &all), Some(of_host), "{host_1}");
        }
        for host_2 in [200, 201] {
            let of_host = PeerProcess::OfChild(ChildId(2));
            assert_eq!(origin(host_2, &all), Some(of_host), "{host_2}");
        }
        for foreign in [1, 50, 300] {
            assert_eq!(origin(foreign, &all), Some(PeerProcess::Foreign), "{foreign}");
        }
    }

    #[test]
    fn a_daemon_of_a_host_descends_from_the_server() {
        let all = [
            // It has left its group, its session and its parent.
            (301, [50, 301, 301], 30),
            (302, [301, 302, 302], 31),
            // As old as the first host, by a clock that ticks 100 times a second.
            (303, [50, 303, 303], 20),
        ];
        let all = [&SYSTEM[..], &all].concat();
        for daemon in [301, 302, 303] {
            assert_eq!(origin(daemon, &all), Some(PeerProcess::Descendant), "{daemon}");
        }
    }

    #[test]
    fn what_a_server_had_before_its_hosts_is_foreign() {
        let all = [(40, [50, 50, 50], 9), (41, [40, 50, 50], 99)];
        let all = [&SYSTEM[..], &all].concat();
        for older in [40, 41] {
            assert_eq!(origin(older, &all), Some(PeerProcess::Foreign), "{older}");
        }
    }

    #[test]
    fn processes_that_change_meanwhile_and_deep_trees_are_not_taken_for_foreign() {
        let all = [
            // Its parent has ended since.
            (301, [310, 301, 301], 30),
            // The number of its parent is used again, by a foreign process.
            (302, [311, 302, 302], 30),
            (311, [1, 311, 311], 31),
        ];
        let chain = (1000..1200).map(|number| (number, [number - 1, number, number], 40));
        let all: Vec<Row> = SYSTEM.into_iter().chain(all).chain(chain).collect();
        for unclear in [999, 301, 302, 1199] {
            assert_eq!(origin(unclear, &all), None, "{unclear}");
        }
    }
}
