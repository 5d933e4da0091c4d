//! A plugin whose table has `[plugin.confine]` may do what that says, and nothing else. Each test
//! that bounds something also tries it without the bound.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use rustix::process::geteuid;
use std::path::{Path, PathBuf};
use std::process::Command;
use trunkline_tests::binaries::{plugin, trunkline};
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Chan, Peer, Server, Setup, Socket, Status};
use trunkline_tests::skip;

/// What a refused system call says, and what a file says that may not be opened.
const REFUSED: &str = "Operation not permitted (os error 1)";
const DENIED: &str = "Permission denied (os error 13)";

/// A user of every system, to whom nothing belongs.
const NOBODY: &str = "nobody";

/// It tries what the lines of a channel say.
fn tries() -> PathBuf {
    fixtures::plugin(Api::Ours, "tries")
}

fn setup(bounds: Option<&str>) -> Setup {
    let bounds = bounds.map(|bounds| format!("[plugin.confine]\n{bounds}")).unwrap_or_default();
    Setup::new("alpha").plugin(&tries(), &format!("placement = \"process\"\n{bounds}"))
}

/// A plugin in a process, and a channel to it.
struct Tried {
    alpha: Server,
    peer: Peer,
    chan: Chan,
}

impl Tried {
    fn start(folder: &Folder, bounds: Option<&str>) -> Tried {
        let alpha = Server::start(folder, &setup(bounds));
        alpha.wait_until("it runs", |status| status.is("tries", "running"));
        let mut peer = Peer::link(Socket::unix(&alpha), 9);
        let chan = peer.open("tries");
        Tried { alpha, peer, chan }
    }

    fn answer(&mut self, line: &str) -> String {
        self.peer.ask(self.chan, line)
    }

    /// What `status` says of a bound: whether it is in force, and by which means.
    fn bound(&self, name: &str) -> (bool, String) {
        let status = self.alpha.status();
        let confined = status.plugin("tries").and_then(|tries| tries.confined.clone());
        let bounds = confined.expect("it is confined").bounds;
        let bound = bounds.into_iter().find(|bound| bound.bound == name);
        let bound = bound.unwrap_or_else(|| panic!("no bound is called {name}"));
        (bound.in_force, bound.means)
    }
}

/// Starts a server whose plugin cannot be confined; returns why, without the name of the file.
fn refused(bounds: &str) -> String {
    let folder = Folder::new();
    let alpha = Server::start(&folder, &setup(Some(bounds)));
    let begins = format!("{}:14: ", folder.path().join("alpha.toml").display());
    let why = |status: &Status| {
        let reason = status.plugin("tries").and_then(|tries| tries.reason.clone());
        Some(reason?.split_once(&begins)?.1.to_owned())
    };
    let status = alpha.wait_until("it fails with its reason", |status| why(status).is_some());
    assert!(status.is("tries", "failed"));
    let why = why(&status).expect("it was waited for");
    alpha.log().wait_for(0, &why);
    why.replace(&folder.path().display().to_string(), "DIR")
}

/// Asks for the same with bounds and without; the second must succeed.
fn only_confined_fails(bounds: &str, lines: &[(&str, &str)]) {
    let folder = Folder::new();
    let mut bounded = Tried::start(&folder, Some(bounds));
    for (line, expected) in lines {
        let answer = bounded.answer(line);
        assert!(answer.contains(expected), "{line}: {answer}");
    }
    drop(bounded);
    let mut free = Tried::start(&folder, None);
    for (line, _) in lines {
        assert_eq!(free.answer(line), "done", "{line}, without bounds");
    }
}

fn needs_root(what: &str) -> bool {
    if !geteuid().is_root() {
        skip::aloud(what, "only root can do that");
    }
    geteuid().is_root()
}

#[test]
fn a_confined_plugin_reads_and_writes_only_what_it_was_granted() {
    let folder = Folder::new();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::create_dir(folder.path().join("granted")).expect("a new folder");
    std::fs::create_dir(folder.path().join("shown")).expect("a new folder");
    folder.write("shown/file", "x");
    folder.write("secret", "x");
    let bounds = "read = [\"shown\"]\nwrite = [\"granted\", \"data\"]";
    let mut tries = Tried::start(&folder, Some(bounds));
    for (line, expected) in [
        (format!("read {}", path("shown/file")), "done"),
        (format!("write {}", path("shown/file")), DENIED),
        (format!("write {}", path("shown/new")), DENIED),
        (format!("write {}", path("granted/new")), "done"),
        (format!("read {}", path("granted/new")), "done"),
        (format!("remove {}", path("granted/new")), "done"),
        (format!("read {}", path("secret")), DENIED),
        (format!("write {}", path("secret")), DENIED),
        (format!("remove {}", path("secret")), DENIED),
        (format!("read {}", path("alpha.key")), DENIED),
        (format!("list {}", folder.path().display()), DENIED),
        ("read /etc/passwd".into(), DENIED),
        ("read /etc/hosts".into(), "done"),
        ("write /tmp/tried".into(), DENIED),
        ("write /dev/shm/tried".into(), DENIED),
        ("write /dev/null".into(), "done"),
    ] {
        assert_eq!(tries.answer(&line), expected, "{line}");
    }
    let data = tries.answer("data");
    assert_eq!(Path::new(&data), folder.path().join("alpha.state/data/tries"));
    assert_eq!(tries.answer(&format!("write {data}/file")), "done");
    let (in_force, means) = tries.bound("write");
    assert!(in_force && means.starts_with("landlock "), "{means}");
    drop(tries);
    let mut free = Tried::start(&folder, None);
    for line in ["secret", "alpha.key"].map(|file| format!("read {}", path(file))) {
        assert_eq!(free.answer(&line), "done", "{line}, without bounds");
    }
}

