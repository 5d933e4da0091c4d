//! All sockets of a server and of the plugin `forward` are made in one way, so all have the same
//! options and the same answers to what goes wrong.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use socket2::SockRef;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use trunkline_tests::binaries::plugin;
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Forwards, PATIENCE, Server, Setup, wait_until};
use trunkline_tests::netns::{Machine, Net};
use trunkline_tests::skip;

#[test]
fn every_connection_has_keepalive_keeps_urgent_bytes_and_bounds_what_is_unsent() {
    let service = TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
    let folder = Folder::new();
    let web = service.local_addr().expect("a listener has an address");
    let forwards = Forwards::start(&folder, None, web);
    let _client = forwards.connect();
    let _served = service.accept().expect("forward dials the service");
    for server in [&forwards.alpha, &forwards.beta] {
        let sockets = server.process().tcp_sockets();
        let connected: Vec<_> = sockets.iter().filter(|each| each.peer_addr().is_ok()).collect();
        // Those that forward watches have a second descriptor.
        assert!(connected.len() >= 2, "one of the link, and one of forward");
        for stream in connected {
            let socket = SockRef::from(stream);
            let keepalive = socket.keepalive().expect("an option");
            assert!(keepalive, "{}: {stream:?} has no keepalive", server.name());
            let after = socket.tcp_keepalive_time().expect("an option").as_secs();
            assert!(after <= 60, "{}: {stream:?}: {after} s until a probe", server.name());
            let inline = socket.out_of_band_inline().expect("an option");
            assert!(inline, "{}: {stream:?} loses urgent bytes", server.name());
            let unsent = socket.tcp_notsent_lowat().expect("an option");
            assert!(unsent <= 128 * 1024, "{}: {stream:?}: {unsent} bytes wait", server.name());
        }
    }
}

#[test]
fn an_urgent_byte_is_forwarded_in_its_place() {
    let service = TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
    let folder = Folder::new();
    let web = service.local_addr().expect("a listener has an address");
    let forwards = Forwards::start(&folder, None, web);
    let mut client = forwards.connect();
    let (mut served, _) = service.accept().expect("forward dials the service");
    served.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time-out");
    client.write_all(b"abc").expect("forward takes it");
    served.read_exact(&mut [0; 3]).expect("forward delivers it");
    SockRef::from(&client).send_out_of_band(b"!").expect("forward takes it");
    client.write_all(b"def").expect("forward takes it");
    drop(client);
    let mut rest = String::new();
    served.read_to_string(&mut rest).expect("forward delivers it");
    assert_eq!(rest, "!def");
}

/// A machine on which only these ports are used for outgoing connections, so that one of them is
/// soon that of its own destination.
fn machine(net: &mut Net) -> Machine {
    let lan = net.lan();
    net.machine("few", lan)
}

/// From now on, the kernel takes local ports from a few only. Listeners on any free port are made
/// before: one of them might get [`DEAD`].
fn take_few_ports(machine: &Machine) {
    let set = "echo 40000 40031 > /proc/sys/net/ipv4/ip_local_port_range";
    let status = machine.command("sh").args(["-c", set]).status().expect("sh runs");
    assert!(status.success(), "{set}");
}

/// A port of these on which nothing listens.
const DEAD: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 40_008);

#[test]
fn forward_never_connects_to_itself() {
    let Some(mut net) = Net::or_skip("connections of a socket to itself") else { return };
    let machine = machine(&mut net);
    let folder = Folder::new();
    let forwards = Forwards::start(&folder, Some(&machine), DEAD);
    take_few_ports(&machine);
    machine.within(|| {
        for number in 0..150 {
            let mut client = forwards.connect();
            let mut heard = [0; 5];
            // The reset may come before the write, which is then the one that reports it.
            match client.write_all(b"hello").and_then(|()| client.read(&mut heard)) {
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
                other => panic!("client {number}: {other:?}, {heard:?}: no service runs"),
            }
        }
        let service = TcpListener::bind(DEAD).expect("the port is free");
        let mut client = forwards.connect();
        client.write_all(b"hello").expect("forward takes it");
        let (mut served, _) = service.accept().expect("forward dials the service");
        served.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time-out");
        let mut heard = [0; 5];
        served.read_exact(&mut heard).expect("forward delivers it");
        assert_eq!(&heard, b"hello");
    });
}

