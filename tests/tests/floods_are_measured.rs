//! Measures the worst floods in release builds: a server, its hosts and an innocent peer run on one
//! core, the attackers on the other. Each run begins with idle attackers, for comparison.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::time::{Duration, Instant};
use trunkline_core::bymux::MuxRole;
use trunkline_core::control::{Answer, Hello, Message, Role};
use trunkline_core::key::Key;
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::floods::{self, Over, RoundTrips, Scene};
use trunkline_tests::harness::{Peer, PeerEvent, Server, Setup, hello};

/// Runs of each flood. Their medians are judged.
const RUNS: usize = 5;

/// The duration of a flood, and of the idle time before it.
const FLOOD: Duration = Duration::from_secs(3);

/// The limit of the time until the plugin of a new host runs.
const HOST_RUNS: Duration = Duration::from_secs(2);

/// The limit of the time until all hosts know of a change.
const CHANGE_ARRIVES: Duration = Duration::from_millis(100);

/// The limit of a turn of the server's loop.
const TURN: Duration = Duration::from_millis(10);

/// The memory in bytes that the server may keep this long after the attackers have left.
const KEPT: i64 = 8 << 20;
const KEPT_AFTER: Duration = Duration::from_secs(10);

/// What the attackers do until their time is over.
type Flood = fn(&mut Attackers);

const FLOODS: [(&str, Flood); 5] = [
    ("A1: versions flip", versions_flip),
    ("A1b: 28,000 plugins", many_plugins),
    ("A2: empty messages", empty_messages),
    ("A3: offers answered wrongly", offers_answered_wrongly),
    ("H3: tickets", tickets),
];

/// The peers that flood, and what they need to know.
struct Attackers<'a> {
    /// Links an attacker again after its link has ended.
    connect: &'a (dyn Fn(u8) -> Peer + Sync),
    peers: Vec<Peer>,
    machine: Key,
    until: Instant,
}

/// The result of one run.
#[derive(Debug)]
struct Run {
    idle: RoundTrips,
    beside: RoundTrips,
    /// The longest turn before the flood, and after it.
    turns: [Duration; 2],
    kept: i64,
}

/// Restricts this thread, and the threads and processes that it starts, to one core.
fn pin(core: usize) {
    let mut one = CpuSet::new();
    one.set(core);
    sched_setaffinity(None, &one).expect("a thread can be put on a core");
}

/// Two cores that this process may use.
fn two_cores() -> [usize; 2] {
    let all = sched_getaffinity(None).expect("the kernel tells the cores");
    let mut cores = (0..CpuSet::MAX_CPU).filter(|core| all.is_set(*core));
    let mut next = || cores.next().expect("this test needs two cores");
    [next(), next()]
}

/// Debug builds say nothing about time.
fn needs_release() {
    if cfg!(debug_assertions) {
        panic!("it measures release builds: cargo test --release");
    }
}

fn wait(time: Duration) {
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
}

impl Attackers<'_> {
    fn peer(&mut self, number: u8) -> &mut Peer {
        &mut self.peers[usize::from(number)]
    }

    fn time_is_over(&self) -> bool {
        Instant::now() >= self.until
    }
}

fn versions_flip(attackers: &mut Attackers) {
    let flips = floods::versions_flip("aa");
    while !attackers.time_is_over() {
        assert!(attackers.peer(0).send_repeatedly(&flips, 1), "it breaks no rule");
    }
}

fn many_plugins(attackers: &mut Attackers) {
    let messages: Vec<Vec<Message>> = (0..7)
        .map(|number| floods::announcements(&floods::names(&format!("of-{number}-"), 4000)))
        .collect();
    for number in 0..7 {
        let peer = attackers.peer(number);
        assert!(peer.send_all(&messages[usize::from(number)]) && peer.catch_up());
    }
}

fn empty_messages(attackers: &mut Attackers) {
    let plugins = floods::invitations(&floods::names("p", 4096), 64);
    assert!(attackers.peer(0).send_all(&plugins), "it breaks no rule");
    let nothing = floods::nothing_withdrawn();
    while !attackers.time_is_over() {
        assert!(attackers.peer(0).send_repeatedly(&nothing, 1000), "it breaks no rule");
    }
}

