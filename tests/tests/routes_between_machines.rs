//! Channels between plugins of hosts on the test's own machines: each takes the best possible
//! route, carries every byte intact, and is shown by the processes that it passes through. Without
//! root all is skipped.

#![allow(clippy::expect_used)] // Helpers of tests may panic as well.

use std::net::Ipv4Addr;
use trunkline_tests::binaries::plugin;
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{ChannelInfo, HostSetup, Server, Setup};
use trunkline_tests::netns::{Lan, Machine, Nat, Net};

/// What is sent there and back, in MiB.
const BULK: u64 = 100;

/// The ports for links and for direct connections over TCP.
const ANYWHERE: &str = "net:0.0.0.0:0";

const BOTH: &str = "advertise = [\"unix\", \"net:0.0.0.0:0\"]";
const UNIX: &str = "advertise = [\"unix\"]";

/// A network with a server on a machine of its own.
struct Scene {
    net: Net,
    folder: Folder,
    wan: Lan,
    alpha: Server,
    at: Ipv4Addr,
}

impl Scene {
    fn new() -> Option<Scene> {
        Scene::listening(ANYWHERE)
    }

    /// The first server listens there.
    fn listening(at: &str) -> Option<Scene> {
        let mut net = Net::or_skip("routes between machines")?;
        let (folder, wan) = (Folder::new(), net.lan());
        let machine = net.machine("alpha", wan);
        let beta = Setup::new("beta").key_in(&folder);
        let alpha = Scene::server_at("alpha", &folder, at).peer_key(beta);
        let alpha = Server::start_on(&machine, &folder, &alpha);
        Some(Scene { net, folder, wan, alpha, at: machine.address() })
    }

    /// A server that accepts the two hosts.
    fn server(name: &str, folder: &Folder) -> Setup {
        Scene::server_at(name, folder, ANYWHERE)
    }

    fn server_at(name: &str, folder: &Folder, at: &str) -> Setup {
        let hosts = ["asks", "answers"].map(|host| HostSetup::key_in(host, folder));
        let setup = Setup::new(name).listen(&format!("{at}~shs"));
        hosts.into_iter().fold(setup, Setup::host_key)
    }

    /// A second server on a machine of its own, which dials the first one.
    fn second_server(&mut self) -> (Server, Ipv4Addr) {
        let machine = self.net.machine("beta", self.wan);
        let (alpha, port) = (self.alpha.key(), self.alpha.port());
        let beta = Scene::server("beta", &self.folder).peer_with(alpha, (self.at, port).into());
        (Server::start_on(&machine, &self.folder, &beta), machine.address())
    }

    /// A host with echo, of a server at an address.
    fn answers(&self, machine: &Machine, of: &Server, at: Ipv4Addr, advertise: &str) -> Server {
        let setup = HostSetup::dialling("answers", of, at).plugin(&plugin("echo"), advertise);
        Server::start_host(Some(machine), &self.folder, &setup)
    }

    /// A host that sends much to echo and back.
    fn asks(&self, machine: &Machine) -> Server {
        let config = format!("[plugin.config]\ncount = 10\nbulk-mib = {BULK}");
        let setup = HostSetup::dialling("asks", &self.alpha, self.at);
        let setup = setup.plugin(&plugin("ping"), &config);
        Server::start_host(Some(machine), &self.folder, &setup)
    }
}

/// Waits until all bytes were there and back, and checks the route: in both hosts, and in the
/// servers in between, which do not see a direct channel.
fn check(route: &str, asks: &Server, answers: &Server, between: &[&Server]) {
    let line = asks.log().wait_for(0, "MB/s over");
    assert!(line.contains(&format!("over {BULK} MiB")), "{line}");
    eprintln!("{route}: {}", line.rsplit("ping: ").next().unwrap_or(&line));
    let relayed = if route == "relay" { between } else { &[] };
    let (from, to) = (format!("ping@{}", home(asks)), format!("echo@{}", home(answers)));
    for process in [asks, answers].iter().chain(relayed) {
        let status = process.status();
        let [channel] = &status.channels[..] else { panic!("one channel: {status:#?}") };
        let ChannelInfo { bytes_in, bytes_out, .. } = channel;
        let ends = (channel.from.as_str(), channel.to.as_str(), channel.route.as_str());
        assert_eq!(ends, (from.as_str(), to.as_str(), route), "{}", status.server.name);
        let all = (BULK << 20) + 640;
        assert_eq!((*bytes_in, *bytes_out), (all, all), "{}", status.server.name);
    }
    if route != "relay" {
        for server in between {
            assert!(server.status().channels.is_empty(), "{:#?}", server.status());
        }
    }
}

