//! The networks of other tests behave as they should. Without root all is skipped.
#![allow(clippy::expect_used)] // Helpers of tests may panic as well.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use trunkline_tests::harness::PATIENCE;
use trunkline_tests::netns::{Lan, Machine, Nat, Net};

/// The time for an event that must not happen, in milliseconds.
const MISS: u64 = 1_000;
/// The time for an event that must happen, in milliseconds, on busy machines.
const HIT: u64 = 30_000;

/// A program on a machine, which obeys the test's commands.
struct Peer {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    fn start(machine: &Machine) -> Peer {
        let mut command = machine.command(env!("CARGO_BIN_EXE_netns_peer"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a program can be started on a machine");
        let answers = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        Peer { child, answers }
    }

    fn tell(&mut self, command: &str) {
        let stdin = self.child.stdin.as_mut().expect("stdin is a pipe");
        writeln!(stdin, "{command}").expect("the program reads");
    }

    /// Its answer to a command; each command has a time limit.
    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the program answers");
        line.trim().to_owned()
    }

    fn ask(&mut self, command: &str) -> String {
        self.tell(command);
        self.answer()
    }

    /// Dials; returns the address by which it is seen at the other end.
    fn seen_by(&mut self, address: &str, from: u16) -> String {
        let answer = self.ask(&format!("dial {address} {from} {HIT}"));
        answer.strip_prefix("heard ").unwrap_or_else(|| panic!("{address}: {answer}")).to_owned()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended with its machine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn net() -> Option<Net> {
    Net::or_skip("networks of a test's own")
}

fn listening(machine: &Machine) -> (Peer, String) {
    let mut peer = Peer::start(machine);
    let answer = peer.ask("listen 0");
    let port = answer.strip_prefix("listening ").unwrap_or_else(|| panic!("{answer}"));
    let address = format!("{}:{port}", machine.address());
    (peer, address)
}

/// The namespaces of the net of this name.
fn namespaces(net: &str) -> Vec<String> {
    let prefix = format!("{net}-");
    let output = Command::new("ip").args(["netns", "list"]).output().expect("ip is installed");
    let list = String::from_utf8_lossy(&output.stdout).into_owned();
    list.lines().filter(|line| line.starts_with(&prefix)).map(str::to_owned).collect()
}

#[test]
fn machines_on_a_lan_communicate_until_the_cable_is_pulled() {
    let Some(mut net) = net() else { return };
    let lan = net.lan();
    let (a, b) = (net.machine("a", lan), net.machine("b", lan));
    let (_server, address) = listening(&a);
    let mut client = Peer::start(&b);
    assert_eq!(client.seen_by(&address, 4_000), format!("{}:4000", b.address()));
    assert_eq!(client.ask(&format!("say one {HIT}")), "heard one");
    a.link_down();
    assert_eq!(client.ask(&format!("say two {MISS}")), "silence", "the cable is pulled");
    let answer = Peer::start(&b).ask(&format!("dial {address} 0 {MISS}"));
    assert!(answer.starts_with("failed"), "something came without a cable: {answer}");
    a.link_up();
    assert_eq!(client.ask(&format!("hear {HIT}")), "heard two", "it is sent again");
}

#[test]
fn two_lans_are_isolated() {
    let Some(mut net) = net() else { return };
    let (one, other) = (net.lan(), net.lan());
    let (a, b) = (net.machine("a", one), net.machine("b", other));
    let (_server, address) = listening(&a);
    let answer = Peer::start(&b).ask(&format!("dial {address} 0 {MISS}"));
    assert!(answer.starts_with("failed"), "{answer}");
}

/// Two machines behind routers, both of which have talked to one outside, and the addresses by
/// which they were seen there.
struct Homes {
    net: Net,
    wan: Lan,
    anne: Peer,
    bert: Peer,
    anne_seen: String,
    bert_seen: String,
    _outside: Peer,
}

/// The port that both use.
const PORT: u16 = 4_001;

fn homes(nat: Nat) -> Option<Homes> {
    let mut net = net()?;
    let wan = net.lan();
    let (_outside, address) = listening(&net.machine("outside", wan));
    let mut home = |router, machine| {
        let home = net.nat_lan(router, wan, nat);
        let mut peer = Peer::start(&net.machine(machine, home.lan));
        let seen = peer.seen_by(&address, PORT);
        let expected = format!("{}:", home.public);
        assert!(seen.starts_with(&expected), "{machine} is seen as {seen}, behind {expected}");
        (peer, seen)
    };
    let (anne, anne_seen) = home("router-a", "anne");
    let (bert, bert_seen) = home("router-b", "bert");
    Some(Homes { net, wan, anne, bert, anne_seen, bert_seen, _outside })
}

impl Homes {
    /// Both dial the address by which the other was seen.
    fn meet(&mut self, time: u64) -> [String; 2] {
        self.anne.tell(&format!("meet {} {PORT} anne {time}", self.bert_seen));
        self.bert.tell(&format!("meet {} {PORT} bert {time}", self.anne_seen));
        [self.anne.answer(), self.bert.answer()]
    }

    /// One alone dials the other, and fails when its time is over.
    fn assert_one_side_alone_fails(&mut self) {
        let start = Instant::now();
        let answer = self.anne.ask(&format!("dial {} 0 {MISS}", self.bert_seen));
        assert!(answer.contains("timed out"), "not dropped but answered: {answer}");
        assert!(start.elapsed() < PATIENCE, "it took {:?}", start.elapsed());
    }
}

#[test]
fn hole_punching_works_through_two_cone_nats() {
    let Some(mut homes) = homes(Nat::Cone) else { return };
    for seen in [&homes.anne_seen, &homes.bert_seen] {
        assert!(seen.ends_with(&format!(":{PORT}")), "the port is another one: {seen}");
    }
    homes.assert_one_side_alone_fails();
    assert_eq!(homes.meet(HIT), ["heard bert", "heard anne"]);
    homes.anne.tell(&format!("say more {HIT}"));
    assert_eq!(homes.bert.ask(&format!("hear {HIT}")), "heard more");
    assert_eq!(homes.bert.ask(&format!("say yes {MISS}")), "silence", "nobody echoes");
    assert_eq!(homes.anne.answer(), "heard yes");
}

#[test]
fn hole_punching_works_when_one_side_starts_late() {
    let Some(mut homes) = homes(Nat::Cone) else { return };
    homes.anne.tell(&format!("meet {} {PORT} anne {HIT}", homes.bert_seen));
    // Meanwhile Anne's packets are dropped.
    assert_eq!(homes.bert.ask(&format!("hear {MISS}")), "silence");
    let met = homes.bert.ask(&format!("meet {} {PORT} bert {HIT}", homes.anne_seen));
    assert_eq!((met.as_str(), homes.anne.answer().as_str()), ("heard anne", "heard bert"));
}

#[test]
fn hole_punching_fails_through_symmetric_nats() {
    let Some(mut homes) = homes(Nat::Symmetric) else { return };
    homes.assert_one_side_alone_fails();
    for answer in homes.meet(3 * MISS) {
        assert!(answer.contains("timed out"), "they met: {answer}");
    }
    // Each connection has a port of its own.
    let (_second, address) = listening(&homes.net.machine("second", homes.wan));
    assert_ne!(homes.anne.seen_by(&address, PORT), homes.anne_seen);
}

#[test]
fn a_net_is_removed_even_after_a_panic() {
    let Some(mut net) = net() else { return };
    let name = net.name().to_owned();
    let wan = net.lan();
    let home = net.nat_lan("router", wan, Nat::Cone);
    let (mut peer, _) = listening(&net.machine("inside", home.lan));
    assert_eq!(namespaces(&name).len(), 3, "{:?}", namespaces(&name));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _net = net;
        std::panic::resume_unwind(Box::new("a test that fails"));
    }));
    assert!(panicked.is_err());
    assert_eq!(namespaces(&name), Vec::<String>::new());
    // Its programs are killed.
    let deadline = Instant::now() + PATIENCE;
    while peer.child.try_wait().expect("a child can be asked").is_none() {
        assert!(Instant::now() < deadline, "a program runs on");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

#[test]
fn leftovers_of_a_killed_test_are_removed() {
    let Some(net) = net() else { return };
    let mut dead = Command::new("true").spawn().expect("true is installed");
    let pid = dead.id();
    dead.wait().expect("a child can be waited for");
    let left = format!("trunkline-{pid}-0");
    let mut add = Command::new("ip");
    let added = add.args(["netns", "add", &format!("{left}-a")]).status().expect("ip is installed");
    assert!(added.success() && !namespaces(&left).is_empty(), "a namespace can be made");
    let other = Net::new();
    assert_eq!(namespaces(&left), Vec::<String>::new());
    assert!(!namespaces(net.name()).is_empty(), "one that is in use was removed");
    drop(other);
}
