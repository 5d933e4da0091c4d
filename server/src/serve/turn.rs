//! One turn of the loop: wait, read all, tick, perform, flush all.

use super::connections::ReadResult;
use super::dialling::{DialFor, DialOutcome, DialRequest};
use super::direct;
use super::event_loop::Loop;
use super::listening::{Accepted, Incoming};
use super::lookups::NamedBy;
use super::signals::{ORDERLY_TIME, Signals};
use super::socket::Stream;
use super::token::Ready;
use super::watch::readiness;
use mio::Events;
use mio::event::Event;
use std::io;
use std::time::{Duration, Instant};
use trunkline_core::address::Transform;
use trunkline_core::broker::{
    ChildId, ConnId, Dial, DirectDial, DirectPlace, Effect, Grants, Opened, Opening, PeerProcess,
    Security, Step,
};
use trunkline_core::reason::{Code, Reason};
use trunkline_shs::Ephemeral;
use zeroize::Zeroizing;

/// Reads of one connection in one turn. A busy peer cannot starve the others.
const READS_PER_TURN: usize = 2;

/// Rounds of effects in one turn. Plugins that keep answering each other continue in the next turn.
const ROUNDS_PER_TURN: usize = 16;

/// Connections accepted in one turn.
const ACCEPTS_PER_TURN: usize = 64;

/// Events that one poll returns at most.
const EVENTS: usize = 1024;