/// The key of the server of a host.
fn home(host: &Server) -> String {
    let status = host.status();
    let link = status.links.iter().find(|link| link.state == "up");
    link.expect("a host has a link").peer.clone()
}

#[test]
fn two_hosts_on_one_machine_whose_server_is_elsewhere_use_a_unix_socket() {
    let Some(mut scene) = Scene::new() else { return };
    let machine = scene.net.machine("both", scene.wan);
    let answers = scene.answers(&machine, &scene.alpha, scene.at, BOTH);
    check("unix", &scene.asks(&machine), &answers, &[&scene.alpha]);
}

#[test]
fn two_hosts_on_one_machine_with_two_servers_elsewhere_use_a_unix_socket() {
    let Some(mut scene) = Scene::new() else { return };
    let (beta, at) = scene.second_server();
    let machine = scene.net.machine("both", scene.wan);
    let answers = scene.answers(&machine, &beta, at, UNIX);
    check("unix", &scene.asks(&machine), &answers, &[&scene.alpha, &beta]);
}

#[test]
fn two_hosts_on_two_machines_that_reach_each_other_use_tcp() {
    let Some(mut scene) = Scene::new() else { return };
    let machines = ["one", "other"].map(|name| scene.net.machine(name, scene.wan));
    let answers = scene.answers(&machines[0], &scene.alpha, scene.at, BOTH);
    check("tcp", &scene.asks(&machines[1]), &answers, &[&scene.alpha]);
}

#[test]
fn two_hosts_of_two_servers_that_reach_each_other_use_tcp() {
    let Some(mut scene) = Scene::new() else { return };
    let (beta, at) = scene.second_server();
    let machines = ["one", "other"].map(|name| scene.net.machine(name, scene.wan));
    let answers = scene.answers(&machines[0], &beta, at, BOTH);
    check("tcp", &scene.asks(&machines[1]), &answers, &[&scene.alpha, &beta]);
}

/// A machine in each of two homes behind routers of one kind.
fn homes(scene: &mut Scene, nat: Nat) -> [Machine; 2] {
    ["one", "other"].map(|name| {
        let home = scene.net.nat_lan(&format!("router-{name}"), scene.wan, nat);
        scene.net.machine(name, home.lan)
    })
}

#[test]
fn two_hosts_behind_two_cone_nats_connect_by_hole_punching() {
    let Some(mut scene) = Scene::new() else { return };
    let machines = homes(&mut scene, Nat::Cone);
    let answers = scene.answers(&machines[0], &scene.alpha, scene.at, UNIX);
    check("punched", &scene.asks(&machines[1]), &answers, &[&scene.alpha]);
}

#[test]
fn hosts_of_a_server_that_listens_for_both_families_connect_by_hole_punching() {
    let Some(mut scene) = Scene::listening("net:[::]:0") else { return };
    let machines = homes(&mut scene, Nat::Cone);
    let answers = scene.answers(&machines[0], &scene.alpha, scene.at, UNIX);
    check("punched", &scene.asks(&machines[1]), &answers, &[&scene.alpha]);
}

#[test]
fn two_hosts_of_two_servers_behind_cone_nats_connect_by_hole_punching() {
    let Some(mut scene) = Scene::new() else { return };
    let (beta, at) = scene.second_server();
    let machines = homes(&mut scene, Nat::Cone);
    let answers = scene.answers(&machines[0], &beta, at, UNIX);
    check("punched", &scene.asks(&machines[1]), &answers, &[&scene.alpha, &beta]);
}

