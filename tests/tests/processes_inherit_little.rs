//! What a server inherits from its starter does not harm it, and what programs that plugins start
//! inherit from a server does not harm them.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use trunkline_tests::binaries::{plugin, trunkline};
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Peer, Server, Setup, Socket, wait_until};
use trunkline_tests::skip;

fn harms() -> PathBuf {
    fixtures::plugin(Api::Ours, "harms")
}

/// A program that runs `trunkline` behind these lines of a shell script.
fn behind(folder: &Folder, lines: &str) -> PathBuf {
    let text = format!("#!/bin/sh\n{lines} {} \"$@\"\n", trunkline().display());
    executable(folder, "starter", &text)
}

fn executable(folder: &Folder, name: &str, text: &str) -> PathBuf {
    let file = folder.write(name, text);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&file, mode).expect("our own file");
    file
}

#[test]
fn signals_that_its_starter_blocked_or_ignored_work() {
    let all = "TERM,INT,HUP,CHLD";
    for how in [format!("env --block-signal={all}"), "env --ignore-signal=TERM,INT,CHLD".into()] {
        let folder = Folder::new();
        let starter = behind(&folder, &format!("exec {how}"));
        let echo = plugin("echo");
        let setup = Setup::new("alpha").by(&starter).plugin(&echo, "placement = \"process\"");
        let mut alpha = Server::start(&folder, &setup);
        alpha.wait_until("it runs", |status| status.is("echo", "running"));
        let children = alpha.process().children();
        let [child] = children[..] else { panic!("{how}: one process: {children:?}") };
        let mark = alpha.log().mark();
        assert!(child.signal(Signal::KILL));
        alpha.log().wait_for(mark, "plugin echo 1 runs");
        wait_until("it is waited for", || child.state().is_none());
        alpha.signal(Signal::TERM);
        assert_eq!(alpha.wait_for_end(), 0, "{how}: {}", alpha.log().text());
    }
}

#[test]
fn with_nohup_a_server_outlives_its_terminal() {
    let folder = Folder::new();
    let starter = behind(&folder, "trap '' HUP\nexec");
    let mut alpha = Server::start(&folder, &Setup::new("alpha").by(&starter));
    alpha.signal(Signal::HUP);
    // Whatever the signal does, it does before the answer to what was asked after it.
    assert_eq!(alpha.status().server.name, "alpha");
    assert_eq!(alpha.command("stop", &[]).status.code(), Some(0));
    assert_eq!(alpha.wait_for_end(), 0, "{}", alpha.log().text());
}

#[test]
fn programs_that_plugins_start_have_the_limit_of_open_files_that_the_server_had() {
    let folder = Folder::new();
    let starter = behind(&folder, "ulimit -Sn 300\nexec");
    let shows = executable(&folder, "shows", "#!/bin/sh\nulimit -Sn >&2\n");
    let setup = ["inline", "thread", "process"].into_iter().fold(Setup::new("alpha"), |all, at| {
        all.plugin(&harms(), &format!("name = \"{at}\"\nplacement = \"{at}\""))
    });
    let alpha = Server::start(&folder, &setup.by(&starter));
    for place in ["inline", "thread", "process"] {
        alpha.wait_until(place, |status| status.is(place, "running"));
        let mut peer = Peer::link(Socket::unix(&alpha), 9);
        let chan = peer.open(place);
        let limit = peer.ask(chan, &format!("run {}", shows.display()));
        assert_eq!(limit, "\"300\\n\"", "{place}");
    }
}

