//! The audit of links, refused keys and commands: no limit and no flood drops any of it.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::unwrap_used)]

use rustix::process::geteuid;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;
use trunkline_core::key::Key;
use trunkline_tests::binaries::{plugin, trunkline};
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Peer, Secured, Server, Setup, Socket, key_of, wait_until};

fn harms() -> PathBuf {
    fixtures::plugin(Api::Ours, "harms")
}

/// The audited events that contain a text.
fn audited(server: &Server, text: &str) -> Vec<String> {
    let lines = server.log().since(0).into_iter();
    let events = lines.filter_map(|line| Some(line.split_once(" audit] ")?.1.to_owned()));
    events.filter(|event| event.contains(text)).collect()
}

/// Waits for an audited event.
fn audits(server: &Server, text: &str) -> String {
    wait_until(&format!("{text} is audited"), || !audited(server, text).is_empty());
    audited(server, text).remove(0)
}

/// Tries to link with a key that is not listed.
fn is_refused(server: &Server, seed: u8) {
    assert!(Secured::connect(server, seed).is_err(), "the key of {seed} is let in");
}

#[test]
fn links_are_audited_with_their_keys_names_and_users() {
    let folder = Folder::new();
    let alpha = Server::start(&folder, &Setup::new("alpha").plugin(&plugin("echo"), ""));
    drop(Peer::link_as(Socket::unix(&alpha), 9, "be\"ta"));
    let key = Key([9; 32]);
    let (user, pid) = (geteuid().as_raw(), std::process::id());
    let head =
        format!("key={key} role=server name=\"be\\\"ta\" address=\"unix\" user={user} pid={pid}");
    assert_eq!(audits(&alpha, "link-up "), format!("link-up {head}"));
    let down = audits(&alpha, "link-down ");
    assert!(
        down.starts_with(&format!("link-down {head} code=\"transport-lost\" reason=\"")),
        "{down}"
    );
}

#[test]
fn a_host_is_audited_like_a_server_and_an_inherited_link_is_not() {
    let folder = Folder::new();
    let setup = Setup::new("alpha").plugin(&harms(), "placement = \"process\"");
    let alpha = Server::start(&folder, &setup);
    alpha.wait_until("it runs", |status| status.is("harms", "running"));
    let up = audits(&alpha, "link-up ");
    assert!(up.contains(" role=host name=\"harms\" address=\"child\""), "{up}");
    alpha.log().wait_for(0, "host::harms] plugin harms 1 runs");
    let forged =
        alpha.log().since(0).into_iter().find(|line| line.contains("host::harms] link-up"));
    assert_eq!(forged, None, "its host says nothing of its link to the server");
}

#[test]
fn commands_are_audited_with_user_and_process() {
    let folder = Folder::new();
    let alpha = Server::start(&folder, &Setup::new("alpha"));
    let run = |words: &[&str]| {
        let mut command = Command::new(trunkline());
        command.args(words).arg("--server").arg(format!("unix:{}", alpha.socket().display()));
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        assert!(child.wait().unwrap().success());
        format!(" user={} pid={}", geteuid().as_raw(), child.id())
    };
    for (words, name) in [
        (&["status"][..], "status"),
        (&["explain", "a", "b"], "explain a b"),
        (&["log", "--from", "3"], "log text 3"),
    ] {
        let by = run(words);
        assert_eq!(audits(&alpha, &by), format!("command name={name:?}{by}"));
    }
    assert!(alpha.command("stop", &[]).status.success());
    audits(&alpha, "command name=\"stop\" user=");
}

#[test]
fn each_refused_key_is_audited_although_strangers_flood() {
    const STRANGERS: usize = 300;
    let folder = Folder::new();
    let alpha = Server::start(&folder, &Setup::new("alpha").secured().plugin(&harms(), ""));
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    let chan = peer.open("harms");
    let begun = Instant::now();
    for number in 0..STRANGERS {
        is_refused(&alpha, (number % 200) as u8 + 10);
        if number % 100 == 50 {
            // It exceeds its budget, and the queue's share of plugins.
            assert_eq!(peer.ask(chan, "log 1000000"), "logged");
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    wait_until("all are audited", || audited(&alpha, "refused ").len() >= STRANGERS);
    let refused = audited(&alpha, "refused ");
    assert_eq!(refused.len(), STRANGERS);
    for seed in 10..210 {
        let head = format!("refused key={} address=\"net:127.0.0.1:", key_of(seed));
        let times = refused.iter().filter(|event| event.starts_with(&head)).count();
        assert_eq!(times, if seed < 110 { 2 } else { 1 }, "{head}");
    }
    let bytes: usize = refused.iter().map(String::len).sum();
    let rate = STRANGERS as f64 / seconds;
    println!("{rate:.0} refused handshakes a second, {} bytes of audit each", bytes / STRANGERS);
    assert!(refused.iter().all(|event| event.len() < 512), "each is short");
    alpha.log().wait_for(0, " lines of plugin::harms were dropped");
}

#[test]
fn a_log_that_is_not_read_loses_lines_but_none_of_the_audit() {
    const LINKS: usize = 300;
    let folder = Folder::new();
    let mut setup = Setup::new("alpha");
    for name in ["a", "b", "c"] {
        setup = setup.plugin(&harms(), &format!("name = {name:?}"));
    }
    let alpha = Server::start(&folder, &setup);
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    let chans = ["a", "b", "c"].map(|name| peer.open(name));
    alpha.log().stop_reading();
    for chan in chans {
        assert_eq!(peer.ask(chan, "log 400000"), "logged");
    }
    for _ in 0..LINKS {
        drop(Peer::link(Socket::unix(&alpha), 51));
    }
    alpha.wait_until("all links are over", |status| status.links.len() <= 1);
    alpha.log().read_on();
    alpha.log().wait_for(0, " were dropped, because stderr took no more");
    let key = Key([51; 32]);
    for event in [format!("link-up key={key}"), format!("link-down key={key}")] {
        wait_until(&event, || audited(&alpha, &event).len() >= LINKS);
        assert_eq!(audited(&alpha, &event).len(), LINKS);
    }
}

#[test]
fn the_level_of_a_configuration_does_not_silence_the_audit() {
    let folder = Folder::new();
    let setup = Setup::new("alpha").limit("[log]\nlevel = \"off\"");
    let mut alpha = Server::start_unheard(&folder, &setup);
    assert!(alpha.command("stop", &[]).status.success());
    assert_eq!(alpha.wait_for_end(), 0);
    let lines = alpha.log().since(0);
    assert!(lines.iter().all(|line| line.contains(" audit] ")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("name=\"stop\"")), "{lines:#?}");
}
