//! Links over real sockets that are cut over and over, while bytes flow: descriptors and memory of
//! both servers are as before.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use std::time::Instant;
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Proxy, Server, Setup, Status};

/// How often the link is cut: each time the tests run, and in `make long`.
const FEW: usize = 100;
const MANY: usize = 1_000;

/// Cuts until all buffers have their size, and the log's ring is full.
const WARM_UP: usize = 150;

/// What the servers may have more afterwards: a dial may be in progress, and pages are not given
/// back at once.
const DESCRIPTORS: usize = 4;
const MEMORY: u64 = 4 << 20;

/// Two servers with a channel over their link, which goes through a proxy.
struct Scene {
    servers: [Server; 2],
    proxy: Proxy,
}

impl Scene {
    fn start(folder: &Folder) -> Scene {
        let meets = fixtures::plugin(Api::Ours, "meets");
        let config = "[plugin.config]\npours = true";
        let beta = Setup::new("beta").quick_redials(1, 5);
        let alpha = Setup::new("alpha").secured().peer_key(beta.key_in(folder));
        let table = format!("name = \"answers\"\n{config}");
        let alpha = Server::start(folder, &alpha.plugin(&meets, &table));
        let proxy = Proxy::start(alpha.tcp_address()).unrecorded();
        let table = format!("name = \"asks\"\n{config}\nopens = \"answers\"");
        let beta = beta.peer_with(alpha.key(), proxy.address()).plugin(&meets, &table);
        let beta = Server::start(folder, &beta);
        Scene { servers: [alpha, beta], proxy }
    }

    /// Cuts the link this often, each time when bytes have arrived at both ends.
    fn cut(&self, times: usize, mut marks: [usize; 2]) -> [usize; 2] {
        for _ in 0..times {
            for (server, mark) in self.servers.iter().zip(marks) {
                server.log().wait_for(mark, "heard hello from");
            }
            marks = self.servers.each_ref().map(|server| server.log().mark());
            self.proxy.cut();
        }
        marks
    }

    /// Descriptors, and memory in bytes, when all is calm.
    fn look(&self) -> [(usize, u64); 2] {
        self.servers.each_ref().map(|server| {
            server.wait_until("one link and one channel", |status: &Status| {
                status.channels.len() == 1 && status.links.len() == 1
            });
            (server.descriptors(), server.memory())
        })
    }
}

fn cut(times: usize) {
    let folder = Folder::new();
    let scene = Scene::start(&folder);
    let marks = scene.cut(WARM_UP, [0; 2]);
    let before = scene.look();
    let begun = Instant::now();
    scene.cut(times, marks);
    let after = scene.look();
    println!("{times} cuts in {:?}: {before:?} became {after:?}", begun.elapsed());
    assert!(scene.proxy.connections() > times + WARM_UP, "each cut was one of a link");
    for ((then, memory_then), (descriptors, memory)) in before.into_iter().zip(after) {
        assert!(descriptors <= then + DESCRIPTORS, "descriptors leak: {before:?} {after:?}");
        assert!(memory <= memory_then + MEMORY, "memory leaks: {before:?} {after:?}");
    }
}

#[test]
fn a_hundred_cut_links_leave_no_descriptor_and_no_memory() {
    cut(FEW);
}

#[test]
#[ignore = "it takes minutes: make long"]
fn a_thousand_cut_links_leave_no_descriptor_and_no_memory() {
    cut(MANY);
}
