//! System calls that a confined process may not make: seccomp. All others are allowed.
//!
//! A refused call fails with EPERM. `clone3` fails with ENOSYS, because a filter cannot read its
//! arguments: the C library then uses `clone`.

use super::refused::{ALWAYS, MAPPED, OF_SAME_USER, PROGRAMS, X32_OWN};
use super::{Report, System};
use crate::config::{Confine, Network};
use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};
use std::collections::BTreeMap;

/// Added to the numbers of calls of programs for x32 on x86-64. The filter sees the same
/// architecture for them.
const X32: i64 = if cfg!(target_arch = "x86_64") { 0x4000_0000 } else { 0 };

/// Flags of `clone` that make namespaces.
const NAMESPACES: libc::c_int = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;

/// The type of a socket without its flags.
const SOCKET_TYPE: u64 = 0xf;

/// Calls by their numbers, each with the conditions under which it is refused: of one list all
/// must hold. Without any list, it is always refused.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// A condition: the number of the argument, and how it compares. The kernel uses 32 bits of all
/// arguments that occur here, except the flags of `mmap` and `clone`, whose upper bits have no
/// meaning.
type Test = (u8, SeccompCmpOp, u64);

/// Refuses calls from now on, and reports what that bounds.
pub(super) fn enforce(asked: &Confine, system: System, report: &mut Report) -> Result<(), String> {
    let filters = filters(asked, system);
    let refused = filters.and_then(|filters| filters.iter().try_for_each(install));
    report.add("system-calls", Some("those of plugins"), |_| {
        refused.clone().map(|()| "seccomp".into())
    })?;
    let network = match asked.network {
        Network::None => Some("none"),
        // What separates the network was reported when it was made.
        Network::Loopback => None,
        Network::Any => Some("any"),
    };
    report.add("network", network, |_| refused.map(|()| "seccomp".into()))
}

fn install(filter: &BpfProgram) -> Result<(), String> {
    apply_filter(filter).map_err(|error| format!("seccomp: {error}"))
}

/// The programs for the kernel.
fn filters(asked: &Confine, system: System) -> Result<[BpfProgram; 2], String> {
    let mut rules = Rules::new();
    refuse_always(&mut rules)?;
    if !system.other_user {
        OF_SAME_USER.iter().for_each(|call| refuse(&mut rules, *call));
        refuse_others(&mut rules)?;
    }
    refuse_sockets(asked.network, &mut rules)?;
    if asked.processes == 1 {
        PROGRAMS.iter().for_each(|call| refuse(&mut rules, *call));
        let thread = libc::CLONE_THREAD as u64;
        refuse_if(&mut rules, libc::SYS_clone, &[(0, SeccompCmpOp::MaskedEq(thread), 0)])?;
    }
    if asked.memory_mib.is_some() {
        refuse_uncounted(&mut rules)?;
    }
    let mut unknown = Rules::new();
    refuse(&mut unknown, libc::SYS_clone3);
    Ok([compiled(rules, libc::EPERM)?, compiled(unknown, libc::ENOSYS)?])
}

/// What no plugin needs: tracing, mounting, namespaces, the kernel itself.
fn refuse_always(rules: &mut Rules) -> Result<(), String> {
    ALWAYS.iter().for_each(|call| refuse(rules, *call));
    for flag in (0..31).map(|bit| 1 << bit).filter(|flag| NAMESPACES & flag != 0) {
        let flag = flag as u64;
        refuse_if(rules, libc::SYS_clone, &[(0, SeccompCmpOp::MaskedEq(flag), flag)])?;
    }
    // They type into a terminal.
    for request in [libc::TIOCSTI, libc::TIOCLINUX] {
        refuse_if(rules, libc::SYS_ioctl, &[(1, SeccompCmpOp::Eq, request)])?;
    }
    Ok(())
}

/// What changes other processes of the same user, which landlock does not keep apart.
fn refuse_others(rules: &mut Rules) -> Result<(), String> {
    let other = SeccompCmpOp::Ne;
    for call in [
        libc::SYS_prlimit64,
        libc::SYS_sched_setaffinity,
        libc::SYS_sched_setscheduler,
        libc::SYS_sched_setparam,
        libc::SYS_sched_setattr,
        libc::SYS_migrate_pages,
        libc::SYS_move_pages,
    ] {
        refuse_if(rules, call, &[(0, other.clone(), 0)])?;
    }
    for call in [libc::SYS_setpriority, libc::SYS_ioprio_set] {
        refuse_if(rules, call, &[(1, other.clone(), 0)])?;
    }
    // Priorities of all processes of the user.
    let user = libc::PRIO_USER as u64;
    refuse_if(rules, libc::SYS_setpriority, &[(0, SeccompCmpOp::Eq, user)])
}

