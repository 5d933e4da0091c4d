//! No process of a server's own user can look into the server, or into a host that has a key; and
//! both work all the same, although the kernel gives their files in `/proc` to root.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use rustix::process::{
    Gid, Pid, PidfdFlags, PidfdGetfdFlags, Signal, Uid, geteuid, pidfd_getfd, pidfd_open,
};
use rustix::thread::{set_thread_gid, set_thread_uid};
use std::fs::{File, read_dir};
use std::io::Read;
use std::os::unix::fs::chown;
use std::path::Path;
use trunkline_tests::binaries::plugin;
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{NOBODY, Peer, Process, Server, Setup, Socket, Status};

const PROCESS: &str = "placement = \"process\"";

/// A folder that belongs to the user as whom servers run in it.
fn folder() -> Folder {
    let folder = Folder::new();
    if geteuid().is_root() {
        chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("root may");
    }
    folder
}

fn runs(name: &str) -> impl Fn(&Status) -> bool + '_ {
    move |status| status.is(name, "running")
}

/// What a process of that user can do to another one, on a thread that ends as that user.
fn inspect(process: Process) -> Vec<(&'static str, std::io::Result<()>)> {
    let inspects = move || {
        if geteuid().is_root() {
            set_thread_gid(Gid::from_raw(NOBODY)).expect("root becomes any group");
            set_thread_uid(Uid::from_raw(NOBODY)).expect("root becomes any user");
        }
        let file = |name: &str| Path::new("/proc").join(process.0.to_string()).join(name);
        let read = |name| {
            let mut byte = [0];
            File::open(file(name)).and_then(|mut file| file.read(&mut byte)).map(drop)
        };
        let number = i32::try_from(process.0).ok().and_then(Pid::from_raw).expect("a number");
        let handle = pidfd_open(number, PidfdFlags::empty()).expect("it runs");
        let copied = pidfd_getfd(&handle, 0, PidfdGetfdFlags::empty());
        vec![
            ("its environment", read("environ")),
            ("its mappings", read("maps")),
            ("the list of its descriptors", read_dir(file("fd")).map(drop)),
            ("its program", std::fs::read_link(file("exe")).map(drop)),
            // The kernel asks for the same right as for `ptrace`. What `mem` says here has no
            // mapping, so opening it is enough.
            ("its memory", File::open(file("mem")).map(drop)),
            ("a copy of a descriptor", copied.map(drop).map_err(Into::into)),
        ]
    };
    std::thread::spawn(inspects).join().expect("the thread does not panic")
}

/// Whether a process may trace another one of its user that allows it.
fn tracing_is_usual() -> bool {
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope");
    scope.map_or(true, |scope| scope.trim() == "0")
}

fn assert_closed(process: Process) {
    for (what, result) in inspect(process) {
        let error = result.expect_err(what);
        assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied, "{what}: {error}");
    }
}

#[test]
fn a_server_cannot_be_inspected_by_its_own_user_and_works() {
    let folder = folder();
    let setup = Setup::new("alpha").plugin(&plugin("echo"), PROCESS).plugin(&plugin("clock"), "");
    let mut alpha = Server::start(&folder, &setup.closed());
    alpha.wait_until("it runs", runs("echo"));
    assert_closed(alpha.process());
    Peer::link(Socket::unix(&alpha), 9).echo("echo", b"a process of its own");

    let mark = alpha.log().mark();
    assert!(alpha.process().children()[0].signal(Signal::KILL));
    alpha.log().wait_for(mark, "plugin echo 1 runs");
    alpha.wait_until("it runs again", runs("echo"));
    let left = alpha.process().children()[0];
    alpha.kill();
    let alpha = alpha.start_again();
    let _ = left.wait_for_end();
    alpha.wait_until("it runs in the next server", runs("echo"));
    Peer::link(Socket::unix(&alpha), 9).echo("echo", b"it was started again");
    let warnings: Vec<_> = alpha.log().since(0);
    let warnings: Vec<_> = warnings.iter().filter(|line| line.contains("WARN")).collect();
    assert!(warnings.is_empty(), "nothing is missing: {warnings:?}");
}

#[test]
fn a_host_with_a_key_cannot_be_inspected_by_its_own_user_and_works() {
    let folder = folder();
    let alpha = Server::start(&folder, &Setup::new("alpha").closed());
    let home = format!("unix:{}~noauth", alpha.socket().display());
    let setup = Setup::host("beta", &home).plugin(&plugin("echo"), "").closed();
    let beta = Server::start(&folder, &setup);
    alpha.wait_until("its plugin is known", runs("echo"));
    assert_closed(beta.process());
    Peer::link(Socket::unix(&alpha), 9).echo("echo", b"a host");
}

#[test]
fn with_a_variable_a_server_can_be_inspected_and_says_so() {
    let folder = folder();
    let setup = Setup::new("alpha").variable("TRUNKLINE_DUMPABLE", Path::new("1")).closed();
    let alpha = Server::start(&folder, &setup);
    let line = alpha.log().wait_for(0, "TRUNKLINE_DUMPABLE is set");
    assert!(line.contains("WARN"), "{line}");
    let needs_trace = ["its memory", "a copy of a descriptor"];
    for (what, result) in inspect(alpha.process()) {
        if tracing_is_usual() || !needs_trace.contains(&what) {
            result.unwrap_or_else(|error| panic!("{what}: {error}"));
        }
    }
}

#[test]
fn a_plugins_process_can_be_debugged() {
    let folder = folder();
    let setup = Setup::new("alpha").plugin(&plugin("echo"), PROCESS).closed();
    let alpha = Server::start(&folder, &setup);
    alpha.wait_until("it runs", runs("echo"));
    let (_, environment) = &inspect(alpha.process().children()[0])[0];
    assert!(environment.is_ok(), "it has no key of its server: {environment:?}");
}
