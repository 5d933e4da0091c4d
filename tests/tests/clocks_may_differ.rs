//! What clocks show decides nothing between processes: neither the time since the start of a
//! machine, nor the time of day. `tidy.rs` keeps the time of day out of all code that decides.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use rustix::process::geteuid;
use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use trunkline_tests::binaries::{plugin, trunkline};
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Peer, Server, Setup, Socket};
use trunkline_tests::skip;

const DAY: Duration = Duration::from_secs(86_400);

/// A program that runs `trunkline` where the machine seems to have been started a day earlier.
fn a_day_ahead(folder: &Folder) -> Option<std::path::PathBuf> {
    let day = DAY.as_secs().to_string();
    let words = ["--time", "--monotonic", &day, "--boottime", &day, "--fork", "--kill-child", "--"];
    let tried = Command::new("unshare").args(words).arg("true").output();
    if !tried.as_ref().is_ok_and(|output| output.status.success()) {
        let why = tried.map(|output| String::from_utf8_lossy(&output.stderr).trim().to_owned());
        skip::aloud("a clock that is a day ahead", &why.unwrap_or_else(|e| e.to_string()));
        return None;
    }
    let words = words.join(" ");
    let run = trunkline().display().to_string();
    let file = folder.write("ahead", format!("#!/bin/sh\nexec unshare {words} {run} \"$@\"\n"));
    fs::set_permissions(&file, Permissions::from_mode(0o700)).expect("it is ours");
    Some(file)
}

#[test]
fn servers_whose_clocks_differ_by_a_day_link_and_connect_their_plugins() {
    let folder = Folder::new();
    let Some(ahead) = a_day_ahead(&folder) else { return };
    let beta = Setup::new("beta").server("heartbeat-ms = 100\ndead-after-ms = 5000");
    let direct = "placement = \"process\"\nadvertise = [\"unix\"]";
    let alpha = Setup::new("alpha").by(&ahead).secured().peer_key(beta.key_in(&folder));
    let alpha = alpha.server("heartbeat-ms = 100\ndead-after-ms = 5000");
    let alpha = Server::start(&folder, &alpha.plugin(&plugin("echo"), direct));
    let obeys = fixtures::plugin(Api::Ours, "obeys");
    let beta = beta.peer_with(alpha.key(), alpha.tcp_address());
    let beta =
        beta.plugin(&obeys, "placement = \"process\"\n[plugin.config]\nfirst = [\"uses echo\"]");
    let beta = Server::start(&folder, &beta);
    beta.wait_until("they are linked", |status| {
        status.knows_remote("echo") && status.is("obeys", "running")
    });
    let mut peer = Peer::link(Socket::unix(&beta), 9);
    let chan = peer.open("obeys");
    assert_eq!(peer.ask(chan, "ask echo a line"), "done: a line");
    let status = beta.wait_until("a ping was answered", |status| {
        status.link_to("alpha").is_some_and(|link| link.rtt_us.is_some())
    });
    let rtt = status.link_to("alpha").and_then(|link| link.rtt_us);
    assert!(rtt.is_some_and(|rtt| rtt < DAY.as_micros() as u64 / 1_000), "{rtt:?} us");
    assert!(alpha.status().server.uptime_us < DAY.as_micros() as u64, "it began just now");
    for server in [&alpha, &beta] {
        let text = server.log().text();
        assert!(!text.contains(" ended: "), "{}:\n{text}", server.name());
    }
}

#[test]
fn what_a_killed_process_left_is_removed_although_the_clock_was_set_back_since() {
    let folder = Folder::new();
    let sockets = folder.path().join(format!("trunkline-{}", geteuid().as_raw()));
    DirBuilder::new().mode(0o700).create(&sockets).expect("a new folder");
    let left = sockets.join("0".repeat(32));
    drop(UnixListener::bind(&left).expect("a short path"));
    let tomorrow = SystemTime::now() + DAY;
    let seconds = tomorrow.duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let at = Timespec { tv_sec: seconds.cast_signed(), tv_nsec: 0 };
    let times = Timestamps { last_access: at, last_modification: at };
    utimensat(CWD, &left, &times, AtFlags::SYMLINK_NOFOLLOW).expect("it is ours");
    let direct = "placement = \"process\"\nadvertise = [\"unix\"]";
    let setup = Setup::new("alpha").variable("TMPDIR", folder.path());
    let alpha = Server::start(&folder, &setup.plugin(&plugin("echo"), direct));
    alpha.wait_until("it runs", |status| status.is("echo", "running"));
    assert!(!left.exists(), "{} is still there", left.display());
}
