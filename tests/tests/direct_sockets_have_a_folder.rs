//! Processes of one user find each other's unix sockets, also where another user holds the name of
//! the folder in which these would be.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use rustix::process::geteuid;
use std::fs::{Permissions, create_dir, set_permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use trunkline_tests::binaries::plugin;
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Peer, Server, Setup, Socket};

/// A user id that is neither root nor the user that runs the tests.
const NOBODY: u32 = 65_534;

#[test]
fn a_folder_that_another_user_made_first_does_not_prevent_direct_connections() {
    let folder = Folder::new();
    let temporary = folder.path().join("tmp");
    let held = temporary.join(format!("trunkline-{}", geteuid().as_raw()));
    create_dir(&temporary).expect("a new folder");
    create_dir(&held).expect("a new folder");
    set_permissions(&held, Permissions::from_mode(0o777)).expect("it is ours");
    if geteuid().is_root() {
        chown(&held, Some(NOBODY), Some(NOBODY)).expect("root gives anything away");
    }
    let obeys = fixtures::plugin(Api::Ours, "obeys");
    let apart = "placement = \"process\"";
    let setup = Setup::new("alpha")
        .variable("TMPDIR", &temporary)
        .plugin(&plugin("echo"), &format!("{apart}\nadvertise = [\"unix\"]"))
        .plugin(&obeys, &format!("{apart}\nname = \"asks\""));
    let alpha = Server::start(&folder, &setup);
    alpha.wait_until("both run", |status| {
        status.is("echo", "running") && status.is("asks", "running")
    });
    let mut peer = Peer::link(Socket::unix(&alpha), 1);
    let chan = peer.open("asks");
    assert_eq!(peer.ask(chan, "ask echo a line"), "done: a line");
    let status = alpha.status();
    let echo = status.plugin("echo").expect("it runs");
    let advertises = echo.addresses.iter().any(|address| address.starts_with("unix:"));
    assert!(advertises, "{:?}\n{}", echo.addresses, alpha.log().text());
    // A route that does not work is told to the server, which says so.
    let output = alpha.command("explain", &["asks", "echo"]);
    let told = String::from_utf8_lossy(&output.stdout);
    let unix = told.lines().find(|line| line.contains("  unix")).unwrap_or_default();
    assert!(unix.trim_start().starts_with("yes") && !unix.contains("tried"), "{told}");
    let theirs = std::fs::read_dir(&held).expect("it can be read").count();
    assert_eq!(theirs, 0, "nothing is put into another user's folder");
}
