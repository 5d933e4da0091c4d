//! On which cores the two sides of a measurement run.
//!
//! Left to the kernel, two processes that talk to each other share a core in one round and not in
//! the next, and a wakeup across cores takes ten times as long as one within. So it is decided
//! here, and all contenders have the same.

use std::fs;
use std::sync::OnceLock;

use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};

/// Two cores that this process may use, or one twice where there is only one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cores {
    all: CpuSet,
    first: usize,
    second: usize,
}

/// A place for the side that begins, and one for the side that answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    near: CpuSet,
    far: CpuSet,
}

impl Cores {
    /// Finds them: the second is not a second thread of the first, if that can be.
    pub(crate) fn find() -> Result<Cores, String> {
        // Once, and so before anything is put on a core.
        static ALL: OnceLock<CpuSet> = OnceLock::new();
        let ours = sched_getaffinity(None).map_err(|error| format!("the cores: {error}"))?;
        let all = *ALL.get_or_init(|| ours);
        let usable: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| all.is_set(*core)).collect();
        let first = *usable.first().ok_or("this process may use no core")?;
        let path = format!("/sys/devices/system/cpu/cpu{first}/topology/thread_siblings_list");
        let siblings = fs::read_to_string(path).map(|text| read_list(&text)).unwrap_or_default();
        let other = usable.iter().find(|core| **core != first && !siblings.contains(core));
        let second = other.or(usable.get(1)).copied().unwrap_or(first);
        Ok(Cores { all, first, second })
    }

    /// Both sides on one core.
    pub(crate) fn together(&self) -> Layout {
        Layout { near: only(self.first), far: only(self.first) }
    }

    /// Each side on a core of its own.
    pub(crate) fn apart(&self) -> Layout {
        Layout { near: only(self.first), far: only(self.second) }
    }

    /// Wherever the kernel likes.
    pub(crate) fn anywhere(&self) -> Layout {
        Layout { near: self.all, far: self.all }
    }
}

impl Layout {
    /// Puts a process on the side that begins.
    pub(crate) fn near(&self, process: u32) -> Result<(), String> {
        pin(process, &self.near, |_| true)
    }

    /// Puts a process on the side that answers.
    pub(crate) fn far(&self, process: u32) -> Result<(), String> {
        pin(process, &self.far, |_| true)
    }

    /// Puts the threads of a process whose names begin so on the side that answers.
    pub(crate) fn far_threads(&self, process: u32, name: &str) -> Result<(), String> {
        pin(process, &self.far, |found| found.starts_with(name))
    }
}

fn only(core: usize) -> CpuSet {
    let mut set = CpuSet::new();
    set.set(core);
    set
}

fn pin(process: u32, cores: &CpuSet, wanted: impl Fn(&str) -> bool) -> Result<(), String> {
    let folder = format!("/proc/{process}/task");
    let threads = fs::read_dir(&folder).map_err(|error| format!("{folder}: {error}"))?;
    for thread in threads.flatten() {
        let name = fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
        let number = thread.file_name().to_str().and_then(|number| number.parse().ok());
        if wanted(name.trim())
            && let Some(thread) = number.and_then(Pid::from_raw)
        {
            sched_setaffinity(Some(thread), cores)
                .map_err(|error| format!("process {process} cannot be put on a core: {error}"))?;
        }
    }
    Ok(())
}

/// Numbers such as `0-2,8`.
fn read_list(text: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        Some(from.parse().ok()?..=to.parse().ok()?)
    };
    text.trim().split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_cores_is_read() {
        assert_eq!(read_list("0-2,8\n"), [0, 1, 2, 8]);
        assert_eq!(read_list("3"), [3]);
        assert_eq!(read_list(""), [0; 0]);
    }

    #[test]
    fn there_is_a_core() {
        let cores = Cores::find().expect("this process runs somewhere");
        assert!(cores.all.is_set(cores.first) && cores.all.is_set(cores.second));
    }
}
