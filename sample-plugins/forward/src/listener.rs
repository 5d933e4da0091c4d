//! A socket that listens: it accepts, and it rests while the process has no descriptor left.

use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use trunkline_plugin::{Host, Interest, Reason, Watch, log};

use crate::asking::Destination;
use crate::config::Listen;
use crate::tcp;

/// How long a listener rests when accepting failed for lack of something: connections wait in the
/// backlog meanwhile, and trying again at once would only spin.
pub(crate) const REST: Duration = Duration::from_millis(100);

/// A socket that listens, and where its connections are carried.
pub(crate) struct Listener {
    socket: TcpListener,
    /// None while it rests.
    watch: Option<Watch>,
    /// A connection that was accepted and then could not be watched.
    put_back: Option<TcpStream>,
    /// Whether accepting failed last time, of which is warned once.
    short: bool,
    pub(crate) destination: Rc<Destination>,
}

/// What accepting came to.
#[derive(Debug)]
pub(crate) enum Accepted {
    /// A connection, which does not block.
    Connection(TcpStream),
    /// Nobody waits.
    Nobody,
    /// Something is short, descriptors mostly: try again after [`REST`].
    Short(io::Error),
}

impl Listener {
    /// Listens as the configuration says.
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

    /// Has this connection accepted again next time.
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
                    // Everybody is in: the next lack is news again.
                    self.short = false;
                    return Accepted::Nobody;
                }
                Err(error) if concerns_one_connection(&error) => {
                    log::debug!("{}: a connection was gone: {error}", self.destination.title);
                }
                Err(error) => return Accepted::Short(error),
            }
        }
    }

    /// Rests because of this error.
    pub(crate) fn rest(&mut self, host: &Host, error: &dyn Display) {
        let first = !std::mem::replace(&mut self.short, true);
        let level = if first { log::Level::Warn } else { log::Level::Debug };
        let title = &self.destination.title;
        log::log!(level, "{title}: cannot accept now: {error}; trying again every {REST:?}");
        self.unwatch(host);
    }

    /// Watches no more.
    pub(crate) fn unwatch(&mut self, host: &Host) {
        if let Some(watch) = self.watch.take() {
            host.unwatch(watch);
        }
    }

    /// Watches again, and tells whether it had rested.
    pub(crate) fn resume(&mut self, host: &Host) -> Result<bool, Reason> {
        let rested = self.watch.is_none();
        if rested {
            self.watch = Some(host.watch(&self.socket, Interest::READABLE)?);
        }
        Ok(rested)
    }
}

/// Whether only the connection that was to be accepted has failed, so that the next one may work.
fn concerns_one_connection(error: &io::Error) -> bool {
    use ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, InvalidInput,
        NetworkDown, NetworkUnreachable, NotConnected,
    };
    // Linux passes on what was already pending on the new socket, see accept(2). Invalid input is
    // what setting an option says on a connection that was reset.
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
    fn a_lack_of_descriptors_is_not_the_connections_fault() {
        // EMFILE and ENFILE of Linux.
        for number in [24, 23] {
            assert!(!concerns_one_connection(&io::Error::from_raw_os_error(number)));
        }
        assert!(concerns_one_connection(&ErrorKind::ConnectionAborted.into()));
    }
}
