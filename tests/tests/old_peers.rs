//! Today's program linked with that of each earlier release of the protocol, both ways: as server,
//! as host, and as command line. `make old-peer` builds the earlier ones.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::Value;
use trunkline_tests::binaries::{plugin, trunkline};
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Chan, HostSetup, PATIENCE, Peer, Server, Setup, Socket};
use trunkline_tests::old_peer::{self, OldPeer};
use trunkline_tests::skip;
use trunkline_tests::tidy::root;

/// Bytes of a request that travels in pieces, and fits into the window of the channel for commands.
const LONG: usize = 40_000;

/// A plugin that obeys, of an API that every release has.
fn golden() -> PathBuf {
    root().join("tests/golden/api-1.2/libgolden.so")
}

/// A sample plugin of a program's own release.
fn sample(program: &Path, name: &str) -> PathBuf {
    program.with_file_name(format!("lib{name}.so"))
}

/// Of two programs, the one and the other, and the other way round.
fn both_ways(old: &OldPeer) -> [(PathBuf, PathBuf, String); 2] {
    let OldPeer { release, program } = old;
    [
        (program.clone(), trunkline(), format!("{release} and today's")),
        (trunkline(), program.clone(), format!("today's and {release}")),
    ]
}

/// The plugins of a server or a host, with its name in theirs: an echo, one that calls, one that
/// obeys, one that invites, and one that sends to the other's echo. The samples are of the
/// release of the program that loads them.
fn plugins(program: &Path, name: &str, other: &str) -> Vec<(PathBuf, String)> {
    let named = |plugin: &str| format!("name = \"{plugin}-{name}\"");
    vec![
        (sample(program, "echo"), named("echo")),
        (fixtures::plugin(Api::Ours, "calls"), named("calls")),
        (
            golden(),
            format!(
                "{}\nallow = [\"links\"]\n[plugin.config]\ngreeting = \"I am {name}\"",
                named("golden")
            ),
        ),
        (
            fixtures::plugin(Api::Ours, "meets"),
            format!("{}\n[plugin.config]\ninvites = [\"meets-{other}\"]", named("meets")),
        ),
        (
            sample(program, "ping"),
            format!(
                "{}\n[plugin.config]\nto = \"echo-{other}\"\ncount = 20\nbulk-mib = 2",
                named("ping")
            ),
        ),
    ]
}

fn server(program: &Path, name: &str, other: &str) -> Setup {
    let setup = Setup::new(name).by(program);
    let all = plugins(program, name, other);
    all.into_iter().fold(setup, |setup, (file, lines)| setup.plugin(&file, &lines))
}

/// Someone who tells the obeying plugin of a server, or of its host, what to do.
struct Commander {
    peer: Peer,
    chan: Chan,
    what: String,
}

impl Commander {
    /// Waits until the plugin is there: that of a host comes later than its server.
    fn of(server: &Server, plugin: &str, key: u8, what: &str) -> Commander {
        let mut peer = Peer::link_as(Socket::unix(server), key, &format!("commander-{key}"));
        let chan = peer.open(plugin);
        let greeting = peer.ask(chan, "greet");
        assert!(greeting.starts_with("I am "), "{what}: {greeting}");
        Commander { peer, chan, what: what.to_owned() }
    }

    #[track_caller]
    fn answers(&mut self, line: &str, expected: &str) {
        let answer = self.peer.ask(self.chan, line);
        assert_eq!(answer, expected, "{}: {line:?}", self.what);
    }

    /// Channels, calls and their outcomes, to the plugins of another server or host.
    fn reaches(&mut self, other: &str) {
        self.knows(&format!("golden-{other}-12-"));
        self.answers(&format!("open echo-{other} 1 words"), "words, ended in order");
        self.answers(&format!("call calls-{other} 10000 say words"), "answered words");
        self.answers(&format!("call calls-{other} 10000 later 1"), "answered late");
        self.answers(&format!("call calls-{other} 10000 refuse it"), "refused not-this");
        self.answers(&format!("call echo-{other} 10000 x"), "refused no-calls");
        self.answers(&format!("call calls-{other} 20 never"), "deadline");
        let long = "x".repeat(LONG);
        let expected = format!("answered {LONG} bytes");
        self.answers(&format!("call calls-{other} 10000 {long}"), &expected);
        let refused = self.peer.ask(self.chan, &format!("open echo-{other} 9 words"));
        assert!(refused.contains("version-too-low"), "{}: {refused}", self.what);
    }

