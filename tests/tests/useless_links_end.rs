//! Links that no pair of plugins uses end, and stay ended until something changes. Links that are
//! used or kept stay.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use std::time::{Duration, Instant};
use trunkline_tests::binaries::plugin;
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Peer, PeerEvent, Proxy, Server, Setup, Socket, Status};

/// The time after which an unused link ends in these tests.
const AFTER: Duration = Duration::from_millis(300);

const NOTHING: &str =
    "nothing-in-common: no plugin of either server has to do with one of the other";

fn setup(name: &str) -> Setup {
    Setup::new(name).nothing_in_common_ms(300)
}

fn obeys() -> std::path::PathBuf {
    fixtures::plugin(Api::Ours, "obeys")
}

/// How many links have ended because of nothing in common.
fn ended_for_nothing(server: &Server) -> usize {
    server.log().text().lines().filter(|line| line.contains(" ended: nothing-in-common")).count()
}

/// Whether the one configured peer is not linked because no plugins would use the link.
fn rests(status: &Status) -> bool {
    let waits = |reason: &Option<String>| {
        reason.as_ref().is_some_and(|reason| reason.contains("nothing-in-common"))
    };
    status.links.iter().any(|link| link.state == "waiting" && waits(&link.reason))
}

/// A server that dials another one through a proxy.
fn dials_through(folder: &Folder, dialler: Setup, acceptor: &Server) -> (Server, Proxy) {
    let proxy = Proxy::start(acceptor.tcp_address());
    let dialler = dialler.peer_with(acceptor.key(), proxy.address());
    (Server::start(folder, &dialler), proxy)
}

/// Two servers of which one uses the other's echo: they are cut, and link again, this many times.
/// Each time takes a pause before the redial.
fn relinks(times: usize) {
    let folder = Folder::new();
    let user = setup("user");
    let used = setup("used").secured().peer_key(user.key_in(&folder));
    let used = Server::start(&folder, &used.plugin(&plugin("echo"), ""));
    let user = user.plugin(&obeys(), "[plugin.config]\nfirst = [\"uses echo\"]");
    let (user, proxy) = dials_through(&folder, user, &used);
    for time in 1..=times {
        user.wait_until("it is linked", |status| status.link_to("used").is_some());
        assert_eq!(proxy.connections(), time, "each connection lives until it is cut");
        let mark = user.log().mark();
        proxy.cut();
        user.log().wait_for(mark, "cut, without goodbye");
        user.log().wait_for(mark, "link to used (");
    }
}

#[test]
fn an_unused_link_ends_and_is_not_redialled() {
    let folder = Folder::new();
    let (alpha, beta) = (setup("alpha"), setup("beta"));
    let echo = plugin("echo");
    // Each dials the other. Beta is the first to know the address, and alpha has not started yet.
    let alpha_port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
    let alpha_at = alpha_port.local_addr().expect("a listener has an address");
    let to_alpha = Proxy::start(alpha_at);
    let beta = beta.secured().peer_with(alpha.key_in(&folder), to_alpha.address());
    let beta = Server::start(&folder, &beta.plugin(&echo, ""));
    drop(alpha_port);
    let to_beta = Proxy::start(beta.tcp_address());
    let alpha = alpha
        .listen(&format!("net:{alpha_at}~shs"))
        .peer_with(beta.key(), to_beta.address())
        .plugin(&echo, "name = \"another\"")
        .plugin(&obeys(), "");
    let begun = Instant::now();
    let alpha = Server::start(&folder, &alpha);
    for server in [&alpha, &beta] {
        // If each has dialled the other, one of the two links has just ended for that: the log then
        // shows this end when the second of its limit is over.
        let line = server.log().wait_for(0, " ended: nothing-in-common");
        assert!(line.contains("link to ") && line.contains(NOTHING), "{line}");
    }
    let took = begun.elapsed();
    assert!(took >= AFTER, "too early: {took:?} after alpha was started");
    println!("the link ended {took:?} after alpha was started");
    alpha.wait_until("alpha says why it is not linked", rests);
    beta.wait_until("beta says why it is not linked", rests);

    let seen = (to_alpha.connections(), to_beta.connections());
    relinks(5);
    let now = (to_alpha.connections(), to_beta.connections());
    assert_eq!(seen, now, "others linked five times, and these two dialled again too");
    for server in [&alpha, &beta] {
        assert_eq!(ended_for_nothing(server), 1, "{}", server.log().text());
        let status = server.status();
        assert!(rests(&status), "{status:#?}");
    }

    // Until a plugin of alpha has a use for one of beta.
    let mut peer = Peer::link(Socket::unix(&alpha), 1);
    let chan = peer.open("obeys");
    assert_eq!(peer.ask(chan, "uses echo"), "done: echo");
    alpha.wait_until("alpha has dialled again", |status| status.link_to("beta").is_some());
    alpha.wait_until("alpha knows beta's echo", |status| status.knows_remote("echo"));
}

