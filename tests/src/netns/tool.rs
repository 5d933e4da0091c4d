//! Runs `ip` and `nft`, and reports their errors in one line.

use rustix::process::{Pid, Signal, kill_process};
use std::io::Write;
use std::process::{Command, Stdio};

/// Runs `ip`; no argument of it contains a space.
pub(super) fn ip(arguments: &str) -> Result<(), String> {
    ip_output(arguments).map(drop)
}

/// As [`ip`]; returns its output.
pub(super) fn ip_output(arguments: &str) -> Result<String, String> {
    run(Command::new("ip").args(arguments.split_whitespace()), "")
}

/// Runs a program with this input to its end; returns its output.
pub(super) fn run(command: &mut Command, input: &str) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |error: std::io::Error| format!("{program} cannot be run: {error}");
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input reports that by its exit code.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let arguments: Vec<_> = command.get_args().map(|it| it.to_string_lossy()).collect();
    let why = said.lines().next().unwrap_or("without a word");
    Err(format!("{program} {} failed: {why}", arguments.join(" ")))
}

/// Whether a tool exists.
pub(super) fn is_installed(tool: &str) -> Result<(), String> {
    run(Command::new(tool).arg("-V"), "").map(drop)
}

/// Ends the programs in a namespace; only its owner has started any there.
pub(super) fn end_programs(namespace: &str) {
    let list = ip_output(&format!("netns pids {namespace}")).unwrap_or_default();
    let pids = list.lines().filter_map(|line| Pid::from_raw(line.trim().parse().ok()?));
    for pid in pids {
        // It may have ended by itself.
        let _ = kill_process(pid, Signal::KILL);
    }
}
