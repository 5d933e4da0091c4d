//! The listeners: binding them, accepting connections, and removing socket files at the end.

use super::host_socket;
use super::open_files;
use super::socket::{Listener, SocketFileName, Stream};
use super::token::Ready;
use crate::other_side::OtherSide;
use mio::{Interest, Registry};
use rustix::process::Pid;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;
use trunkline_core::address::{Endpoint, Host, Transform, Transport};
use trunkline_core::audit::Dialler;
use trunkline_core::broker::{Grants, LogKind, Opened};
use trunkline_net::Accepted as AcceptResult;
use trunkline_net::tcp::Families;
use trunkline_net::unix::SocketFile;

/// The pause after a failed `accept`, for example for want of descriptors. Without it the loop
/// would spin.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug)]
struct BoundListener {
    listener: Listener,
    endpoint: Endpoint,
    how: Opened,
    ready: bool,
}

impl BoundListener {
    /// The roles that a connection accepted here may have.
    fn grants(&self) -> Grants {
        match (&self.listener, self.endpoint.transform) {
            (Listener::Unix(_), Transform::NoAuth) => Grants::Everything,
            _ => Grants::Server,
        }
    }
}

/// Where to listen.
enum Place<'a> {
    Path(&'a Path, SocketFileName),
    Addr(SocketAddr),
}

impl<'a> Place<'a> {
    fn of(endpoint: &'a Endpoint, name: SocketFileName) -> io::Result<Place<'a>> {
        match &endpoint.transport {
            Transport::Unix { path } => Ok(Place::Path(Path::new(path), name)),
            Transport::Net { host, port } => {
                resolve(host, *port, endpoint.transform).map(Place::Addr)
            }
        }
    }

    fn addr(&self) -> Option<SocketAddr> {
        match self {
            Place::Path(..) => None,
            Place::Addr(addr) => Some(*addr),
        }
    }
}

/// All listeners of a process. Dropping them removes their socket files.
#[derive(Debug)]
pub(super) struct Listening {
    registry: Registry,
    listeners: Vec<BoundListener>,
    files: Vec<SocketFile>,
    paused_until: Option<Duration>,
    /// The listener that cannot accept, for example for want of descriptors. This is logged once,
    /// and again when its queue is empty.
    short: Option<usize>,
}

/// A connection that was accepted.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) stream: Stream,
    pub(super) grants: Grants,
    pub(super) transform: Transform,
    pub(super) how: Opened,
    /// The peer's TCP address.
    pub(super) peer: Option<SocketAddr>,
    /// The peer's process, over a unix socket.
    pub(super) process: Option<Pid>,
    /// The same and its user, for the audit.
    pub(super) dialler: Option<Dialler>,
}

/// What came of looking at the listeners.
#[derive(Debug)]
pub(super) enum Incoming {
    /// A connection.
    Accepted(Accepted),
    /// One that is not for us, or none: what the log says of it.
    Logged(LogKind, String),
}

impl Listening {
    /// Listens on all endpoints, or on none if one fails.
    pub(super) fn open(endpoints: &[Endpoint], registry: Registry) -> Result<Listening, String> {
        let (listeners, files) = (Vec::new(), Vec::new());
        let mut all = Listening { registry, listeners, files, paused_until: None, short: None };
        let cannot = |endpoint, error| format!("cannot listen on {endpoint}: {error}");
        let mut places = Vec::new();
        for endpoint in endpoints {
            let place = Place::of(endpoint, SocketFileName::Configured);
            places.push(place.map_err(|error| cannot(endpoint, error))?);
        }
        let listed: Vec<_> = places.iter().filter_map(Place::addr).collect();
        for (endpoint, place) in endpoints.iter().zip(places) {
            let opened = all.open_one(endpoint, place, &listed, Opened::Accepted);
            opened.map_err(|error| cannot(endpoint, error))?;
        }
        Ok(all)
    }

    /// Listens for direct connections on an endpoint. Returns it with the port that the system
    /// chose.
    pub(super) fn open_direct(&mut self, endpoint: &Endpoint) -> Result<Endpoint, String> {
        let opened = Place::of(endpoint, SocketFileName::Random)
            .and_then(|place| self.open_one(endpoint, place, &[], Opened::Direct));
        opened
            .map_err(|error| format!("cannot listen for direct connections on {endpoint}: {error}"))
    }

    /// Listens for the command line of a host. Without it, only the host's own status is missing.
    pub(super) fn open_own_status(&mut self, endpoint: &Endpoint, name: SocketFileName) {
        host_socket::remove_dead(endpoint);
        let opened = Place::of(endpoint, name)
            .and_then(|place| self.open_one(endpoint, place, &[], Opened::Accepted));
        if let Err(error) = opened {
            log::warn!("cannot listen on {endpoint}, so this host has no own status: {error}");
        }
    }