    /// Waits until the plugin's directory has an entry that begins so.
    fn knows(&mut self, entry: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let directory = self.peer.ask(self.chan, "directory");
            if directory.split(' ').any(|known| known.starts_with(entry)) {
                return;
            }
            assert!(Instant::now() < deadline, "{}: no {entry} in {directory}", self.what);
        }
    }
}

/// What plugins of both sides log by themselves: bytes that were checked, and an offer.
fn has_met(server: &Server, name: &str, other: &str) {
    server.log().wait_for(0, &format!("ping echo-{other}@"));
    server.log().wait_for(0, &format!("plugin::meets-{name}] heard hello from meets-{other}"));
}

#[test]
fn servers_of_two_releases_link() {
    for old in old_peer::or_skip("servers of two releases") {
        for (first, second, what) in both_ways(&old) {
            for secured in [false, true] {
                let folder = Folder::new();
                let alpha = server(&first, "alpha", "beta");
                let beta = server(&second, "beta", "alpha");
                let (alpha, beta) = link(&folder, alpha, beta, secured);
                Commander::of(&alpha, "golden-alpha", 9, &what).reaches("beta");
                Commander::of(&beta, "golden-beta", 9, &what).reaches("alpha");
                has_met(&alpha, "alpha", "beta");
                has_met(&beta, "beta", "alpha");
                says_goodbye(alpha, &beta);
                println!("{what}, keys: {secured}: channels, calls, offers, goodbye");
            }
        }
    }
}

/// Starts two servers, of which the second dials the first.
fn link(folder: &Folder, alpha: Setup, beta: Setup, secured: bool) -> (Server, Server) {
    if !secured {
        let alpha = Server::start(folder, &alpha);
        return (alpha, Server::start(folder, &beta.peer("alpha")));
    }
    let alpha = alpha.secured().peer_key(beta.key_in(folder));
    let alpha = Server::start(folder, &alpha);
    let beta = beta.peer_with(alpha.key(), alpha.tcp_address());
    (alpha, Server::start(folder, &beta))
}

fn says_goodbye(mut alpha: Server, beta: &Server) {
    assert!(alpha.command("stop", &[]).status.success());
    assert_eq!(alpha.wait_for_end(), 0);
    beta.log().wait_for(0, "plugin::golden-beta] down: alpha server-stopping");
}

#[test]
fn hosts_run_at_servers_of_another_release() {
    for old in old_peer::or_skip("hosts of another release") {
        for (home, away, what) in both_ways(&old) {
            for secured in [false, true] {
                hosts_work(&home, &away, secured, &format!("{what}, keys: {secured}"));
            }
        }
    }
}

/// A host of another release than its server, and one of the same, so that the two hosts are of two
/// releases as well.
fn hosts_work(home: &Path, away: &Path, secured: bool, what: &str) {
    let folder = Folder::new();
    let alpha = server(home, "alpha", "near");
    let alpha = match secured {
        false => alpha,
        true => ["near", "far"]
            .iter()
            .fold(alpha.secured(), |alpha, name| alpha.host_key(HostSetup::key_in(name, &folder))),
    };
    let alpha = Server::start(&folder, &alpha);
    let of_alpha = |name: &str| match secured {
        false => HostSetup::beside(name, &alpha),
        true => HostSetup::dialling(name, &alpha, Ipv4Addr::LOCALHOST),
    };
    let near = host(of_alpha("near"), away, ["near", "far"], "");
    let near = Server::start_host(None, &folder, &near);
    let far = host(of_alpha("far"), home, ["far", "near"], "\nadvertise = [\"unix\"]");
    let far = Server::start_host(None, &folder, &far);

    let mut at_alpha = Commander::of(&alpha, "golden-alpha", 9, what);
    at_alpha.knows("golden-near-12-here");
    at_alpha.reaches("near");
    let mut at_near = Commander::of(&alpha, "golden-near", 8, what);
    at_near.reaches("alpha");
    at_near.reaches("far");
    at_alpha.knows("golden-far-12-here");
    Commander::of(&alpha, "golden-far", 7, what).reaches("near");
    for (server, to, route) in
        [(&alpha, "near", "link"), (&near, "far", "unix"), (&far, "near", "relay")]
    {
        let ping = format!("ping-{}", server.name());
        assert_eq!(connected(&alpha, &ping, &format!("echo-{to}")), route, "{what}");
        server.log().wait_for(0, &format!("ping echo-{to}@"));
    }
    manages_links(&folder, &alpha, &near, &mut at_near);
    ends_in_order(&alpha, near);
    println!("{what}: hosts: channels, calls, routes, relay, links, goodbye");
}

