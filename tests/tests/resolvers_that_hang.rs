//! A name server that does not answer holds up nothing, and costs few threads; a name that changes
//! its address is dialled where it is now.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use std::fs;
use std::net::UdpSocket;
use std::time::{Duration, Instant};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Server, Setup, Status, key_of, wait_until};
use trunkline_tests::netns::{Machine, Net};

/// Threads that resolve names, at most: those of names that the configuration lists.
const RESOLVERS: usize = 4;

/// How many names the server looks for.
const NAMES: u8 = 6;

/// The longest time of an answer or an end, on a busy machine.
const SOON: Duration = Duration::from_secs(10);

fn threads(server: &Server) -> usize {
    let folder = format!("/proc/{}/task", server.process().0);
    fs::read_dir(folder).expect("a process has threads").count()
}

/// Gives a machine a name server at its own address, which is `mute`, and a file of names.
fn resolve_by(machine: &Machine, folder: &Folder) -> UdpSocket {
    let mute = machine.within(|| UdpSocket::bind((machine.address(), 53)));
    let mute = mute.expect("the machine is root's");
    let server = format!("nameserver {}\noptions timeout:2 attempts:1\n", machine.address());
    let conf = folder.write("resolv.conf", server);
    let hosts = folder.write("hosts", "127.0.0.1 localhost\n");
    for (file, over) in [(conf, "/etc/resolv.conf"), (hosts, "/etc/hosts")] {
        let status = machine.command("mount").arg("--bind").arg(file).arg(over).status();
        assert!(status.is_ok_and(|status| status.success()), "{over}");
    }
    mute
}

/// How often a name was asked for.
fn questions(mute: &UdpSocket) -> usize {
    mute.set_nonblocking(true).expect("a socket can be non-blocking");
    std::iter::from_fn(|| mute.recv(&mut [0; 512]).ok()).count()
}

#[test]
fn a_name_server_that_is_mute_holds_up_nothing_and_names_are_dialled_where_they_are_now() {
    let Some(mut net) = Net::or_skip("a name server that does not answer") else { return };
    let lan = net.lan();
    let machine = net.machine("alone", lan);
    let folder = Folder::new();
    let mute = resolve_by(&machine, &folder);
    let beta = Setup::new("beta").key_in(&folder);
    let mut alpha = Setup::new("alpha").quick_redials(50, 100);
    for number in 0..NAMES {
        let key = if number == 0 { beta } else { key_of(90 + number) };
        alpha = alpha.peer_at(&format!("net:beta-{number}.example:8008~shs:{key}")).keep();
    }
    let of_alpha = alpha.key_in(&folder);
    let mut alpha = Server::start_on(&machine, &folder, &alpha);
    let begin = threads(&alpha);
    wait_until("its resolver has asked", || questions(&mute) > 0);
    let mut asked = 0;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        let answered = Instant::now();
        let _ = alpha.status();
        assert!(answered.elapsed() < SOON, "status took {:?}", answered.elapsed());
        asked += questions(&mute);
        assert!(threads(&alpha) <= begin + RESOLVERS, "{} threads", threads(&alpha));
    }
    println!("{asked} questions, {begin} to {} threads", threads(&alpha));

    let listens = |at: &str| {
        Setup::new("beta").listen(&format!("net:{at}:8008~shs")).peer_key(of_alpha).keep()
    };
    let mut beta = Server::start_on(&machine, &folder, &listens("127.0.0.2"));
    // A file of names is read without the name server, once the first question is over.
    folder.write("hosts", "127.0.0.2 beta-0.example\n");
    let up = |status: &Status| status.link_to("beta").is_some();
    alpha.wait_until("the name is dialled", up);
    beta.kill();
    folder.write("hosts", "127.0.0.3 beta-0.example\n");
    let _beta = Server::start_on(&machine, &folder, &listens("127.0.0.3"));
    alpha.wait_until("the name is dialled at its new address", up);
    let begun = Instant::now();
    alpha.signal(rustix::process::Signal::TERM);
    assert_eq!(alpha.wait_for_end(), 0, "{}", alpha.log().text());
    assert!(begun.elapsed() < SOON, "it took {:?}", begun.elapsed());
}