#[test]
fn without_data_in_its_list_a_confined_plugin_has_no_data_folder() {
    let folder = Folder::new();
    let mut tries = Tried::start(&folder, Some(""));
    let said = tries.answer("data");
    assert!(said.contains("add \"data\" to `write` in its [plugin.confine]"), "{said}");
}

#[test]
fn a_confined_plugin_changes_no_mode_and_no_other_process() {
    let own = std::process::id();
    let folder = Folder::new();
    let file = folder.write("file", "x").display().to_string();
    let lines = [
        (format!("chmod {file}"), REFUSED),
        (format!("signal {own}"), REFUSED),
        (format!("limit {own}"), REFUSED),
    ];
    let lines = lines.each_ref().map(|(line, expected)| (line.as_str(), *expected));
    only_confined_fails(&format!("write = [{file:?}]"), &lines);
}

#[test]
fn a_confined_plugin_has_no_network_and_reaches_no_unix_socket() {
    let lines = [
        ("inet", REFUSED),
        ("inet6", REFUSED),
        ("unix", REFUSED),
        ("netlink", REFUSED),
        ("datagrams", REFUSED),
        ("loopback", REFUSED),
    ];
    only_confined_fails("", &lines);
    let lines = [("unix", REFUSED), ("netlink", REFUSED), ("datagrams", REFUSED)];
    only_confined_fails("network = \"any\"", &lines);
    let folder = Folder::new();
    let mut tries = Tried::start(&folder, Some("network = \"any\""));
    assert_eq!(["loopback", "pair"].map(|line| tries.answer(line)), ["done", "done"]);
}

#[test]
fn a_confined_plugin_may_have_loopback_of_its_own() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let connect = format!("connect {}", listener.local_addr().expect("it is bound"));
    only_confined_fails("network = \"loopback\"", &[(&connect, "refused"), ("unix", REFUSED)]);
    let folder = Folder::new();
    let mut tries = Tried::start(&folder, Some("network = \"loopback\""));
    assert_eq!(tries.answer("loopback"), "done");
    let (in_force, means) = tries.bound("network");
    assert!(in_force && means.contains("network namespace"), "{means}");
}

#[test]
fn a_confined_plugin_starts_threads_and_no_programs() {
    only_confined_fails("", &[("run /bin/true", REFUSED)]);
    let folder = Folder::new();
    let mut tries = Tried::start(&folder, Some(""));
    assert_eq!(tries.answer("thread"), "done");
    assert_eq!(tries.bound("processes"), (true, "seccomp".into()));
}

#[test]
fn memory_of_a_confined_plugin_is_limited() {
    only_confined_fails("memory-mib = 64", &[("memory 80", "alloc"), ("memfd", REFUSED)]);
    let folder = Folder::new();
    let mut tries = Tried::start(&folder, Some("memory-mib = 64"));
    assert_eq!(tries.answer("memory 8"), "done");
    tries.peer.write(tries.chan, b"take 80\n");
    tries.peer.flush();
    let log = tries.alpha.log();
    log.wait_for(0, "memory allocation of 83886080 bytes failed");
    log.wait_for(0, "`memory-mib` allows it 64 MiB");
    tries.alpha.wait_until("it runs again", |status| status.is("tries", "running"));
}

#[test]
fn descriptors_of_a_confined_plugin_are_limited_and_its_own() {
    let folder = Folder::new();
    let mut tries = Tried::start(&folder, Some("open-files = 64"));
    let most: usize = tries.answer("open").parse().expect("a number");
    assert!((16..64).contains(&most), "{most}");
    assert_eq!(tries.answer("descriptors"), "", "none is of its server");
    assert_eq!(tries.bound("open-files"), (true, "RLIMIT_NOFILE".into()));
}

#[test]
fn a_confined_process_has_no_privileges() {
    let folder = Folder::new();
    let mut tries = Tried::start(&folder, Some(""));
    for (name, expected) in [("NoNewPrivs", "1"), ("Seccomp", "2"), ("CapEff", "0000000000000000")]
    {
        assert_eq!(tries.answer(&format!("status {name}")), expected, "{name}");
    }
    if needs_root("the capabilities that root gives up") {
        for name in ["CapPrm", "CapBnd", "CapAmb", "CapInh"] {
            assert_eq!(tries.answer(&format!("status {name}")), "0000000000000000", "{name}");
        }
    }
}

