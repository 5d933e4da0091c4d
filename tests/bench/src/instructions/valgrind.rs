//! Runs a program under valgrind, in an environment that is the same on every machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use trunkline_tests::folder::Folder;

/// Disables the processor features by which the C library selects its memory functions. Otherwise
/// the counts would depend on the processor.
const PLAIN_PROCESSOR: &str = "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX2,-AVX,-SSSE3,\
                               -SSE4_1,-SSE4_2,-BMI1,-BMI2,-LZCNT,-MOVBE,-POPCNT,-ERMS,-FSRM,-RTM";

/// Whether valgrind is installed; if not, prints one line.
pub(super) fn is_installed() -> Result<(), String> {
    let found = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    match found.is_ok_and(|status| status.success()) {
        true => Ok(()),
        false => Err("valgrind is not installed".to_owned()),
    }
}

/// The file for the count of a run.
fn out(folder: &Folder) -> PathBuf {
    folder.path().join("callgrind.out")
}

/// A command that runs a program under valgrind. With `within`, only functions of this name and
/// their callees are counted.
pub(super) fn command(program: &Path, folder: &Folder, within: Option<&str>) -> Command {
    let mut command = Command::new("valgrind");
    // No variable of the user is passed on, because it could change the behaviour and move the
    // stack.
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).env("GLIBC_TUNABLES", PLAIN_PROCESSOR);
    if let Some(tools) = std::env::var_os("VALGRIND_LIB") {
        command.env("VALGRIND_LIB", tools);
    }
    command.args(["--tool=callgrind", "--quiet"]);
    command.arg(format!("--callgrind-out-file={}", out(folder).display()));
    if let Some(within) = within {
        command.arg(format!("--toggle-collect={within}"));
    }
    command.arg(program).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// The count of a run that has ended.
pub(super) fn total(folder: &Folder) -> Result<u64, String> {
    let text =
        std::fs::read_to_string(out(folder)).map_err(|error| format!("callgrind: {error}"))?;
    read_total(&text).ok_or_else(|| "callgrind counted nothing".to_owned())
}

/// The instructions of `bench count WHAT TIMES`.
pub(super) fn this_program(
    folder: &Folder,
    what: &str,
    times: u64,
    within: Option<&str>,
) -> Result<u64, String> {
    let bench = std::env::current_exe().map_err(|error| format!("this program's file: {error}"))?;
    let output = command(&bench, folder, within).args(["count", what, &times.to_string()]).output();
    let output = output.map_err(|error| format!("valgrind: {error}"))?;
    match output.status.success() {
        true => total(folder),
        false => Err(format!("valgrind: {}", String::from_utf8_lossy(&output.stderr).trim_end())),
    }
}

/// The number in the line `totals: 12345`.
fn read_total(text: &str) -> Option<u64> {
    let line = text.lines().rev().find_map(|line| line.strip_prefix("totals: "));
    line?.trim().parse().ok().filter(|total| *total > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_of_callgrind_is_found() {
        assert_eq!(read_total("events: Ir\nfn=a\n1 2\n\ntotals: 4711\n"), Some(4711));
        assert_eq!(read_total("events: Ir\ntotals: 0\n"), None, "nothing was collected");
        assert_eq!(read_total("events: Ir\n"), None);
    }
}
