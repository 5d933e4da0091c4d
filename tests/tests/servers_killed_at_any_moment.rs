//! A server that is killed at any moment, under load, and started again at once: nothing is left
//! that stops or litters the next start, and all plugins are back each time.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use trunkline_tests::binaries::plugin;
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{HostSetup, Process, Server, Setup, Status, wait_until};

/// How often it is killed: each time the tests run, and in `make long`.
const FEW: u64 = 10;
const MANY: u64 = 200;

/// Rounds until each buffer of those that stay has its size.
const WARM_UP: u64 = 4;

/// A server is killed within this time after it was started, if not when all flows.
const EARLY: Duration = Duration::from_millis(400);

/// Plugins of the server, its host's included.
const PLUGINS: [&str; 6] = ["answers", "asks", "echo", "guest", "near", "thread"];

/// Sockets for direct connections at any time: those of hosts that were killed less than a second
/// before stay until the next start, because one of an earlier release may not listen yet. In a
/// second, there are some ten starts.
const DIRECT: usize = 16;

/// What those that stay may have more at the end: a dial may be in progress.
const DESCRIPTORS: usize = 4;
const MEMORY: u64 = 8 << 20;

fn meets(setup: Setup, name: &str, lines: &str, opens: Option<&str>) -> Setup {
    let opens = opens.map(|name| format!("opens = {name:?}\n")).unwrap_or_default();
    let table = format!("name = {name:?}\n{lines}\n[plugin.config]\npours = true\n{opens}");
    setup.plugin(&fixtures::plugin(Api::Ours, "meets"), &table)
}

/// The server that is killed, one that it dials, and a host of it, which stay.
struct Scene {
    folder: Folder,
    alpha: Setup,
    beta: Server,
    guest: Server,
}

impl Scene {
    /// Starts all; returns the server that is to be killed, too.
    fn start() -> (Scene, Server) {
        let folder = Folder::new();
        let temporary = folder.path().join("temporary");
        fs::create_dir(&temporary).expect("a new folder");
        let alpha = Setup::new("alpha").variable("TMPDIR", &temporary);
        let beta = Setup::new("beta").secured().peer_key(alpha.key_in(&folder));
        let beta = Server::start(&folder, &meets(beta, "far", "", None));
        let process = "placement = \"process\"";
        let alpha = alpha.peer_with(beta.key(), beta.tcp_address());
        let alpha = alpha.plugin(&plugin("echo"), "");
        let alpha = meets(alpha, "thread", "placement = \"thread\"", None);
        let direct = format!("{process}\nadvertise = [\"unix\"]");
        let alpha = meets(alpha, "answers", &direct, None);
        let alpha = meets(alpha, "asks", process, Some("answers"));
        let alpha = meets(alpha, "near", "", Some("far"));
        let server = Server::start(&folder, &alpha);
        let guest = HostSetup::beside("guest", &server).plugin(
            &fixtures::plugin(Api::Ours, "meets"),
            "name = \"guest\"\n[plugin.config]\npours = true\nopens = \"thread\"",
        );
        let guest = Server::start_host(None, &folder, &guest);
        (Scene { folder, alpha, beta, guest }, server)
    }

    /// The files in the state folder, and how many of them are sockets of hosts, whose names are
    /// random.
    fn state(&self) -> (BTreeSet<PathBuf>, usize) {
        let all = below(&self.folder.path().join("alpha.state"));
        let is_socket = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "sock");
        let (sockets, files): (Vec<_>, Vec<_>) = all.into_iter().partition(is_socket);
        (files.into_iter().collect(), sockets.len())
    }

    /// How many sockets for direct connections there are.
    fn direct(&self) -> usize {
        below(&self.folder.path().join("temporary")).len()
    }

    /// Descriptors and memory of those that stay.
    fn stays(&self) -> Vec<(usize, u64)> {
        [&self.beta, &self.guest].map(|it| (it.descriptors(), it.memory())).to_vec()
    }
}

/// All files below a folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] }).collect()
}

