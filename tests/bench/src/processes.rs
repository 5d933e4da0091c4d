//! Processor time and memory of processes, as the kernel counts them.

use std::fs;

use crate::contender::Sample;

/// The processor time of all threads of a process so far, in seconds.
fn cpu_of(process: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    // The first number is nanoseconds of processor time. A thread may have ended meanwhile.
    let of_thread = |path: std::path::PathBuf| -> Option<u64> {
        fs::read_to_string(path.join("schedstat")).ok()?.split(' ').next()?.parse().ok()
    };
    threads.filter_map(|thread| of_thread(thread.path())).sum::<u64>() as f64 / 1e9
}

/// The processor time of these processes and this one so far, in seconds.
pub(crate) fn cpu(processes: &[u32]) -> f64 {
    processes.iter().chain([&std::process::id()]).map(|process| cpu_of(*process)).sum()
}

/// The resident memory of a process in bytes, without mapped files.
pub(crate) fn memory(process: u32) -> Result<u64, String> {
    let file = format!("/proc/{process}/status");
    let text = fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
    let line = text.lines().find(|line| line.starts_with("RssAnon:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kibibytes.map(|count| count * 1024).ok_or_else(|| format!("{file}: no RssAnon"))
}

/// A process and all its children.
pub(crate) fn family(process: u32) -> Vec<u32> {
    let children = trunkline_tests::harness::Process(process).children();
    std::iter::once(process).chain(children.into_iter().map(|child| child.0)).collect()
}

/// Runs a turn, and adds the processor time of these processes and this one.
pub(crate) fn with_cpu(
    processes: &[u32],
    turn: impl FnOnce() -> Result<Sample, String>,
) -> Result<Sample, String> {
    let before = cpu(processes);
    let sample = turn()?;
    Ok(Sample { cpu: cpu(processes) - before, ..sample })
}