/// Unix sockets lead to other processes, and landlock does not restrict that. A pair leads to its
/// own process only, if it cannot be connected again.
fn refuse_sockets(network: Network, rules: &mut Rules) -> Result<(), String> {
    let not = |family: libc::c_int| (0, SeccompCmpOp::Ne, family as u64);
    match network {
        Network::None => refuse(rules, libc::SYS_socket),
        Network::Loopback | Network::Any => {
            let inet = [not(libc::AF_INET), not(libc::AF_INET6)];
            refuse_if(rules, libc::SYS_socket, &inet)?;
        }
    }
    refuse_if(rules, libc::SYS_socketpair, &[not(libc::AF_UNIX)])?;
    let connected = [libc::SOCK_STREAM, libc::SOCK_SEQPACKET];
    let others = connected.map(|kind| (1, SeccompCmpOp::MaskedEq(SOCKET_TYPE), kind as u64));
    // There is no condition for "none of these", so each other type has a rule.
    for kind in (0..=SOCKET_TYPE).filter(|kind| others.iter().all(|(_, _, other)| other != kind)) {
        let is = (1, SeccompCmpOp::MaskedEq(SOCKET_TYPE), kind);
        refuse_if(rules, libc::SYS_socketpair, &[is])?;
    }
    Ok(())
}

/// Memory that RLIMIT_DATA does not count.
fn refuse_uncounted(rules: &mut Rules) -> Result<(), String> {
    MAPPED.iter().for_each(|call| refuse(rules, *call));
    // The bit of MAP_SHARED is also that of MAP_SHARED_VALIDATE.
    let shared = (libc::MAP_SHARED | libc::MAP_ANONYMOUS) as u64;
    let stack = libc::MAP_GROWSDOWN as u64;
    for flags in [shared, stack] {
        refuse_if(rules, libc::SYS_mmap, &[(3, SeccompCmpOp::MaskedEq(flags), flags)])?;
    }
    Ok(())
}

fn refuse(rules: &mut Rules, call: i64) {
    for call in forms(call) {
        rules.insert(call, Vec::new());
    }
}

fn refuse_if(rules: &mut Rules, call: i64, tests: &[Test]) -> Result<(), String> {
    let failed = |error: seccompiler::BackendError| format!("seccomp: {error}");
    let condition = |(argument, operator, value): &Test| {
        SeccompCondition::new(*argument, SeccompCmpArgLen::Dword, operator.clone(), *value)
    };
    let conditions: Result<Vec<SeccompCondition>, _> = tests.iter().map(condition).collect();
    let rule = SeccompRule::new(conditions.map_err(failed)?).map_err(failed)?;
    for call in forms(call) {
        match rules.get_mut(&call) {
            // It is refused whatever its arguments are.
            Some(known) if known.is_empty() => {}
            Some(known) => known.push(rule.clone()),
            None => drop(rules.insert(call, vec![rule.clone()])),
        }
    }
    Ok(())
}

/// A call, and the same one of a program for x32.
fn forms(call: i64) -> Vec<i64> {
    let own = X32_OWN.iter().find(|(known, _)| *known == call).map(|(_, own)| *own);
    match X32 {
        0 => vec![call],
        x32 => vec![call, own.unwrap_or(call) | x32],
    }
}

fn compiled(rules: Rules, errno: libc::c_int) -> Result<BpfProgram, String> {
    let failed = |error: seccompiler::BackendError| format!("seccomp: {error}");
    let machine = TargetArch::try_from(std::env::consts::ARCH).map_err(failed)?;
    let refuse = SeccompAction::Errno(errno.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, machine);
    filter.and_then(BpfProgram::try_from).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_is_always_refused_is_not_allowed_again_by_a_condition() {
        let mut rules = Rules::new();
        refuse(&mut rules, libc::SYS_socket);
        refuse_if(&mut rules, libc::SYS_socket, &[(0, SeccompCmpOp::Ne, 2)]).unwrap();
        assert_eq!(rules[&libc::SYS_socket], Vec::new());
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn each_call_is_refused_also_in_its_form_for_x32() {
        let mut rules = Rules::new();
        refuse(&mut rules, libc::SYS_execve);
        refuse(&mut rules, libc::SYS_fork);
        let numbers: Vec<i64> = rules.into_keys().collect();
        assert_eq!(numbers, [57, 59, X32 | 57, X32 | 520]);
    }
}
