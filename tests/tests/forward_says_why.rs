//! Why `forward` carries a connection nowhere: it names the link that is down, and the reason.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use trunkline_tests::binaries::plugin;
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{PATIENCE, Server, Setup};

/// Where alpha's `forward` listens.
fn listener_of(alpha: &Server) -> SocketAddr {
    let line = alpha.log().wait_for(0, "plugin::forward] listening on ");
    let address = line.split(" listening on ").nth(1).and_then(|rest| rest.split(' ').next());
    address.and_then(|address| address.parse().ok()).expect("the line names an address")
}

/// A client that is not served; returns what the log says of it.
fn refused(alpha: &Server) -> String {
    let mark = alpha.log().mark();
    let mut client = TcpStream::connect(listener_of(alpha)).expect("forward listens");
    client.set_read_timeout(Some(PATIENCE)).expect("a socket has time-outs");
    let end = client.read(&mut [0; 8]);
    assert!(!matches!(end, Ok(1..)), "nobody serves: {end:?}");
    alpha.log().wait_for(mark, " to web: ")
}

#[test]
fn forward_says_which_link_is_down_and_why() {
    for server in ["", ", server = \"beta\""] {
        let folder = Folder::new();
        let service = TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
        let at = service.local_addr().expect("a listener has an address");
        let serve = format!("[plugin.config]\nserve = {{ web = \"{at}\" }}");
        let beta = Setup::new("beta").plugin(&plugin("forward"), &serve);
        let mut beta = Server::start(&folder, &beta);
        let listen = format!(
            "[plugin.config]\nlisten = [{{ address = \"127.0.0.1:0\", to = \"web\"{server} }}]"
        );
        let alpha = Setup::new("alpha").peer("beta").plugin(&plugin("forward"), &listen);
        let alpha = Server::start(&folder, &alpha);
        alpha.wait_until("beta's forward is known", |status| status.knows_remote("forward"));
        beta.kill();
        alpha.wait_until("the link is lost", |status| status.link_to("beta").is_none());

        let line = refused(&alpha);
        assert!(line.contains("the link to beta is down: "), "{line}");
        assert!(line.contains("transport-lost"), "it says why: {line}");
        assert!(!line.contains("unknown-service"), "alpha's own answer is not the reason: {line}");
    }
}

#[test]
fn forward_without_any_other_server_says_that() {
    let folder = Folder::new();
    let listen = "[plugin.config]\nlisten = [{ address = \"127.0.0.1:0\", to = \"web\" }]";
    let alpha = Setup::new("alpha").plugin(&plugin("forward"), listen);
    let alpha = Server::start(&folder, &alpha);
    let line = refused(&alpha);
    assert!(line.contains("no-server: no linked server exposes a forward plugin"), "{line}");
}
