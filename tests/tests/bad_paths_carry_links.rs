//! A link over a bad path: 128 kbit/s, packets of at most 576 bytes, of which one in a hundred is
//! lost and two in a hundred overtake those that wait. A packet takes 36 ms at that rate, and more
//! behind others. No link ends, and no byte differs.
//!
//! The kernel of a machine may have no `netem`; this path is made of `htb` and `nft`.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};
use trunkline_tests::binaries::plugin;
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{PATIENCE, Server, Setup};
use trunkline_tests::netns::{Machine, Net};
use trunkline_tests::skip;

/// Bytes that go there and back: some 20 s at that rate, and 5 minutes.
const SHORT: usize = 200_000;
const LONG: usize = 4_000_000;

/// The rate of each direction, in bytes a second.
const RATE: usize = 16_000;

/// What makes the path bad, in the words of `tc`.
const RATE_AND_SIZE: &str = "set -e
ip link set dev eth0 mtu 576 gso_max_segs 1
tc qdisc add dev eth0 root handle 1: htb default 1
tc class add dev eth0 parent 1: classid 1:1 htb rate 128kbit burst 1600 cburst 1600
tc class add dev eth0 parent 1: classid 1:2 htb rate 100mbit quantum 1514
tc qdisc add dev eth0 parent 1:1 handle 10: pfifo limit 16
";

/// The same for `nft`: packets are lost where they arrive, so that their sender does not notice.
const LOSS_AND_ORDER: &str = "table ip bad {
    counter lost { }
    counter early { }
    chain in {
        type filter hook prerouting priority -300
        iifname \"eth0\" meta l4proto tcp numgen random mod 100 < 1 counter name lost drop
    }
    chain out {
        type filter hook postrouting priority 0
        oifname \"eth0\" meta l4proto tcp numgen random mod 100 < 2 \
            counter name early meta priority set \"1:2\"
    }
}
";

/// Runs a program on a machine with this input; returns what it says.
fn run(machine: &Machine, words: &[&str], input: &str) -> Result<String, String> {
    let mut command = machine.command(words[0]);
    command.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// Makes the path from a machine bad.
fn spoil(machine: &Machine) -> Result<(), String> {
    run(machine, &["sh"], RATE_AND_SIZE)?;
    run(machine, &["nft", "-f", "-"], LOSS_AND_ORDER).map(drop)
}

/// How many packets a counter has seen.
fn counted(machine: &Machine, counter: &str) -> u64 {
    let said = run(machine, &["nft", "list", "counter", "ip", "bad", counter], "");
    let said = said.expect("there is the counter");
    let count = said.split("packets ").nth(1).and_then(|rest| rest.split(' ').next());
    count.and_then(|count| count.parse().ok()).expect("a number of packets")
}

/// How many packets overtook others, as the scheduler has seen it.
fn overtook(machine: &Machine) -> u64 {
    let said = run(machine, &["tc", "-s", "class", "show", "dev", "eth0", "classid", "1:2"], "");
    let said = said.expect("there is the class");
    let count = said.split(" bytes ").nth(1).and_then(|rest| rest.split(' ').next());
    count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("a number: {said}"))
}

/// The byte at a place, which shows a piece that is lost, doubled or moved.
fn pattern(at: usize) -> u8 {
    let mixed = (at as u64 / 8 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed.to_le_bytes()[at % 8]
}

/// Sends bytes there and reads them back; what is wrong, if something is.
fn there_and_back(client: &TcpStream, bytes: usize) -> Result<(), String> {
    client.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
    let mut sender = client.try_clone().map_err(|error| error.to_string())?;
    let sends = std::thread::spawn(move || {
        let all: Vec<u8> = (0..bytes).map(pattern).collect();
        sender.write_all(&all).and_then(|()| sender.shutdown(Shutdown::Write))
    });
    let (mut back, mut buffer) = (0, [0; 4096]);
    loop {
        match (&*client).read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                let wrong = (0..count).find(|at| buffer[*at] != pattern(back + at));
                if let Some(at) = wrong {
                    return Err(format!("byte {} differs", back + at));
                }
                back += count;
            }
            Err(error) => return Err(format!("after {back} bytes: {error}")),
        }
    }
    let sent = sends.join().expect("no panic");
    sent.map_err(|error| format!("after {back} bytes back: {error}"))?;
    if back == bytes { Ok(()) } else { Err(format!("{back} of {bytes} bytes came back")) }
}

