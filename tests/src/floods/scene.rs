//! A server with hosts and an innocent peer, and checks that floods have not harmed them.

use super::Innocent;
use crate::binaries::plugin;
use crate::fixtures::{self, Api};
use crate::folder::Folder;
use crate::harness::{HostSetup, Peer, PeerEvent, Server, Setup, Socket, Status, hello};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use trunkline_core::bymux::MuxRole;
use trunkline_core::control::{Hello, Message};
use trunkline_core::key::Key;

/// The echoes of the server: inline, on a thread, and in a process that takes direct connections.
pub const ECHOES: [&str; 3] = ["echo", "echo-t", "echo-p"];

/// The transport and transform of the peers' links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// A unix socket, without keys.
    Unix,
    /// TCP with `shs`; any key may link.
    Shs,
}

/// A server with an echo of each placement, and a peer with a channel to each of them.
#[derive(Debug)]
pub struct Scene {
    /// The server.
    pub alpha: Server,
    /// The peer that must not be harmed.
    pub innocent: Innocent,
    over: Over,
    before: Status,
    mark: usize,
    meets: PathBuf,
    folder: Folder,
}

impl Scene {
    /// Starts the server, and waits until all three echoes answer.
    #[must_use]
    pub fn new(over: Over, setup: Setup) -> Scene {
        // A fixture may have to be built, which takes longer than a peer may be silent.
        let (echo, meets) = (plugin("echo"), fixtures::plugin(Api::Ours, "meets"));
        let folder = Folder::new();
        let setup = match over {
            Over::Unix => setup,
            Over::Shs => setup.secured().server("accept = \"anyone\""),
        };
        let setup = setup
            .plugin(&echo, "")
            .plugin(&echo, "name = \"echo-t\"\nplacement = \"thread\"")
            .plugin(&echo, "name = \"echo-p\"\nplacement = \"process\"\nadvertise = [\"unix\"]");
        let alpha = Server::start(&folder, &setup);
        alpha.wait_until("all run", |s| ECHOES.iter().all(|name| s.is(name, "running")));
        let peer = Peer::link_as(over.connect(&alpha, 9), 9, "innocent");
        let innocent = Innocent::new(peer, &ECHOES);
        let (before, mark) = (alpha.status(), alpha.log().mark());
        Scene { alpha, innocent, over, before, mark, meets, folder }
    }

    /// Connects another peer.
    #[must_use]
    pub fn connect(&self, key: u8) -> Socket {
        self.over.connect(&self.alpha, key)
    }

    /// Links another peer, with the name `evil` and this key.
    #[must_use]
    pub fn peer(&self, key: u8) -> Peer {
        Peer::link_as(self.connect(key), key, "evil")
    }

    /// The server's machine, from its hello.
    ///
    /// # Panics
    ///
    /// When it sends none.
    #[must_use]
    pub fn machine(&self) -> Key {
        let hello = Hello { name: "evil".into(), ..hello(Key([99; 32])) };
        let mut peer = Peer::send_hello(Socket::unix(&self.alpha), MuxRole::Dialler, hello);
        let is_hello = |event: &PeerEvent| matches!(event, PeerEvent::Message(Message::Hello(_)));
        match peer.wait_for("hello", is_hello) {
            PeerEvent::Message(Message::Hello(hello)) => hello.machine,
            other => panic!("no hello, but {other:?}"),
        }
    }

    /// Starts a host, and waits until its plugin runs and is announced to the innocent peer.
    /// Returns the time that this took. The plugin opens a channel to a plugin `late` as soon as
    /// that appears.
    ///
    /// # Panics
    ///
    /// When the host does not link in time.
    pub fn link_host(&mut self, name: &str) -> (Server, Duration) {
        let config = format!("name = {name:?}\n[plugin.config]\nopens = \"late\"");
        let setup = HostSetup::beside(name, &self.alpha);
        let setup = setup.plugin(&self.meets, &config);
        let begun = Instant::now();
        let host = Server::start_host(None, &self.folder, &setup);
        let of = |message: &Message| match message {
            Message::Plugins(all) => all.plugins.iter().any(|plugin| plugin.name.as_str() == name),
            _ => false,
        };
        self.innocent.peer.wait_for(name, |event| matches!(event, PeerEvent::Message(m) if of(m)));
        (host, begun.elapsed())
    }

    /// The longest turn of the server's loop so far.
    #[must_use]
    pub fn longest_turn(&self) -> Duration {
        Duration::from_micros(self.alpha.status().server.longest_turn_us)
    }

    /// Checks that the channels to all echoes still work, and that no link has ended, except those
    /// of the peers named `evil`.
    ///
    /// # Panics
    ///
    /// When others are harmed.
    pub fn check_others(&mut self) {
        for name in ECHOES {
            self.innocent.round_trip(name);
        }
        let log = self.alpha.log().since(self.mark);
        let ended = |line: &&String| line.contains(" ended") && !line.contains("evil");
        let ended: Vec<&String> = log.iter().filter(ended).collect();
        assert!(ended.is_empty(), "others were harmed: {ended:#?}");
    }

    /// Waits until the server has the same plugins, links, streams and channels as before the
    /// attackers came.
    ///
    /// # Panics
    ///
    /// When something of them remains.
    pub fn check_nothing_remains(&self) {
        let before = counts(&self.before);
        self.alpha.wait_until("nothing of the attackers remains", |now| counts(now) == before);
    }
}

impl Over {
    /// Connects a peer.
    #[must_use]
    pub fn connect(self, server: &Server, key: u8) -> Socket {
        match self {
            Over::Unix => Socket::unix(server),
            Over::Shs => Socket::shs(server, key),
        }
    }
}

/// What a server has, as far as floods may add to it.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    /// Plugins, and how many channels each has.
    plugins: Vec<(String, usize)>,
    /// Links, and how many streams each has.
    links: Vec<(String, usize)>,
    channels: usize,
}

fn counts(status: &Status) -> Counts {
    let plugins = status.plugins.iter().map(|plugin| (plugin.name.clone(), plugin.channels));
    let links = status.links.iter().map(|link| (link.name.clone(), link.streams));
    let (mut plugins, mut links): (Vec<_>, Vec<_>) = (plugins.collect(), links.collect());
    plugins.sort();
    links.sort();
    Counts { plugins, links, channels: status.channels.len() }
}
