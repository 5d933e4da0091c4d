//! Hosts that are started beside a server: they relink, end in order, share its names, and have no
//! rights of others.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use rustix::process::Signal;
use std::time::{Duration, Instant};
use trunkline_core::bymux::MuxRole;
use trunkline_core::control::{
    Announced, Answer, Closing, Hello, Linked, Message, OpenLink, Plugins, Rejected, Role,
    Withdrawn,
};
use trunkline_core::key::Key;
use trunkline_core::reason::{Code, Reason};
use trunkline_tests::binaries::plugin;
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Peer, PeerEvent, Server, Setup, Socket, Status, hello, wait_until};

/// The time of an orderly end, and as much again for a busy machine.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

fn harms() -> std::path::PathBuf {
    fixtures::plugin(Api::Ours, "harms")
}

fn runs(name: &str) -> impl Fn(&Status) -> bool + '_ {
    move |status| status.is(name, "running")
}

/// A host of alpha, in alpha's folder.
fn host(name: &str) -> Setup {
    Setup::host(name, "unix:alpha.sock")
}

#[test]
fn a_host_relinks_and_its_plugins_keep_running() {
    let folder = Folder::new();
    let mut alpha = Server::start(&folder, &Setup::new("alpha").plugin(&plugin("echo"), ""));
    let gamma = Server::start(&folder, &host("gamma").plugin(&harms(), ""));
    for (line, how) in ["start", "kill", "stop", "kill"].into_iter().enumerate() {
        let mark = gamma.log().mark();
        match how {
            "kill" => alpha.kill(),
            "stop" => {
                assert_eq!(alpha.command("stop", &[]).status.code(), Some(0));
                assert_eq!(alpha.wait_for_end(), 0);
            }
            _ => {}
        }
        if how != "start" {
            gamma.log().wait_for(mark, "link to alpha (");
            let alone = gamma.status();
            assert!(alone.link_to("alpha").is_none(), "{how}: {alone:#?}");
            assert!(!alone.plugins.iter().any(|p| p.name == "echo"), "{how}: {alone:#?}");
            alpha = alpha.start_again();
        }
        alpha.wait_until("it is registered", runs("harms"));
        let mut peer = Peer::link(Socket::unix(&alpha), 9);
        let chan = peer.open("harms");
        // It has counted since its start.
        assert_eq!(peer.ask(chan, "count"), (line + 1).to_string(), "{how}");
        let knows = |s: &Status| s.plugins.iter().any(|plugin| plugin.name == "echo");
        gamma.wait_until("the host knows the server's echo", knows);
    }
    let log = gamma.log().text();
    assert_eq!(log.matches("plugin harms 1 runs").count(), 1, "{log}");
}

#[test]
fn signals_end_a_host_in_order() {
    for signal in [Signal::INT, Signal::TERM] {
        let folder = Folder::new();
        let alpha = Server::start(&folder, &Setup::new("alpha"));
        let obeys = fixtures::plugin(Api::Ours, "obeys");
        let beta = Setup::new("beta").peer("alpha").plugin(&obeys, "");
        let beta = Server::start(&folder, &beta);
        let gamma = host("gamma").plugin(&harms(), "").plugin(&plugin("echo"), "");
        let mut gamma = Server::start(&folder, &gamma);
        alpha.wait_until("both run", |s| s.is("harms", "running") && s.is("echo", "running"));
        beta.log().wait_for(0, "appeared: harms-1-elsewhere");
        assert!(gamma.socket().exists(), "a host has a socket for the command line");
        let begun = Instant::now();
        gamma.signal(signal);
        beta.log().wait_for(0, "left: harms-1-elsewhere");
        beta.log().wait_for(0, "left: echo-1-elsewhere");
        let left = begun.elapsed();
        assert_eq!(gamma.wait_for_end(), 0, "{}", gamma.log().text());
        println!(
            "{signal:?}: its plugins left after {left:?}, it ended after {:?}",
            begun.elapsed()
        );
        assert!(begun.elapsed() < ENDS_WITHIN, "it took {:?}", begun.elapsed());
        gamma.log().wait_for(0, "plugin::harms] has stopped");
        gamma.log().wait_for(0, "the host has ended");
        assert!(!gamma.socket().exists(), "the socket's file is still there");
        let status = alpha.status();
        assert!(!status.is("harms", "running") && !status.is("echo", "running"), "{status:#?}");
        assert!(status.link_to("gamma").is_none(), "{status:#?}");
    }
}