impl Loop {
    /// Runs until the server or host has stopped.
    pub(super) fn run(&mut self) -> Result<(), String> {
        let mut events = Events::with_capacity(EVENTS);
        while !self.has_ended() {
            let timeout = self.timeout();
            self.shared.runners.watchdog().turn_ends();
            let polled = self.poll.poll(&mut events, timeout);
            self.shared.runners.watchdog().turn_begins();
            match polled {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Err(format!("the event loop failed: {error}"));
                }
                _ => {}
            }
            self.now = self.started.elapsed();
            self.shared.broker.borrow_mut().tick(self.now);
            for event in &events {
                self.event(event);
            }
            self.turn();
            self.longest_turn = self.longest_turn.max(self.started.elapsed() - self.now);
        }
        for name in self.children.running() {
            log::warn!("the host of {name} did not stop in time, and is ended");
        }
        self.children.kill_all();
        match self.failure.take() {
            Some(why) => Err(why),
            None => Ok(()),
        }
    }

    fn turn(&mut self) {
        self.read_unread();
        self.accept();
        for _ in 0..self.connections.readable() {
            if let Some(id) = self.connections.next_readable() {
                self.read(id);
            }
        }
        self.dialling.tick(self.now);
        self.children.kill_overdue(self.now);
        for _ in 0..ROUNDS_PER_TURN {
            self.perform_waiting();
            self.take_dial_outcomes();
            self.flush();
            if self.shared.broker.borrow().effects_waiting() == 0 {
                break;
            }
        }
        self.end_without_plugins();
        while let Some(id) = self.connections.next_closed(self.now) {
            self.connections.remove(id);
            self.shared.broker.borrow_mut().disconnected(id, "");
        }
    }

    /// A host exits when its last plugin has ended, with an error.
    fn end_without_plugins(&mut self) {
        if self.exits_without_plugins && self.stop_by.is_none() && self.plugins.is_empty() {
            self.fail(
                self.shared
                    .runners
                    .last_failure()
                    .unwrap_or_else(|| "none of its plugins is running".into()),
            );
        }
    }

    /// Stops because a plugin failed, and makes `run` return the error.
    fn fail(&mut self, why: String) {
        let reason = Reason::server(Code::PluginFailed, &why);
        self.failure = Some(why);
        self.shared.broker.borrow_mut().stop(&reason);
        self.stop();
    }

    fn event(&mut self, event: &Event) {
        match Ready::of(event.token()) {
            Ready::Signal => self.reap(),
            Ready::Wake => self.woken(),
            Ready::Listener(index) => self.listening.ready(index),
            Ready::Conn(number) => {
                let id = ConnId(number);
                if self.connections.ready(id, event) {
                    self.flush_one(id);
                }
            }
            Ready::Dial(number) => self.dialling.ready(self.now, number),
            Ready::Alarm => self.alarm.fired(),
            Ready::Watch(number) => self.shared.ready(number, readiness(event)),
        }
    }

    /// How long the next poll may wait: not at all while work is left.
    fn timeout(&mut self) -> Option<Duration> {
        let broker = self.shared.broker.borrow();
        let work = broker.effects_waiting() > 0 || broker.has_touched();
        // Connections in a listener's queue are accepted as soon as the limits allow it.
        let accept = self.listening.has_ready(|grants| broker.accepts(grants));
        if work || accept || self.connections.has_readable() {
            return Some(Duration::ZERO);
        }
        let deadlines = [
            broker.deadline(),
            self.dialling.deadline(),
            self.listening.deadline(),
            self.connections.deadline(),
            self.children.deadline(),
            self.stop_by,
        ];
        self.alarm.wait(self.now, deadlines.into_iter().flatten().min())
    }

    fn accept(&mut self) {
        for _ in 0..ACCEPTS_PER_TURN {
            self.read_before_evicting();
            let admits = |grants| self.shared.broker.borrow().accepts(grants);
            let accepted = match self.listening.accept(self.now, admits) {
                None => return,
                Some(Incoming::Accepted(accepted)) => accepted,
                Some(Incoming::Logged(kind, text)) => {
                    self.shared.broker.borrow_mut().log_stranger(kind, format_args!("{text}"));
                    continue;
                }
            };
            let process = self.children.classify_peer(&accepted);
            let Accepted { stream, grants, transform, how, peer, dialler, .. } = accepted;
            let address = match peer {
                Some(from) => format!("net:{}:{}", from.ip(), from.port()),
                None => "unix".to_owned(),
            };
            let security = security(transform);
            let from = peer;
            let id = self.open(stream, Opening { how, grants, address, security, from, process });
            if let Some(dialler) = dialler {
                self.shared.broker.borrow_mut().dialled_by(id, dialler);
            }
            // This closes the connection that was evicted for it, before the next one is accepted.
            self.perform_waiting();
        }
    }

    /// Reads from the connection that would be evicted next: its handshake may have arrived in this
    /// turn. Repeats until reading changes nothing.
    fn read_before_evicting(&mut self) {
        let mut previous = None;
        loop {
            let next = self.shared.broker.borrow().first_to_go();
            let Some(id) = next.filter(|_| next != previous) else { return };
            self.connections.assume_readable(id);
            self.read(id);
            previous = next;
        }
    }

    fn open(&mut self, stream: Stream, opening: Opening) -> ConnId {
        let mut broker = self.shared.broker.borrow_mut();
        let id = broker.connected(opening);
        if let Err(error) = self.connections.add(id, stream) {
            broker.disconnected(id, &format!("it cannot be registered with epoll: {error}"));
        }
        id
    }

    fn take_dial_outcomes(&mut self) {
        for dialled in self.dialling.take_done() {
            match dialled {
                DialOutcome::Failed(DialFor::Peer(peer), why) => {
                    self.shared.broker.borrow_mut().dial_failed(peer, &why);
                }
                DialOutcome::Failed(DialFor::Process(id), why) => {
                    self.shared.broker.borrow_mut().direct_failed(id, &why);
                }
                DialOutcome::Failed(DialFor::Caller(_), why) => {
                    log::debug!("hole punching to the caller failed: {why}");
                }
                DialOutcome::Connected(purpose, endpoint, stream) => {
                    let (how, transform) = match purpose {
                        DialFor::Peer(peer) => (Opened::Dialled(peer), endpoint.transform),
                        DialFor::Process(id) => (Opened::DirectDial(id), endpoint.transform),
                        DialFor::Caller(_) => (Opened::Direct, Transform::ShsKnownKey),
                    };
                    let (grants, address) = (Grants::Server, endpoint.to_string());
                    let from = stream.tcp_addrs().map(|(_, peer)| peer);
                    let security = security(transform);
                    let process = PeerProcess::Foreign;
                    self.open(stream, Opening { how, grants, address, security, from, process });
                }
            }
        }
    }

    /// Processes bytes that exceeded the budget of the last turn.
    fn read_unread(&mut self) {
        let unread = self.shared.broker.borrow_mut().take_unread();
        for (id, bytes) in unread {
            self.feed(id, &bytes);
        }
    }

    fn read(&mut self, id: ConnId) {
        let mut buffer = std::mem::take(&mut self.buffer);
        for _ in 0..READS_PER_TURN {
            if self.shared.broker.borrow().is_behind(id) {
                break;
            }
            match self.connections.read(id, &mut buffer) {
                ReadResult::Bytes(count) => self.take_in(id, &mut buffer[..count]),
                ReadResult::Nothing => break,
                ReadResult::End(why) => {
                    self.connections.remove(id);
                    self.shared.broker.borrow_mut().disconnected(id, &why);
                    break;
                }
            }
        }
        self.buffer = buffer;
        self.connections.still_readable(id);
    }

    /// Decrypts the bytes of a connection, and passes them to the broker.
    fn take_in(&mut self, id: ConnId, bytes: &mut [u8]) {
        let mut plain = std::mem::take(&mut self.plain);
        let opened = self.shared.broker.borrow_mut().unseal(id, bytes, &mut plain);
        self.feed(id, opened);
        self.plain = plain;
    }

    fn feed(&mut self, id: ConnId, bytes: &[u8]) {
        let mut input = bytes;
        loop {
            let step = self.shared.broker.borrow_mut().receive(id, &mut input);
            self.perform_waiting();
            match step {
                Step::Done => break,
                Step::More => {}
                Step::Write { plugin, channel, bytes } => {
                    self.shared.write(plugin, channel, bytes);
                }
            }
        }
    }

    /// Performs the effects that are queued now. Effects that these cause wait for the next round.
    fn perform_waiting(&mut self) {
        let waiting = self.shared.broker.borrow().effects_waiting();
        for _ in 0..waiting {
            let effect = self.shared.broker.borrow_mut().next_effect();
            match effect {
                Some(Effect::Tell(plugin, told)) => self.shared.tell(plugin, told),
                Some(Effect::Dial(Dial { peer, endpoints, for_plugins })) => {
                    let named_by = if for_plugins { NamedBy::Others } else { NamedBy::Us };
                    let purpose = DialFor::Peer(peer);
                    let request = DialRequest { purpose, endpoints, named_by, from: None };
                    self.dialling.begin(self.now, request);
                }
                Some(Effect::DialDirect(dial)) => self.dial_direct(dial),
                Some(Effect::DropDial(id)) => self.dialling.give_up(DialFor::Process(id)),
                Some(Effect::TakeAgain(id, mut bytes)) => self.take_in(id, &mut bytes),
                Some(Effect::HangUp(id)) => {
                    self.connections.close_after_flush(id, self.now);
                    self.flush_one(id);
                }
                Some(Effect::CutOff(id)) => {
                    self.connections.remove(id);
                    self.shared.broker.borrow_mut().disconnected(id, "");
                }
                Some(Effect::HomeFound) => self.home_found(),
                Some(Effect::Orphaned) => self.stop(),
                Some(Effect::Reject(plugin, reason)) => self.shared.reject(plugin, &reason),
                Some(Effect::StartChild(child)) => self.start_child(child),
                Some(Effect::EndChild(child)) => self.children.end(child, self.now),
                Some(Effect::Command { request, name }) => self.command(request, &name),
                None => break,
            }
        }
    }

    /// Performs effects, and those that they cause, for at most the rounds of one turn.
    fn perform(&mut self) {
        for _ in 0..ROUNDS_PER_TURN {
            self.perform_waiting();
            if self.shared.broker.borrow().effects_waiting() == 0 {
                break;
            }
        }
    }

    /// Dials another process for one channel.
    fn dial_direct(&mut self, dial: DirectDial) {
        let DirectDial { id, place } = dial;
        let uplink = self.shared.broker.borrow().uplink_conn();
        let port = || uplink.and_then(|uplink| self.connections.local_addr(uplink));
        let (purpose, endpoints, from) = match place {
            DirectPlace::Socket(socket) => match direct::endpoint(&socket, &self.folders) {
                Ok(endpoint) => (DialFor::Process(id), vec![endpoint], None),
                Err(error) => {
                    let why = error.to_string();
                    self.shared.broker.borrow_mut().direct_failed(id, &why);
                    return;
                }
            },
            DirectPlace::Net(endpoints) => (DialFor::Process(id), endpoints, None),
            DirectPlace::Punch(endpoints) => (DialFor::Process(id), endpoints, port()),
            DirectPlace::Answer(endpoints) => (DialFor::Caller(id), endpoints, port()),
        };
        let named_by = NamedBy::Others;
        self.dialling.begin(self.now, DialRequest { purpose, endpoints, named_by, from });
    }

    /// Listens for direct connections to the plugins that have just started.
    pub(super) fn advertise(&mut self) {
        for (plugin, places) in self.plugins.take_advertised() {
            match direct::listen(&places, &mut self.listening, &self.folders) {
                Ok(direct) => self.shared.broker.borrow_mut().set_direct(plugin, direct),
                Err(why) => log::error!("{why}"),
            }
        }
    }

    /// Opens the connection with which this host was started.
    pub(super) fn inherit(&mut self, stream: Stream) {
        let (how, grants, security) = (Opened::Inherited, Grants::Server, Security::NoAuth);
        let address = "inherited".into();
        let (from, process) = (None, PeerProcess::Foreign);
        self.open(stream, Opening { how, grants, address, security, from, process });
    }

    /// The link to this host's server is up, so its plugins can start: they may ask for the
    /// server's name.
    fn home_found(&mut self) {
        if let Err(why) = self.plugins.start_waiting() {
            log::error!("{why}");
            self.fail(why);
        }
        self.advertise();
    }

    fn start_child(&mut self, child: ChildId) {
        match self.children.start(child) {
            Ok(stream) => {
                let (how, grants) = (Opened::Child(child), Grants::Everything);
                let (address, security) = ("child".into(), Security::NoAuth);
                let (from, process) = (None, PeerProcess::Foreign);
                self.open(stream, Opening { how, grants, address, security, from, process });
            }
            Err(why) => self.shared.broker.borrow_mut().child_ended(child, &why),
        }
    }

    fn flush(&mut self) {
        let mut touched = std::mem::take(&mut self.touched);
        self.shared.broker.borrow_mut().take_touched(&mut touched);
        for id in &touched {
            self.flush_one(*id);
        }
        self.touched = touched;
    }

    fn flush_one(&mut self, id: ConnId) {
        let mut broker = self.shared.broker.borrow_mut();
        if let Err(why) = self.connections.flush(id, &mut broker) {
            self.connections.remove(id);
            broker.disconnected(id, &why);
        }
    }

    fn woken(&mut self) {
        let messages = self.shared.mailbox.take();
        for plugin in messages.plugins {
            self.shared.wake(plugin);
        }
        for (child, why) in messages.children {
            if self.children.thread_ended(child) {
                self.shared.broker.borrow_mut().child_ended(child, &why);
            }
        }
        for (place, found) in messages.lookups {
            self.dialling.looked_up(self.now, &place, &found);
        }
        if let Some(signal) = messages.stop {
            log::info!("stopping: {signal} was received");
            self.stop();
        }
    }

    /// A process that this one started has ended.
    fn reap(&mut self) {
        let Some(sigchld) = &mut self.sigchld else { return };
        // More signals may have come meanwhile; all processes that have ended are found.
        if sigchld.pending().count() > 0 {
            for (child, why) in self.children.reap(self.now) {
                self.shared.broker.borrow_mut().child_ended(child, &why);
            }
        }
    }

    /// Begins an orderly stop: stops plugins, flushes outboxes, says goodbye to peers.
    pub(super) fn stop(&mut self) {
        if self.stop_by.is_none() {
            let since = self.signals.as_ref().map_or_else(Instant::now, Signals::stop_begins);
            self.stop_by = Some((since + ORDERLY_TIME).saturating_duration_since(self.started));
            self.listening.close();
            // Plugins that still run are notified of the end of the others. Their last bytes are
            // flushed before the goodbye, because it would overtake them.
            while self.shared.stop_last() {
                self.perform();
            }
            self.flush();
            // Plugins may have taken long to stop. The deadlines of what follows begin now.
            self.now = self.started.elapsed();
            let reason = Reason::server(Code::ServerStopping, "the server is going down");
            self.shared.broker.borrow_mut().stop(&reason);
        }
    }

    fn has_ended(&self) -> bool {
        let Some(stop_by) = self.stop_by else { return false };
        let over = self.connections.is_empty() && self.children.all_ended();
        over || self.started.elapsed() >= stop_by
    }
}

/// The protection of a connection with this transform. With `shs` it has a fresh key pair.
fn security(transform: Transform) -> Security {
    let expected = match transform {
        Transform::NoAuth => return Security::NoAuth,
        Transform::Shs(key) => Some(key),
        Transform::ShsKnownKey => None,
    };
    let mut secret = Zeroizing::new([0; 32]);
    dryoc::rng::copy_randombytes(&mut *secret);
    Security::Shs { expected, ephemeral: Ephemeral::from_secret(&secret) }
}
