//! A listening socket: it accepts connections, and pauses while the process has no free descriptor.

use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use trunkline_plugin::{Host, Interest, Reason, Watch, log};

use crate::asking::Destination;
use crate::config::Listen;
use crate::tcp;

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

/// The result of an attempt to accept.
#[derive(Debug)]
pub(crate) enum Accepted {
    /// A non-blocking connection.
    Connection(TcpStream),
    /// No connection is waiting.
    Nobody,
    /// A resource is exhausted, mostly descriptors: try again after [`PAUSE`].
    Short(io::Error),
}

impl Listener {
    /// Listens as configured.
    ///
    /// # Errors
    ///
    /// `cannot-listen`, with the address.
    pub(crate) fn new(host: &Host, settings: Listen) -> Result<Self, Reason> {
        let address = settings.address.0;
        let cannot = |error: &dyn Display| {
            let text =
                format!("{address}: {error}; choose another address in plugin.config.listen");
            Reason::new("cannot-listen", text)
        };
        let socket = tcp::listen(address).map_err(|error| cannot(&error))?;
        let bound = socket.local_addr().map_err(|error| cannot(&error))?;
        let watch = host.watch(&socket, Interest::READABLE)?;
        log::info!("listening on {bound} for {}", settings.to);
        let destination = Rc::new(Destination::new(bound, settings.to, settings.server));
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
    pub(crate) fn accept(&mut self) -> Accepted {
        if let Some(socket) = self.put_back.take() {
            return Accepted::Connection(socket);
        }
        loop {
            let accepted = self.socket.accept().and_then(|(socket, _)| {
                tcp::prepare(&socket)?;
                Ok(socket)
            });
            match accepted {
                Ok(socket) => return Accepted::Connection(socket),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    // The backlog is empty, so the next failure is worth a warning again.
                    self.short = false;
                    return Accepted::Nobody;
                }
                Err(error) if concerns_one_connection(&error) => {
                    log::debug!(
                        "{}: a connection ended before it was accepted: {error}",
                        self.destination.title
                    );
                }
                Err(error) => return Accepted::Short(error),
            }
        }
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

/// Whether the error concerns only the connection that was being accepted, so that the next one may
/// work.
fn concerns_one_connection(error: &io::Error) -> bool {
    use ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, InvalidInput,
        NetworkDown, NetworkUnreachable, NotConnected,
    };
    // Linux reports errors that were pending on the new socket, see accept(2). Setting an option on
    // a connection that was reset fails with "invalid input".
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | InvalidInput
            | NetworkDown
            | NetworkUnreachable
            | NotConnected
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_descriptors_pauses_the_listener() {
        // EMFILE and ENFILE of Linux.
        for number in [24, 23] {
            assert!(!concerns_one_connection(&io::Error::from_raw_os_error(number)));
        }
        assert!(concerns_one_connection(&ErrorKind::ConnectionAborted.into()));
    }
}
