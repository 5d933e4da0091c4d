//! What a peer or a host can cause a log line for costs at most one line a second of each kind, and
//! the log says how many were suppressed.

use std::time::Instant;
use trunkline_core::bymux::MuxRole;
use trunkline_core::control::{Announced, Hello, Message, Plugins, Role};
use trunkline_core::key::Key;
use trunkline_tests::binaries::plugin;
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Peer, PeerEvent, Server, Setup, Socket, hello, wait_until};

/// A host that is made by hand.
fn raw_host(server: &Server) -> Peer {
    let hello = Hello { role: Role::Host, ..hello(Key([50; 32])) };
    let mut peer = Peer::send_hello(Socket::unix(server), MuxRole::Dialler, hello);
    peer.wait_for("that all is told", |event| {
        matches!(event, PeerEvent::Message(Message::Linked(_)))
    });
    peer
}

/// The number before some words of a line; 0 when they are not there.
fn number_before(line: &str, words: &str) -> usize {
    let Some((head, _)) = line.split_once(words) else { return 0 };
    let number = head.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    number.parse().unwrap_or_else(|why| panic!("no number before {words:?} in {line:?}: {why}"))
}

#[test]
fn refused_names_of_a_host_are_counted_and_logged_once_a_second() {
    const REFUSED: usize = 3_000;
    let folder = Folder::new();
    let alpha = Server::start(&folder, &Setup::new("alpha").plugin(&plugin("echo"), ""));
    let mut host = raw_host(&alpha);
    let begun = Instant::now();
    // The server has a plugin of this name.
    let echo = Announced::new("echo".parse().unwrap_or_else(|why| panic!("a name: {why}")), 1);
    for _ in 0..REFUSED {
        host.send_message(&Message::Plugins(Plugins { plugins: vec![echo.clone()] }));
    }
    for _ in 0..REFUSED {
        let rejected =
            |event: &PeerEvent| matches!(event, PeerEvent::Message(Message::Rejected(_)));
        host.wait_for("a refusal", rejected);
    }
    let seconds = begun.elapsed().as_secs() as usize;
    drop(host);
    let about = "a host's plugin echo is not taken: name-taken";
    let count = || {
        let lines = alpha.log().since(0);
        let logged: Vec<String> = lines.into_iter().filter(|line| line.contains(about)).collect();
        let told: usize = logged.iter().map(|line| number_before(line, " more like this")).sum();
        (logged.len(), logged.len() + told)
    };
    // The latest line comes when its second is over, although no refusal follows.
    wait_until("each refusal is counted", || count().1 >= REFUSED);
    let (lines, all) = count();
    assert_eq!(all, REFUSED, "each refusal is counted once");
    // One at once, one for each second that has begun since, and one behind them.
    assert!((2..=seconds + 3).contains(&lines), "{lines} lines in {seconds} s");
}

#[test]
fn a_peer_that_links_over_and_over_is_logged_once_a_second() {
    const TIMES: usize = 200;
    let folder = Folder::new();
    let alpha = Server::start(&folder, &Setup::new("alpha").plugin(&plugin("echo"), ""));
    let begun = Instant::now();
    for _ in 0..TIMES {
        drop(Peer::link(Socket::unix(&alpha), 51));
    }
    let seconds = begun.elapsed().as_secs() as usize;
    let lines = |about: &str| {
        let lines = alpha.log().since(0);
        let is = |line: &String| line.contains("link to ") && line.contains(about);
        lines.into_iter().filter(is).collect::<Vec<_>>()
    };
    let count = || {
        let logged = lines(" ended: ");
        let told: usize = logged.iter().map(|line| number_before(line, " more like this")).sum();
        logged.len() + told
    };
    wait_until("each end is counted", || count() >= TIMES);
    assert_eq!(count(), TIMES, "each end is counted once");
    // A link may come before the end of the one before it is seen, and takes its place.
    for about in [" ended: ", " is up"] {
        let lines = lines(about).len();
        assert!((1..=seconds + 3).contains(&lines), "{about}: {lines} lines in {seconds} s");
    }
}
