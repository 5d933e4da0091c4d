//! Assigns the two sides of a measurement to cores.
//!
//! If the kernel chooses, two communicating processes share a core in one round and not in the
//! next, and a wakeup across cores takes ten times as long. Therefore all contenders are assigned
//! to the same cores here.

use std::fs;
use std::sync::OnceLock;

use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};

/// Two cores that this process may use; the same one twice if there is only one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cores {
    all: CpuSet,
    first: usize,
    second: usize,
}

/// The core of the sending side and the core of the answering side.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    near: CpuSet,
    far: CpuSet,
}

impl Cores {
    /// Finds two cores, if possible not two hardware threads of one core.
    pub(crate) fn find() -> Result<Cores, String> {
        // Determined only once, before any process is restricted to a core.
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

    /// Each side on its own core.
    pub(crate) fn apart(&self) -> Layout {
        Layout { near: only(self.first), far: only(self.second) }
    }

    /// As the kernel chooses.
    pub(crate) fn anywhere(&self) -> Layout {
        Layout { near: self.all, far: self.all }
    }
}

impl Layout {
    /// Assigns a process to the sending side.
    pub(crate) fn near(&self, process: u32) -> Result<(), String> {
        pin(process, &self.near, |_| true)
    }

    /// Assigns a process to the answering side.
    pub(crate) fn far(&self, process: u32) -> Result<(), String> {
        pin(process, &self.far, |_| true)
    }

    /// Assigns the threads of a process with this prefix to the answering side.
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

/// Parses numbers such as `0-2,8`.
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
    fn at_least_one_core_is_found() {
        let cores = Cores::find().expect("this process runs somewhere");
        assert!(cores.all.is_set(cores.first) && cores.all.is_set(cores.second));
    }
}
