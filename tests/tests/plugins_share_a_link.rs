//! Many channels over one link, and the cost of channels that are not read.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use std::time::Instant;
use trunkline_core::control::{Answer, Origin, Preface, Request};
use trunkline_core::limits::WINDOW;
use trunkline_tests::binaries::plugin;
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Chan, Peer, PeerEvent, Server, Setup, Socket, Status};

const MIB: u64 = 1 << 20;

/// What a server may need besides the counted bytes: buffers, and what the allocator keeps.
const SLACK: u64 = 8 * MIB;

fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB as f64
}

#[test]
fn ten_thousand_channels_share_a_link_and_each_gets_its_own_bytes_back() {
    const CHANNELS: usize = 10_000;
    // Every 500th channel carries 128 times as many, which is more than its first window.
    const BYTES: u64 = 2048;
    // The most that an idle channel may cost a server after use, with what its plugin keeps, in
    // bytes.
    const PER_CHANNEL: u64 = 1024;
    let folder = Folder::new();
    let crowd = fixtures::plugin(Api::Ours, "crowd");
    let config = format!("[plugin.config]\nto = \"echo\"\nchannels = {CHANNELS}\nbytes = {BYTES}");
    let alpha = Setup::new("alpha").peer("beta").plugin(&crowd, &config);
    let alpha = Server::start(&folder, &alpha);
    let before = alpha.memory();
    let begun = Instant::now();
    let beta = Server::start(&folder, &Setup::new("beta").plugin(&plugin("echo"), ""));
    let beta_before = beta.memory();
    alpha.log().wait_for(0, "all 10000 channels are open");
    let opened = begun.elapsed();
    let line = alpha.log().wait_for(0, "all channels gave back what they were sent");
    println!(
        "10,000 channels: open after {opened:?}, all done after {:?}: {line}",
        begun.elapsed()
    );

    // The memory is read first, because a status of that many channels needs some.
    let on = |server: &Server| {
        let memory = server.memory();
        let status = server.status();
        assert_eq!(status.channels.len(), CHANNELS, "all are open at the same time");
        assert_eq!(status.links.len(), 1, "over one link: {:?}", status.links);
        assert_eq!(status.links[0].streams, CHANNELS);
        assert!(status.channels.iter().all(|channel| channel.route == "link"));
        memory
    };
    let (after, beta_after) = (on(&alpha), on(&beta));
    println!(
        "memory with 10,000 idle channels: alpha {:.1} -> {:.1} MiB, beta {:.1} -> {:.1} MiB",
        mib(before),
        mib(after),
        mib(beta_before),
        mib(beta_after)
    );
    let bound = CHANNELS as u64 * PER_CHANNEL + SLACK;
    assert!(after - before < bound, "alpha grew by {:.1} MiB", mib(after - before));
    assert!(
        beta_after - beta_before < bound,
        "beta grew by {:.1} MiB",
        mib(beta_after - beta_before)
    );

    // When another server links, the plugin closes all of them.
    let _peer = Peer::link(Socket::unix(&alpha), 9);
    alpha.log().wait_for(0, "all channels are over");
    let nothing_left = |status: &Status| status.channels.is_empty();
    alpha.wait_until("alpha has no channels", nothing_left);
    beta.wait_until("beta has no channels", nothing_left);
    let log = alpha.log().text();
    assert!(!log.contains("ERROR"), "{log}");
    println!("all over after {:?}", begun.elapsed());
}

/// Fills a channel to a plugin that never reads; returns how many bytes were taken.
fn fill(peer: &mut Peer, chan: Chan) -> u64 {
    let accepted = |event: &PeerEvent| *event == PeerEvent::Answer(chan.tag, Answer::Accept(None));
    peer.wait_for("that the channel is accepted", accepted);
    peer.write_out(chan)
}

#[test]
fn a_plugin_that_never_reads_stops_its_own_channel_only() {
    const CHANNELS: u64 = 500;
    let folder = Folder::new();
    let never_reads = fixtures::plugin(Api::Ours, "never-reads");
    let setup = Setup::new("alpha").plugin(&plugin("echo"), "").plugin(&never_reads, "");
    let alpha = Server::start(&folder, &setup);
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    let data: Vec<u8> = (0..4 * MIB).map(|at| (at % 251) as u8).collect();
    // The first round trips make the buffers that the link keeps.
    peer.echo("echo", &data);
    let before = alpha.memory();

    let stuck: Vec<Chan> = (0..CHANNELS).map(|_| peer.open("never-reads")).collect();
    let taken: u64 = stuck.iter().map(|chan| fill(&mut peer, *chan)).sum();
    let begun = Instant::now();
    peer.echo("echo", &data);
    let took = begun.elapsed();
    // The server's messages about the stuck channels came before the echo.
    for chan in &stuck {
        assert_eq!(peer.credit_of(*chan), 0, "nobody read, but there is credit again");
    }
    let after = alpha.memory();
    let windows = CHANNELS * WINDOW;
    println!(
        "{CHANNELS} channels that nobody reads took {:.1} MiB; memory {:.1} -> {:.1} MiB, at most \
         {:.1} more allowed; beside them, 4 MiB came back in {took:?}",
        mib(taken),
        mib(before),
        mib(after),
        mib(windows + SLACK)
    );
    assert!(taken <= windows, "each takes one window of {WINDOW} bytes, but all took {taken}");
    assert!(after.saturating_sub(before) < windows + SLACK);
    let status = alpha.status();
    assert_eq!(status.channels.len() as u64, CHANNELS, "all of them are still there");
    drop(peer);
    alpha.wait_until("they are gone with their link", |status| status.channels.is_empty());
}