/// A host with the same plugins as a server; `lines` are more of its echo's table.
fn host(setup: HostSetup, program: &Path, [name, other]: [&str; 2], lines: &str) -> HostSetup {
    let echo = format!("name = \"echo-{name}\"{lines}");
    let setup = setup.by(program).plugin(&sample(program, "echo"), &echo);
    let others = plugins(program, name, other).into_iter().skip(1);
    others.fold(setup, |setup, (file, lines)| setup.plugin(&file, &lines))
}

/// The route between two plugins, once they are connected.
fn connected(server: &Server, from: &str, to: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let output = server.command("explain", &[from, to, "--json"]);
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if let Some(route) = told["connected"][0].as_str() {
            return route.to_owned();
        }
        assert!(Instant::now() < deadline, "{from} is not connected to {to}: {output:?}");
    }
}

/// A plugin of a host has its server open a link and close it.
fn manages_links(folder: &Folder, alpha: &Server, near: &Server, commander: &mut Commander) {
    let gamma = Setup::new("gamma").secured().peer_key(alpha.key());
    let gamma = Server::start(folder, &gamma.plugin(&plugin("echo"), ""));
    let (at, key) = (gamma.tcp_address(), gamma.key());
    commander.answers(&format!("open-link net:{at}~shs:{key}"), &format!("done {key}"));
    near.log().wait_for(0, &format!("plugin::golden-near] up: gamma {key}"));
    commander.answers("open echo@gamma 1 words", "words, ended in order");
    commander.answers("close-link gamma", &format!("done {key}"));
    near.log().wait_for(0, "plugin::golden-near] down: gamma link-closed");
}

/// A host that is told to stop tells its server.
fn ends_in_order(alpha: &Server, mut near: Server) {
    near.signal(Signal::TERM);
    assert_eq!(near.wait_for_end(), 0);
    alpha.log().wait_for(0, "plugin::golden-alpha] left: golden-near-12-here");
}

#[test]
fn the_command_line_of_another_release_is_understood() {
    for old in old_peer::or_skip("the command line of another release") {
        for (program, asked, what) in both_ways(&old) {
            let folder = Folder::new();
            let mut alpha = Server::start(&folder, &server(&asked, "alpha", "beta"));
            let config = folder.path().join("alpha.toml");
            let run = |command: &str, more: &[&str]| {
                let mut asks = Command::new(&program);
                asks.arg(command).arg("--config").arg(&config).args(more);
                let output = asks.output().expect("it can be started");
                assert!(output.status.success(), "{what}: {command} {more:?}: {output:?}");
                String::from_utf8(output.stdout).expect("it is text")
            };
            let status: Value = serde_json::from_str(&run("status", &["--json"])).expect("JSON");
            assert_eq!(status["server"]["name"], "alpha", "{what}: {status}");
            let plugins = status["plugins"].as_array().expect("a list");
            let echo = plugins.iter().find(|plugin| plugin["name"] == "echo-alpha");
            let echo = echo.expect("it is listed");
            assert_eq!(echo["state"], "running", "{what}: {echo}");
            assert_eq!(echo["version"], 1, "{what}: {echo}");
            assert!(run("status", &[]).contains("echo-alpha"), "{what}");
            let pair = ["golden-alpha", "echo-alpha"];
            assert!(run("explain", &pair).contains("echo-alpha"), "{what}");
            let told = run("explain", &[&pair[..], &["--json"]].concat());
            let told: Value = serde_json::from_str(&told).expect("JSON");
            assert!(told["connected"].is_array(), "{what}: {told}");
            run("stop", &[]);
            assert_eq!(alpha.wait_for_end(), 0, "{what}");
            println!("{what}: status, explain, stop");
        }
    }
}

#[test]
fn samples_of_each_release_compile_against_todays_api() {
    for release in old_peer::releases() {
        match old_peer::is_in_history(&release) {
            true => {
                fixtures::compile_samples(&release, old_peer::files_of(&release, "sample-plugins"));
            }
            false => skip::aloud(
                &format!("compiling the samples of {release}"),
                "git has no such commit here, as in a shallow clone",
            ),
        }
    }
}
