//! Cables that are pulled, connections that are reset and hosts that are killed while channels are
//! full: both plugins are notified within the time of the heartbeats, and nothing leaks.

#![allow(clippy::expect_used)] // Helpers of tests may panic as well.

use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::{Duration, Instant};
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{HostSetup, Server, Setup, Status};
use trunkline_tests::netns::{Lan, Machine, Nat, Net};

const HEARTBEAT: &str = "heartbeat-ms = 200\ndead-after-ms = 1000";

/// A ping is due within one heartbeat, and a peer that does not answer is dead; beyond that, the
/// reserve for a busy machine.
const DEAD: Duration = Duration::from_millis(1000 + 200);
const SLACK: Duration = Duration::from_secs(4);

/// How often everything is cut while it is measured, and before, until all buffers exist.
const CUTS: usize = 12;
const WARM_UP: usize = 4;

/// Two hosts that send to each other as fast as possible, of a server on a machine of its own.
struct Scene {
    net: Net,
    folder: Folder,
    wan: Lan,
    alpha: Server,
    at: Ipv4Addr,
}

impl Scene {
    fn new() -> Option<Scene> {
        let mut net = Net::or_skip("routes that break")?;
        let (folder, wan) = (Folder::new(), net.lan());
        let machine = net.machine("alpha", wan);
        let setup = Setup::new("alpha").server(HEARTBEAT).listen("net:0.0.0.0:0~shs");
        let hosts = ["asks", "answers"].map(|host| HostSetup::key_in(host, &folder));
        let setup = hosts.into_iter().fold(setup, Setup::host_key);
        let alpha = Server::start_on(&machine, &folder, &setup);
        Some(Scene { net, folder, wan, alpha, at: machine.address() })
    }

    fn host(&self, machine: &Machine, name: &str, table: &str) -> Server {
        let setup = HostSetup::dialling(name, &self.alpha, self.at).line(HEARTBEAT);
        let setup = setup.plugin(&fixtures::plugin(Api::Ours, "meets"), table);
        Server::start_host(Some(machine), &self.folder, &setup)
    }

    fn answers(&self, machine: &Machine, advertise: &str) -> Server {
        let table = format!("name = \"answers\"\n{advertise}\n[plugin.config]\npours = true");
        self.host(machine, "answers", &table)
    }

    fn asks(&self, machine: &Machine) -> Server {
        let table = "name = \"asks\"\n[plugin.config]\npours = true\nopens = \"answers\"";
        self.host(machine, "asks", table)
    }

    fn homes(&mut self, nat: Nat) -> [Machine; 2] {
        ["one", "other"].map(|name| {
            let home = self.net.nat_lan(&format!("router-{name}"), self.wan, nat);
            self.net.machine(name, home.lan)
        })
    }
}

fn flows(status: &Status, route: &str) -> bool {
    let full = |bytes: u64| bytes > 1 << 20;
    matches!(&status.channels[..], [channel] if channel.route == route
        && full(channel.bytes_in) && full(channel.bytes_out))
}

/// Waits until much has gone both ways over a route, then breaks it, and checks that both plugins
/// are notified in time.
fn breaks(route: &str, hosts: [&Server; 2], cut: impl FnOnce()) {
    for host in hosts {
        host.wait_until("much has flown", |status| flows(status, route));
    }
    let marks = hosts.map(|host| host.log().mark());
    cut();
    let begun = Instant::now();
    let hosts_and_marks = hosts.into_iter().zip(marks);
    std::thread::scope(|scope| {
        for (host, mark) in hosts_and_marks {
            scope.spawn(move || {
                let line = host.log().wait_for(mark, "] ended: ");
                let took = begun.elapsed();
                eprintln!("{route} after {took:?}: {}", line.rsplit("] ").next().unwrap_or(&line));
                assert!(took < DEAD + SLACK, "it took {took:?}: {line}");
                assert!(line.contains("link-lost") || line.contains("host-lost"), "{line}");
            });
        }
    });
}

#[test]
fn a_direct_tcp_channel_ends_when_the_cable_is_pulled() {
    let Some(mut scene) = Scene::new() else { return };
    let machines = ["one", "other"].map(|name| scene.net.machine(name, scene.wan));
    let answers = scene.answers(&machines[0], "advertise = [\"net:0.0.0.0:0\"]");
    let asks = scene.asks(&machines[1]);
    breaks("tcp", [&asks, &answers], || machines[0].link_down());
}

#[test]
fn a_punched_channel_ends_when_the_cable_is_pulled() {
    let Some(mut scene) = Scene::new() else { return };
    let machines = scene.homes(Nat::Cone);
    let (answers, asks) = (scene.answers(&machines[0], ""), scene.asks(&machines[1]));
    breaks("punched", [&asks, &answers], || machines[0].link_down());
}

