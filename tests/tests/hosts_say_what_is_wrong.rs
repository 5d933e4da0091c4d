//! Hosts with wrong arguments, a wrong configuration or missing rights: each prints one line that
//! says so.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use trunkline_tests::binaries::{plugin, trunkline};
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Peer, Server, Setup, Socket, key_of};

/// The time for a command that does nothing, on a busy machine.
const ENDS_WITHIN: Duration = Duration::from_secs(20);

/// Exit code and stderr of a command that ends by itself.
fn say(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(trunkline());
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    let mut child = command.stderr(Stdio::piped()).spawn().expect("it can be started");
    let deadline = Instant::now() + ENDS_WITHIN;
    while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
        std::thread::park_timeout(Duration::from_millis(10));
    }
    // If it runs on, this ends it, and there is no exit code.
    let _ = child.kill();
    let output = child.wait_with_output().expect("it was started");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let code = output.status.code().unwrap_or_else(|| panic!("{arguments:?} runs on: {said}"));
    (code, said)
}

/// The lines that report an error.
fn errors(said: &str) -> Vec<&str> {
    said.lines().filter(|line| line.starts_with("trunkline: ")).collect()
}

#[test]
fn wrong_usage_prints_one_line() {
    let folder = Folder::new();
    let echo = plugin("echo").display().to_string();
    for (arguments, why) in [
        (&["host"][..], "<--server <ADDRESS>|--config <FILE>>"),
        (&["host", "--server", "unix:a.sock"], "--plugin <FILE.so>..."),
        (&["host", "--plugin", &echo], "--server <ADDRESS>"),
        (
            &["host", "--config", "a", "--server", "unix:b", "--plugin", &echo],
            "cannot be used with",
        ),
    ] {
        let (code, said) = say(folder.path(), arguments);
        assert_eq!((code, said.lines().count()), (2, 1), "{arguments:?}: {said}");
        assert!(said.starts_with("trunkline: usage: ") && said.contains(why), "{said}");
    }
}

#[test]
fn an_impossible_host_exits_at_once_with_one_line() {
    let folder = Folder::new();
    let echo = plugin("echo").display().to_string();
    folder.write("text.so", "this is no plugin");
    let alpha = Server::start(&folder, &Setup::new("alpha").plugin(&plugin("echo"), ""));
    let taken = ["host", "--server", "unix:alpha.sock", "--plugin", &echo];
    for (arguments, whys) in [
        (
            &["host", "--server", "unix:alpha.sock", "--plugin", "none.so"][..],
            ["none.so", "no file"],
        ),
        (
            &["host", "--server", "unix:alpha.sock", "--plugin", "text.so"],
            ["text.so", "not a shared library"],
        ),
        (&["host", "--server", "nonsense", "--plugin", &echo], ["nonsense", ""]),
        (&["host", "--server", "net:127.0.0.1:1", "--plugin", &echo], ["net:127.0.0.1:1", "key"]),
        (&["host", "--config", "none.toml"], ["none.toml", ""]),
        (&taken, ["name-taken", "a plugin of this server"]),
    ] {
        let (code, said) = say(folder.path(), arguments);
        assert_eq!((code, errors(&said).len()), (1, 1), "{arguments:?}: {said}");
        let line = errors(&said)[0];
        assert!(whys.iter().all(|why| line.contains(why)), "{arguments:?}: {line}");
        println!("{line}");
    }
    Peer::link(Socket::unix(&alpha), 9).echo("echo", b"the server does not care");
}

#[test]
fn a_file_of_the_other_kind_names_the_right_command() {
    let folder = Folder::new();
    let server = folder.write("server.toml", "[server]\nname = \"a\"\nkey = \"a.key\"\n");
    let text = "[host]\nname = \"a\"\nkey = \"a.key\"\nserver = \"unix:a.sock\"\n";
    let host = folder.write("host.toml", text);
    for (command, file, use_this) in [("run", &host, "host"), ("host", &server, "run")] {
        let file = file.display().to_string();
        let (code, said) = say(folder.path(), &[command, "--config", &file]);
        assert_eq!((code, said.lines().count()), (1, 1), "{command}: {said}");
        let advice = format!("use `trunkline {use_this} --config {file}`");
        assert!(
            said.starts_with(&format!("trunkline: {file}: ")) && said.contains(&advice),
            "{said}"
        );
    }
}