#[test]
fn a_peer_that_gives_no_credit_stops_its_own_channel_only() {
    let folder = Folder::new();
    let alpha = Server::start(&folder, &Setup::new("alpha").plugin(&plugin("echo"), ""));
    let mut peer = Peer::link(Socket::unix(&alpha), 9);
    let data = vec![3; MIB as usize];
    peer.echo("echo", &data);
    let before = alpha.memory();
    let stuck: Vec<Chan> = (0..100).map(|_| peer.open_without_credit("echo")).collect();
    let taken: u64 = stuck.iter().map(|chan| fill(&mut peer, *chan)).sum();
    peer.echo("echo", &data);
    for chan in &stuck {
        assert_eq!(peer.credit_of(*chan), 0, "what cannot go back must not be let in");
    }
    let after = alpha.memory();
    println!(
        "100 echoes that may not answer took {:.1} MiB; memory {:.1} -> {:.1} MiB",
        mib(taken),
        mib(before),
        mib(after)
    );
    assert!(taken <= 100 * WINDOW);
    assert!(after.saturating_sub(before) < 100 * WINDOW + SLACK);
}

/// The peer lets the server write much more than the socket takes, and then reads nothing.
#[test]
fn a_peer_that_never_reads_costs_one_outbox_and_its_windows() {
    const CHANNELS: u64 = 64;
    let folder = Folder::new();
    let alpha = Server::start(&folder, &Setup::new("alpha").plugin(&plugin("echo"), ""));
    let mut good = Peer::link(Socket::unix(&alpha), 9);
    let data = vec![3; MIB as usize];
    good.echo("echo", &data);
    let before = alpha.memory();
    let mut deaf = Peer::link(Socket::unix(&alpha), 8);
    let chans: Vec<Chan> = (0..CHANNELS).map(|_| deaf.open("echo")).collect();
    chans.iter().for_each(|chan| deaf.grant(*chan, 16 * MIB));
    let sent: u64 = chans.iter().map(|chan| deaf.write_out(*chan)).sum();
    // The server takes everything that it sent, even if the answers are not read.
    alpha.wait_until("the server has read all of it", |status| {
        let of_deaf = status.channels.iter().map(|channel| channel.bytes_out);
        of_deaf.sum::<u64>() == sent
    });
    good.echo("echo", &data);
    let after = alpha.memory();
    println!(
        "{CHANNELS} echoes to a peer that does not read took {:.1} MiB; memory {:.1} -> {:.1} MiB",
        mib(sent),
        mib(before),
        mib(after)
    );
    assert_eq!(sent, CHANNELS * WINDOW - preface_bytes() * CHANNELS, "one window each, no more");
    assert!(after.saturating_sub(before) < CHANNELS * WINDOW + SLACK);
}

/// What a channel's first frame takes of its first window.
fn preface_bytes() -> u64 {
    let name = |text: &str| text.parse().expect("a name");
    let request = Request::new(name("echo"), 0, Origin::new(name("test"), 1));
    Preface::channel(request).frame().len() as u64
}

/// One plugin writes as much as it can to one that never reads, on another server and on its own.
#[test]
fn a_greedy_plugin_is_limited_by_its_channels_windows() {
    const CHANNELS: u64 = 200;
    let folder = Folder::new();
    let greedy = fixtures::plugin(Api::Ours, "greedy");
    let never_reads = fixtures::plugin(Api::Ours, "never-reads");
    let limit = format!("streams-per-link = {CHANNELS}");
    let alpha = Setup::new("alpha").limit(&limit).peer("beta");
    let alpha = alpha.plugin(&greedy, "[plugin.config]\nto = \"never-reads\"");
    let alpha = Server::start(&folder, &alpha.plugin(&plugin("echo"), ""));
    let before = alpha.memory();
    let beta = Setup::new("beta").plugin(&never_reads, "").plugin(&plugin("echo"), "");
    let beta = Server::start(&folder, &beta);
    let beta_before = beta.memory();
    let full = |status: &Status| {
        status.channels.len() as u64 == CHANNELS
            && status.channels.iter().all(|channel| channel.bytes_out >= WINDOW - 4096)
    };
    beta.wait_until("every channel is full", full);
    let (after, beta_after) = (alpha.memory(), beta.memory());
    println!(
        "{CHANNELS} greedy channels: alpha {:.1} -> {:.1} MiB, beta {:.1} -> {:.1} MiB",
        mib(before),
        mib(after),
        mib(beta_before),
        mib(beta_after)
    );
    assert!(after.saturating_sub(before) < CHANNELS * WINDOW + SLACK);
    assert!(beta_after.saturating_sub(beta_before) < CHANNELS * WINDOW + SLACK);
    for server in [&alpha, &beta] {
        Peer::link(Socket::unix(server), 9).echo("echo", b"others are served");
    }
}