#[test]
fn programs_that_plugins_start_have_no_descriptor_of_the_server_and_no_signal_blocked() {
    let folder = Folder::new();
    // Of its own, it has one that reads the folder, and that of its script.
    let lines = "for f in /proc/$$/fd/*; do readlink $f >&2; done\n\
                 grep -E 'SigBlk|SigIgn' /proc/self/status >&2";
    let shows = executable(&folder, "shows", &format!("#!/bin/sh\n{lines}\n"));
    let setup = ["inline", "thread", "process"].into_iter().fold(Setup::new("alpha"), |all, at| {
        all.plugin(&harms(), &format!("name = \"{at}\"\nplacement = \"{at}\""))
    });
    let alpha = Server::start(&folder, &setup.secured().plugin(&plugin("forward"), ""));
    for place in ["inline", "thread", "process"] {
        alpha.wait_until(place, |status| status.is(place, "running"));
        let mut peer = Peer::link(Socket::unix(&alpha), 9);
        let chan = peer.open(place);
        let said = peer.ask(chan, &format!("run {}", shows.display()));
        let said = said.replace("\\n", "\n").replace("\\t", "\t");
        for kind in ["socket:", "anon_inode:", "memfd:", ".state", ".key"] {
            assert!(!said.contains(kind), "{place}: it has one of the server's:\n{said}");
        }
        for line in said.lines().filter(|line| line.contains("SigBlk")) {
            assert!(line.ends_with("0000000000000000"), "{place}: signals are blocked: {line}");
        }
    }
}

#[test]
fn a_server_raises_its_limit_of_open_files_when_it_needs_more() {
    let folder = Folder::new();
    let starter = behind(&folder, "ulimit -Sn 64\nexec");
    let setup = Setup::new("alpha").by(&starter).plugin(&plugin("echo"), "");
    let alpha = Server::start(&folder, &setup);
    let mut peers: Vec<Peer> = (0..200).map(|n| Peer::link(Socket::unix(&alpha), n)).collect();
    for peer in &mut peers {
        peer.echo("echo", b"there is a descriptor for each");
    }
    assert!(alpha.descriptors() > 200);
    assert!(!alpha.log().text().contains("cannot accept"), "{}", alpha.log().text());
}

#[test]
fn exit_codes_of_a_plugins_process_are_reported_as_they_are() {
    for code in [0, 1, 3] {
        let folder = Folder::new();
        let setup =
            Setup::new("alpha").plugin(&harms(), "placement = \"process\"\nblocked = \"end\"");
        let alpha = Server::start(&folder, &setup);
        alpha.wait_until("it runs", |status| status.is("harms", "running"));
        let mut peer = Peer::link(Socket::unix(&alpha), 9);
        let chan = peer.open("harms");
        let mark = alpha.log().mark();
        peer.write(chan, format!("exit {code}\n").as_bytes());
        let line = alpha.log().wait_for(mark, "the host of harms ended: ");
        assert!(line.contains(&format!("exit status: {code}")), "{line}");
    }
}

/// A process that is killed when it is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_server_in_the_background_of_a_terminal_is_not_stopped_by_its_log() {
    if Command::new("script").arg("--version").output().is_err() {
        return skip::aloud("a terminal with `tostop`", "`script` is not installed");
    }
    let folder = Folder::new();
    let listen = "listen = [\"unix:alpha.sock~noauth\"]";
    let plugin = format!("path = {:?}\nplacement = \"process\"", plugin("echo"));
    let server = format!("[server]\nname = \"alpha\"\nkey = \"alpha.key\"\n{listen}");
    folder.write("trunkline.toml", format!("{server}\n[[plugin]]\n{plugin}\n"));
    // With `-m`, a program in the background has a process group of its own.
    let run = format!("{} run &", trunkline().display());
    let lines = format!("trap 'kill %1' HUP\nset -m\nstty tostop\n{run}\nwait\n");
    let lines = executable(&folder, "in-terminal", &format!("#!/bin/sh\n{lines}"));
    let mut script = Command::new("script");
    script.args(["--quiet", "--flush", "--command"]).arg(&lines).arg("typescript");
    script.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
    let _script = Killed(script.spawn().expect("`script` is there"));
    let runs = || status(folder.path()).contains("running");
    wait_until("the plugin runs", runs);
    let typescript = std::fs::read_to_string(folder.path().join("typescript"));
    let written = typescript.expect("the terminal's output is kept");
    assert!(written.contains("is ready"), "it wrote its log to the terminal: {written}");
    let stop = Command::new(trunkline()).arg("stop").current_dir(folder.path()).output();
    assert!(stop.is_ok_and(|output| output.status.success()));
}

/// What `trunkline status` prints, whether or not there is a server.
fn status(folder: &Path) -> String {
    let output = Command::new(trunkline()).arg("status").current_dir(folder).output();
    String::from_utf8_lossy(&output.expect("it can be started").stdout).into_owned()
}
