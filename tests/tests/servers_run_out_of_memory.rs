//! A server whose memory is limited ends with a line that says so when that is used up, and the
//! next start finds everything in order.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use rustix::process::Signal;
use trunkline_tests::binaries::plugin;
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Peer, Server, Setup, Socket, Status};

/// What the server may take beyond what it has, in bytes.
const ROOM: u64 = 8 << 20;

/// Peers that never read. For each, most of an outbox of 1 MiB waits in the server.
const PEERS: u8 = 40;

/// Channels of each peer; 64 KiB come back over each.
const CHANNELS: usize = 16;

fn runs(status: &Status) -> bool {
    status.is("echo", "running") && status.is("apart", "running")
}

#[test]
fn a_server_without_memory_ends_with_one_line_and_the_next_start_finds_all_in_order() {
    let folder = Folder::new();
    let setup = Setup::new("alpha").plugin(&plugin("echo"), "");
    let apart = "name = \"apart\"\nplacement = \"process\"";
    let mut alpha = Server::start(&folder, &setup.plugin(&plugin("echo"), apart));
    alpha.wait_until("its process runs", runs);
    let children = alpha.process().children();
    let mut peers: Vec<Peer> =
        (0..PEERS).map(|number| Peer::link(Socket::unix(&alpha), 100 + number)).collect();
    let mark = alpha.log().mark();
    alpha.process().limit_memory(ROOM);
    for peer in &mut peers {
        for _ in 0..CHANNELS {
            let chan = peer.open("echo");
            peer.write_out(chan);
        }
    }
    assert_eq!(alpha.wait_for_fatal_signal(), Signal::ABORT.as_raw(), "{}", alpha.log().text());
    let lines = alpha.log().since(mark);
    let said: Vec<_> = lines.iter().filter(|line| line.contains("memory allocation of ")).collect();
    println!("{said:?}");
    assert_eq!(said.len(), 1, "{lines:#?}");
    let others: Vec<_> = lines.iter().filter(|line| line.contains("ERROR")).collect();
    assert!(others.is_empty(), "{others:#?}");
    for child in children {
        let _ = child.wait_for_end();
    }
    drop(peers);
    let alpha = alpha.start_again();
    alpha.wait_until("its plugins run again", runs);
    assert!(!alpha.log().text().contains("WARN"), "{}", alpha.log().text());
}