/// Asks for a byte back, over and over, until the client is closed; the longest wait for one.
fn small_ones(mut client: &TcpStream) -> (usize, Duration) {
    let (mut count, mut longest) = (0, Duration::ZERO);
    loop {
        let (begun, byte, mut back) = (Instant::now(), pattern(count), [0]);
        if client.write_all(&[byte]).and_then(|()| client.read_exact(&mut back)).is_err() {
            return (count, longest);
        }
        assert_eq!(back, [byte], "a small one");
        (count, longest) = (count + 1, longest.max(begun.elapsed()));
    }
}

/// Two servers on machines of their own, with a bad path between them.
struct Scene {
    _net: Net,
    _folder: Folder,
    machines: [Machine; 2],
    servers: [Server; 2],
    at: SocketAddr,
}

impl Scene {
    fn start() -> Option<Scene> {
        let mut net = Net::or_skip("links over a bad path")?;
        let (folder, lan) = (Folder::new(), net.lan());
        let machines = ["alpha", "beta"].map(|name| net.machine(name, lan));
        for machine in &machines {
            if let Err(why) = spoil(machine) {
                skip::aloud("links over a bad path", &why);
                return None;
            }
        }
        let service = machines[1].within(|| TcpListener::bind("127.0.0.1:0"));
        let service = service.expect("a port of loopback");
        let web = service.local_addr().expect("a listener has an address");
        std::thread::spawn(move || {
            for client in service.incoming().flatten() {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut &client, &mut &client);
                    client.shutdown(Shutdown::Write)
                });
            }
        });
        let beta = Setup::new("beta");
        let listen = "[[plugin.config.listen]]\naddress = \"127.0.0.1:0\"\nto = \"web\"";
        let alpha = Setup::new("alpha").listen("net:0.0.0.0:0~shs").peer_key(beta.key_in(&folder));
        let alpha = alpha.plugin(&plugin("forward"), listen);
        let alpha = Server::start_on(&machines[0], &folder, &alpha);
        let beta = beta.peer_with(alpha.key(), (machines[0].address(), alpha.port()).into());
        let serve = format!("[plugin.config.serve]\nweb = \"{web}\"");
        let beta = beta.plugin(&plugin("forward"), &serve);
        let beta = Server::start_on(&machines[1], &folder, &beta);
        alpha.wait_until("both are linked", |status| status.knows_remote("forward"));
        let line = alpha.log().wait_for(0, " for web");
        let at = line.split("listening on ").nth(1).and_then(|rest| rest.split(' ').next());
        let at = at.and_then(|text| text.parse().ok()).expect("the line names an address");
        Some(Scene { _net: net, _folder: folder, machines, servers: [alpha, beta], at })
    }

    fn connect(&self) -> TcpStream {
        self.machines[0].within(|| TcpStream::connect(self.at)).expect("forward listens")
    }
}

fn carried(bytes: usize) {
    let Some(scene) = Scene::start() else { return };
    let (bulk, small) = (scene.connect(), scene.connect());
    small.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time-out");
    let begun = Instant::now();
    let (done, waits) = std::thread::scope(|scope| {
        let asks = scope.spawn(|| small_ones(&small));
        let done = there_and_back(&bulk, bytes);
        let _ = small.shutdown(Shutdown::Both);
        (done, asks.join().expect("each small one is as it was sent"))
    });
    let took = begun.elapsed();
    let lost = scene.machines.each_ref().map(|machine| counted(machine, "lost"));
    let early = scene.machines.each_ref().map(overtook);
    println!("{bytes} bytes there and back in {took:?}; lost {lost:?}, overtook {early:?} packets");
    println!("{} small ones beside them, the longest took {:?}", waits.0, waits.1);
    for server in &scene.servers {
        let text = server.log().text();
        assert!(!text.contains("silent") && !text.contains(" ended: "), "a link ended:\n{text}");
        assert_eq!(text.matches(" is up").count(), 1, "{}: one link:\n{text}", server.name());
    }
    assert_eq!(done, Ok(()));
    let least = Duration::from_secs((bytes / RATE) as u64 / 2);
    assert!(took > least, "the path was not slow");
    assert!(lost.iter().chain(&early).all(|count| *count > 0), "the path was not bad");
}

#[test]
fn a_bad_path_for_some_seconds_ends_no_link_and_changes_no_byte() {
    carried(SHORT);
}

#[test]
#[ignore = "it takes minutes: make long"]
fn a_bad_path_for_five_minutes_ends_no_link_and_changes_no_byte() {
    carried(LONG);
}
