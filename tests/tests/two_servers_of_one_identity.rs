//! Two servers with copies of one key, or with one name, are reported, and neither is taken for the
//! other silently.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::time::{Duration, Instant};
use trunkline_tests::binaries::plugin;
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{PATIENCE, Server, Setup};

/// Begins the record of a link in the audit, which leaves none out.
const LINK_UP: &str = "audit] link-up ";

/// The links that the hub sees in the first part of the test, and in the second one.
const LINKS: usize = 7;

/// Waits until a server has had so many links more; returns how long that took.
fn links(hub: &Server, mut mark: usize, links: usize) -> (usize, Duration) {
    let begun = Instant::now();
    for _ in 0..links {
        hub.log().wait_for(mark, LINK_UP);
        let lines = hub.log().since(mark);
        mark += lines.iter().position(|line| line.contains(LINK_UP)).expect("it was found") + 1;
    }
    (mark, begun.elapsed())
}

#[test]
fn two_servers_with_one_key_are_one_warning_and_take_turns_ever_more_rarely() {
    let folder = Folder::new();
    let hub = Server::start(&folder, &Setup::new("hub").plugin(&plugin("echo"), ""));
    let dials = |name| Setup::new(name).quick_redials(50, 30_000).peer("hub").keep();
    let key = dials("first").key_in(&folder);
    // As an image of a machine does that has a key in it.
    let copied = fs::copy(folder.path().join("first.key"), folder.path().join("second.key"));
    copied.expect("it is ours");
    let _servers = ["first", "second"].map(|name| Server::start(&folder, &dials(name)));
    let (mark, early) = links(&hub, 0, LINKS);
    let (_, late) = links(&hub, mark, LINKS);
    println!("{LINKS} links in {early:?}, as many more in {late:?}");
    // If each pause is twice the one before, the second half takes about eight times as long.
    assert!(late > 3 * early, "they replace each other as often as before: {early:?}, {late:?}");
    let lines = hub.log().since(0);
    let told: Vec<_> = lines.iter().filter(|line| line.contains("two servers use")).collect();
    let [line] = told[..] else { panic!("one line: {told:#?}") };
    assert!(line.contains("WARN") && line.contains(&key.to_string()), "{line}");
}

#[test]
fn forward_to_a_name_that_two_servers_have_carries_nothing_and_says_what_to_write() {
    let folders = [Folder::new(), Folder::new()];
    let services = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").expect("a port of loopback"));
    let betas: Vec<Server> = folders
        .iter()
        .zip(&services)
        .map(|(folder, service)| {
            let at = service.local_addr().expect("a listener has an address");
            let serve = format!("[plugin.config]\nserve = {{ web = \"{at}\" }}");
            Server::start(folder, &Setup::new("beta").plugin(&plugin("forward"), &serve))
        })
        .collect();
    let folder = Folder::new();
    let listen =
        "[[plugin.config.listen]]\naddress = \"127.0.0.1:0\"\nto = \"web\"\nserver = \"beta\"";
    let alpha = betas.iter().fold(Setup::new("alpha"), |setup, beta| {
        setup.peer_at(&format!("unix:{}~noauth", beta.socket().display()))
    });
    let alpha = Server::start(&folder, &alpha.plugin(&plugin("forward"), listen));
    alpha.wait_until("both betas are linked", |status| {
        status.plugins.iter().filter(|plugin| plugin.placement == "remote").count() == 2
    });
    let line = alpha.log().wait_for(0, "plugin::forward] listening on ");
    let at = line.split(" listening on ").nth(1).and_then(|rest| rest.split(' ').next());
    let at = at.expect("the line names an address");
    let mark = alpha.log().mark();
    let mut client = std::net::TcpStream::connect(at).expect("forward listens");
    client.set_read_timeout(Some(PATIENCE)).expect("a socket has time-outs");
    let end = client.read(&mut [0; 8]);
    assert!(!matches!(end, Ok(1..)), "it is not known which one is meant: {end:?}");
    let line = alpha.log().wait_for(mark, " to web: ");
    assert!(line.contains("unknown-server: 2 servers are named beta, use the key"), "{line}");
}
