//! The plugin itself: it passes each callback to its connection or listener, and takes turns
//! between those with more work than fits in one turn.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::mem;
use std::net::TcpStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use trunkline_net::Accepted;
use trunkline_plugin::prelude::*;

use crate::CHUNK;
use crate::asking::Destination;
use crate::complaints::Complaints;
use crate::config::Settings;
use crate::connection::{self, Connection, Next, Place, TCP_RESET};
use crate::connections::{Connections, Id};
use crate::down::DownLinks;
use crate::listener::{Listener, PAUSE};
use crate::pump::Pace;
use crate::service::Services;
use crate::window::Spare;

/// The most connections that are accepted in one turn; then the open ones have their turn.
const ACCEPTS_PER_TURN: usize = 64;

/// Forwards TCP connections through channels.
pub(crate) struct Forward {
    services: Services,
    listeners: Vec<Listener>,
    connections: Connections,
    complaints: Complaints,
    down: Rc<DownLinks>,
    spare: Spare,
    /// The buffer into which all sockets are read.
    chunk: Vec<u8>,
    /// The work of the next turn, when the timer fires.
    waiting: BTreeSet<Work>,
    next_turn: Option<Timer>,
    /// Set while listeners pause.
    pause_over: Option<Timer>,
}

/// Work that was postponed so that others have their turn.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Work {
    /// Accept on the listener with this index.
    Accept(usize),
    /// Continue reading this connection's socket.
    Carry(Id),
}

impl Plugin for Forward {
    const ABOUT: About = About::new("forward", 1).uses("forward", 1);

    fn start(host: &Host, config: Config) -> Result<Self, Reason> {
        let Settings { serve, listen } = config.read()?;
        let listed: Vec<_> = listen.iter().map(|settings| settings.address.0).collect();
        let down = Rc::new(DownLinks::default());
        let listener = |settings| Listener::new(host, settings, &listed, &serve, &down);
        let listeners = listen.into_iter().map(listener).collect::<Result<_, _>>()?;
        Ok(Self {
            services: serve,
            listeners,
            connections: Connections::default(),
            complaints: Complaints::default(),
            down,
            spare: Spare::default(),
            chunk: vec![0; CHUNK],
            waiting: BTreeSet::new(),
            next_turn: None,
            pause_over: None,
        })
    }

    fn open(&mut self, host: &Host, channel: Channel, caller: &Caller) -> Answer {
        let title = format!("{} on {:.8}", caller.name, caller.server);
        self.connections.add(Connection::opened(host, channel, title));
        Answer::Accept
    }

    fn credit(&mut self, host: &Host, channel: Channel, _room: u64) {
        let id = self.connections.with_channel(channel);
        self.dispatch(host, id, Connection::room);
    }

    fn write(&mut self, host: &Host, channel: Channel, bytes: &[u8]) {
        let id = self.connections.with_channel(channel);
        self.dispatch(host, id, |connection, place| connection.bytes(place, bytes));
    }

    fn close(&mut self, host: &Host, channel: Channel) {
        let id = self.connections.with_channel(channel);
        self.dispatch(host, id, Connection::closed);
    }

    fn stop_read(&mut self, host: &Host, channel: Channel) {
        let id = self.connections.with_channel(channel);
        self.dispatch(host, id, |connection, _| connection.stopped());
    }

    fn ended(&mut self, host: &Host, channel: Channel, why: Option<&Reason>) {
        let id = self.connections.forget_channel(channel);
        self.dispatch(host, id, |connection, place| connection.ended(place, why));
    }

    fn link(&mut self, _host: &Host, change: &LinkChange) {
        self.down.note(change);
    }

    fn ready(&mut self, host: &Host, watch: Watch, readiness: Readiness) {
        if let Some(index) = self.listeners.iter().position(|each| each.is_watched_by(watch)) {
            return self.accept(host, index);
        }
        let id = self.connections.with_watch(watch);
        self.dispatch(host, id, |connection, place| connection.ready(place, readiness));
    }

    fn timer(&mut self, host: &Host, timer: Timer) {
        if self.next_turn == Some(timer) {
            self.next_turn = None;
            for work in mem::take(&mut self.waiting) {
                match work {
                    Work::Accept(index) => self.accept(host, index),
                    Work::Carry(id) => self.dispatch(host, Some(id), Connection::read_on),
                }
            }
        } else if self.pause_over == Some(timer) {
            self.pause_over = None;
            self.resume(host);
        }
    }