#[test]
fn a_link_is_never_dialled_to_itself() {
    let Some(mut net) = Net::or_skip("links of a socket to itself") else { return };
    let machine = machine(&mut net);
    take_few_ports(&machine);
    let folder = Folder::new();
    let beta = Setup::new("beta");
    let alpha = Setup::new("alpha").variable("RUST_LOG", "debug".as_ref());
    let alpha = alpha.limit("handshake-ms = 200").peer_with(beta.key_in(&folder), DEAD).keep();
    let alpha = alpha.quick_redials(1, 5);
    let beta = beta.peer_key(alpha.key_in(&folder)).listen(&format!("net:{DEAD}~shs")).keep();
    let alpha = Server::start_on(&machine, &folder, &alpha);
    // At 5 ms a try, one in some 30 would be connected to itself.
    let tried = alpha.process().sleeps() + 400;
    wait_until("400 turns of the loop", || alpha.process().sleeps() > tried);
    let log = alpha.log().text();
    for wrong in ["handshake", "protocol-violation"] {
        assert!(!log.contains(wrong), "it was connected to itself:\n{log}");
    }
    let _beta = Server::start_on(&machine, &folder, &beta);
    alpha.wait_until("the link is up", |status| status.links.iter().any(|link| link.state == "up"));
}

/// A port that is free for both families now.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).expect("a port");
    listener.local_addr().expect("a listener has an address").port()
}

fn has_ipv6() -> bool {
    let found = TcpListener::bind((Ipv6Addr::LOCALHOST, 0));
    found.inspect_err(|_| skip::aloud("listening on IPv6", "there is no IPv6 here")).is_ok()
}

#[test]
fn both_families_are_listened_on_whether_one_or_both_are_listed() {
    if !has_ipv6() {
        return;
    }
    for hosts in [&["[::]"][..], &["0.0.0.0", "[::]"], &["[::]", "0.0.0.0"]] {
        let (folder, port, to) = (Folder::new(), free_port(), free_port());
        let mut setup = Setup::new("alpha");
        let mut listen = String::new();
        for host in hosts {
            setup = setup.listen(&format!("net:{host}:{port}~shs"));
            listen +=
                &format!("[[plugin.config.listen]]\naddress = \"{host}:{to}\"\nto = \"web\"\n");
        }
        let setup = setup.plugin(&plugin("forward"), &format!("required = true\n{listen}"));
        let alpha = Server::start(&folder, &setup);
        for port in [port, to] {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("IPv4 is listened on");
            TcpStream::connect((Ipv6Addr::LOCALHOST, port)).expect("IPv6 is listened on");
        }
        let addresses = alpha.status().server.addresses;
        let mut once = addresses.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), addresses.len(), "{hosts:?}: {addresses:?}");
        let of_v4 = addresses.iter().filter(|address| address.contains("net:127.0.0.1:"));
        assert_eq!(of_v4.count(), 1, "{hosts:?}: {addresses:?}");
    }
}

#[test]
fn a_lack_of_descriptors_is_one_warning_until_it_ends() {
    let folder = Folder::new();
    let alpha = Server::start(&folder, &Setup::new("alpha").plugin(&plugin("echo"), ""));
    let process = alpha.process();
    process.limit_descriptors(process.descriptors() + 3);
    let connect = |_| UnixStream::connect(alpha.socket()).expect("the queue has room");
    let mark = alpha.log().mark();
    let waiting: Vec<_> = (0..20).map(connect).collect();
    alpha.log().wait_for(mark, "cannot accept on unix:");
    let slept = process.sleeps();
    // It tries again every 100 ms.
    wait_until("it tries 25 times", || process.sleeps() >= slept + 25);
    assert!(process.sleeps() < slept + 100, "it spins");
    let warnings =
        |lines: Vec<String>| lines.iter().filter(|line| line.contains("cannot accept on ")).count();
    let lines = alpha.log().since(mark);
    assert_eq!(warnings(lines.clone()), 1, "{}", lines.join("\n"));
    let over = alpha.log().mark();
    drop(waiting);
    alpha.log().wait_for(over, "connections are accepted again on unix:");
    let again = alpha.log().mark();
    let waiting: Vec<_> = (0..20).map(connect).collect();
    alpha.log().wait_for(again, "cannot accept on unix:");
    drop(waiting);
    let served = |status: &trunkline_tests::harness::Status| status.links.is_empty();
    alpha.wait_until("it serves again", served);
}
