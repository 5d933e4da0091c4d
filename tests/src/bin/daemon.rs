//! Runs a program as a daemon: `daemon OUTPUT PROGRAM ARGUMENT...`. The program has a session and a
//! group of its own, and not the parent that it began with. It writes to the file OUTPUT.

// A test program may stop at the first surprise.
#![allow(clippy::expect_used)]

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

/// Set for the second of the two processes: the number of the first one.
const FIRST: &str = "DAEMON_FIRST";

/// The pause between two looks at the parent.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

fn main() {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match std::env::var(FIRST) {
        Err(_) => start_second(&arguments),
        Ok(first) => become_daemon(&first, &arguments),
    }
}

/// The second process outlives this one, which ends at once.
#[allow(clippy::zombie_processes)]
fn start_second(arguments: &[OsString]) {
    let mut second = Command::new(std::env::current_exe().expect("its own file"));
    second.args(arguments).env(FIRST, std::process::id().to_string());
    second.spawn().expect("a process");
}

fn become_daemon(first: &str, arguments: &[OsString]) {
    rustix::process::setsid().expect("it leads no group");
    // Its own parent is gone when the kernel has given it another one.
    while std::os::unix::process::parent_id().to_string() == first {
        std::thread::park_timeout(LOOK_AGAIN);
    }
    let [output, program, arguments @ ..] = arguments else { panic!("OUTPUT PROGRAM ...") };
    let output = File::create(output).expect("a file that can be written");
    let mut command = Command::new(program);
    command.args(arguments).env_remove(FIRST).stdin(std::process::Stdio::null());
    command.stdout(output.try_clone().expect("a copy")).stderr(output);
    panic!("{}", command.exec());
}
