//! A listening socket: it accepts connections, and pauses while the process has no free descriptor.

use std::fmt::Display;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use trunkline_net::{Accepted, tcp};
use trunkline_plugin::{Host, Interest, Reason, Watch, log};

use crate::asking::Destination;
use crate::config::Listen;
use crate::down::DownLinks;
use crate::service::Services;

/// How long a listener pauses after accepting failed for lack of a resource. Connections wait in
/// the backlog meanwhile; an immediate retry would only spin.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);

/// A listening socket, and where its connections are forwarded.
pub(crate) struct Listener {
    socket: TcpListener,
    /// `None` while it pauses.
    watch: Option<Watch>,
    /// A connection that was accepted but could not be watched.
    put_back: Option<TcpStream>,
    /// Whether accepting failed last time: the warning is logged once.
    short: bool,
    pub(crate) destination: Rc<Destination>,
}

impl Listener {
    /// Listens as configured. `listed` are the addresses of all listeners.
    ///
    /// # Errors
    ///
    /// `cannot-listen`, with the address.
    pub(crate) fn new(
        host: &Host,
        settings: Listen,
        listed: &[SocketAddr],
        services: &Services,
        down: &Rc<DownLinks>,
    ) -> Result<Self, Reason> {
        let address = settings.address.0;
        let cannot = |error: &dyn Display| {
            let text =
                format!("{address}: {error}; choose another address in plugin.config.listen");
            Reason::new("cannot-listen", text)
        };
        let families = tcp::Families::of(address, listed);
        let socket = tcp::listen_at_start(address, families).map_err(|error| cannot(&error))?;
        let bound = socket.local_addr().map_err(|error| cannot(&error))?;
        let watch = host.watch(&socket, Interest::READABLE)?;
        log::info!("listening on {bound} for {}", settings.to);
        let destination = Destination::new(bound, settings, services, Rc::clone(down));
        let destination = Rc::new(destination);
        Ok(Self { socket, watch: Some(watch), put_back: None, short: false, destination })
    }

    pub(crate) fn is_watched_by(&self, watch: Watch) -> bool {
        self.watch == Some(watch)
    }

    /// Returns this connection next time, as if it had been accepted then.
    pub(crate) fn put_back(&mut self, socket: TcpStream) {
        self.put_back = Some(socket);
    }

    /// Accepts one connection.
    pub(crate) fn accept(&mut self) -> Accepted<TcpStream> {
        if let Some(socket) = self.put_back.take() {
            return Accepted::Connection(socket);
        }
        let accepted = tcp::accept(&self.socket);
        if matches!(accepted, Accepted::Nobody) {
            // The backlog is empty, so the next failure is worth a warning again.
            self.short = false;
        }
        accepted.map(|(socket, _)| socket)
    }

    /// Pauses because of this error.
    pub(crate) fn pause(&mut self, host: &Host, error: &dyn Display) {
        let first = !std::mem::replace(&mut self.short, true);
        let level = if first { log::Level::Warn } else { log::Level::Debug };
        let title = &self.destination.title;
        log::log!(level, "{title}: cannot accept connections: {error}; retrying every {PAUSE:?}");
        self.unwatch(host);
    }

    /// Stops watching.
    pub(crate) fn unwatch(&mut self, host: &Host) {
        if let Some(watch) = self.watch.take() {
            host.unwatch(watch);
        }
    }

    /// Watches again; returns whether it had paused.
    pub(crate) fn resume(&mut self, host: &Host) -> Result<bool, Reason> {
        let paused = self.watch.is_none();
        if paused {
            self.watch = Some(host.watch(&self.socket, Interest::READABLE)?);
        }
        Ok(paused)
    }
}