#[test]
fn the_hidden_command_refuses_to_run_by_hand() {
    let folder = Folder::new();
    folder.write("input", [7; 4096]);
    let input = || std::fs::File::open(folder.path().join("input")).expect("it was written");
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a socket pair");
    // A server that is not its parent.
    let spec = [&1u32.to_be_bytes()[..], &2u32.to_be_bytes(), b"{}"].concat();
    std::io::Write::write_all(&mut &ours, &spec).expect("it fits");
    let inputs =
        [Stdio::null(), Stdio::from(input()), Stdio::from(std::os::fd::OwnedFd::from(theirs))];
    for input in inputs {
        let mut command = Command::new(trunkline());
        let output = command.arg("child").stdin(input).output().expect("it can be started");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
        assert!(said.starts_with("trunkline: child: only a server can start this"), "{said}");
    }
}

#[test]
fn an_unloadable_plugin_of_a_child_is_logged_once_and_shown_as_failed() {
    for place in ["process", "thread"] {
        let folder = Folder::new();
        let text = folder.write("libtext.so", "this is no plugin");
        let mut setup = Setup::new("alpha").plugin(&plugin("echo"), "");
        setup = setup.plugin(&text, &format!("placement = \"{place}\""));
        if place == "process" {
            setup =
                setup.plugin(&text, "placement = \"process\"\nrestart = \"never\"\nname = \"b\"");
        }
        let names: &[&str] = if place == "process" { &["text", "b"] } else { &["text"] };
        let alpha = Server::start(&folder, &setup);
        for name in names {
            let status = alpha.wait_until("it has failed", |status| status.is(name, "failed"));
            let shown = status.plugin(name).expect("it is there");
            let reason = shown.reason.clone().unwrap_or_default();
            assert_eq!(shown.placement, place);
            assert!(reason.starts_with("plugin-failed: "), "{place}: {reason}");
            assert!(
                reason.contains("libtext.so") && reason.contains("not a shared library"),
                "{place}: {reason}"
            );
        }
        let last = names.last().expect("there is one");
        let ended = alpha.log().wait_for(0, &format!("the host of {last} ended"));
        // For the one that is not restarted, there is one line with the reason.
        let log = alpha.log().text();
        let table = if place == "process" { "alpha.toml:18: " } else { "alpha.toml:14: " };
        let is_told = |line: &&str| {
            line.contains("not a shared library") && line.contains(table) && !line.contains("INFO")
        };
        let told = log.lines().filter(is_told);
        assert_eq!(told.count(), 1, "{place}: {log}");
        println!("{place}: {ended}");
        Peer::link(Socket::unix(&alpha), 9).echo("echo", b"nobody else is harmed");
    }
}

#[test]
fn a_host_that_may_not_link_prints_the_reason() {
    let folder = Folder::new();
    let gamma = Setup::host("gamma", "").key_in(&folder);
    let stranger = Setup::new("alpha").secured();
    let wrong_role = Setup::new("beta").secured().peer_key(gamma);
    let right = Setup::new("delta").secured().host_key(gamma);
    let start = |setup: &Setup| Server::start(&folder, setup);
    let (stranger, wrong_role, right) = (start(&stranger), start(&wrong_role), start(&right));
    let address = |server: &Server, key| format!("net:{}~shs:{key}", server.tcp_address());
    let harms = fixtures::plugin(Api::Ours, "harms");
    for (server, whys) in [
        // An unlisted host receives nothing: the server does not prove its key.
        (address(&stranger, stranger.key()), ["handshake-failed", "link to"]),
        (address(&wrong_role, wrong_role.key()), ["not-allowed", "not listed as a host"]),
        (address(&right, key_of(77)), ["handshake-failed", "link to"]),
        ("unix:none.sock".into(), ["cannot reach", "none.sock"]),
        (
            "net:127.0.0.1:1~shs:".to_string() + &right.key().to_string(),
            ["cannot reach", "127.0.0.1:1"],
        ),
    ] {
        let host = Server::start(&folder, &Setup::host("gamma", &server).plugin(&harms, ""));
        let line = host.log().wait_for(0, whys[0]);
        assert!(line.contains(whys[1]), "{line}");
        println!("{line}");
        let log = host.log().text();
        assert!(!log.contains("plugin harms"), "a plugin runs when its server is known: {log}");
    }
    let line = stranger.log().wait_for(0, "ended: ");
    println!("at the server: {line}");
    let line = wrong_role.log().wait_for(0, "not listed as a host");
    println!("at the server: {line}");
    let at = address(&right, right.key());
    let _host = Server::start(&folder, &Setup::host("gamma", &at).plugin(&harms, ""));
    right.wait_until("the right one is linked", |status| status.is("harms", "running"));
}