fn offers_answered_wrongly(attackers: &mut Attackers) {
    for wanted in ["echo-p", "echo-t"].into_iter().cycle() {
        let (answered, reason) = floods::invite_back(attackers.peer(0), wanted, 64);
        assert!(answered > 0 && reason.is_some(), "{answered} offers were answered: {reason:?}");
        if attackers.time_is_over() {
            return;
        }
        attackers.peers[0] = (attackers.connect)(1);
    }
}

fn tickets(attackers: &mut Attackers) {
    let machine = attackers.machine;
    let mut number = 0;
    while !attackers.time_is_over() {
        let made_up = (0..256).map(|n| floods::with_made_up_ticket("echo", 1, number + n));
        floods::ask_all(attackers.peer(0), made_up);
        let honest = (0..256).map(|_| floods::from_host("echo-p", Key([1; 32]), machine));
        floods::ask_all(attackers.peer(0), honest);
        number += 256;
    }
    for to in ["echo", "echo-p"] {
        let answer = floods::ask(attackers.peer(1), floods::with_made_up_ticket(to, 2, 0));
        assert!(matches!(answer, Answer::Accept(_)), "another peer's channel to {to}: {answer:?}");
    }
}

fn run(over: Over, flood: Flood, cores: [usize; 2]) -> Run {
    pin(cores[0]);
    let mut scene = Scene::new(over, Setup::new("alpha"));
    let (before, machine) = (scene.alpha.memory(), scene.machine());
    let alpha = &scene.alpha;
    let connect = |key| Peer::link_as(over.connect(alpha, key), key, "evil");
    let peers = (1..=7).map(connect).collect();
    let end = Instant::now() + FLOOD;
    let idle = scene.innocent.until("echo", || Instant::now() >= end);
    let turn = Duration::from_micros(alpha.status().server.longest_turn_us);
    let until = Instant::now() + FLOOD;
    let mut attackers = Attackers { connect: &connect, peers, machine, until };
    let ((), beside) = scene.innocent.beside("echo", || {
        pin(cores[1]);
        flood(&mut attackers);
    });
    drop(attackers);
    scene.check_others();
    scene.check_nothing_remains();
    let turns = [turn, scene.longest_turn()];
    wait(KEPT_AFTER);
    let kept = scene.alpha.memory().cast_signed() - before.cast_signed();
    scene.check_others();
    Run { idle, beside, turns, kept }
}

fn median<T: Ord + Copy>(runs: &[Run], of: impl Fn(&Run) -> T) -> T {
    let mut all: Vec<T> = runs.iter().map(of).collect();
    all.sort_unstable();
    all[all.len() / 2]
}

/// Prints a row of the table. Returns whether all limits hold.
fn judge(over: Over, name: &str, runs: &[Run]) -> bool {
    let idle = median(runs, |run| run.idle.p99());
    let beside = median(runs, |run| run.beside.p99());
    let worst = median(runs, |run| run.beside.worst());
    let [turn_before, turn] = [0, 1].map(|at| median(runs, |run| run.turns[at]));
    let kept = median(runs, |run| run.kept);
    let holds = beside <= 3 * idle + Duration::from_millis(1) && turn <= TURN && kept <= KEPT;
    let verdict = if holds { "holds" } else { "FAILS" };
    let over = format!("{over:?}").to_lowercase();
    println!(
        "| {name:28} | {over:4} | {idle:>10.1?} | {beside:>10.1?} | {worst:>10.1?} | \
         {turn_before:>10.1?} | {turn:>10.1?} | {:>9} | {verdict} |",
        kept / 1024
    );
    holds
}

