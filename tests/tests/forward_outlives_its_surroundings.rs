//! Clients and services of `forward` that go away, and machines that lack ports or descriptors.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use rustix::process::Signal;
use socket2::{Domain, Socket as Raw, Type};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Instant;
use trunkline_tests::binaries::plugin;
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Forwards, PATIENCE, Server, Setup, Status, free_port, wait_until};
use trunkline_tests::netns::Net;

/// A listener on loopback, and its address.
fn service() -> (TcpListener, SocketAddr) {
    let service = TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
    let at = service.local_addr().expect("a listener has an address");
    (service, at)
}

/// Answers each connection with what it sends, until the test ends.
fn echo(service: TcpListener) {
    std::thread::spawn(move || {
        for client in service.incoming().flatten() {
            std::thread::spawn(move || {
                let reader = client.try_clone();
                reader.and_then(|mut reader| std::io::copy(&mut reader, &mut &client))
            });
        }
    });
}

/// Whether a client gets a byte back.
fn is_echoed(client: &mut TcpStream, byte: u8) -> bool {
    let mut back = [0];
    client.write_all(&[byte]).and_then(|()| client.read_exact(&mut back)).is_ok() && back == [byte]
}

fn has_no_channels(status: &Status) -> bool {
    status.channels.is_empty()
}

