//! The limit of open files. Each link needs a descriptor, so the soft limit is raised towards the
//! hard one: in steps, and only when descriptors become scarce. Programs that plugins start inherit
//! the limit, and some cannot work with a large one: `select` takes numbers below 1,024 only. No
//! code of ours runs between a plugin's `fork` and `exec`, so the limit cannot be lowered there.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// Descriptors with this number or a larger one raise the limit. The limit belongs to the process,
/// and so does this.
static ENOUGH_BELOW: AtomicU64 = AtomicU64::new(0);

/// Keeps half of the limit free above this descriptor, which was opened just now. The kernel gives
/// each new one the lowest free number.
pub(super) fn keep_room_above(opened: &impl AsFd) {
    let number = u64::try_from(opened.as_fd().as_raw_fd()).unwrap_or_default();
    if number >= ENOUGH_BELOW.load(Ordering::Relaxed) {
        raise_above(number);
    }
}

/// Raises the limit if `error` says that it is reached. Returns whether trying again may help.
pub(super) fn raise_after(error: &io::Error) -> bool {
    let reached = rustix::io::Errno::MFILE.raw_os_error();
    let soft = || getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    error.raw_os_error() == Some(reached) && {
        let before = soft();
        raise_above(before);
        soft() > before
    }
}

fn raise_above(number: u64) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = soft_limit(number, current, maximum);
    if wanted != current
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: wanted, maximum })
    {
        log::debug!("the limit of open files cannot be raised: {error}");
    }
    let most = wanted == maximum;
    ENOUGH_BELOW.store(wanted.filter(|_| !most).map_or(u64::MAX, |it| it / 2), Ordering::Relaxed);
}

/// The soft limit with which at least half of it is free above a descriptor: doubled until it is
/// enough, within the hard limit. `None` is no limit.
fn soft_limit(number: u64, current: Option<u64>, maximum: Option<u64>) -> Option<u64> {
    let mut wanted = current?.max(1);
    while wanted / 2 <= number {
        wanted = wanted.checked_mul(2)?;
    }
    Some(maximum.map_or(wanted, |maximum| wanted.min(maximum)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_doubled_only_when_half_of_it_is_used() {
        for (number, current, maximum, expected) in [
            (3, Some(1_024), Some(4_096), Some(1_024)),
            (511, Some(1_024), Some(4_096), Some(1_024)),
            (512, Some(1_024), Some(4_096), Some(2_048)),
            (1_024, Some(1_024), None, Some(4_096)),
            (3_000, Some(1_024), Some(4_096), Some(4_096)),
            (9, Some(10), Some(10), Some(10)),
            (9, None, None, None),
            (9, Some(0), Some(0), Some(0)),
        ] {
            assert_eq!(soft_limit(number, current, maximum), expected, "{number}, {current:?}");
        }
    }
}
