//! A disk that is full costs what needs it, with one line each; the server goes on, and uses the
//! disk again when there is room.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use rustix::process::Signal;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use trunkline_tests::binaries::{plugin, trunkline};
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Peer, Server, Setup, Socket, Status, run_to_its_end, wait_until};
use trunkline_tests::skip;

/// The size of the disk of a test, and how many files it takes.
const DISK: &str = "size=256k,nr_inodes=40,mode=0700";

/// Whether a test can have a disk of its own; if not, it says so.
fn has_disk(what: &str) -> bool {
    let words = ["--mount", "mount", "-t", "tmpfs", "none", "/tmp"];
    let why = match Command::new("unshare").args(words).output() {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    skip::aloud(what, &why);
    false
}

/// A program that runs `trunkline` where `disk` is a small disk of its own, behind these lines.
fn on_disk(folder: &Folder, lines: &str) -> PathBuf {
    let (disk, run) = (disk(folder), trunkline());
    fs::create_dir_all(&disk).expect("a new folder");
    let (disk, run) = (disk.display(), run.display());
    let inner = format!("mount -t tmpfs -o {DISK} none {disk} && {lines}\nexec {run} \"$@\"");
    let inner = folder.write("inner", format!("#!/bin/sh\nset -e\n{inner}\n"));
    let outer = format!("#!/bin/sh\nexec unshare --mount sh {} \"$@\"\n", inner.display());
    let outer = folder.write("outer", outer);
    fs::set_permissions(&outer, Permissions::from_mode(0o700)).expect("it is ours");
    outer
}

fn disk(folder: &Folder) -> PathBuf {
    folder.path().join("disk")
}

/// A path below the disk, as the server of a test sees it.
fn seen_by(server: &Server, folder: &Folder, name: &str) -> PathBuf {
    let disk = disk(folder);
    let below = disk.strip_prefix("/").expect("an absolute path");
    Path::new("/proc").join(server.process().0.to_string()).join("root").join(below).join(name)
}

/// Fills a disk with bytes. The last piece is as small as it gets.
fn fill(disk: &Path) {
    let mut piece = vec![b'x'; 64 * 1024];
    let mut file = fs::File::create(disk.join("filler")).expect("there is room for a file");
    while !piece.is_empty() {
        if std::io::Write::write_all(&mut file, &piece).is_err() {
            piece.truncate(piece.len() / 2);
        }
    }
}

/// Takes all files that a disk can have.
fn take_files(disk: &Path) -> usize {
    (0..1000).take_while(|n| fs::File::create(disk.join(format!("empty-{n}"))).is_ok()).count()
}

fn runs(name: &str) -> impl Fn(&Status) -> bool + '_ {
    move |status| status.is(name, "running")
}

#[test]
fn a_key_that_cannot_be_written_is_one_line_and_leaves_no_file() {
    if !has_disk("a key on a full disk") {
        return;
    }
    for (what, fills) in [
        ("bytes", "head -c 1000000 /dev/zero > disk/filler 2>/dev/null || true"),
        ("files", "(n=0; while : > disk/empty-$n; do n=$((n+1)); done) 2>/dev/null || true"),
    ] {
        let folder = Folder::new();
        let run = trunkline().display().to_string();
        let lines = format!(
            "cd {}; {fills}\nset +e; {run} key disk/alpha.key; code=$?; \
             ls -A disk | grep -v -e filler -e empty; exit $code\n",
            folder.path().display()
        );
        let outer = on_disk(&folder, &lines);
        let output = Command::new(outer).output().expect("it can be started");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{what}: {said}{shown}");
        assert_eq!(said.lines().count(), 1, "{what}: {said}");
        assert!(said.contains("alpha.key") && said.contains("No space left"), "{what}: {said}");
        assert_eq!(shown, "", "{what}: a file is left");
    }
}