#[test]
fn two_hosts_behind_symmetric_nats_are_relayed() {
    let Some(mut scene) = Scene::new() else { return };
    let machines = homes(&mut scene, Nat::Symmetric);
    let answers = scene.answers(&machines[0], &scene.alpha, scene.at, BOTH);
    check("relay", &scene.asks(&machines[1]), &answers, &[&scene.alpha]);
}

#[test]
fn two_hosts_of_two_servers_behind_symmetric_nats_are_relayed() {
    let Some(mut scene) = Scene::new() else { return };
    let (beta, at) = scene.second_server();
    let machines = homes(&mut scene, Nat::Symmetric);
    let answers = scene.answers(&machines[0], &beta, at, BOTH);
    check("relay", &scene.asks(&machines[1]), &answers, &[&scene.alpha, &beta]);
}

/// How many TCP connections of a machine are established.
fn established(machine: &Machine) -> usize {
    let output = machine.command("cat").arg("/proc/net/tcp").output().expect("cat runs");
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    // The fourth column is the state: 01 is established.
    table.lines().filter(|line| line.split_whitespace().nth(3) == Some("01")).count()
}

#[test]
fn two_servers_with_inline_plugins_share_one_connection_whatever_they_advertise() {
    let Some(mut net) = Net::or_skip("connections of two servers") else { return };
    let (folder, lan) = (Folder::new(), net.lan());
    let machines = ["alpha", "beta"].map(|name| net.machine(name, lan));
    let dials = Setup::new("beta");
    let accepts = Setup::new("alpha").listen("net:0.0.0.0:0~shs").peer_key(dials.key_in(&folder));
    let accepts = accepts.plugin(&plugin("echo"), BOTH);
    let alpha = Server::start_on(&machines[0], &folder, &accepts);
    let at = (machines[0].address(), alpha.port()).into();
    let config = format!("{BOTH}\n[plugin.config]\ncount = 10\nbulk-mib = {BULK}");
    let dials = dials.peer_with(alpha.key(), at).plugin(&plugin("ping"), &config);
    let beta = Server::start_on(&machines[1], &folder, &dials);
    beta.log().wait_for(0, "MB/s over");
    for server in [&alpha, &beta] {
        let status = server.status();
        let [channel] = &status.channels[..] else { panic!("one channel: {status:#?}") };
        assert_eq!(channel.route, "link", "{}", status.server.name);
    }
    assert_eq!(machines.each_ref().map(established), [1, 1]);
}

/// Drops all packets to a port of a machine, like a firewall.
fn drop_all_to(machine: &Machine, port: &str) {
    let rules = format!(
        "table ip wall {{ chain input {{ type filter hook input priority 0; \
         tcp dport {port} drop; }}\n }}"
    );
    let status = machine.command("nft").arg(&rules).status().expect("nft runs");
    assert!(status.success(), "{rules}");
}

#[test]
fn relay_takes_over_from_an_address_behind_a_firewall() {
    let Some(mut net) = Net::or_skip("a firewall") else { return };
    let (folder, lan) = (Folder::new(), net.lan());
    let [home, away] = ["home", "away"].map(|name| net.machine(name, lan));
    let alpha = Server::start_on(&home, &folder, &Scene::server("alpha", &folder));
    let setup = HostSetup::beside("answers", &alpha).plugin(&plugin("echo"), BOTH);
    let answers = Server::start_host(Some(&home), &folder, &setup);
    let line = answers.log().wait_for(0, "listening on net:");
    let port = line.rsplit(':').next().and_then(|rest| rest.split('~').next()).expect("a port");
    drop_all_to(&home, port);
    let config = "[plugin.config]\ncount = 1\nbulk-mib = 1";
    let setup = HostSetup::dialling("asks", &alpha, home.address());
    let setup = setup.plugin(&plugin("ping"), config);
    let begun = std::time::Instant::now();
    let asks = Server::start_host(Some(&away), &folder, &setup);
    asks.log().wait_for(0, "MB/s over");
    let took = begun.elapsed();
    eprintln!("relay took over, and 1 MiB was there and back, {took:?} after the host's start");
    assert_eq!(asks.status().channels[0].route, "relay");
    assert!(took.as_millis() >= 250, "the address was not tried: {took:?}");
    assert!(took.as_secs() < 4, "the connection's own time-out was waited for: {took:?}");
}
