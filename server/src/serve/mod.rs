//! The server: one loop that reads all, ticks and flushes all. What to do, the broker decides.

mod connections;
mod convert;
mod dialling;
mod listening;
mod machine;
mod plugin_host;
mod plugins;
mod reachable;
mod socket;
mod status_json;
mod token;
mod turn;
mod wake;
mod watch;

use crate::config::{self, Config, PeerRole};
use crate::key::SecretKey;
use connections::Connections;
use dialling::Dialling;
use listening::Listening;
use mio::{Interest, Poll};
use plugin_host::Shared;
use plugins::Plugins;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook_mio::v1_0::Signals;
use std::cell::RefCell;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::rc::Rc;
use std::time::{Duration, Instant};
use token::Ready;
use trunkline_core::broker::{Accept, Broker, Keep, PeerConfig, Settings};
use trunkline_core::control::Role;
use trunkline_core::key::NETWORK;
use trunkline_shs::Identity;
use wake::Mailbox;
use watch::Watches;

const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;

/// How long ending in order may take.
const STOP_TIME: Duration = Duration::from_secs(5);

/// A server that runs.
struct Server {
    poll: Poll,
    signals: Signals,
    started: Instant,
    now: Duration,
    shared: Rc<Shared>,
    listening: Listening,
    connections: Connections,
    dialling: Dialling,
    plugins: Plugins,
    /// What is read from any connection goes here, and is told to plugins from here.
    buffer: Vec<u8>,
    /// What was sealed is opened to here.
    plain: Vec<u8>,
    /// When an ending server gives up waiting for its peers.
    stop_by: Option<Duration>,
}

/// Runs a server until it is told to stop. An error is one line.
pub(crate) fn serve(config: &Config, secret: &SecretKey) -> Result<(), String> {
    let mut server = Server::start(config, secret)?;
    log::info!("server {} ({}) is ready", config.name, secret.public());
    server.run()
}

impl Server {
    fn start(config: &Config, secret: &SecretKey) -> Result<Server, String> {
        let failed = |error: std::io::Error| format!("the event loop cannot start: {error}");
        raise_descriptor_limit();
        let poll = Poll::new().map_err(failed)?;
        let registry = || poll.registry().try_clone().map_err(failed);
        let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(failed)?;
        let token = Ready::Signal.token();
        poll.registry().register(&mut signals, token, Interest::READABLE).map_err(failed)?;
        let waker = mio::Waker::new(poll.registry(), Ready::Wake.token()).map_err(failed)?;
        make_state_folder(config)?;
        let listening = Listening::open(&config.listen, poll.registry())?;

        let started = Instant::now();
        let mailbox = Mailbox::new(waker);
        let shared = Rc::new(Shared {
            broker: RefCell::new(Broker::new(settings(config, secret))),
            watches: RefCell::new(Watches::new(registry()?)),
            mailbox: mailbox.clone(),
        });
        let addresses =
            reachable::addresses(&config.announce, &listening.endpoints(), secret.public());
        shared.broker.borrow_mut().set_addresses(addresses);
        let mut plugins = Plugins::new(shared.clone(), secret.public());
        plugins.start_all(config)?;
        for peer in &config.peers {
            let keep = if peer.keep { Keep::Always } else { Keep::WhileUseful };
            let (key, endpoints) = (peer.key, peer.addresses.clone());
            let role = match peer.role {
                PeerRole::Server => Role::Server,
                PeerRole::Host => Role::Host,
            };
            let peer = PeerConfig { key, endpoints, role, keep };
            shared.broker.borrow_mut().add_peer(peer);
        }
        Ok(Server {
            connections: Connections::new(registry()?),
            dialling: Dialling::new(registry()?, mailbox),
            poll,
            signals,
            started,
            now: Duration::ZERO,
            shared,
            listening,
            plugins,
            buffer: vec![0; turn::READ_BUFFER],
            plain: Vec::new(),
            stop_by: None,
        })
    }
}

fn settings(config: &Config, secret: &SecretKey) -> Settings {
    // Any number will do that differs between servers and starts.
    let seed = std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64 | 1);
    Settings {
        identity: Identity::from_seed(secret.seed()),
        network: config.network.unwrap_or(NETWORK),
        accept: match config.accept {
            config::Accept::Listed => Accept::Listed,
            config::Accept::Anyone => Accept::Anyone,
        },
        name: config.name.clone(),
        machine: machine::id(),
        software: concat!("trunkline ", env!("CARGO_PKG_VERSION")).into(),
        limits: config.limits.clone(),
        seed,
    }
}

fn make_state_folder(config: &Config) -> Result<(), String> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&config.state);
    made.map_err(|error| format!("{}: cannot be made: {error}", config.state.display()))
}

/// A server of many links needs many descriptors: as many as the system lets us have.
fn raise_descriptor_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        log::debug!("the limit of open files stays as it is: {error}");
    }
}
