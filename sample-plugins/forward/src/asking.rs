//! The listening side of a connection, until a peer has connected the service.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;

use trunkline_plugin::{Channel, Host, Plugin, Reason, Target, log};

use crate::candidates;
use crate::config::Listen;
use crate::down::DownLinks;
use crate::forward::Forward;
use crate::greeting::{CONNECTED, Service};
use crate::pump::Pump;
use crate::service::Services;
use crate::window::Window;

/// The code of a connection for which there is no server.
const NO_SERVER: &str = "no-server";

/// Where a listener forwards its connections.
#[derive(Debug)]
pub(crate) struct Destination {
    /// The name of its connections in the log.
    pub(crate) title: Rc<str>,
    to: Service,
    /// The key or name of the only server to ask, if the configuration says one.
    server: Option<String>,
    /// Whether the service is one of this server's own.
    served_here: bool,
    /// The server that served last time, which is asked first.
    last_time: RefCell<Option<String>>,
    /// The links that are down, which may be why no server serves.
    down: Rc<DownLinks>,
}

impl Destination {
    pub(crate) fn new(
        address: SocketAddr,
        settings: Listen,
        services: &Services,
        down: Rc<DownLinks>,
    ) -> Self {
        let Listen { to, server, .. } = settings;
        let title = format!("{address} to {to}").into();
        let served_here = services.contains_key(&to);
        Self { title, to, server, served_here, last_time: RefCell::default(), down }
    }

    /// The servers to ask, the best first. This server is asked only if it serves the service: its
    /// refusal would be taken for the reason why no server does.
    fn candidates(&self, host: &Host) -> VecDeque<String> {
        match &self.server {
            Some(server) => VecDeque::from([server.clone()]),
            None => {
                let mut entries = host.directory();
                entries.retain(|entry| self.served_here || !entry.local);
                let last_time = self.last_time.borrow();
                candidates::in_order(Forward::ABOUT.name(), &entries, last_time.as_deref())
            }
        }
    }

    /// Why no server serves: the last refusal, and the links that are down.
    fn unserved(&self, refusal: &Reason) -> Reason {
        let down = self.down.told(self.server.as_deref());
        match refusal.code() {
            _ if down.is_empty() => refusal.clone(),
            NO_SERVER => Reason::new(NO_SERVER, format!("{}{down}", refusal.text())),
            _ => Reason::new(NO_SERVER, format!("{refusal}{down}")),
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
        let destination = Rc::clone(destination);
        let mut asking = Self { destination, server, others, unsent };
        let no_server = Reason::new(NO_SERVER, "no linked server exposes a forward plugin");
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
        Err(self.destination.unserved(&refusal))
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
