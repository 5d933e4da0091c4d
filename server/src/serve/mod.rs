//! The loop of a server, of a host, or of a host on a thread: read all, tick, flush all. What to
//! do, the broker decides.

mod alarm;
mod children;
mod connections;
mod convert;
mod dialling;
mod direct;
mod duty;
mod explain_json;
mod listening;
mod machine;
mod plugin_host;
mod plugins;
mod reachable;
mod runners;
mod socket;
mod spec;
mod status_json;
mod token;
mod turn;
mod wake;
mod watch;
mod watchdog;

use crate::config::{Config, HostConfig};
use crate::key::SecretKey;
use alarm::Alarm;
use children::Children;
use connections::Connections;
use dialling::Dialling;
use duty::{Duty, Handles};
use listening::Listening;
use mio::{Interest, Poll};
use plugin_host::Shared;
use plugins::Plugins;
use runners::Runners;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook_mio::v1_0::Signals;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};
use token::Ready;
use trunkline_core::broker::{Broker, ConnId};
use trunkline_core::control::Role;
use wake::Mailbox;
use watch::Watches;

const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;
const SIGCHLD: i32 = 17;

/// How long ending in order may take.
const STOP_TIME: Duration = Duration::from_secs(5);

/// One loop, with all that it turns.
struct Loop {
    poll: Poll,
    signals: Option<Signals>,
    alarm: Alarm,
    started: Instant,
    now: Duration,
    /// The longest turn so far, from the end of the wait to the next one.
    longest_turn: Duration,
    shared: Rc<Shared>,
    listening: Listening,
    connections: Connections,
    dialling: Dialling,
    plugins: Plugins,
    children: Children,
    /// What is read from any connection goes here, and is told to plugins from here.
    buffer: Vec<u8>,
    /// The connections that are looked at for something to write.
    touched: Vec<ConnId>,
    /// What was sealed is opened to here.
    plain: Vec<u8>,
    /// When an ending server gives up waiting for its peers.
    stop_by: Option<Duration>,
    /// This host runs for its plugins, and ends with the last one.
    lives_for_plugins: bool,
    /// Why the loop ends, when it does not end in order.
    failure: Option<String>,
}

/// Runs a server until it is told to stop. An error is one line.
pub(crate) fn serve(config: &Config, secret: &SecretKey) -> Result<(), String> {
    raise_descriptor_limit();
    let mut server = Loop::start(Duty::server(config, secret)?)?;
    log::info!("server {} ({}) is ready", config.name, secret.public());
    server.run()?;
    log::info!("the server has ended");
    Ok(())
}

/// Runs a host, which runs plugins for a server, until it is told to stop.
pub(crate) fn host(config: &HostConfig, secret: &SecretKey) -> Result<(), String> {
    raise_descriptor_limit();
    let mut host = Loop::start(Duty::host(config, secret)?)?;
    log::info!("host {} ({}) is ready", config.name, secret.public());
    host.run()?;
    log::info!("the host has ended");
    Ok(())
}

/// Runs the host that a server started in this process, until that has no more use for it. An error
/// says why it did not begin; how it ended then, the log says already.
pub(crate) fn child() -> Result<Result<(), String>, String> {
    raise_descriptor_limit();
    Ok(Loop::start(Duty::child()?)?.run())
}

impl Loop {
    fn start(duty: Duty) -> Result<Loop, String> {
        let failed = |error: io::Error| format!("the event loop cannot start: {error}");
        let poll = Poll::new().map_err(failed)?;
        let registry = || poll.registry().try_clone().map_err(failed);
        let signals = match duty.handles {
            Handles::Signals => Some(signals(&poll).map_err(failed)?),
            Handles::Nothing => None,
        };
        let waker = mio::Waker::new(poll.registry(), Ready::Wake.token()).map_err(failed)?;
        let listening = Listening::open(&duty.listen, registry()?)?;
        let started = Instant::now();
        let mailbox = Mailbox::new(waker);
        let shared = Rc::new(Shared {
            broker: RefCell::new(Broker::new(duty.settings.clone())),
            watches: RefCell::new(Watches::new(registry()?)),
            runners: Runners::new(duty.settings.limits.watchdog),
            mailbox: mailbox.clone(),
        });
        let mut made = Loop {
            connections: Connections::new(registry()?),
            dialling: Dialling::new(registry()?, mailbox.clone()),
            plugins: Plugins::new(shared.clone(), duty.file.clone()),
            children: Children::new(mailbox),
            alarm: Alarm::new(poll.registry(), started).map_err(failed)?,
            poll,
            signals,
            started,
            longest_turn: Duration::ZERO,
            now: Duration::ZERO,
            shared,
            listening,
            buffer: vec![0; turn::READ_BUFFER],
            touched: Vec::new(),
            plain: Vec::new(),
            stop_by: None,
            lives_for_plugins: duty.settings.role == Role::Host,
            failure: None,
        };
        made.begin(duty)?;
        Ok(made)
    }

    fn begin(&mut self, duty: Duty) -> Result<(), String> {
        let Duty { settings, file, state, plugins, announce, peers, uplink, .. } = duty;
        if settings.role == Role::Host {
            // They start when it is known who their server is.
            self.plugins.wait(plugins);
        } else {
            let key = self.shared.broker.borrow().key();
            let addresses = reachable::addresses(&announce, &self.listening.endpoints(), key);
            self.shared.broker.borrow_mut().set_addresses(addresses);
            let (inline, children) = plugins.into_iter().partition(duty::is_inline);
            self.plugins.start_all(inline)?;
            self.advertise();
            for plugin in children {
                let child = self.shared.broker.borrow_mut().add_child(duty::child_of(&plugin));
                self.children.add(child, plugin, &settings, &file, &state);
            }
        }
        if let Some(stream) = uplink {
            self.inherit(stream);
        }
        for peer in peers {
            self.shared.broker.borrow_mut().add_peer(peer);
        }
        Ok(())
    }
}

fn signals(poll: &Poll) -> io::Result<Signals> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGCHLD])?;
    poll.registry().register(&mut signals, Ready::Signal.token(), Interest::READABLE)?;
    Ok(signals)
}

/// A server of many links needs many descriptors: as many as the system lets us have.
fn raise_descriptor_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        log::debug!("the limit of open files stays as it is: {error}");
    }
}
