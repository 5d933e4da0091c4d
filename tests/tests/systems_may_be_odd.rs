//! Servers on systems that are set up in unusual ways: hardened, with long paths, with few
//! descriptors at the start, with rights of a file, and with addresses of one interface.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use rustix::process::geteuid;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use trunkline_tests::binaries::{plugin, trunkline};
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Peer, Server, Setup, Socket, Status};
use trunkline_tests::netns::Net;
use trunkline_tests::skip;

const PROCESS: &str = "placement = \"process\"";

/// A user id that is neither root nor the user that runs the tests.
const NOBODY: u32 = 65_534;

fn harms() -> PathBuf {
    fixtures::plugin(Api::Ours, "harms")
}

fn runs(name: &str) -> impl Fn(&Status) -> bool + '_ {
    move |status| status.is(name, "running")
}

/// A program that runs `trunkline` behind these lines of a shell script; `$run` is its command.
fn behind(folder: &Folder, lines: &str) -> PathBuf {
    let run = trunkline().display().to_string();
    let file = folder.write("starter", format!("#!/bin/sh\nrun={run}\n{lines}\n"));
    fs::set_permissions(&file, Permissions::from_mode(0o755)).expect("it is ours");
    file
}

/// Why a program cannot be run with these words, if it cannot.
fn cannot(program: &str, words: &[&str]) -> Option<String> {
    match Command::new(program).args(words).output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(format!("{program}: {error}")),
    }
}

#[test]
fn plugins_load_where_memory_files_are_not_executable() {
    let namespaces = ["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"];
    for level in [1, 2] {
        let set = format!("echo {level} > /proc/sys/vm/memfd_noexec");
        let words: Vec<&str> = namespaces.into_iter().chain([set.as_str()]).collect();
        if let Some(why) = cannot("unshare", &words) {
            return skip::aloud("vm.memfd_noexec", &why);
        }
        let folder = Folder::new();
        let unshare = "exec unshare --pid --fork --kill-child --mount-proc sh -c";
        let starter = behind(&folder, &format!("{unshare} '{set}; exec '$run' \"$@\"' sh \"$@\""));
        let setup = Setup::new("alpha").by(&starter);
        let setup = setup.plugin(&plugin("echo"), "").plugin(&harms(), PROCESS);
        let alpha = Server::start(&folder, &setup);
        // The command line is outside of the server's namespace, so it has no number in there.
        alpha.wait_until("one inline", runs("echo"));
        alpha.wait_until("one in a process", runs("harms"));
        Peer::link(Socket::unix(&alpha), 9).echo("echo", b"its code is executed");
    }
}

/// Everything below a folder is another user's.
fn give(path: &Path, user: u32) {
    chown(path, Some(user), Some(user)).expect("root may");
    if path.is_dir() {
        let entries = fs::read_dir(path).expect("root may");
        entries.for_each(|entry| give(&entry.expect("an entry").path(), user));
    }
}

#[test]
fn a_program_with_a_right_of_its_file_listens_below_1024_and_starts_processes() {
    if !geteuid().is_root() {
        return skip::aloud("rights of a file", "only root can give a file rights");
    }
    let Some(mut net) = Net::or_skip("a port below 1024") else { return };
    let folder = Folder::new();
    let program = folder.path().join("trunkline");
    fs::copy(trunkline(), &program).expect("a new file");
    let file = program.display().to_string();
    if let Some(why) = cannot("setcap", &["cap_net_bind_service=ep", &file]) {
        return skip::aloud("rights of a file", &why);
    }
    for name in ["echo", "clock"] {
        fs::copy(plugin(name), folder.path().join(name)).expect("a new file");
    }
    let as_nobody = "exec setpriv --reuid=65534 --regid=65534 --clear-groups --";
    let starter = behind(&folder, &format!("run={file}\n{as_nobody} $run \"$@\""));
    let setup = Setup::new("alpha").by(&starter).listen("net:127.0.0.1:443~shs");
    let setup = setup.plugin("echo".as_ref(), "").plugin("clock".as_ref(), PROCESS);
    let lan = net.lan();
    let machine = net.machine("alone", lan);
    give(folder.path(), NOBODY);
    // The right of the file is lost when its owner changes.
    assert_eq!(cannot("setcap", &["cap_net_bind_service=ep", &file]), None);
    let alpha = Server::start_on(&machine, &folder, &setup);
    alpha.log().wait_for(0, "listening on net:127.0.0.1:443~shs");
    // Its status is asked for by its own user only.
    alpha.log().wait_for(0, "plugin echo 1 runs");
    alpha.log().wait_for(0, "host::clock] plugin clock 1 runs");
}