#[test]
fn a_server_whose_state_is_on_a_full_disk_goes_on_and_says_what_it_lacks() {
    if !has_disk("a state folder on a full disk") {
        return;
    }
    let folder = Folder::new();
    let starter = on_disk(&folder, "true");
    let apart = "placement = \"process\"";
    let dials = fixtures::plugin(Api::Ours, "dials");
    let setup = Setup::new("alpha").by(&starter).server("state = \"disk/state\"");
    let setup = setup.plugin(&plugin("echo"), apart).plugin(&dials, "placement = \"process\"");
    let mut alpha = Server::start(&folder, &setup);
    for name in ["echo", "dials"] {
        alpha.wait_until(name, runs(name));
    }
    let disk = seen_by(&alpha, &folder, "");
    fs::remove_dir_all(disk.join("state/data")).expect("dials has a folder for data");
    fill(&disk);
    let files = take_files(&disk);
    assert!(files > 0, "the disk takes no file although it is not full");
    let mark = alpha.log().mark();
    for child in alpha.process().children() {
        assert!(child.signal(Signal::KILL));
    }
    for name in ["echo", "dials"] {
        alpha.log().wait_for(mark, &format!("plugin {name} 1 runs"));
        alpha.wait_until(name, runs(name));
    }
    alpha.log().wait_for(mark, "plugin::dials] data_dir no-data-folder");
    Peer::link(Socket::unix(&alpha), 9).echo("echo", b"it is served");
    let lines = alpha.log().since(mark);
    let lack: Vec<_> = lines.iter().filter(|line| line.contains("No space left")).collect();
    println!("{lack:#?}");
    assert!(lack.len() <= 4, "a line for each thing: {lack:#?}");
    for name in (0..files).map(|number| format!("empty-{number}")) {
        fs::remove_file(disk.join(name)).expect("it is there");
    }
    fs::remove_file(disk.join("filler")).expect("it is there");
    let mark = alpha.log().mark();
    for child in alpha.process().children() {
        assert!(child.signal(Signal::KILL));
    }
    for name in ["echo", "dials"] {
        alpha.log().wait_for(mark, &format!("plugin {name} 1 runs"));
        alpha.wait_until(name, runs(name));
    }
    alpha.log().wait_for(mark, "plugin::dials] data_dir done");
    alpha.signal(Signal::TERM);
    assert_eq!(alpha.wait_for_end(), 0, "{}", alpha.log().text());
}

#[test]
fn a_server_that_cannot_make_its_state_says_so_in_one_line() {
    if !has_disk("a state folder on a full disk") {
        return;
    }
    let folder = Folder::new();
    let lines = format!(
        "cd {}; (n=0; while : > disk/empty-$n; do n=$((n+1)); done) 2>/dev/null || true",
        folder.path().display()
    );
    let starter = on_disk(&folder, &lines);
    let setup = Setup::new("alpha").by(&starter).server("state = \"disk/state\"");
    let (code, said) = run_to_its_end(&folder, &setup);
    let errors: Vec<&str> = said.lines().filter(|l| l.starts_with("trunkline: ")).collect();
    assert_eq!((code, errors.len()), (1, 1), "{said}");
    assert!(errors[0].contains("disk/state") && errors[0].contains("No space left"), "{said}");
}

#[test]
fn a_log_on_a_full_disk_loses_lines_that_are_counted_when_there_is_room() {
    if !has_disk("a log on a full disk") {
        return;
    }
    let folder = Folder::new();
    let log = disk(&folder).join("log");
    let starter = on_disk(&folder, &format!("exec 2>>{}", log.display()));
    let harms = fixtures::plugin(Api::Ours, "harms");
    let setup = Setup::new("alpha").by(&starter).plugin(&harms, "");
    let mut alpha = Server::start_unheard(&folder, &setup);
    let disk = seen_by(&alpha, &folder, "");
    let read = || fs::read_to_string(disk.join("log")).expect("the log is there");
    wait_until("it logs to the file", || read().contains("is ready"));
    fill(&disk);
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    let chan = peer.open("harms");
    assert_eq!(peer.ask(chan, "log 100000"), "logged");
    assert_eq!(peer.ask(chan, "log 100000"), "logged");
    alpha.wait_until("it is served", runs("harms"));
    fs::remove_file(disk.join("filler")).expect("it is there");
    // The count goes out with the next line.
    peer.ask(chan, "log 1000");
    wait_until("the lines that are missing are counted", || {
        read().contains("log lines were dropped")
    });
    let text = read();
    assert!(text.lines().all(|line| line.is_empty() || line.starts_with('[')), "{text}");
    alpha.signal(Signal::TERM);
    assert_eq!(alpha.wait_for_end(), 0);
}
