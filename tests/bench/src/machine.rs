//! The machine, and the versions of the measured programs.

use std::fs;
use std::process::Command;

use serde::Serialize;

/// The facts that are needed to compare two reports.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) rustc: String,
    /// Each with its version.
    pub(crate) crates: Vec<(&'static str, String)>,
}

/// The packages whose versions are shown.
const CRATES: [&str; 8] =
    ["trunkline", "trunkline-plugin", "mio", "dryoc", "abi_stable", "yamux", "tonic", "tokio"];

/// The versions with which this program was built.
const LOCK: &str = include_str!("../../../Cargo.lock");

impl Machine {
    pub(crate) fn look() -> Machine {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Machine {
            processor: field(&info, "model name").unwrap_or("unknown").to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: format!("Linux {}", release.trim()),
            rustc: rustc().unwrap_or_else(|| "unknown".to_owned()),
            crates: CRATES
                .iter()
                .filter_map(|name| Some((*name, version(LOCK, name)?.to_owned())))
                .collect(),
        }
    }
}

/// The value after the first `NAME : ` of a file such as /proc/cpuinfo.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}

fn rustc() -> Option<String> {
    let output = Command::new("rustc").arg("--version").output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The version of a package in a lock file.
fn version<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let (_, rest) = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    Some(rest.split_once('"')?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_model_is_found() {
        let info = "processor\t: 0\nmodel name\t: A: B\nmodel name\t: C\n";
        assert_eq!(field(info, "model name"), Some("A: B"));
        assert_eq!(field("", "model name"), None);
    }

    #[test]
    fn each_version_is_in_the_lock_file() {
        for name in CRATES {
            assert!(version(LOCK, name).is_some(), "{name} is not in the lock file");
        }
        assert_eq!(version("name = \"a\"\nversion = \"1.2.3\"\n", "a"), Some("1.2.3"));
    }
}
