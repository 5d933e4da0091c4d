//! Channels that servers relay to a plugin that never reads: the writer is stopped, and no server
//! on the path holds more than the windows of the channels.

#![allow(clippy::expect_used)] // Helpers of tests may panic as well.

use std::cell::Cell;
use trunkline_core::limits::WINDOW;
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{HostSetup, Server, Setup, Status};

const CHANNELS: u64 = 64;

/// What a server may need besides the bytes: accounts of channels, and memory that it keeps.
const SLACK: u64 = 2 << 20;

fn all_are_full(status: &Status) -> bool {
    let full = status.channels.iter().filter(|channel| channel.bytes_out >= WINDOW / 2);
    full.count() as u64 == CHANNELS
}

fn sent(status: &Status) -> u64 {
    status.channels.iter().map(|channel| channel.bytes_out).sum()
}

#[test]
fn a_plugin_that_never_reads_stops_the_writer_and_fills_no_server() {
    let folder = Folder::new();
    let alpha = Server::start(&folder, &Setup::new("alpha"));
    let beta = Server::start(&folder, &Setup::new("beta").peer("alpha"));
    let table = "[plugin.config]\nto = \"never-reads\"";
    let setup = HostSetup::beside("writes", &alpha).limit("channels-per-plugin = 64");
    let setup = setup.plugin(&fixtures::plugin(Api::Ours, "greedy"), table);
    let greedy = Server::start_host(None, &folder, &setup);
    alpha.wait_until("it is known", |status| status.is("greedy", "running"));
    beta.wait_until("they are linked", |status| status.link_to("alpha").is_some());
    let before = [&alpha, &beta].map(Server::memory);

    let setup = HostSetup::beside("reads", &beta);
    let never = setup.plugin(&fixtures::plugin(Api::Ours, "never-reads"), "");
    let never = Server::start_host(None, &folder, &never);
    greedy.wait_until("all channels are full", all_are_full);
    // It writes as long as bytes are taken: two checks with the same sum are the end.
    let last = Cell::new(0);
    let end = greedy
        .wait_until("nothing more is taken", |status| last.replace(sent(status)) == sent(status));
    for server in [&alpha, &beta] {
        let status = server.status();
        assert_eq!(status.channels.len() as u64, CHANNELS);
    }
    let after = [&alpha, &beta].map(Server::memory);
    let grown = [0, 1].map(|at| after[at].saturating_sub(before[at]));
    let sum = sent(&end);
    eprintln!("{sum} bytes were taken; alpha and beta grew by {grown:?} bytes");
    // One window for each process on the path, and that of the plugin.
    assert!(sum <= CHANNELS * WINDOW * 5, "the writer was not stopped: {sum}");
    for grown in grown {
        assert!(grown <= CHANNELS * WINDOW + SLACK, "a server holds too much: {grown}");
    }
    assert_eq!(never.status().channels.len() as u64, CHANNELS);
}