    /// `listed` are the addresses on which the process will listen.
    fn open_one(
        &mut self,
        endpoint: &Endpoint,
        place: Place<'_>,
        listed: &[SocketAddr],
        how: Opened,
    ) -> io::Result<Endpoint> {
        let mut endpoint = endpoint.clone();
        let mut listener = match place {
            Place::Path(path, name) => {
                let (listener, file) = Listener::unix(path, name)?;
                self.files.push(file);
                listener
            }
            Place::Addr(addr) => Listener::tcp(addr, Families::of(addr, listed))?,
        };
        if let (Transport::Net { port, .. }, Some(chosen)) =
            (&mut endpoint.transport, listener.port())
        {
            *port = chosen;
        }
        let token = Ready::Listener(self.listeners.len()).token();
        self.registry.register(&mut listener, token, Interest::READABLE)?;
        log::info!("listening on {endpoint}");
        self.listeners.push(BoundListener {
            listener,
            endpoint: endpoint.clone(),
            how,
            ready: true,
        });
        Ok(endpoint)
    }

    /// The endpoints on which links are accepted, with the ports that the system chose.
    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        self.listeners
            .iter()
            .filter(|bound| bound.how == Opened::Accepted)
            .map(|bound| bound.endpoint.clone())
            .collect()
    }

    pub(super) fn ready(&mut self, index: usize) {
        if let Some(bound) = self.listeners.get_mut(index) {
            bound.ready = true;
        }
    }

    /// When accepting continues after a failed `accept`.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.paused_until
    }

    /// Whether a connection may be waiting that `admits` allows. The poll does not report it again.
    pub(super) fn has_ready(&self, admits: impl Fn(Grants) -> bool) -> bool {
        let may_wait = |bound: &BoundListener| bound.ready && admits(bound.grants());
        self.paused_until.is_none() && self.listeners.iter().any(may_wait)
    }

    /// Accepts a connection from a listener whose grants `admits` allows. Other connections stay in
    /// the listener's queue.
    pub(super) fn accept(
        &mut self,
        now: Duration,
        admits: impl Fn(Grants) -> bool,
    ) -> Option<Incoming> {
        if self.paused_until.is_some_and(|until| now < until) {
            return None;
        }
        self.paused_until = None;
        let may_wait =
            |(_, bound): &(usize, &mut BoundListener)| bound.ready && admits(bound.grants());
        for (index, bound) in self.listeners.iter_mut().enumerate().filter(may_wait) {
            match bound.listener.accept() {
                AcceptResult::Connection((stream, peer)) => {
                    return Some(check_peer(bound, stream, peer));
                }
                AcceptResult::Nobody => {
                    bound.ready = false;
                    if self.short == Some(index) {
                        self.short = None;
                        let text = format!("connections are accepted again on {}", bound.endpoint);
                        return Some(Incoming::Logged(LogKind::AcceptedAgain, text));
                    }
                }
                // The next turn accepts it.
                AcceptResult::Short(error) if open_files::raise_after(&error) => return None,
                AcceptResult::Short(error) => {
                    self.paused_until = Some(now + PAUSE);
                    let known = self.short.replace(index).is_some();
                    let why = format!(
                        "cannot accept on {}: {error}; trying again until it works",
                        bound.endpoint
                    );
                    return (!known).then_some(Incoming::Logged(LogKind::NotAccepted, why));
                }
            }
        }
        None
    }

    /// Closes all listeners, and removes their socket files.
    pub(super) fn close(&mut self) {
        self.listeners.clear();
        self.paused_until = None;
        for file in self.files.drain(..) {
            if let Err(error) = file.remove() {
                log::warn!("a socket file cannot be removed: {error}");
            }
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.close();
    }
}

/// A connection that was accepted, unless another user's process made it.
fn check_peer(bound: &BoundListener, stream: Stream, peer: Option<SocketAddr>) -> Incoming {
    let other = match &stream {
        Stream::Unix(stream) => OtherSide::of(stream).map(Some),
        Stream::Tcp(_) => Ok(None),
    };
    let (grants, transform, how) = (bound.grants(), bound.endpoint.transform, bound.how);
    let accepted = |other: Option<OtherSide>| {
        let (process, dialler) = (other.and_then(|o| o.process), other.map(OtherSide::dialler));
        Accepted { stream, grants, transform, how, peer, process, dialler }
    };
    match other {
        Ok(None) => Incoming::Accepted(accepted(None)),
        Ok(Some(other)) if other.is_trusted().is_ok() => Incoming::Accepted(accepted(Some(other))),
        Ok(Some(_)) | Err(_) => {
            let text = format!("{}: another user's connection was refused", bound.endpoint);
            Incoming::Logged(LogKind::OtherUser, text)
        }
    }
}

/// The address to listen on. Names are resolved while the server starts, when it may still block.
/// Without keys, the name must resolve to loopback.
fn resolve(host: &Host, port: u16, transform: Transform) -> io::Result<SocketAddr> {
    match host {
        Host::V4(ip) => Ok(SocketAddr::new(IpAddr::V4(*ip), port)),
        Host::V6(ip) => Ok(SocketAddr::new(IpAddr::V6(*ip), port)),
        name => {
            let mut found = (name.to_string(), port).to_socket_addrs()?;
            let fits =
                |addr: &SocketAddr| transform != Transform::NoAuth || addr.ip().is_loopback();
            found
                .find(fits)
                .ok_or_else(|| io::Error::other("the name has no address that can be listened on"))
        }
    }
}