#[test]
fn a_relayed_channel_ends_when_the_cable_is_pulled() {
    let Some(mut scene) = Scene::new() else { return };
    let machines = scene.homes(Nat::Symmetric);
    let (answers, asks) = (scene.answers(&machines[0], ""), scene.asks(&machines[1]));
    breaks("relay", [&asks, &answers], || machines[0].link_down());
}

#[test]
fn a_unix_channel_ends_when_the_other_host_is_killed() {
    let folder = Folder::new();
    let alpha = Server::start(&folder, &Setup::new("alpha"));
    let meets = fixtures::plugin(Api::Ours, "meets");
    let host = |name: &str, table: &str| {
        let setup = HostSetup::beside(name, &alpha).plugin(&meets, table);
        Server::start_host(None, &folder, &setup)
    };
    let pours = "[plugin.config]\npours = true";
    let mut answers = host("b", &format!("name = \"answers\"\nadvertise = [\"unix\"]\n{pours}"));
    let asks = host("a", &format!("name = \"asks\"\n{pours}\nopens = \"answers\""));
    for host in [&asks, &answers] {
        host.wait_until("much has flown", |status| flows(status, "unix"));
    }
    let (mark, begun) = (asks.log().mark(), Instant::now());
    answers.kill();
    let line = asks.log().wait_for(mark, "] ended: ");
    assert!(line.contains("link-lost") && begun.elapsed() < SLACK, "{:?} {line}", begun.elapsed());
    asks.wait_until("nothing is left", |status| status.channels.is_empty());
    alpha.wait_until("nothing is left", |status| status.channels.is_empty());
}

/// Answers all TCP of a machine with resets, as long as it exists.
struct Reset<'a>(&'a Machine);

impl<'a> Reset<'a> {
    fn new(machine: &'a Machine) -> Reset<'a> {
        // The resets themselves have to pass.
        let rule = "tcp flags & rst == 0 reject with tcp reset";
        let chains = ["input", "output"].map(|hook| {
            format!("chain {hook} {{ type filter hook {hook} priority 0; {rule}; }}\n")
        });
        nft(machine, &format!("table ip cut {{ {} }}", chains.concat()));
        Reset(machine)
    }
}

impl Drop for Reset<'_> {
    fn drop(&mut self) {
        nft(self.0, "delete table ip cut");
    }
}

fn nft(machine: &Machine, rules: &str) {
    let mut command = machine.command("nft");
    let mut child = command.args(["-f", "-"]).stdin(Stdio::piped()).spawn().expect("nft runs");
    let stdin = child.stdin.take().expect("stdin is a pipe");
    std::io::Write::write_all(&mut &stdin, rules.as_bytes()).expect("nft reads");
    drop(stdin);
    assert!(child.wait().expect("nft ends").success(), "{rules}");
}

/// Cuts everything this many times, and lets the plugins find each other again.
fn cut_often(times: usize, machine: &Machine, hosts: [&Server; 2]) {
    for _ in 0..times {
        let marks = hosts.map(|host| host.log().mark());
        let reset = Reset::new(machine);
        hosts[0].log().wait_for(marks[0], "] ended: ");
        hosts[1].log().wait_for(marks[1], "] ended: ");
        drop(reset);
        for (host, mark) in hosts.into_iter().zip(marks) {
            host.log().wait_for(mark, "heard hello from");
        }
    }
}

#[test]
fn repeatedly_cut_channels_leave_nothing_behind() {
    let Some(mut scene) = Scene::new() else { return };
    let machines = ["one", "other"].map(|name| scene.net.machine(name, scene.wan));
    let answers = scene.answers(&machines[0], "advertise = [\"net:0.0.0.0:0\"]");
    let asks = scene.asks(&machines[1]);
    let hosts = [&asks, &answers];
    for host in hosts {
        host.log().wait_for(0, "heard hello from");
    }
    cut_often(WARM_UP, &machines[0], hosts);
    let all = [&asks, &answers, &scene.alpha];
    let calm = |status: &Status| status.channels.len() <= 1 && status.links.len() <= 2;
    let look = || {
        all.map(|process| {
            process.wait_until("all is calm", calm);
            (process.descriptors(), process.memory() >> 10)
        })
    };
    let before = look();
    let begun = Instant::now();
    cut_often(CUTS, &machines[0], hosts);
    let after = look();
    eprintln!("{CUTS} cuts in {:?}: {before:?} {after:?} (files, KiB)", begun.elapsed());
    for ((files_before, memory_before), (files, memory)) in before.into_iter().zip(after) {
        // A dial or a closing connection may be in progress.
        assert!(files <= files_before + 4, "descriptors leak: {before:?} {after:?}");
        assert!(memory <= memory_before + 4096, "memory leaks: {before:?} {after:?}");
    }
}
