//! The event loop of a server, of a host, or of a host on a thread: its state and its start. One
//! turn of it is in `turn.rs`.

use super::alarm::Alarm;
use super::children::Children;
use super::connections::Connections;
use super::dialling::Dialling;
use super::listening::Listening;
use super::orphans;
use super::plugin_folders::{Data, PluginFolders};
use super::plugins::Plugins;
use super::process_groups::ProcessGroups;
use super::reachable;
use super::runners::Runners;
use super::setup::{self, Confined, Setup, SignalHandling};
use super::shared::Shared;
use super::signals::Signals;
use super::socket::Stream;
use super::socket_folders::SocketFolders;
use super::spec::Spec;
use super::state_folder::StateFolder;
use super::token::Ready;
use super::wake::Mailbox;
use super::watch::Watches;
use crate::config::Placement;
use mio::{Interest, Poll};
use signal_hook::consts::SIGCHLD;
use signal_hook_mio::v1_0::Signals as Received;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use trunkline_core::broker::{Broker, ConnId};
use trunkline_core::control::Role;

/// Bytes that one read returns at most. A small message behind bulk data waits for all that a turn
/// reads, so a larger buffer delays it. A larger buffer does not raise throughput.
pub(super) const READ_BUFFER: usize = 64 * 1024;

/// One event loop with its state.
pub(super) struct Loop {
    pub(super) poll: Poll,
    /// The thread of the signals that end this process, if this loop is the process's own.
    pub(super) signals: Option<Signals>,
    /// Reports the ends of processes that this one started.
    pub(super) sigchld: Option<Received>,
    pub(super) alarm: Alarm,
    pub(super) started: Instant,
    pub(super) now: Duration,
    /// The longest turn so far, without the wait for events.
    pub(super) longest_turn: Duration,
    pub(super) shared: Rc<Shared>,
    pub(super) listening: Listening,
    pub(super) connections: Connections,
    pub(super) dialling: Dialling,
    pub(super) plugins: Plugins,
    pub(super) children: Children,
    pub(super) folders: SocketFolders,
    /// The buffer for reading from all connections. Plugins are lent parts of it.
    pub(super) buffer: Vec<u8>,
    /// Buffer for the list of connections that may have something to write.
    pub(super) touched: Vec<ConnId>,
    /// Buffer for decrypted bytes.
    pub(super) plain: Vec<u8>,
    /// When a stopping server no longer waits for its peers.
    pub(super) stop_by: Option<Duration>,
    /// A host exits when its last plugin has ended.
    pub(super) exits_without_plugins: bool,
    /// Why the loop stops, if it is an error.
    pub(super) failure: Option<String>,
    /// It stays locked until everything else is dropped.
    _own_state: Option<StateFolder>,
}

impl Loop {
    pub(super) fn start(mut setup: Setup) -> Result<Loop, String> {
        let failed = |error: io::Error| format!("the event loop cannot start: {error}");
        let poll = Poll::new().map_err(failed)?;
        let registry = || poll.registry().try_clone().map_err(failed);
        let waker = mio::Waker::new(poll.registry(), Ready::Wake.token()).map_err(failed)?;
        let started = Instant::now();
        let mailbox = Mailbox::new(waker);
        let shared = Rc::new(Shared {
            broker: RefCell::new(Broker::new(setup.settings.clone())),
            watches: RefCell::new(Watches::new(registry()?)),
            runners: Runners::new(setup.settings.limits.watchdog),
            mailbox: mailbox.clone(),
        });
        let groups = Arc::new(ProcessGroups::default());
        let (signals, sigchld) = match setup.signals {
            SignalHandling::Enabled => {
                let observer = shared.runners.watchdog().observer();
                let signals = Signals::own(mailbox.clone(), observer, groups.clone());
                (Some(signals.map_err(failed)?), Some(sigchld(&poll).map_err(failed)?))
            }
            SignalHandling::Disabled => (None, None),
        };
        if setup.settings.role == Role::Server {
            orphans::end_all();
        }
        let mut listening = Listening::open(&setup.listen, registry()?)?;
        if let Some((socket, name)) = &setup.own_status {
            listening.open_own_status(socket, *name);
        }
        let mut own_state = setup.own_state.take();
        own_state.as_mut().map(StateFolder::lock).transpose()?;
        let data = own_state.as_ref().map_or(Data::Nowhere, |state| Data::In(state.path().into()));
        let (image, data) = match setup.confined.take() {
            Some(Confined { image, data }) => (Some(image), data),
            None => (None, data),
        };
        let folders = PluginFolders::new(&setup.file, data).map_err(failed)?;
        let mut new = Loop {
            connections: Connections::new(registry()?),
            dialling: Dialling::new(registry()?, mailbox.clone()),
            plugins: Plugins::new(shared.clone(), setup.file.clone(), folders, image),
            children: Children::new(mailbox, groups, setup.lineage, run_on_thread),
            folders: SocketFolders::of_this_process(setup.state.as_deref()),
            alarm: Alarm::new(poll.registry(), started).map_err(failed)?,
            poll,
            signals,
            sigchld,
            started,
            now: Duration::ZERO,
            longest_turn: Duration::ZERO,
            shared,
            listening,
            buffer: vec![0; READ_BUFFER],
            touched: Vec::new(),
            plain: Vec::new(),
            stop_by: None,
            exits_without_plugins: setup.settings.role == Role::Host,
            failure: None,
            _own_state: own_state,
        };
        new.begin(setup)?;
        Ok(new)
    }

    fn begin(&mut self, setup: Setup) -> Result<(), String> {
        let Setup { settings, file, state, plugins, announce, peers, uplink, .. } = setup;
        if settings.role == Role::Host {
            // They start when the link to the server is up.
            self.plugins.wait(plugins);
        } else {
            let key = self.shared.broker.borrow().key();
            let addresses = reachable::addresses(&announce, &self.listening.endpoints(), key);
            self.shared.broker.borrow_mut().set_addresses(addresses);
            let (inline, children) = plugins.into_iter().partition(setup::is_inline);
            self.plugins.start_all(inline)?;
            self.advertise();
            let state = state.unwrap_or_default();
            for mut plugin in children {
                let (child, placement) = (setup::child_config(&plugin), plugin.placement);
                if placement == Placement::Process {
                    let name = child.name.as_str();
                    plugin.log = crate::log::plugin_runs_elsewhere(name, plugin.log);
                }
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

/// Runs a host on its own thread. Returns how it ended.
fn run_on_thread(spec: Spec, stream: Stream) -> String {
    let setup = Setup { uplink: Some(stream), ..Setup::of_spec(spec) };
    let mut host = match Loop::start(setup) {
        Ok(host) => host,
        Err(why) => return why,
    };
    match host.run() {
        Ok(()) => "it ended in order".into(),
        // The error has been logged.
        Err(_) => "it failed".into(),
    }
}

fn sigchld(poll: &Poll) -> io::Result<Received> {
    let mut received = Received::new([SIGCHLD])?;
    poll.registry().register(&mut received, Ready::Signal.token(), Interest::READABLE)?;
    Ok(received)
}
