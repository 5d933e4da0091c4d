//! Commands to a server that does not accept or does not answer end in time, with one line.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};
use rustix::process::Signal;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use trunkline_tests::binaries::trunkline;
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Server, Setup};

/// A test gives a command this many seconds; each ends long before.
const SECONDS: &str = "30";

/// The longest time of a command, and as much again for a busy machine.
const GIVES_UP_WITHIN: Duration = Duration::from_secs(24);

const COMMANDS: [&[&str]; 4] = [&["status"], &["explain", "a", "b"], &["stop"], &["run"]];

/// A socket on which no connection is accepted, with the connections that fill its queue.
fn full_queue(path: &Path) -> Vec<OwnedFd> {
    let new = || {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).expect("a socket")
    };
    let addr = SocketAddrUnix::new(path).expect("a short path");
    let listener = new();
    bind(&listener, &addr).expect("the path is free");
    listen(&listener, 1).expect("it can listen");
    let mut all = vec![listener];
    while all.len() < 10 {
        let socket = new();
        match connect(&socket, &addr) {
            Ok(()) => all.push(socket),
            Err(error) => {
                assert_eq!(error, rustix::io::Errno::AGAIN, "the queue is full");
                return all;
            }
        }
    }
    panic!("the queue of one takes ten");
}

/// Runs a command in a folder; returns what it says, how it ends, and how long that takes.
fn run(folder: &Folder, words: &[&str]) -> (String, Option<i32>, Duration) {
    let begun = Instant::now();
    let mut command = Command::new("timeout");
    // The command's own process group is the test's, so that nothing outlives it.
    command.args(["--foreground", "--signal=KILL", SECONDS]).arg(trunkline());
    command.arg(words[0]).args(["--config", "alpha.toml"]).args(&words[1..]);
    command.current_dir(folder.path()).env("RUST_LOG", "off");
    let output = command.output().expect("coreutils are there");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (said, output.status.code(), begun.elapsed())
}

fn gives_up(folder: &Folder, words: &[&str]) -> String {
    let (said, code, took) = run(folder, words);
    println!("{words:?}: {code:?} after {took:?}: {said}");
    assert_eq!(code, Some(1), "{words:?} after {took:?}: {said}");
    assert_eq!(said.lines().count(), 1, "{words:?}: {said}");
    assert!(took < GIVES_UP_WITHIN, "{words:?} took {took:?}");
    said
}

#[test]
fn commands_give_up_on_a_server_that_does_not_accept() {
    let folder = Folder::new();
    let toml =
        "[server]\nname = \"alpha\"\nkey = \"alpha.key\"\nlisten = [\"unix:a.sock~noauth\"]\n";
    folder.write("alpha.toml", toml);
    let _queue = full_queue(&folder.path().join("a.sock"));
    for words in COMMANDS {
        let said = gives_up(&folder, words);
        assert!(said.contains("a.sock"), "{words:?}: {said}");
    }
}

#[test]
fn commands_give_up_on_a_server_that_is_suspended() {
    let folder = Folder::new();
    let mut alpha = Server::start(&folder, &Setup::new("alpha"));
    alpha.signal(Signal::STOP);
    for words in COMMANDS {
        let said = gives_up(&folder, words);
        assert!(said.contains("alpha.sock"), "{words:?}: {said}");
        if words == ["stop"] {
            let what = format!("its process {} has not ended after SIGTERM", alpha.process().0);
            assert!(said.contains(&what), "{said}");
        }
    }
    // What it was sent while it was suspended ends it now.
    alpha.signal(Signal::CONT);
    assert_eq!(alpha.wait_for_end(), 0, "{}", alpha.log().text());
}