#[test]
fn a_confined_plugin_runs_as_the_user_of_its_table() {
    if !needs_root("a plugin's own user") {
        return;
    }
    let folder = Folder::new();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711))
        .expect("our own folder");
    let bounds = format!("user = {NOBODY:?}\nwrite = [\"data\"]\nprocesses = 2");
    let mut tries = Tried::start(&folder, Some(&bounds));
    assert_eq!(tries.answer("status Uid"), "65534 65534 65534 65534");
    assert_eq!(tries.answer("status CapBnd"), "0000000000000000");
    let data = tries.answer("data");
    let file = format!("{data}/file");
    assert_eq!(tries.answer(&format!("write {file}")), "done");
    assert_eq!(tries.answer(&format!("chmod {file}")), "done", "its own files");
    let (in_force, means) = tries.bound("processes");
    assert!(in_force && means.starts_with("RLIMIT_NPROC"), "{means}");
}

#[test]
fn what_cannot_be_enforced_fails_the_plugin_with_the_reason() {
    let why = refused("user = \"nobody-of-this-name\"");
    let expected = "`user` = nobody-of-this-name: there is no such user; create it, or name \
                    another one";
    assert_eq!(why, expected);
    let why = refused("read = [\"missing\"]");
    let expected = "`read`: DIR/missing: there is no such file or folder; create it, or remove it \
                    from the list";
    assert_eq!(why, expected);
    let why = refused("processes = 2");
    assert!(why.starts_with("`processes` = 2 cannot be enforced: "), "{why}");
    assert!(why.ends_with("; `best-effort = true` starts it nevertheless"), "{why}");
}

#[test]
fn check_runs_no_code_of_a_confined_plugin_and_says_what_is_missing() {
    let checked = |bounds: &str| {
        let folder = Folder::new();
        let file = tries().display().to_string();
        let server = "[server]\nname = \"alpha\"\nkey = \"alpha.key\"\n";
        let plugin = format!("[[plugin]]\npath = {file:?}\nplacement = \"process\"\n");
        let text = format!("{server}{plugin}[plugin.confine]\n{bounds}\n");
        let config = folder.write("a.toml", text);
        let mut check = Command::new(trunkline());
        let said = check.arg("check").arg("--config").arg(config).output().expect("it runs");
        let text = [said.stdout, said.stderr].concat();
        let text = String::from_utf8(text).expect("text");
        text.replace(&folder.path().display().to_string(), "DIR")
    };
    let said = checked("memory-mib = 64\nwrite = [\"data\"]");
    assert_eq!(said, "ok: DIR/a.toml: server alpha with 1 plugin, 1 address, 0 peers\n");
    let said = checked("user = \"nobody-of-this-name\"\nread = [\"missing\"]\nprocesses = 2");
    for expected in [
        "DIR/a.toml:7: [plugin.confine]: `read`: DIR/missing: there is no such file or folder",
        "DIR/a.toml:7: [plugin.confine]: `user` = nobody-of-this-name: there is no such user",
        "DIR/a.toml:7: [plugin.confine]: the system cannot enforce `processes` (",
    ] {
        assert!(said.contains(expected), "{expected} is missing: {said}");
    }
    let said = checked("best-effort = true\nprocesses = 2");
    let note = "note: DIR/a.toml:7: [plugin.confine]: the system cannot enforce `processes` (";
    assert!(said.starts_with(note) && said.contains("\nok: "), "{said}");
}

#[test]
fn a_best_effort_runs_and_says_what_is_not_in_force() {
    let folder = Folder::new();
    let tries = Tried::start(&folder, Some("best-effort = true\nprocesses = 2"));
    let (in_force, why) = tries.bound("processes");
    assert!(!in_force, "{why}");
    let line = tries.alpha.log().wait_for(0, "it is not confined as its [plugin.confine] asks: ");
    assert!(line.contains("WARN") && line.contains(&why), "{line}");
    assert!(tries.bound("privileges").0, "the rest is in force");
}

#[test]
fn status_and_explain_say_what_bounds_a_plugin() {
    let folder = Folder::new();
    let both = setup(Some("memory-mib = 64")).plugin(&plugin("echo"), "");
    let alpha = Server::start(&folder, &both);
    alpha.wait_until("it runs", |status| status.is("tries", "running"));
    let row = |command: &str, more: &[&str]| {
        let said = String::from_utf8(alpha.command(command, more).stdout).expect("text");
        let row = said.lines().find(|line| line.contains("memory-mib"));
        let row = row.unwrap_or_else(|| panic!("{command} says nothing of it: {said}"));
        row.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    let expected = "memory-mib 64 yes RLIMIT_DATA, for each process";
    assert_eq!(row("status", &[]), format!("tries {expected}"));
    assert_eq!(row("explain", &["echo", "tries"]), expected);
    let status = alpha.status();
    let echo = status.plugin("echo").expect("it is there");
    assert!(echo.confined.is_none(), "only what was asked for: {echo:?}");
}
