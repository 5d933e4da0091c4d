//! A host's registration is a request: its server's file grants names, exposure and permissions.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use std::io::{ErrorKind, Write};
use std::net::TcpListener;
use trunkline_core::bymux::{MuxRole, Packet, StreamId};
use trunkline_core::control::{
    Announced, Hello, Message, OpenLink, Plugins, Registration, Rejected, Role,
};
use trunkline_core::key::Key;
use trunkline_core::reason::Code;
use trunkline_tests::binaries::plugin;
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Peer, PeerEvent, Process, Server, Setup, Socket, hello, key_of};

/// The key of a host that the server lists.
const HOST: u8 = 11;

/// A plugin that every server may see and that may open links, as a host asks for it.
fn asking_for_all(name: &str) -> Announced {
    let allow = vec!["links".to_owned()];
    let registration = Registration { peers: true, allow, ..Registration::default() };
    let announced = Announced::new(name.parse().expect("a name"), 7);
    Announced { registration: Some(registration), ..announced }
}

fn registers(name: &str) -> Message {
    Message::Plugins(Plugins { plugins: vec![asking_for_all(name)] })
}

fn opens_link(plugin: &str, address: &str) -> Message {
    let plugin = plugin.parse().expect("a name");
    Message::OpenLink(OpenLink { plugin, address: address.into() })
}

/// Says something in place of a host, on the socket that it has to its server.
fn forge(host: Process, server: &Server, message: &Message) {
    let frame = message.frame();
    let stream = StreamId::CONTROL;
    let header = Packet::Write { stream, length: frame.len() as u64 }.encode();
    let bytes = [header.as_bytes(), &frame].concat();
    host.uplink(server.process()).write_all(&bytes).expect("the server reads");
}

/// The plugins that a server which links now is told of.
fn seen_by_a_peer(server: &Server, key: u8) -> Vec<(String, u64)> {
    let hello = hello(Key([key; 32]));
    let mut peer = Peer::send_hello(Socket::unix(server), MuxRole::Dialler, hello);
    let event = peer.wait_for("hello", |h| matches!(h, PeerEvent::Message(Message::Hello(_))));
    let PeerEvent::Message(Message::Hello(hello)) = event else { return Vec::new() };
    let mut known = hello.plugins;
    // What only some keys may see follows when the server knows the key; then comes the answer.
    peer.open("no-such-plugin");
    loop {
        match peer.next_event() {
            PeerEvent::Message(Message::Plugins(told)) => known.extend(told.plugins),
            PeerEvent::Answer(..) => break,
            _ => {}
        }
    }
    known.iter().map(|known| (known.name.to_string(), known.version)).collect()
}

#[test]
fn a_process_has_the_rights_of_the_file_whatever_it_asks_for() {
    const SEES: u8 = 21;
    const SEES_NOTHING: u8 = 22;
    let folder = Folder::new();
    let place = "placement = \"process\"";
    let setup = Setup::new("alpha").plugin_for_key(Key([SEES; 32]), &plugin("echo"), place);
    let alpha = Server::start(&folder, &setup);
    alpha.wait_until("it runs", |status| status.is("echo", "running"));
    let [host] = alpha.process().children()[..] else { panic!("one process was started") };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
    let there = listener.local_addr().expect("a listener has an address");

    forge(host, &alpha, &registers("echo"));
    let line = alpha.log().wait_for(0, "asks for more expose, allow of its plugin echo");
    assert!(line.contains("WARN"), "{line}");
    forge(host, &alpha, &registers("echo"));
    let address = format!("net:{there}~shs:{}", Key([3; 32]));
    forge(host, &alpha, &opens_link("echo", &address));
    alpha.log().wait_for(0, "the plugin echo wanted a link to net:127.0.0.1:");
    forge(host, &alpha, &registers("other"));
    let line = alpha.log().wait_for(0, "a host's plugin other is not taken");
    assert!(line.contains("not-allowed"), "a process runs one plugin: {line}");

    assert_eq!(seen_by_a_peer(&alpha, SEES), [("echo".to_owned(), 7)]);
    assert_eq!(seen_by_a_peer(&alpha, SEES_NOTHING), []);
    listener.set_nonblocking(true).expect("a socket can be asked");
    let dialled = listener.accept().map(drop).map_err(|error| error.kind());
    assert_eq!(dialled, Err(ErrorKind::WouldBlock), "nobody is dialled");
    let log = alpha.log().text();
    assert_eq!(log.matches("asks for more").count(), 1, "it is said once: {log}");
}