#[test]
fn links_that_are_kept_or_used_stay() {
    let folder = Folder::new();
    let (keeps, uses, useless) = (setup("keeps"), setup("uses"), setup("useless"));
    let hub = setup("hub")
        .secured()
        .peer_key(keeps.key_in(&folder))
        .peer_key(uses.key_in(&folder))
        .peer_key(useless.key_in(&folder));
    let hub = Server::start(&folder, &hub.plugin(&plugin("echo"), ""));
    let keeps = keeps.peer_with(hub.key(), hub.tcp_address()).keep();
    let keeps = Server::start(&folder, &keeps);
    let uses = uses
        .peer_with(hub.key(), hub.tcp_address())
        .plugin(&obeys(), "[plugin.config]\nfirst = [\"uses echo\"]");
    let uses = Server::start(&folder, &uses);
    hub.wait_until("the first two are linked", |status| {
        status.link_to("keeps").is_some() && status.link_to("uses").is_some()
    });
    // The last link has the latest end: when it has ended, the others would have, too.
    let (useless, dials) = dials_through(&folder, useless, &hub);
    useless.log().wait_for(0, NOTHING);
    useless.wait_until("it rests", rests);
    hub.log().wait_for(0, "link to useless (");
    for server in [&keeps, &uses] {
        assert_eq!(ended_for_nothing(server), 0, "{}", server.log().text());
        let status = server.status();
        assert!(status.link_to("hub").is_some(), "{status:#?}");
    }
    let status = hub.status();
    assert!(status.link_to("useless").is_none(), "{status:#?}");
    assert!(status.link_to("keeps").is_some() && status.link_to("uses").is_some(), "{status:#?}");
    assert_eq!(dials.connections(), 1, "what rests is not dialled again");
}

#[test]
fn a_link_with_a_channel_is_kept() {
    let folder = Folder::new();
    let alpha = setup("alpha").plugin(&plugin("echo"), "");
    let alpha = Server::start(&folder, &alpha);
    let mut busy = Peer::link(Socket::unix(&alpha), 1);
    let chan = busy.open("echo");
    let idle = Peer::link(Socket::unix(&alpha), 2);
    alpha.log().wait_for(0, " ended: nothing-in-common");
    assert_eq!(busy.write(chan, b"still here"), 10);
    assert_eq!(ended_for_nothing(&alpha), 1, "{}", alpha.log().text());
    let (mark, begun) = (alpha.log().mark(), Instant::now());
    busy.close(chan);
    busy.wait_for("the end of the channel", |event| *event == PeerEvent::Gone(chan.tag));
    let line = alpha.log().wait_for(mark, " ended: ");
    assert!(line.contains(NOTHING), "{line}");
    assert!(begun.elapsed() >= AFTER, "too early: {:?} after its channel", begun.elapsed());
    drop(idle);
}