    fn stop(&mut self, host: &Host) {
        for id in self.connections.ids() {
            self.fail(host, id, Reason::new(TCP_RESET, "the forward plugin is stopping"));
        }
        for listener in &mut self.listeners {
            listener.unwatch(host);
        }
    }
}

impl Forward {
    /// Passes an event to a connection, and acts on the result.
    fn dispatch(
        &mut self,
        host: &Host,
        id: Option<Id>,
        event: impl FnOnce(&mut Connection, &mut Place<'_>) -> Next,
    ) {
        let Some(id) = id else { return };
        let Some(connection) = self.connections.get_mut(id) else { return };
        let (services, spare) = (&self.services, &self.spare);
        let place = &mut Place { host, services, spare, chunk: &mut self.chunk };
        let (channel, watch) = (connection.channel, connection.watch);
        let next = event(connection, place);
        if (channel, watch) != (connection.channel, connection.watch) {
            self.connections.index(id);
        }
        match next {
            Ok(Pace::Waits) => {}
            Ok(Pace::MoreToDo) => self.later(host, Work::Carry(id)),
            Ok(Pace::Over) => self.drop_connection(host, id),
            Err(reason) => self.fail(host, id, reason),
        }
    }

    fn drop_connection(&mut self, host: &Host, id: Id) {
        let Some(connection) = self.connections.remove(id) else { return };
        if let Some(watch) = connection.watch {
            host.unwatch(watch);
        }
    }

    /// Resets both sides of a connection.
    fn fail(&mut self, host: &Host, id: Id, reason: Reason) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        log_end(&mut self.complaints, &connection.title, &reason);
        connection.reset_on_drop();
        host.abort(connection.channel, reason);
        self.drop_connection(host, id);
    }

    /// Accepts waiting connections, as many as one turn allows.
    fn accept(&mut self, host: &Host, index: usize) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(listener) = self.listeners.get_mut(index) else { return };
            match listener.accept() {
                Accepted::Nobody => return,
                Accepted::Short(error) => return self.pause(host, index, &error),
                Accepted::Connection(socket) => {
                    let destination = Rc::clone(&listener.destination);
                    match connection::watch(host, &socket) {
                        Ok(watch) => self.carry(host, socket, watch, &destination),
                        Err(why) => {
                            listener.put_back(socket);
                            return self.pause(host, index, &why);
                        }
                    }
                }
            }
        }
        self.later(host, Work::Accept(index));
    }

    /// Adds a connection that was accepted.
    fn carry(
        &mut self,
        host: &Host,
        socket: TcpStream,
        watch: Watch,
        destination: &Rc<Destination>,
    ) {
        match Connection::accepted(host, socket, watch, destination) {
            Ok(connection) => self.connections.add(connection),
            Err(reason) => log_end(&mut self.complaints, &destination.title, &reason),
        }
    }

    /// Postpones this work until the server has had its turn.
    fn later(&mut self, host: &Host, work: Work) {
        self.waiting.insert(work);
        self.next_turn.get_or_insert_with(|| host.set_timer(Duration::ZERO));
    }

    /// Pauses a listener.
    fn pause(&mut self, host: &Host, index: usize, error: &dyn Display) {
        let Some(listener) = self.listeners.get_mut(index) else { return };
        listener.pause(host, error);
        self.pause_over.get_or_insert_with(|| host.set_timer(PAUSE));
    }

    /// Watches the paused listeners again, and accepts the connections that wait there.
    fn resume(&mut self, host: &Host) {
        for index in 0..self.listeners.len() {
            match self.listeners[index].resume(host) {
                Ok(true) => self.accept(host, index),
                Ok(false) => {}
                Err(reason) => {
                    self.listeners[index].pause(host, &reason);
                    self.pause_over.get_or_insert_with(|| host.set_timer(PAUSE));
                }
            }
        }
    }
}

/// Logs why a connection ended. A reset is normal; everything else is a warning.
fn log_end(complaints: &mut Complaints, title: &str, reason: &Reason) {
    let is_reset = reason.code() == TCP_RESET;
    let kind = format!("{title}: {}", reason.code());
    match (!is_reset).then(|| complaints.tell(&kind, Instant::now())).flatten() {
        Some(0) => log::warn!("{title}: connection reset: {reason}"),
        Some(more) => log::warn!("{title}: connection reset: {reason} (and {more} more before)"),
        None => log::debug!("{title}: connection reset: {reason}"),
    }
}