#[test]
fn a_second_signal_ends_a_host_at_once() {
    let folder = Folder::new();
    let alpha = Server::start(&folder, &Setup::new("alpha"));
    let gamma = host("gamma").plugin(&harms(), "[plugin.config]\nstop = 60000");
    let mut gamma = Server::start(&folder, &gamma);
    alpha.wait_until("it runs", runs("harms"));
    gamma.signal(Signal::INT);
    gamma.log().wait_for(0, "is told to stop");
    let told = Instant::now();
    // Two signals within 200 ms would be one.
    wait_until("a signal is a second one", || told.elapsed() > Duration::from_millis(300));
    gamma.signal(Signal::TERM);
    assert_eq!(gamma.wait_for_end(), 1, "{}", gamma.log().text());
    let line = "a second signal: ending at once; plugin harms has not returned";
    assert!(gamma.log().text().contains(line), "{}", gamma.log().text());
    assert!(told.elapsed() < ENDS_WITHIN, "it took {:?}", told.elapsed());
    assert!(!gamma.socket().exists(), "the socket's file is removed all the same");
}

#[test]
fn a_stopping_server_lets_its_hosts_stop_in_order() {
    let folder = Folder::new();
    // Longer than a connection lingers.
    let config = "[plugin.config]\nstop = 1500";
    let places = ["inline", "thread", "process", "process"];
    let mut setup = Setup::new("alpha");
    for (number, place) in places.into_iter().enumerate() {
        let table = format!("name = \"p{number}\"\nplacement = \"{place}\"\n{config}");
        setup = setup.plugin(&harms(), &table);
    }
    let mut alpha = Server::start(&folder, &setup);
    for name in ["p0", "p1", "p2", "p3"] {
        alpha.wait_until(name, runs(name));
    }
    let children = alpha.process().children();
    assert_eq!(children.len(), 2);
    let begun = Instant::now();
    let stopped = alpha.command("stop", &[]);
    assert_eq!(stopped.status.code(), Some(0), "{stopped:?}\n{}", alpha.log().text());
    assert_eq!(alpha.wait_for_end(), 0, "{}", alpha.log().text());
    println!("all four were told, and had ended after {:?}", begun.elapsed());
    assert!(begun.elapsed() < ENDS_WITHIN, "it took {:?}", begun.elapsed());
    for name in ["p0", "p1", "p2", "p3"] {
        alpha.log().wait_for(0, &format!("plugin::{name}] has stopped"));
    }
    for child in children {
        assert!(child.state() != Some('S'), "{child:?} is left");
    }
    let log = alpha.log().text();
    assert!(!log.contains("started again"), "{log}");
}

#[test]
fn a_blocked_plugin_delays_its_servers_stop_by_five_seconds_at_most() {
    let folder = Folder::new();
    let setup = Setup::new("alpha").plugin(&harms(), "placement = \"process\"");
    let mut alpha = Server::start(&folder, &setup);
    alpha.wait_until("it runs", runs("harms"));
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    let chan = peer.open("harms");
    assert_eq!(peer.ask(chan, "count"), "1");
    let child = alpha.process().children()[0];
    peer.write(chan, b"block 3600000\n");
    drop(peer);
    let begun = Instant::now();
    alpha.signal(Signal::TERM);
    assert_eq!(alpha.wait_for_end(), 0, "{}", alpha.log().text());
    println!("with a plugin that never returns, it ended after {:?}", begun.elapsed());
    assert!(begun.elapsed() < ENDS_WITHIN, "it took {:?}", begun.elapsed());
    let _ = child.wait_for_end();
}

