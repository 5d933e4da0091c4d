//! Links over TCP with keys: who is admitted, what each side logs of a refusal, and that the bytes
//! are encrypted.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use trunkline_core::control::{Hello, Message, Role};
use trunkline_core::key::Key;
use trunkline_core::reason::{Code, Reason};
use trunkline_tests::binaries::plugin;
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{
    PATIENCE, Peer, Proxy, RawPeer, Recorded, Server, Setup, Socket, hello, key_of, message_3,
    wait_until,
};

/// A peer that may link.
const LISTED: u8 = 9;
/// A peer that may not.
const UNLISTED: u8 = 10;

/// A server with an echo, to which `LISTED` may link.
fn beta(folder: &Folder, setup: Setup) -> Server {
    let setup = setup.secured().peer_key(key_of(LISTED)).plugin(&plugin("echo"), "");
    Server::start(folder, &setup)
}

/// Gives back everything that comes over one connection.
fn echo_over_tcp() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
    let address = listener.local_addr().expect("a listener has an address");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection comes");
        let mut out = stream.try_clone().expect("a descriptor");
        // The other side notices if this fails.
        let _ = std::io::copy(&mut stream, &mut out);
        let _ = out.shutdown(std::net::Shutdown::Write);
    });
    address
}

/// A text in which no eight bytes occur twice.
fn marked(bytes: usize) -> Vec<u8> {
    (0..bytes / 8).flat_map(|n| format!("m{n:07}").into_bytes()).collect()
}

/// Sends bytes to an address, and checks that they come back.
fn send_and_get_back(to: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(to).expect("forward listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time-out");
    let (mut out, sent) = (stream.try_clone().expect("a descriptor"), bytes.to_vec());
    let sender = std::thread::spawn(move || {
        out.write_all(&sent).expect("forward takes all");
        out.shutdown(std::net::Shutdown::Write).expect("the end is sent");
    });
    let mut back = Vec::new();
    stream.read_to_end(&mut back).expect("all comes back");
    sender.join().expect("all was sent");
    assert!(back == bytes, "{} bytes were sent, and {} others came back", bytes.len(), back.len());
}

/// Two servers with a proxy between them, whose `forward` plugins carry a payload there and back.
/// Returns what the proxy recorded.
fn carried_through_a_proxy(with_keys: bool, payload: &[u8]) -> Recorded {
    let folder = Folder::new();
    let forward = plugin("forward");
    let alpha = Setup::new("alpha-the-first");
    let serve = format!("[plugin.config]\nserve = {{ web = \"{}\" }}", echo_over_tcp());
    let beta = Setup::new("beta-the-second");
    let beta = match with_keys {
        true => beta.secured().peer_key(alpha.key_in(&folder)),
        false => beta.tcp(),
    };
    let beta = beta.plugin(&plugin("echo"), "").plugin(&forward, &serve);
    let beta = Server::start(&folder, &beta);
    let proxy = Proxy::start(beta.tcp_address());
    let alpha = match with_keys {
        true => alpha.peer_with(beta.key(), proxy.address()),
        false => alpha
            .server("insecure-loopback = true")
            .peer_at(&format!("net:{}~noauth", proxy.address())),
    };
    let listen = "[plugin.config]\n\
                  listen = [{ address = \"127.0.0.1:0\", to = \"web\", \
                  server = \"beta-the-second\" }]";
    let alpha = Server::start(&folder, &alpha.plugin(&forward, listen));
    alpha.wait_until("alpha knows beta's forward", |status| status.knows_remote("forward"));
    let line = alpha.log().wait_for(0, "plugin::forward] listening on ");
    let address = line.split(" listening on ").nth(1).and_then(|rest| rest.split(' ').next());
    let address = address.and_then(|address| address.parse().ok());
    send_and_get_back(address.expect("the line names an address"), payload);
    proxy.recorded()
}

