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

/// Where the connections of one listener are carried.
#[derive(Debug)]
pub(crate) struct Destination {
    /// What to call its connections in the log.
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

/// Who is asked to serve an accepted connection. Nothing is read from its socket meanwhile.
#[derive(Debug)]
pub(crate) struct Asking {
    destination: Rc<Destination>,
    /// Who is asked now.
    server: String,
    /// Who is asked next.
    others: VecDeque<String>,
    /// What the channel did not take of the greeting.
    unsent: Vec<u8>,
}

impl Asking {
    /// Asks the best candidate.
    ///
    /// # Errors
    ///
    /// The last refusal, or `no-server` when there was nobody to ask.
    pub(crate) fn start(
        host: &Host,
        destination: &Rc<Destination>,
    ) -> Result<(Self, Channel), Reason> {
        let others = destination.candidates(host);
        let (server, unsent) = Default::default();
        let mut asking = Self { destination: Rc::clone(destination), server, others, unsent };
        let nobody = Reason::new("no-server", "no server that is linked has a forward plugin");
        let channel = asking.ask_next(host, nobody)?;
        Ok((asking, channel))
    }

    /// Asks the next candidate after a refusal, which comes back when nobody else may serve.
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

    /// The channel ended before the answer came: asks somebody else if that makes sense.
    pub(crate) fn refused(&mut self, host: &Host, refusal: &Reason) -> Result<Channel, Reason> {
        log::debug!("{}: {} says {refusal}", self.destination.title, self.server);
        match candidates::another_may_serve(refusal) {
            true => self.ask_next(host, refusal.clone()),
            false => Err(refusal.clone()),
        }
    }

    /// Writes what is left of the greeting.
    pub(crate) fn greet(&mut self, host: &Host, channel: Channel) {
        if !self.unsent.is_empty() {
            let taken = host.write(channel, &self.unsent);
            self.unsent.drain(..taken);
        }
    }

    /// Whether this first byte of the peer's is the right answer.
    pub(crate) fn check(&self, answer: u8) -> Result<(), Reason> {
        if answer == CONNECTED && self.unsent.is_empty() {
            return Ok(());
        }
        let text = format!("{} answered something else than a forward plugin", self.server);
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