#[test]
fn hosts_run_and_are_reached_where_the_folder_for_temporary_files_is_of_no_use() {
    for what in ["long", "missing", "read-only"] {
        let folder = Folder::new();
        let temporary = match what {
            "long" => folder.path().join("d".repeat(120)),
            other => folder.path().join(other),
        };
        if what != "missing" {
            fs::create_dir(&temporary).expect("a new folder");
        }
        if what == "read-only" {
            fs::set_permissions(&temporary, Permissions::from_mode(0o555)).expect("it is ours");
        }
        let obeys = fixtures::plugin(Api::Ours, "obeys");
        let advertises = format!("{PROCESS}\nadvertise = [\"unix\"]");
        let setup = Setup::new("alpha").variable("TMPDIR", &temporary);
        let setup = setup.variable("XDG_RUNTIME_DIR", "".as_ref());
        let setup = setup.plugin(&plugin("echo"), &advertises).plugin(&obeys, PROCESS);
        let alpha = Server::start(&folder, &setup);
        for name in ["echo", "obeys"] {
            alpha.wait_until(name, runs(name));
        }
        let mut peer = Peer::link(Socket::unix(&alpha), 1);
        let chan = peer.open("obeys");
        assert_eq!(peer.ask(chan, "ask echo a line"), "done: a line", "{what}");
    }
}

#[test]
fn a_server_without_standard_descriptors_keeps_its_sockets_out_of_their_place() {
    let folder = Folder::new();
    let starter = behind(&folder, "exec $run \"$@\" 0<&- 1>&- 2>&-");
    let setup = Setup::new("alpha").by(&starter).plugin(&harms(), "");
    let setup = setup.plugin(&plugin("echo"), PROCESS);
    let alpha = Server::start_unheard(&folder, &setup);
    alpha.wait_until("a process runs", runs("echo"));
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    let chan = peer.open("harms");
    assert_eq!(peer.ask(chan, "println"), "printed");
    let server = alpha.process();
    for process in [server].into_iter().chain(server.children()) {
        for number in 0..3 {
            let file = fs::read_link(format!("/proc/{}/fd/{number}", process.0));
            let file = file.expect("none of the three is closed").display().to_string();
            let harmless = file == "/dev/null" || file.starts_with("pipe:");
            assert!(harmless, "what is printed goes to {file}");
        }
    }
}

#[test]
fn an_address_with_an_interface_is_listened_on_and_dialled_by_name_and_by_number() {
    let Some(mut net) = Net::or_skip("addresses of one interface") else { return };
    let lan = net.lan();
    let machine = net.machine("alone", lan);
    let run = |line: &str| {
        let output = machine.command("sh").args(["-c", line]).output().expect("sh runs");
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    if cannot("test", &["-e", "/proc/sys/net/ipv6"]).is_some() {
        return skip::aloud("addresses of one interface", "there is no IPv6 here");
    }
    run("ip -6 address add fe80::77/64 dev eth0 nodad");
    let number = run("cat /sys/class/net/eth0/ifindex || ip -o link show eth0 | cut -d: -f1");
    for zone in ["eth0", &number] {
        let folder = Folder::new();
        let alpha = Setup::new("alpha");
        let beta = Setup::new("beta").listen(&format!("net:fe80::77%{zone}:0~shs"));
        let beta = beta.peer_key(alpha.key_in(&folder)).keep();
        let beta = Server::start_on(&machine, &folder, &beta);
        let (key, port) = (beta.key(), beta.port());
        let at = format!("net:fe80::77%{zone}:{port}~shs:{key}");
        let alpha = Server::start_on(&machine, &folder, &alpha.peer_at(&at).keep());
        alpha.wait_until(&at, |status| status.link_to("beta").is_some());
    }
}