#[test]
fn a_process_takes_no_name_of_another_plugin_of_the_file() {
    let folder = Folder::new();
    let named = |name: &str| format!("placement = \"process\"\nname = \"{name}\"");
    let setup = Setup::new("alpha")
        .plugin(&plugin("echo"), &named("first"))
        .plugin(&plugin("echo"), &named("second"));
    let alpha = Server::start(&folder, &setup);
    alpha.wait_until("both run", |status| {
        status.is("first", "running") && status.is("second", "running")
    });
    let hosts = alpha.process().children();
    for host in hosts {
        for name in ["first", "second", "third"] {
            forge(host, &alpha, &registers(name));
        }
        // The one that is its own wants a link: then all before that has been received.
        for name in ["first", "second"] {
            forge(host, &alpha, &opens_link(name, "nonsense"));
        }
    }
    for name in ["first", "second"] {
        alpha.log().wait_for(0, &format!("the plugin {name} wanted a link to nonsense"));
    }
    let refused = alpha.log().wait_for(0, "a host's plugin");
    assert!(refused.contains("not-allowed"), "{refused}");
    let status = alpha.status();
    assert!(!status.plugins.iter().any(|plugin| plugin.name == "third"), "{status:#?}");
}

/// A host over TCP, of the key that is listed.
fn host_over_tcp(server: &Server) -> Peer {
    let hello = Hello { role: Role::Host, ..hello(key_of(HOST)) };
    let mut host = Peer::send_hello(Socket::shs(server, HOST), MuxRole::Dialler, hello);
    host.wait_for("that all is told", |event| {
        matches!(event, PeerEvent::Message(Message::Linked(_)))
    });
    host
}

#[test]
fn a_listed_host_registers_what_its_table_grants() {
    let folder = Folder::new();
    let grants = "names = [\"mine\", \"yours\"]\nexpose = \"local\"\nallow = []";
    let setup = Setup::new("alpha").secured().host_key(key_of(HOST)).more(grants);
    let alpha = Server::start(&folder, &setup.plugin(&plugin("echo"), ""));
    let mut host = host_over_tcp(&alpha);
    host.send_message(&registers("mine"));
    host.send_message(&registers("theirs"));
    let rejected = |event: &PeerEvent| matches!(event, PeerEvent::Message(Message::Rejected(_)));
    let event = host.wait_for("that one is refused", rejected);
    let PeerEvent::Message(Message::Rejected(Rejected { name, reason })) = event else { return };
    assert_eq!(name.as_str(), "theirs");
    assert!(reason.is(Code::NotAllowed), "{reason}");
    alpha.log().wait_for(0, "asks for more expose, allow of its plugin mine");
    let status = alpha.status();
    assert!(status.is("mine", "running") && !status.is("theirs", "running"), "{status:#?}");
    assert_eq!(seen_by_a_peer(&alpha, 1), [("echo".to_owned(), 1)]);
    host.send_message(&opens_link("mine", &format!("net:203.0.113.1:9~shs:{}", Key([3; 32]))));
    let line = alpha.log().wait_for(0, "the plugin mine wanted a link");
    assert!(line.contains("not-allowed"), "{line}");
}

#[test]
fn a_listed_host_without_grants_and_one_over_unix_register_anything() {
    let folder = Folder::new();
    let setup = Setup::new("alpha").secured().host_key(key_of(HOST));
    let alpha = Server::start(&folder, &setup.plugin(&plugin("echo"), ""));
    let mut over_tcp = host_over_tcp(&alpha);
    over_tcp.send_message(&registers("one"));
    let hello = Hello { role: Role::Host, ..hello(Key([5; 32])) };
    let mut over_unix = Peer::send_hello(Socket::unix(&alpha), MuxRole::Dialler, hello);
    over_unix.send_message(&registers("two"));
    alpha.wait_until("both run", |status| {
        status.is("one", "running") && status.is("two", "running")
    });
    let mut seen = seen_by_a_peer(&alpha, 1);
    seen.sort();
    let all = [("echo", 1), ("one", 7), ("two", 7)];
    assert_eq!(seen, all.map(|(name, version)| (name.to_owned(), version)));
}
