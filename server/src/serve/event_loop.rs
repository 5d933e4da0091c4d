//! The loop of a server, of a host, or of a host on a thread: what it holds and how it begins. How
//! it turns is in `turn.rs`.

use super::alarm::Alarm;
use super::children::Children;
use super::connections::Connections;
use super::dialling::Dialling;
use super::duty::{self, Duty, Handles};
use super::listening::Listening;
use super::plugins::Plugins;
use super::reachable;
use super::runners::Runners;
use super::shared::Shared;
use super::socket::Stream;
use super::socket_folders::SocketFolders;
use super::spec::Spec;
use super::token::Ready;
use super::wake::Mailbox;
use super::watch::Watches;
use mio::{Interest, Poll};
use signal_hook_mio::v1_0::Signals;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};
use trunkline_core::broker::{Broker, ConnId};
use trunkline_core::control::Role;

const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;
pub(super) const SIGCHLD: i32 = 17;

/// Bytes that one read may bring. What a turn reads has to be dealt with before the next turn, so
/// that a small message behind bulk waits the longer the more this is; more carries no more.
pub(super) const READ_BUFFER: usize = 64 * 1024;

/// One loop, with all that it turns.
pub(super) struct Loop {
    pub(super) poll: Poll,
    pub(super) signals: Option<Signals>,
    pub(super) alarm: Alarm,
    pub(super) started: Instant,
    pub(super) now: Duration,
    /// The longest turn so far, from the end of the wait to the next one.
    pub(super) longest_turn: Duration,
    pub(super) shared: Rc<Shared>,
    pub(super) listening: Listening,
    pub(super) connections: Connections,
    pub(super) dialling: Dialling,
    pub(super) plugins: Plugins,
    pub(super) children: Children,
    pub(super) folders: SocketFolders,
    /// What is read from any connection goes here, and is told to plugins from here.
    pub(super) buffer: Vec<u8>,
    /// The connections that are looked at for something to write.
    pub(super) touched: Vec<ConnId>,
    /// What was sealed is opened to here.
    pub(super) plain: Vec<u8>,
    /// When an ending server gives up waiting for its peers.
    pub(super) stop_by: Option<Duration>,
    /// This host runs for its plugins, and ends with the last one.
    pub(super) lives_for_plugins: bool,
    /// Why the loop ends, when it does not end in order.
    pub(super) failure: Option<String>,
}

impl Loop {
    pub(super) fn start(duty: Duty) -> Result<Loop, String> {
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
            children: Children::new(mailbox, run_on_thread),
            folders: SocketFolders::of_this_process(duty.state.as_deref()),
            alarm: Alarm::new(poll.registry(), started).map_err(failed)?,
            poll,
            signals,
            started,
            now: Duration::ZERO,
            longest_turn: Duration::ZERO,
            shared,
            listening,
            buffer: vec![0; READ_BUFFER],
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
            let state = state.unwrap_or_default();
            for plugin in children {
                let (child, placement) = (duty::child_of(&plugin), plugin.placement);
                let spec = Spec::of(plugin, &child.name, &file, &state, &settings.limits);
                let id = self.shared.broker.borrow_mut().add_child(child);
                self.children.add(id, placement, spec);
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

/// Runs a host on the thread of its own that the server started for it, and says how it ended.
fn run_on_thread(spec: Spec, stream: Stream) -> String {
    let mut host = match Loop::start(Duty::of_spec(spec, stream)) {
        Ok(host) => host,
        Err(why) => return why,
    };
    match host.run() {
        Ok(()) => "it ended in order".into(),
        // The log says already what that was.
        Err(_) => "it failed".into(),
    }
}

fn signals(poll: &Poll) -> io::Result<Signals> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGCHLD])?;
    poll.registry().register(&mut signals, Ready::Signal.token(), Interest::READABLE)?;
    Ok(signals)
}
