//! What the kernel tells of a process in `/proc/PID/stat`.

use rustix::process::Pid;

/// The fields that are used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stat {
    /// `Z` after its end, until its parent has waited for it.
    pub(super) state: char,
    /// The first process has none.
    pub(super) parent: Option<Pid>,
    pub(super) group: Option<Pid>,
    pub(super) session: Option<Pid>,
    /// In clock ticks since the boot. With its number, it names a process.
    pub(super) started: u64,
}

/// Fields between the session and the start.
const UNUSED: usize = 15;

impl Stat {
    pub(super) fn of(process: Pid) -> Option<Stat> {
        let number = process.as_raw_nonzero();
        Stat::parse(&std::fs::read_to_string(format!("/proc/{number}/stat")).ok()?)
    }

    /// The command name before the last `)` may contain any characters.
    fn parse(text: &str) -> Option<Stat> {
        let mut fields = text.rsplit(')').next()?.split_whitespace();
        let state = fields.next()?.chars().next()?;
        let mut number = || Some(Pid::from_raw(fields.next()?.parse().ok()?));
        let [parent, group, session] = [number()?, number()?, number()?];
        let started = fields.nth(UNUSED)?.parse().ok()?;
        Some(Stat { state, parent, group, session, started })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{getpgrp, getpid, getppid};

    #[test]
    fn it_is_parsed_whatever_the_command_is_called() {
        let line = "7 (a) S 1 2 (b) R 3 4 5 -1 6 7 8 9 10 11 12 13 14 15 16 17 18 19 2112 20";
        let stat = Stat::parse(line).expect("a whole line");
        let numbers = [stat.parent, stat.group, stat.session];
        assert_eq!(numbers, [3, 4, 5].map(Pid::from_raw));
        assert_eq!((stat.state, stat.started), ('R', 2112));
        assert!(Stat::parse("7 (a) R 3 4").is_none());
        assert!(Stat::parse("7 (a) R 3 4 5 6").is_none());
    }

    #[test]
    fn the_kernel_knows_this_process() {
        let own = Stat::of(getpid()).expect("a process");
        assert_eq!((own.parent, own.group), (getppid(), Some(getpgrp())));
        let parent = Stat::of(getppid().expect("a parent")).expect("a process");
        assert!(parent.started > 0 && parent.started <= own.started, "{parent:?}, {own:?}");
    }
}
