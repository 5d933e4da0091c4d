//! What a plugin's process leaves behind, and what outlives a killed server, keeps no plugin from
//! being started again.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use rustix::process::Signal;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use trunkline_tests::binaries::plugin;
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Chan, Peer, Process, Server, Setup, Socket, Status, wait_until};

const PROCESS: &str = "placement = \"process\"";

fn harms() -> PathBuf {
    fixtures::plugin(Api::Ours, "harms")
}

fn runs(name: &str) -> impl Fn(&Status) -> bool + '_ {
    move |status| status.is(name, "running")
}

/// The number of a process, as `harms` answers.
fn asks_process(peer: &mut Peer, chan: Chan, line: &str) -> Process {
    Process(peer.ask(chan, line).parse().expect("the number of a process"))
}

#[test]
fn held_sockets_do_not_keep_a_plugin_from_starting() {
    let folder = Folder::new();
    let mut alpha = Server::start(&folder, &Setup::new("alpha").plugin(&plugin("echo"), PROCESS));
    alpha.wait_until("it runs", runs("echo"));
    let first = alpha.process().children()[0];
    // A process that it forks has the same.
    let held = first.copies();
    assert!(held.len() > 3, "it has sockets: {held:?}");
    let mark = alpha.log().mark();
    assert!(first.signal(Signal::KILL));
    alpha.log().wait_for(mark, "plugin echo 1 runs");
    let status = alpha.wait_until("it runs again", runs("echo"));
    Peer::link(Socket::unix(&alpha), 9).echo("echo", b"it was started once more");
    assert_eq!(status.plugins.len(), 1, "{status:#?}");

    let held_as_well = alpha.process().children()[0].copies();
    alpha.kill();
    let alpha = alpha.start_again();
    alpha.wait_until("it runs in the next server", runs("echo"));
    Peer::link(Socket::unix(&alpha), 9).echo("echo", b"also by another server");
    drop((held, held_as_well));
}

#[test]
fn a_host_without_a_place_for_its_own_socket_runs_its_plugin() {
    let folder = Folder::new();
    let alpha = Server::start(&folder, &Setup::new("alpha").plugin(&plugin("echo"), PROCESS));
    alpha.wait_until("it runs", runs("echo"));
    std::fs::remove_dir_all(folder.path().join("alpha.state")).expect("the state folder is there");
    let mark = alpha.log().mark();
    assert!(alpha.process().children()[0].signal(Signal::KILL));
    let line = alpha.log().wait_for(mark, "so this host has no own status");
    assert!(line.contains("WARN") && line.contains("/echo."), "{line}");
    alpha.log().wait_for(mark, "plugin echo 1 runs");
    alpha.wait_until("it runs again", runs("echo"));
    Peer::link(Socket::unix(&alpha), 9).echo("echo", b"only its status is missing");
}

#[test]
fn sockets_of_killed_hosts_are_removed_at_the_next_start() {
    let folder = Folder::new();
    let alpha = Server::start(&folder, &Setup::new("alpha").plugin(&plugin("echo"), PROCESS));
    let sockets = || {
        let entries = std::fs::read_dir(folder.path().join("alpha.state")).expect("it is there");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        names.filter(|name| name.to_string_lossy().ends_with(".sock")).collect::<Vec<_>>()
    };
    for _ in 0..3 {
        alpha.wait_until("it runs", runs("echo"));
        let mark = alpha.log().mark();
        assert!(alpha.process().children()[0].signal(Signal::KILL));
        alpha.log().wait_for(mark, "plugin echo 1 runs");
    }
    assert_eq!(sockets().len(), 1, "{:?}", sockets());
    let server = alpha.process();
    assert!(server.signal(Signal::TERM));
    wait_until("the server has ended in order", || sockets().is_empty());
}

#[test]
fn processes_that_a_plugin_started_end_with_its_host() {
    for how in ["exit 0", "abort"] {
        let folder = Folder::new();
        let alpha = Server::start(&folder, &Setup::new("alpha").plugin(&harms(), PROCESS));
        alpha.wait_until("it runs", runs("harms"));
        let mut peer = Peer::link(Socket::unix(&alpha), 9);
        let chan = peer.open("harms");
        let left = asks_process(&mut peer, chan, "leave sleep 120");
        wait_until("it has started", || left.state() == Some('S'));
        let mark = alpha.log().mark();
        peer.write(chan, format!("{how}\n").as_bytes());
        alpha.log().wait_for(mark, "the host of harms ended: ");
        let after = left.wait_for_end();
        println!("{how}: what it had started was gone after {after:?}");
    }
}

/// A process with the command line of a host's process, as one that such a process has forked. It
/// waits for its standard input.
fn like(host: Process, folder: &Folder) -> Child {
    let line = std::fs::read(format!("/proc/{}/cmdline", host.0)).expect("it is there");
    let line = String::from_utf8(line).expect("text");
    let words: Vec<&str> = line.trim_end_matches('\0').split('\0').collect();
    let (name, arguments) = words.split_first().expect("a command");
    folder.write(arguments.first().expect("a command of trunkline"), "read line\n");
    let mut shell = Command::new("/bin/sh");
    shell.arg0(name).args(arguments).current_dir(folder.path()).stdin(Stdio::piped());
    let forked = shell.spawn().expect("a shell");
    let itself = Process(forked.id());
    wait_until("it runs its script", || itself.state() == Some('S'));
    forked
}

#[test]
fn what_a_killed_servers_hosts_forked_is_ended_at_the_next_start() {
    let (folder, other) = (Folder::new(), Folder::new());
    let setup = Setup::new("alpha").plugin(&plugin("echo"), PROCESS);
    let mut alpha = Server::start(&folder, &setup);
    let beta = Server::start(&other, &Setup::new("beta").plugin(&plugin("echo"), PROCESS));
    for server in [&alpha, &beta] {
        server.wait_until("it runs", runs("echo"));
    }
    let mut left = like(alpha.process().children()[0], &folder);
    let mut kept = like(beta.process().children()[0], &other);
    alpha.kill();
    let alpha = alpha.start_again();
    // Servers of other tests start too, and one of them may have ended it.
    let how = left.try_wait().expect("a child").expect("it has ended when a server is ready");
    assert_eq!(how.signal(), Some(Signal::KILL.as_raw()));
    alpha.wait_until("it runs again", runs("echo"));

    let living = kept.try_wait().expect("a child");
    let killed = kept.kill().and_then(|()| kept.wait());
    assert_eq!(living, None, "its server lives");
    assert!(killed.is_ok(), "{killed:?}");
    let host = beta.process().children()[0];
    assert_eq!(host.state().map(|state| state == 'Z'), Some(false), "nothing of beta is ended");
}

#[test]
fn a_process_that_switched_its_death_signal_off_ends_with_its_server() {
    let folder = Folder::new();
    let setup = Setup::new("alpha").plugin(&harms(), PROCESS);
    let mut alpha = Server::start(&folder, &setup);
    alpha.wait_until("it runs", runs("harms"));
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    let chan = peer.open("harms");
    let process = asks_process(&mut peer, chan, "pid");
    assert_eq!(peer.ask(chan, "outlive"), "Ok(())", "the signal is off");
    peer.write(chan, b"loop\n");
    wait_until("it blocks its loop", || process.state() == Some('R'));
    alpha.kill();
    let after = process.wait_for_end();
    println!("it was gone {after:?} after its server");
    let alpha = alpha.start_again();
    alpha.wait_until("it runs again", runs("harms"));
}