/// How many groups of eight bytes of `secret`, from the first on, occur in `seen`.
fn leaked(secret: &[u8], seen: &[u8]) -> usize {
    let chunks: HashSet<&[u8]> = secret.chunks_exact(8).collect();
    seen.windows(8).filter(|window| chunks.contains(window)).count()
}

fn contains(seen: &[u8], text: &str) -> bool {
    seen.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn names_and_payload_are_encrypted_on_the_wire() {
    let payload = marked(512 * 1024);
    let names = ["echo", "forward", "alpha-the-first", "beta-the-second"];
    // Without keys all of this is readable, which shows that the test can find it.
    let open = carried_through_a_proxy(false, &payload);
    assert!(names.iter().any(|name| contains(&open.to_server, name)), "alpha says hello");
    assert!(leaked(&payload, &open.to_server) > 60_000, "the payload can be read");
    assert!(leaked(&payload, &open.to_client) > 60_000, "the payload can be read");

    let sealed = carried_through_a_proxy(true, &payload);
    for (seen, way) in [(&sealed.to_server, "to beta"), (&sealed.to_client, "to alpha")] {
        assert!(seen.len() > payload.len(), "all of it went through the proxy, {way}");
        for name in names {
            assert!(!contains(seen, name), "{name:?} can be read on the way {way}");
        }
        assert_eq!(leaked(&payload, seen), 0, "pieces of the payload can be read {way}");
        println!("{way}: {} bytes were seen, and nothing in them was found", seen.len());
    }
}

/// Waits until each side has logged why there is no link, and checks that beta keeps running.
fn both_say(alpha: &Server, theirs: &[&str], beta: &Server, ours: &[&str]) {
    for (server, what, wanted) in [(alpha, "cannot link to ", theirs), (beta, " ended: ", ours)] {
        let line = server.log().wait_for(0, what);
        for text in wanted {
            assert!(line.contains(text), "the log says {line:?} and not {text:?}");
        }
    }
    Peer::link(Socket::shs(beta, LISTED), LISTED).echo("echo", b"who is listed may link");
    // It has no reason while it is dialled again.
    let status = alpha.wait_until("the peer is shown with its reason", |status| {
        let reason = status.links.first().and_then(|link| link.reason.as_deref());
        reason.is_some_and(|reason| reason.contains("handshake-failed"))
    });
    assert_eq!(status.links.len(), 1, "the peer is shown once: {status:#?}");
    assert_ne!(status.links[0].state, "up", "{status:#?}");
}

#[test]
fn only_listed_keys_may_link() {
    let folder = Folder::new();
    let beta = beta(&folder, Setup::new("beta"));
    let alpha = Setup::new("alpha").peer_with(beta.key(), beta.tcp_address());
    let alpha = Server::start(&folder, &alpha);
    let ours = format!("not-allowed: {} may not link; list it as [[peer]]", alpha.key());
    let hint = format!("does not list ours, which is {}", alpha.key());
    both_say(&alpha, &["handshake-failed: ", &hint], &beta, &[&ours]);
}

#[test]
fn servers_of_two_networks_do_not_link() {
    let folder = Folder::new();
    let alpha = Setup::new("alpha");
    let beta = Setup::new("beta").peer_key(alpha.key_in(&folder));
    let beta = self::beta(&folder, beta);
    let network = format!("network = \"{}\"", Key([5; 32]));
    let alpha = alpha.server(&network).peer_with(beta.key(), beta.tcp_address());
    let alpha = Server::start(&folder, &alpha);
    let theirs = "it is of another network, or speaks no secret handshake";
    both_say(&alpha, &["handshake-failed: ", theirs], &beta, &["handshake-failed: ", "network"]);
}

#[test]
fn a_server_with_an_unexpected_key_is_not_linked() {
    let folder = Folder::new();
    let alpha = Setup::new("alpha");
    let beta = Setup::new("beta").peer_key(alpha.key_in(&folder));
    let beta = self::beta(&folder, beta);
    let alpha = alpha.peer_with(key_of(77), beta.tcp_address());
    let alpha = Server::start(&folder, &alpha);
    let theirs = "it has another key, or does not list ours";
    both_say(&alpha, &["handshake-failed: ", theirs], &beta, &["handshake-failed: "]);
}

#[test]
fn a_peer_that_cannot_be_linked_is_one_warning_until_something_changes() {
    const DIALS: usize = 6;
    let folder = Folder::new();
    let alpha = Setup::new("alpha").quick_redials(10, 20);
    let beta = Setup::new("beta").peer_key(alpha.key_in(&folder));
    let beta = self::beta(&folder, beta);
    let proxy = Proxy::start(beta.tcp_address());
    let alpha = Server::start(&folder, &alpha.peer_with(key_of(77), proxy.address()));
    wait_until("alpha has dialled often", || proxy.connections() >= DIALS);
    let lines = |about: &str| -> Vec<String> {
        alpha.log().since(0).into_iter().filter(|line| line.contains(about)).collect()
    };
    // The connections but the last one have been judged by then.
    alpha.log().wait_for(0, "cannot link to ");
    let told = lines("handshake-failed");
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains(" WARN ") && told[0].contains("cannot link to net:"), "{told:?}");

    drop(proxy);
    alpha.log().wait_for(0, "cannot reach a peer");
    let told = lines("cannot reach a peer");
    assert!(told.len() == 1 && told[0].contains(" WARN "), "another reason is told: {told:?}");
    assert_eq!(lines("handshake-failed").len(), 1, "nothing more of the first one");
}