/// All plugins run, and bytes flow over the link and to the host.
fn flows(status: &Status) -> bool {
    let full = |name: &str| {
        status.channels.iter().any(|channel| {
            channel.from.starts_with(name)
                && channel.bytes_in > 1 << 18
                && channel.bytes_out > 1 << 18
        })
    };
    PLUGINS.iter().all(|name| status.is(name, "running"))
        && status.knows_remote("far")
        && full("near@")
        && full("guest@")
}

/// Processes that have this folder on their command line.
fn processes_of(folder: &Path) -> Vec<Process> {
    let entries = fs::read_dir("/proc").expect("the kernel lists processes");
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let folder = folder.display().to_string();
    let named = |number: &u32| {
        let line = fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&folder)
    };
    numbers.filter(named).map(Process).collect()
}

/// The moment of a kill that does not wait for anything: a different one for each round.
fn moment(round: u64) -> Duration {
    let part = round.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54;
    EARLY.mul_f64(part as f64 / 1024.0)
}

fn killed(times: u64) {
    let (scene, mut alpha) = Scene::start();
    let mut first = None;
    let (begun, mut longest, mut most_direct) = (Instant::now(), Duration::ZERO, 0);
    for round in 0..times {
        let status = alpha.wait_until("all plugins are back, and all flows", flows);
        longest = longest.max(Duration::from_micros(status.server.uptime_us));
        let seen = scene.state();
        most_direct = most_direct.max(scene.direct());
        let text = alpha.log().text();
        assert!(!text.contains("ERROR"), "round {round}:\n{text}");
        if round == WARM_UP {
            first = Some((seen.clone(), scene.stays()));
        }
        if let Some((files, _)) = &first {
            assert_eq!(&seen, files, "round {round}: files are left");
        }
        let mut children = alpha.process().children();
        alpha.kill();
        // Some are killed while they start, among what the one before has left.
        for early in 0..round % 3 {
            let mut next = Server::start_up_to(&scene.folder, &scene.alpha, "");
            let until = Instant::now() + moment(round * 3 + early);
            while let Some(left) = until.checked_duration_since(Instant::now()) {
                std::thread::park_timeout(left);
            }
            children.extend(next.process().children());
            next.kill();
        }
        alpha = Server::start(&scene.folder, &scene.alpha);
        for child in children {
            let _ = child.wait_for_end();
        }
    }
    alpha.wait_until("all plugins are back, and all flows", flows);
    println!("{times} kills in {:?}, at most {longest:?} until all flowed", begun.elapsed());
    let ((files, sockets), before) = first.expect("more rounds than the warm-up has");
    println!("{} files, {sockets} sockets, at most {most_direct} direct ones", files.len());
    println!("{before:?} became {:?} (descriptors, memory)", scene.stays());
    assert!(most_direct <= DIRECT, "{most_direct} sockets for direct connections were left");
    for ((descriptors, memory), (then, memory_then)) in scene.stays().into_iter().zip(before) {
        assert!(descriptors <= then + DESCRIPTORS, "descriptors leak: {then} to {descriptors}");
        assert!(memory <= memory_then + MEMORY, "memory leaks: {memory_then} to {memory}");
    }
    ends_clean(scene, alpha);
}

/// After an end in order, only what is kept is there, and no process.
fn ends_clean(scene: Scene, mut alpha: Server) {
    alpha.signal(rustix::process::Signal::TERM);
    assert_eq!(alpha.wait_for_end(), 0, "{}", alpha.log().text());
    assert_eq!(scene.state().1, 0, "sockets are left");
    let Scene { folder, beta, guest, .. } = scene;
    drop((beta, guest, alpha));
    let none = || processes_of(folder.path()).is_empty();
    wait_until("no process is left", none);
}

#[test]
fn a_server_that_is_killed_ten_times_leaves_nothing_and_all_plugins_are_back() {
    killed(FEW);
}

#[test]
#[ignore = "it takes minutes: make long"]
fn a_server_that_is_killed_200_times_leaves_nothing_and_all_plugins_are_back() {
    killed(MANY);
}
