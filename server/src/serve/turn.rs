//! One turn of the loop: wait, read all, tick, perform, flush all.

use super::children::STOP_TIME;
use super::connections::ReadResult;
use super::dialling::{Call, Dialled, Whom};
use super::direct;
use super::event_loop::{Loop, SIGCHLD};
use super::listening::Accepted;
use super::socket::Stream;
use super::token::Ready;
use super::watch::readiness;
use mio::Events;
use mio::event::Event;
use std::io;
use std::time::Duration;
use trunkline_core::address::Transform;
use trunkline_core::broker::{
    ChildId, ConnId, Dial, DirectDial, DirectPlace, Effect, Grants, Opened, Opening, PeerProcess,
    Security, Step,
};
use trunkline_core::reason::{Code, Reason};
use trunkline_shs::Ephemeral;
use zeroize::Zeroizing;

/// Reads of one connection in one turn, so that a busy peer cannot starve the rest.
const READS_PER_TURN: usize = 2;

/// Rounds of effects in one turn. Plugins that keep answering each other go on in the next one.
const ROUNDS_PER_TURN: usize = 16;

/// Connections accepted in one turn.
const ACCEPTS_PER_TURN: usize = 64;

/// Events that one poll may bring.
const EVENTS: usize = 1024;

impl Loop {
    /// Runs until there is nothing left to do.
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
        self.children.kill_late(self.now);
        for _ in 0..ROUNDS_PER_TURN {
            self.perform_waiting();
            self.take_dialled();
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

    /// A host lives for its plugins.
    fn end_without_plugins(&mut self) {
        if self.lives_for_plugins && self.stop_by.is_none() && self.plugins.is_empty() {
            self.fail(
                self.shared.runners.last_failure().unwrap_or_else(|| "no plugin runs in it".into()),
            );
        }
    }

    /// Ends in order, with an error, because of a plugin.
    fn fail(&mut self, why: String) {
        let reason = Reason::server(Code::PluginFailed, &why);
        self.failure = Some(why);
        self.shared.broker.borrow_mut().stop(&reason);
        self.stop();
    }

    fn event(&mut self, event: &Event) {
        match Ready::of(event.token()) {
            Ready::Signal => self.signal(),
            Ready::Wake => self.woken(),
            Ready::Listener(index) => self.listening.ready(index),
            Ready::Conn(number) => {
                let id = ConnId(number);
                if self.connections.ready(id, event) {
                    self.flush_one(id);
                }
            }
            Ready::Dial(number) => self.dialling.ready(self.now, number),
            Ready::Alarm => self.alarm.rang(),
            Ready::Watch(number) => self.shared.ready(number, readiness(event)),
        }
    }

    /// How long the loop may wait: not at all while there is work left.
    fn timeout(&mut self) -> Option<Duration> {
        let broker = self.shared.broker.borrow();
        let work = broker.effects_waiting() > 0 || broker.has_touched();
        // Peers that waited for room are accepted as soon as there is some.
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
            self.hear_out();
            let admits = |grants| self.shared.broker.borrow().accepts(grants);
            let accepted = self.listening.accept(self.now, admits);
            let Some(accepted) = accepted else { return };
            let process = self.children.whose(&accepted);
            let Accepted { stream, grants, transform, how, peer, .. } = accepted;
            let address = match peer {
                Some(from) => format!("net:{}:{}", from.ip(), from.port()),
                None => "unix".to_owned(),
            };
            let security = security(transform);
            let from = peer;
            self.open(stream, Opening { how, grants, address, security, from, process });
            // Who made room for it is gone before the next one comes.
            self.perform_waiting();
        }
    }

    /// Who would have to make room for the next connection has what it said read first: it may have
    /// come in the same turn.
    fn hear_out(&mut self) {
        let mut heard = None;
        loop {
            let next = self.shared.broker.borrow().first_to_go();
            let Some(id) = next.filter(|_| next != heard) else { return };
            self.connections.look(id);
            self.read(id);
            heard = next;
        }
    }

    fn open(&mut self, stream: Stream, opening: Opening) {
        let mut broker = self.shared.broker.borrow_mut();
        let id = broker.connected(opening);
        if let Err(error) = self.connections.add(id, stream) {
            broker.disconnected(id, &format!("the poll does not take it: {error}"));
        }
    }