#[test]
fn a_client_whose_service_has_gone_is_told_soon_however_it_writes() {
    let (service, web) = service();
    let folder = Folder::new();
    let forwards = Forwards::start(&folder, None, web);
    std::thread::spawn(move || {
        for mut client in service.incoming().flatten() {
            let mut read = [0; 1000];
            (0..5).for_each(|_| drop(client.read(&mut read)));
        }
    });
    for block in [10, 100_000] {
        let mut client = forwards.connect();
        let (begun, bytes) = (Instant::now(), vec![b'x'; block]);
        let why = loop {
            assert!(begun.elapsed() < PATIENCE, "it is not told");
            if let Err(why) = client.write_all(&bytes) {
                break why;
            }
        };
        println!("{block} bytes at a time: told after {:?}: {why}", begun.elapsed());
        let told = matches!(why.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
        assert!(told, "its writes stall: {why}");
    }
    for server in [&forwards.alpha, &forwards.beta] {
        server.wait_until("nothing is left", has_no_channels);
    }
}

#[test]
fn a_server_that_is_started_again_listens_at_once_although_clients_were_connected() {
    let (service, web) = service();
    echo(service);
    let folder = Folder::new();
    let Forwards { mut alpha, beta, at } = Forwards::listening(&folder, None, web, free_port());
    for how in ["kill", "SIGTERM"] {
        let connect = |_| TcpStream::connect(at).expect("forward listens");
        let mut clients: Vec<TcpStream> = (0..20).map(connect).collect();
        assert!(clients.iter_mut().all(|client| is_echoed(client, b'x')), "{how}: all are served");
        match how {
            "kill" => alpha.kill(),
            _ => {
                alpha.signal(Signal::TERM);
                assert_eq!(alpha.wait_for_end(), 0, "{}", alpha.log().text());
            }
        }
        // Its clients are still connected, or their ends are remembered by the kernel.
        alpha = alpha.start_again();
        let text = alpha.log().text();
        assert!(!text.contains("cannot"), "{how}: {text}");
        beta.wait_until("it has redialled", |status| status.knows_remote("forward"));
        alpha.wait_until("both are known", |status| status.knows_remote("forward"));
        assert!(is_echoed(&mut connect(0), b'y'), "{how}: a new client is served");
        for mut client in clients {
            let _ = client.set_read_timeout(Some(PATIENCE));
            let end = client.read(&mut [0]);
            assert!(
                !matches!(&end, Err(why) if why.kind() == ErrorKind::WouldBlock),
                "{how}: {end:?}"
            );
        }
    }
}

/// How many local ports a machine has in the next test, and how many clients come.
const PORTS: usize = 32;
const CLIENTS: u8 = 60;

/// A client from a port of its own, which is none of the few of the machine.
fn client(number: u8, at: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Raw::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    let from = (Ipv4Addr::new(127, 0, number, 9), 20_000 + u16::from(number));
    socket.bind(&SocketAddr::from(from).into())?;
    socket.connect(&at.into())?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

#[test]
fn when_local_ports_run_out_that_is_the_reason_that_is_told() {
    let Some(mut net) = Net::or_skip("a lack of local ports") else { return };
    let lan = net.lan();
    let machine = net.machine("few", lan);
    let folder = Folder::new();
    let (service, web) = machine.within(service);
    let forwards = Forwards::start(&folder, Some(&machine), web);
    let set = "cd /proc/sys/net/ipv4; echo 40000 40031 > ip_local_port_range; \
               echo 0 > tcp_tw_reuse";
    let status = machine.command("sh").args(["-c", set]).status().expect("sh runs");
    assert!(status.success(), "{set}");
    std::thread::spawn(move || {
        for mut client in service.incoming().flatten() {
            let mut read = [0; 10];
            let _ = client.read(&mut read).and_then(|_| client.write_all(b"ok"));
            let _ = client.read(&mut read);
        }
    });
    let mark = forwards.beta.log().mark();
    let served = machine.within(|| {
        (0..CLIENTS)
            .filter(|number| {
                let mut client = client(*number, forwards.at).expect("forward listens");
                let mut heard = [0; 2];
                let told = client.write_all(b"x").and_then(|()| client.read_exact(&mut heard));
                // Its socket to the service is the one that ends first, and keeps its port a while.
                let _ = client.shutdown(Shutdown::Write);
                let _ = client.read(&mut [0]);
                told.is_ok() && heard == *b"ok"
            })
            .count()
    });
    println!("{served} of {CLIENTS} were served with {PORTS} ports");
    assert!(served > 0 && served <= PORTS, "{served} were served");
    let line = forwards.beta.log().wait_for(mark, "Cannot assign requested address");
    assert!(!line.contains("does it run"), "the service runs: {line}");
}

/// The clients that come where there are few descriptors.
const CROWD: usize = 80;

#[test]
fn when_descriptors_run_out_a_server_waits_and_afterwards_serves_all_and_restarts_plugins() {
    let (service, web) = service();
    echo(service);
    let folder = Folder::new();
    let serve = format!("[plugin.config.serve]\nweb = \"{web}\"");
    let listen = "[[plugin.config.listen]]\naddress = \"127.0.0.1:0\"\nto = \"web\"";
    let setup = Setup::new("alpha").secured();
    let setup = setup.plugin(&plugin("forward"), &format!("{listen}\n{serve}"));
    let setup = setup.plugin(&plugin("echo"), "placement = \"process\"");
    let alpha = Server::start(&folder, &setup);
    alpha.wait_until("all run", |status| status.is("echo", "running"));
    let line = alpha.log().wait_for(0, " for web");
    let at = line.split("listening on ").nth(1).and_then(|rest| rest.split(' ').next());
    let at: SocketAddr = at.and_then(|text| text.parse().ok()).expect("the line names it");
    let process = alpha.process();
    let before = process.descriptors();
    process.limit_descriptors(before + 10);
    let (begun, mark) = (Instant::now(), alpha.log().mark());
    let connect = |_| TcpStream::connect(at).expect("the queue has room");
    let clients: Vec<TcpStream> = (0..CROWD).map(connect).collect();
    alpha.log().wait_for(mark, "Too many open files");
    let strangers: Vec<TcpStream> = (0..20)
        .map(|_| TcpStream::connect(alpha.tcp_address()).expect("the queue has room"))
        .collect();
    let slept = process.sleeps();
    wait_until("it tries again for a while", || process.sleeps() >= slept + 25);
    assert!(process.children()[0].signal(Signal::KILL));
    alpha.log().wait_for(mark, "the host of echo ended");
    wait_until("it tries again for a while", || process.sleeps() >= slept + 50);
    drop((clients, strangers));
    wait_until("the descriptors are free again", || process.descriptors() <= before);
    alpha.wait_until("its plugin runs again", |status| status.is("echo", "running"));
    // Those that waited are accepted first, and have gone.
    wait_until("a new client is served", || is_echoed(&mut connect(0), b'y'));
    for number in 0..20 {
        let are_free = || process.descriptors() <= before;
        wait_until("the descriptors of the client before are free", are_free);
        assert!(is_echoed(&mut connect(0), b'z'), "client {number} is served");
    }
    let lines = alpha.log().since(mark);
    let lack: Vec<_> = lines.iter().filter(|line| line.contains("Too many open files")).collect();
    println!("{lack:#?}");
    let mut kinds = BTreeMap::new();
    for line in &lack {
        let text = line.split("] ").nth(1).and_then(|text| text.split(" (and ").next());
        *kinds.entry(text.and_then(|text| text.split(" (").next())).or_insert(0) += 1;
    }
    let most = begun.elapsed().as_secs() + 2;
    assert!(kinds.values().all(|count| *count <= most), "more than one a second: {kinds:#?}");
    alpha.wait_until("nothing is left", has_no_channels);
}