#[test]
fn an_unlisted_dialler_receives_nothing_after_message_2() {
    let folder = Folder::new();
    let beta = beta(&folder, Setup::new("beta"));
    let mut stream = TcpStream::connect(beta.tcp_address()).expect("beta listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time-out");
    let third = message_3(&mut stream, &beta, UNLISTED).expect("message 2 is right");
    stream.write_all(&third).expect("message 3 is sent");
    let mut more = Vec::new();
    stream.read_to_end(&mut more).expect("beta hangs up");
    assert!(more.is_empty(), "beta said more to a key that may not link: {more:?}");
    beta.log().wait_for(0, "not-allowed: ");
    Peer::link(Socket::shs(&beta, LISTED), LISTED).echo("echo", b"others may");
}

/// The server's answer to this hello from the owner of a key.
fn answer_to(server: &Server, seed: u8, hello: Hello) -> Reason {
    let mut peer = RawPeer::new(Socket::shs(server, seed));
    peer.send_message(&Message::Hello(hello));
    peer.goodbye().expect("a goodbye is said")
}

#[test]
fn a_key_may_only_have_its_listed_role() {
    const HOST: u8 = 11;
    let folder = Folder::new();
    let beta = beta(&folder, Setup::new("beta").host_key(key_of(HOST)));
    let mut good = Peer::link(Socket::unix(&beta), 1);
    for (what, seed, hello, code, text) in [
        (
            "a server that says it is a host",
            LISTED,
            Hello { role: Role::Host, ..hello(key_of(LISTED)) },
            Code::NotAllowed,
            "not listed as a host",
        ),
        (
            "a host that says it is a server",
            HOST,
            hello(key_of(HOST)),
            Code::NotAllowed,
            "listed as a host",
        ),
        (
            "a server that names another key",
            LISTED,
            hello(key_of(UNLISTED)),
            Code::ProtocolViolation,
            "another key than the one that was proved",
        ),
        (
            "the command line",
            LISTED,
            Hello { role: Role::Command, ..hello(key_of(LISTED)) },
            Code::NotAllowed,
            "commands are taken over unix sockets only",
        ),
    ] {
        let mark = beta.log().mark();
        let reason = answer_to(&beta, seed, hello);
        assert!(reason.is(code) && reason.to_string().contains(text), "{what}: {reason}");
        beta.log().wait_for(mark, text);
        good.echo("echo", what.as_bytes());
    }
}
