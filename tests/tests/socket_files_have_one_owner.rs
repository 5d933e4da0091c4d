//! The file of a unix socket: which server has it, what a killed server leaves, and its mode.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use socket2::{Domain, SockAddr, Socket as Raw, Type};
use std::fs::{self, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use trunkline_tests::binaries::{plugin, trunkline};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Server, Setup, Status, run_to_its_end, wait_until};
use trunkline_tests::skip;

/// A socket on which no process listens, as a killed server leaves it.
fn leave_dead_socket(path: &Path) {
    drop(UnixListener::bind(path).expect("a new socket"));
}

/// The names in a folder that belong to the socket of alpha.
fn files(folder: &Folder) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).expect("it is ours");
    let names = entries.map(|entry| entry.expect("it is ours").file_name());
    let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.retain(|name| name.contains("alpha.sock"));
    names.sort();
    names
}

#[test]
fn an_ending_server_does_not_remove_the_socket_of_its_successor() {
    let folder = Folder::new();
    let mut first = Server::start(&folder, &Setup::new("alpha"));
    for name in files(&folder) {
        fs::remove_file(folder.path().join(name)).expect("it is ours");
    }
    let second = Setup::new("alpha").server("state = \"second.state\"");
    let second = Server::start(&folder, &second);
    first.signal(rustix::process::Signal::TERM);
    assert_eq!(first.wait_for_end(), 0, "{}", first.log().text());
    second.try_status().expect("the second server is still reachable");
}

#[test]
fn a_server_that_ends_in_order_leaves_no_file_of_its_socket() {
    let folder = Folder::new();
    leave_dead_socket(&folder.path().join("alpha.sock"));
    let mut alpha = Server::start(&folder, &Setup::new("alpha"));
    alpha.signal(rustix::process::Signal::TERM);
    assert_eq!(alpha.wait_for_end(), 0, "{}", alpha.log().text());
    assert!(files(&folder).is_empty(), "{:?}", files(&folder));
}

/// A program that runs a server, with a pause of 2 s before it first removes a file. `trace` tells
/// how far it is.
fn slow_program(folder: &Folder, trace: &Path) -> Option<PathBuf> {
    if Command::new("strace").arg("-V").output().is_err() {
        skip::aloud("two starts at once", "there is no strace");
        return None;
    }
    let calls = "connect,unlink,unlinkat";
    let delay = "unlink,unlinkat:delay_enter=2000000:when=1";
    let (trace, program) = (trace.display(), trunkline());
    let run = format!("exec strace -D -qq -o {trace} -e trace={calls} -e inject={delay}");
    let text = format!("#!/bin/sh\n{run} {} \"$@\"\n", program.display());
    let file = folder.write("slow", text);
    fs::set_permissions(&file, Permissions::from_mode(0o755)).expect("it is ours");
    Some(file)
}

#[test]
fn of_two_servers_that_start_over_a_dead_socket_one_is_refused() {
    let folder = Folder::new();
    let setup = Setup::new("alpha");
    let _key = setup.key_in(&folder);
    leave_dead_socket(&folder.path().join("alpha.sock"));
    let trace = folder.path().join("trace");
    let Some(slow) = slow_program(&folder, &trace) else { return };
    let slow = setup.clone().by(&slow);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| Server::start(&folder, &slow));
        let found_dead =
            || fs::read_to_string(&trace).is_ok_and(|text| text.contains("ECONNREFUSED"));
        wait_until("the first one has seen that the socket is dead", found_dead);
        let (code, said) = run_to_its_end(&folder, &setup);
        assert_eq!(code, 1, "{said}");
        assert_eq!(said.matches("another server").count(), 1, "{said}");
        let first = first.join().expect("it becomes ready");
        first.try_status().expect("it is reachable");
    });
}

#[test]
fn a_child_of_a_killed_server_does_not_keep_the_next_one_from_starting() {
    let folder = Folder::new();
    let mut alpha = Server::start(&folder, &Setup::new("alpha"));
    // As a child that was being started at that moment, or that never calls `exec`.
    let inherited = alpha.process().copies();
    alpha.kill();
    assert!(UnixStream::connect(alpha.socket()).is_ok(), "its listener is still open");
    let alpha = alpha.start_again();
    alpha.try_status().expect("it is reachable");
    drop(inherited);
}

/// The mask of a process for the modes of new files.
fn mask(process: u32) -> String {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it is there");
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.expect("the kernel shows the mask").trim().to_owned()
}

#[test]
fn sockets_have_their_mode_while_the_mask_of_the_process_stays() {
    let ours = mask(std::process::id());
    for start in 0..8 {
        let folder = Folder::new();
        let names: Vec<String> = (0..12).map(|number| format!("echo-{number}")).collect();
        let with = |setup: Setup, name: &String| {
            setup.plugin(&plugin("echo"), &format!("name = \"{name}\"\nplacement = \"thread\""))
        };
        let alpha = Server::start(&folder, &names.iter().fold(Setup::new("alpha"), with));
        let all_run = |status: &Status| {
            names
                .iter()
                .all(|name| status.plugin(name).is_some_and(|plugin| plugin.state == "running"))
        };
        alpha.wait_until("all plugins run", all_run);
        assert_eq!(mask(alpha.process().0), ours, "start {start}");
        let sockets = fs::read_dir(folder.path().join("alpha.state")).expect("a state folder");
        for entry in sockets.map(|entry| entry.expect("it is ours")) {
            let mode = entry.metadata().expect("it is ours").permissions().mode();
            assert_eq!(mode & 0o177, 0, "{:?}: {mode:o}", entry.path());
        }
    }
}

#[test]
fn a_full_queue_of_another_host_holds_up_no_host() {
    let folder = Folder::new();
    let user = rustix::process::geteuid().as_raw();
    let shared = folder.path().join(format!("trunkline-{user}"));
    fs::DirBuilder::new().mode(0o700).create(&shared).expect("a new folder");
    let path = shared.join("full");
    let full = Raw::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
    let address = SockAddr::unix(&path).expect("a short path");
    full.bind(&address).expect("a new name");
    full.listen(0).expect("it is bound");
    let waiting = Raw::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
    waiting.connect(&address).expect("there is one place");
    let long_ago = rustix::fs::Timestamps {
        last_access: rustix::fs::Timespec { tv_sec: 1, tv_nsec: 0 },
        last_modification: rustix::fs::Timespec { tv_sec: 1, tv_nsec: 0 },
    };
    let no_follow = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::utimensat(rustix::fs::CWD, &path, &long_ago, no_follow).expect("it is ours");
    let lines = "placement = \"process\"\nadvertise = [\"unix\"]";
    let setup = Setup::new("alpha").variable("TMPDIR", folder.path());
    let alpha = Server::start(&folder, &setup.plugin(&plugin("echo"), lines));
    alpha.wait_until("the host's plugin runs", |status| {
        status.plugin("echo").is_some_and(|plugin| plugin.state == "running")
    });
    assert!(path.exists(), "the socket of a process that runs was removed");
}