#[test]
fn a_taken_name_is_rejected_and_other_plugins_run() {
    let folder = Folder::new();
    let alpha = Server::start(&folder, &Setup::new("alpha").plugin(&plugin("echo"), ""));
    let gamma = host("gamma").plugin(&plugin("echo"), "").plugin(&harms(), "");
    let gamma = Server::start(&folder, &gamma);
    alpha.wait_until("the other one runs", runs("harms"));
    let holder = "name-taken: the name echo is taken by a plugin of this server";
    let line = alpha.log().wait_for(0, "a host's plugin echo is not taken");
    assert!(line.contains(holder), "{line}");
    let line = gamma.log().wait_for(0, "plugin echo failed: ");
    assert!(line.contains(holder), "{line}");
    let status = gamma.status();
    let states = |name: &str| {
        let all = status.plugins.iter().filter(|plugin| plugin.name == name);
        all.map(|plugin| plugin.state.clone()).collect::<Vec<_>>()
    };
    assert_eq!(states("harms"), ["running"], "{status:#?}");
    assert_eq!(states("echo"), ["failed"], "{status:#?}");
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    let chan = peer.open("harms");
    assert_eq!(peer.ask(chan, "count"), "1");
    peer.echo("echo", b"the first one goes on");
    let echo = alpha.status().plugin("echo").map(|echo| echo.placement.clone());
    assert_eq!(echo.as_deref(), Some("inline"));
}

#[test]
fn one_of_two_hosts_that_race_for_a_name_gets_it() {
    for round in 0..5 {
        let folder = Folder::new();
        // They wait for their server, and both link when it starts.
        let begin = |name: &str| Server::start(&folder, &host(name).plugin(&plugin("echo"), ""));
        let (gamma, delta) = (begin("gamma"), begin("delta"));
        let alpha = Server::start(&folder, &Setup::new("alpha"));
        let line = alpha.log().wait_for(0, "a host's plugin echo is not taken: name-taken: ");
        let (mut holder, loser) = match line.contains("taken by a plugin of the host gamma (") {
            true => (gamma, delta),
            false => (delta, gamma),
        };
        assert!(line.contains("taken by a plugin of the host "), "{line}");
        loser.log().wait_for(0, "plugin echo failed: ");
        assert!(!holder.log().text().contains("failed"), "{}", holder.log().text());
        let status = alpha.status();
        let echoes = status.plugins.iter().filter(|p| p.name == "echo").count();
        assert_eq!(echoes, 1, "round {round}: {status:#?}");
        Peer::link(Socket::unix(&alpha), 9).echo("echo", b"the one that holds it");
        holder.kill();
        let gone = |status: &Status| !status.is("echo", "running");
        alpha.wait_until("it is gone", gone);
        let _third = begin("third");
        alpha.wait_until("the name was free", runs("echo"));
        Peer::link(Socket::unix(&alpha), 9).echo("echo", b"the next one");
    }
}

/// A host that the test simulates.
fn raw_host(server: &Server, key: u8) -> Peer {
    let hello = Hello { role: Role::Host, ..hello(Key([key; 32])) };
    let mut peer = Peer::send_hello(Socket::unix(server), MuxRole::Dialler, hello);
    peer.wait_for("that all is told", |event| {
        matches!(event, PeerEvent::Message(Message::Linked(_)))
    });
    peer
}

fn registers(peer: &mut Peer, names: impl Iterator<Item = String>) {
    let plugins: Vec<Announced> =
        names.map(|name| Announced::new(name.parse().expect("a name"), 1)).collect();
    for some in plugins.chunks(500) {
        peer.send_message(&Message::Plugins(Plugins { plugins: some.to_vec() }));
    }
}

#[test]
fn a_host_cannot_register_more_plugins_than_the_limit() {
    const ALL: usize = 10_000;
    const LIMIT: usize = 4096;
    let folder = Folder::new();
    let alpha = Server::start(&folder, &Setup::new("alpha").plugin(&plugin("echo"), ""));
    let before = alpha.memory();
    for round in 0..4 {
        let mut peer = raw_host(&alpha, 50);
        registers(&mut peer, (0..ALL).map(|number| format!("p{round}-{number}")));
        for number in LIMIT..ALL {
            let rejected =
                |event: &PeerEvent| matches!(event, PeerEvent::Message(Message::Rejected(_)));
            let event = peer.wait_for("that one is refused", rejected);
            let PeerEvent::Message(Message::Rejected(Rejected { name, reason })) = event else {
                continue;
            };
            assert_eq!(name.as_str(), format!("p{round}-{number}"), "those beyond are refused");
            assert!(reason.is(Code::LimitReached), "{reason}");
        }
        let status = alpha.status();
        let there = status.plugins.iter().filter(|plugin| plugin.state == "running").count();
        assert_eq!(there, LIMIT + 1, "so many, and the echo");
        let reached = status.limits.get("plugins-per-peer").map(|limit| limit.reached);
        assert_eq!(reached, Some(((round + 1) * (ALL - LIMIT)) as u64));
        Peer::link(Socket::unix(&alpha), 9).echo("echo", b"the server lives");
        drop(peer);
        let status =
            alpha.wait_until("they are gone", |s| !s.is(&format!("p{round}-0"), "running"));
        assert_eq!(status.plugins.len(), 1, "nothing is kept of a host that is gone");
    }
    let grown = alpha.memory().saturating_sub(before) >> 20;
    println!("4 times {ALL} registrations: {grown} MiB more");
    assert!(grown < 64, "the server grew by {grown} MiB");
}