#[test]
#[ignore = "it measures for a quarter of an hour, with release builds, alone on two cores"]
fn the_worst_floods_do_little_harm() {
    needs_release();
    let only = std::env::var("ONLY").unwrap_or_default();
    let cores = two_cores();
    println!(
        "| flood | over | p99 idle | p99 beside | worst beside | turn before | longest turn | \
         KiB kept | |"
    );
    let mut all_hold = true;
    for over in [Over::Unix, Over::Shs] {
        for (name, flood) in FLOODS.into_iter().filter(|(name, _)| name.contains(&only)) {
            let runs: Vec<Run> = (0..RUNS).map(|_| run(over, flood, cores)).collect();
            all_hold &= judge(over, name, &runs);
        }
    }
    assert!(all_hold, "see the table");
}

/// Links a peer as a host, which has read the whole directory.
fn host_peer(scene: &Scene, key: u8) -> Peer {
    let hello = Hello { role: Role::Host, name: "reader".into(), ..hello(Key([key; 32])) };
    let mut peer = Peer::send_hello(scene.connect(key), MuxRole::Dialler, hello);
    peer.wait_for("the end of the directory", |event| {
        matches!(event, PeerEvent::Message(Message::Linked(_)))
    });
    peer
}

/// The time from a change until all hosts know of it.
fn change_arrives(by: &mut Peer, hosts: &mut [Peer], version: u64) -> Duration {
    let begun = Instant::now();
    by.send_all(&[floods::announcement("late", version)]);
    let is_it = |message: &Message| match message {
        Message::Plugins(all) => all.plugins.iter().any(|plugin| plugin.name.as_str() == "late"),
        _ => false,
    };
    for host in hosts {
        host.wait_for("the change", |event| matches!(event, PeerEvent::Message(m) if is_it(m)));
    }
    begun.elapsed()
}

#[test]
#[ignore = "it measures for a minute, with release builds, alone on two cores"]
fn a_directory_of_100_000_plugins_does_little_harm() {
    needs_release();
    let mut all_hold = true;
    for watched in [false, true] {
        let mut setup = Setup::new("alpha");
        if watched {
            let config = "name = \"watcher\"\n[plugin.config]\nopens = \"missing\"";
            setup = setup.plugin(&fixtures::plugin(Api::Ours, "meets"), config);
        }
        let mut scene = Scene::new(Over::Unix, setup);
        let memory = scene.alpha.memory();
        let mut peers: Vec<Peer> = (11..=35).map(|key| scene.peer(key)).collect();
        let begun = Instant::now();
        let ((), trips) = scene.innocent.beside("echo", || {
            for (number, peer) in peers.iter_mut().enumerate() {
                let names = floods::names(&format!("of-{number}-"), 4000);
                assert!(peer.send_all(&floods::announcements(&names)) && peer.catch_up());
            }
        });
        let announced = begun.elapsed();
        let runs: [(Server, Duration); 3] =
            ["first", "second", "third"].map(|name| scene.link_host(name));
        let host_runs = runs.iter().map(|(_, took)| *took).max().unwrap_or_default();
        let mut hosts: Vec<Peer> = (101..=108).map(|key| host_peer(&scene, key)).collect();
        let mut arrived: Vec<Duration> =
            (1..=20).map(|version| change_arrives(&mut peers[24], &mut hosts, version)).collect();
        arrived.sort_unstable();
        (0..3).for_each(|_| floods::wait_for_caller(&mut peers[24], "late"));
        let kept = scene.alpha.memory().saturating_sub(memory) >> 20;
        let turn = scene.longest_turn();
        println!(
            "watched: {watched}; 100,000 plugins known after {announced:?}, {kept} MiB; p99 beside \
             {:?}, worst {:?}; a host's plugin runs after {host_runs:?}; 8 hosts know of a change \
             after {:?}, at worst {:?}; longest turn {turn:?}",
            trips.p99(),
            trips.worst(),
            arrived[arrived.len() / 2],
            arrived[arrived.len() - 1],
        );
        scene.check_others();
        all_hold &= host_runs <= HOST_RUNS && arrived[arrived.len() / 2] <= CHANGE_ARRIVES;
        all_hold &= turn <= TURN;
    }
    assert!(all_hold, "see above");
}
