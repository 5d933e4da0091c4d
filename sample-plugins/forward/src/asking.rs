//! The listening side of a connection, until a peer has connected the service.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;

use trunkline_plugin::{Channel, Host, Plugin, Reason, Target, log};

use crate::candidates;
use crate::forward::Forward;
use crate::greeting::{CONNECTED, Service};
use crate::pump::Pump;
use crate::window::Window;

/// Where a listener forwards its connections.
#[derive(Debug)]
pub(crate) struct Destination {
    /// The name of its connections in the log.
    pub(crate) title: Rc<str>,
    to: Service,
    /// The key or name of the only server to ask, if the configuration says one.
    server: Option<String>,
    /// The server that served last time, which is asked first.
    last_time: RefCell<Option<String>>,
}

impl Destination {
    pub(crate) fn new(address: SocketAddr, to: Service, server: Option<String>) -> Self {
        let title = format!("{address} to {to}").into();
        Self { title, to, server, last_time: RefCell::default() }
    }

    /// The servers to ask, the best first.
    fn candidates(&self, host: &Host) -> VecDeque<String> {
        match &self.server {
            Some(server) => VecDeque::from([server.clone()]),
            None => {
                let last_time = self.last_time.borrow();
                let name = Forward::ABOUT.name();
                candidates::in_order(name, &host.directory(), last_time.as_deref())
            }
        }
    }
}

/// An accepted connection that waits for a server to serve it. Its socket is not read meanwhile.
#[derive(Debug)]
pub(crate) struct Asking {
    destination: Rc<Destination>,
    /// The server that is being asked.
    server: String,
    /// The servers to ask next.
    others: VecDeque<String>,
    /// The part of the greeting that the channel has not taken.
    unsent: Vec<u8>,
}

impl Asking {
    /// Asks the best candidate.
    ///
    /// # Errors
    ///
    /// The last refusal, or `no-server` if there was no candidate.
    pub(crate) fn start(
        host: &Host,
        destination: &Rc<Destination>,
    ) -> Result<(Self, Channel), Reason> {
        let others = destination.candidates(host);
        let (server, unsent) = Default::default();
        let mut asking = Self { destination: Rc::clone(destination), server, others, unsent };
        let no_server = Reason::new("no-server", "no linked server exposes a forward plugin");
        let channel = asking.ask_next(host, no_server)?;
        Ok((asking, channel))
    }

    /// Asks the next candidate after a refusal; returns the refusal if no other candidate may
    /// serve.
    pub(crate) fn ask_next(&mut self, host: &Host, refusal: Reason) -> Result<Channel, Reason> {
        let mut refusal = refusal;
        while let Some(server) = self.others.pop_front() {
            match host.open(&Target::new(Forward::ABOUT.name()).on_server(&server)) {
                Ok(channel) => {
                    host.hold(channel);
                    self.server = server;
                    self.unsent = self.destination.to.greeting();
                    self.greet(host, channel);
                    return Ok(channel);
                }
                Err(reason) => refusal = reason,
            }
        }
        Err(refusal)
    }

    /// The channel ended before the answer: asks the next candidate if one may serve.
    pub(crate) fn refused(&mut self, host: &Host, refusal: &Reason) -> Result<Channel, Reason> {
        log::debug!("{}: {} refused: {refusal}", self.destination.title, self.server);
        match candidates::another_may_serve(refusal) {
            true => self.ask_next(host, refusal.clone()),
            false => Err(refusal.clone()),
        }
    }

    /// Writes the rest of the greeting.
    pub(crate) fn greet(&mut self, host: &Host, channel: Channel) {
        if !self.unsent.is_empty() {
            let taken = host.write(channel, &self.unsent);
            self.unsent.drain(..taken);
        }
    }

    /// Whether this first byte of the peer is the right answer.
    pub(crate) fn check(&self, answer: u8) -> Result<(), Reason> {
        if answer == CONNECTED && self.unsent.is_empty() {
            return Ok(());
        }
        let text = format!("{} did not answer as a forward plugin does", self.server);
        Err(Reason::new("bad-answer", text))
    }

    /// The peer has connected the service.
    pub(crate) fn into_pump(self, socket: TcpStream, window: Window) -> Pump {
        self.destination.last_time.replace(Some(self.server));
        let mut pump = Pump::new(socket, window, &[]);
        pump.owe(size_of_val(&CONNECTED));
        pump.assume_ready();
        pump
    }
}