#[test]
fn a_host_may_act_for_its_own_plugins_only() {
    let folder = Folder::new();
    let setup = Setup::new("alpha").plugin(&plugin("echo"), "").plugin(&harms(), "");
    let alpha = Server::start(&folder, &setup);
    let mut peer = raw_host(&alpha, 50);
    registers(&mut peer, ["mine".to_string()].into_iter());
    alpha.wait_until("it is registered", runs("mine"));
    // The channel says that it comes from `test`.
    let chan = peer.open("echo");
    let answered =
        |event: &PeerEvent| matches!(event, PeerEvent::Answer(tag, _) if *tag == chan.tag);
    let answer = peer.wait_for("the answer", answered);
    let PeerEvent::Answer(_, Answer::Refuse(reason)) = answer else { panic!("{answer:?}") };
    assert!(reason.is(Code::NotAllowed), "{reason}");
    assert!(reason.text.contains("has registered no plugin test"), "{reason}");
    registers(&mut peer, ["test".to_string()].into_iter());
    peer.echo("echo", b"now it may");
    // It can withdraw its own plugin.
    let names = ["echo", "harms", "mine"].map(|name| name.parse().expect("a name")).to_vec();
    peer.send_message(&Message::Withdrawn(Withdrawn { names, server: None }));
    alpha.wait_until("its own is withdrawn", |status| !status.is("mine", "running"));
    let status = alpha.status();
    assert!(status.is("echo", "running") && status.is("harms", "running"), "{status:#?}");
    // A link for another's plugin.
    let wanted = |plugin: &str| OpenLink {
        plugin: plugin.parse().expect("a name"),
        address: format!("net:127.0.0.1:1~shs:{}", alpha.key()),
    };
    peer.send_message(&Message::OpenLink(wanted("harms")));
    peer.send_message(&Message::OpenLink(wanted("test")));
    let line = alpha.log().wait_for(0, "wanted a link to ");
    assert!(line.contains("the plugin test wanted") && line.contains("not-allowed"), "{line}");
    peer.echo("echo", b"and the link lives");
}

#[test]
fn host_messages_from_a_server_are_violations() {
    let folder = Folder::new();
    let alpha = Server::start(&folder, &Setup::new("alpha").plugin(&plugin("echo"), ""));
    let name = || "echo".parse().expect("a name");
    let reason = || Reason::server(Code::NameTaken, "x");
    let server = trunkline_core::control::Server { key: Key([7; 32]), name: "x".into() };
    let messages = [
        Message::Linked(Linked { servers: [server].to_vec(), addresses: None }),
        Message::Rejected(Rejected { name: name(), reason: reason() }),
        Message::OpenLink(OpenLink { plugin: name(), address: "net:a:1".into() }),
    ];
    for message in messages {
        let mut peer = Peer::link(Socket::unix(&alpha), 9);
        peer.send_message(&message);
        let goodbye = |event: &PeerEvent| matches!(event, PeerEvent::Message(Message::Goodbye(_)));
        let said = format!("{:?}", peer.wait_for("goodbye", goodbye));
        assert!(said.contains("protocol-violation"), "{message:?}: {said}");
        peer.wait_for("the end of the link", |event| *event == PeerEvent::End);
    }
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    // The end of a stream that never existed is ignored.
    peer.send_message(&Message::Closing(Closing { stream: 77, reason: reason() }));
    peer.echo("echo", b"the server lives");
}