    fn take_dialled(&mut self) {
        for dialled in self.dialling.take_done() {
            match dialled {
                Dialled::Failed(Whom::Peer(peer), why) => {
                    self.shared.broker.borrow_mut().dial_failed(peer, &why);
                }
                Dialled::Failed(Whom::Process(id), why) => {
                    self.shared.broker.borrow_mut().direct_failed(id, &why);
                }
                Dialled::Failed(Whom::Caller(_), why) => {
                    log::debug!("a caller could not be met halfway: {why}");
                }
                Dialled::Connected(whom, endpoint, stream) => {
                    let (how, transform) = match whom {
                        Whom::Peer(peer) => (Opened::Dialled(peer), endpoint.transform),
                        Whom::Process(id) => (Opened::DirectDial(id), endpoint.transform),
                        Whom::Caller(_) => (Opened::Direct, Transform::ShsKnownKey),
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

    /// Goes on with what the last turn had no room for.
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

    /// Gives the broker what a connection brought, unsealed.
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

    /// Performs the effects that are waiting now; those that they cause wait for the next round.
    fn perform_waiting(&mut self) {
        let waiting = self.shared.broker.borrow().effects_waiting();
        for _ in 0..waiting {
            let effect = self.shared.broker.borrow_mut().next_effect();
            match effect {
                Some(Effect::Tell(plugin, told)) => self.shared.tell(plugin, told),
                Some(Effect::Dial(Dial { peer, endpoints })) => {
                    let whom = Whom::Peer(peer);
                    self.dialling.begin(self.now, Call { whom, endpoints, from: None });
                }
                Some(Effect::DialDirect(dial)) => self.dial_direct(dial),
                Some(Effect::DropDial(id)) => self.dialling.give_up(Whom::Process(id)),
                Some(Effect::TakeAgain(id, mut bytes)) => self.take_in(id, &mut bytes),
                Some(Effect::HangUp(id)) => {
                    self.connections.hang_up(id, self.now);
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

    /// Performs effects and those that they cause, as many rounds as a turn may have.
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
        let (whom, endpoints, from) = match place {
            DirectPlace::Socket(socket) => match direct::endpoint(&socket, &self.folders) {
                Ok(endpoint) => (Whom::Process(id), vec![endpoint], None),
                Err(error) => {
                    let why = error.to_string();
                    self.shared.broker.borrow_mut().direct_failed(id, &why);
                    return;
                }
            },
            DirectPlace::Net(endpoints) => (Whom::Process(id), endpoints, None),
            DirectPlace::Punch(endpoints) => (Whom::Process(id), endpoints, port()),
            DirectPlace::Answer(endpoints) => (Whom::Caller(id), endpoints, port()),
        };
        self.dialling.begin(self.now, Call { whom, endpoints, from });
    }

    /// Takes direct connections for the plugins that have just started.
    pub(super) fn advertise(&mut self) {
        for (plugin, places) in self.plugins.take_advertised() {
            match direct::listen(&places, &mut self.listening, &self.folders) {
                Ok(direct) => self.shared.broker.borrow_mut().set_direct(plugin, direct),
                Err(why) => log::error!("{why}"),
            }
        }
    }

    /// The connection that this host was started with.
    pub(super) fn inherit(&mut self, stream: Stream) {
        let (how, grants, security) = (Opened::Inherited, Grants::Server, Security::NoAuth);
        let address = "inherited".into();
        let (from, process) = (None, PeerProcess::Foreign);
        self.open(stream, Opening { how, grants, address, security, from, process });
    }

    /// The server of this host is found: now its plugins can be told who it is.
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
        let left = self.shared.mailbox.take();
        for plugin in left.plugins {
            self.shared.wake(plugin);
        }
        for (child, why) in left.children {
            if self.children.thread_ended(child) {
                self.shared.broker.borrow_mut().child_ended(child, &why);
            }
        }
        for (dial, found) in left.lookups {
            self.dialling.looked_up(self.now, dial, found);
        }
    }

    fn signal(&mut self) {
        let Some(signals) = &mut self.signals else { return };
        for signal in signals.pending().collect::<Vec<_>>() {
            if signal == SIGCHLD {
                for (child, why) in self.children.reap() {
                    self.shared.broker.borrow_mut().child_ended(child, &why);
                }
                continue;
            }
            if self.stop_by.is_some() {
                log::warn!("a second signal: ending at once");
                self.listening.close();
                self.children.kill_all();
                std::process::exit(1);
            }
            log::info!("a signal says stop");
            self.stop();
        }
    }

    /// Begins to end in order: plugins stop, peers are told goodbye, outboxes are written.
    pub(super) fn stop(&mut self) {
        if self.stop_by.is_none() {
            self.stop_by = Some(self.now + STOP_TIME);
            self.listening.close();
            // Each hears what the end of the others means to it, as long as it runs; and what they
            // said last is on its way before the goodbye, which would overtake it.
            while self.shared.stop_last() {
                self.perform();
            }
            self.flush();
            // That may have taken its time, and what follows is given some of its own.
            self.now = self.started.elapsed();
            let reason = Reason::server(Code::ServerStopping, "the server is going down");
            self.shared.broker.borrow_mut().stop(&reason);
        }
    }

    fn has_ended(&self) -> bool {
        let Some(stop_by) = self.stop_by else { return false };
        let over = self.connections.is_empty() && self.children.is_over();
        over || self.started.elapsed() >= stop_by
    }
}

/// How a connection over such an endpoint is protected, with a fresh key pair if it is.
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
