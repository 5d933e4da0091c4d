//! The listeners: where they are, when they may accept, and that their files go away again.

use super::socket::{Listener, Stream};
use super::token::Ready;
use crate::other_side::OtherSide;
use mio::{Interest, Registry};
use rustix::process::Pid;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;
use trunkline_core::address::{Endpoint, Host, Transform, Transport};
use trunkline_core::broker::{Grants, Opened};

/// The pause after the system refused us a descriptor, so that we do not ask in a tight loop.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug)]
struct Place {
    listener: Listener,
    endpoint: Endpoint,
    how: Opened,
    ready: bool,
}

impl Place {
    /// What a connection that comes here may be.
    fn grants(&self) -> Grants {
        match (&self.listener, self.endpoint.transform) {
            (Listener::Unix(_), Transform::NoAuth) => Grants::Everything,
            _ => Grants::Server,
        }
    }
}

/// All listeners of a server. Dropping them removes the files of their sockets.
#[derive(Debug)]
pub(super) struct Listening {
    registry: Registry,
    places: Vec<Place>,
    files: Vec<PathBuf>,
    paused_until: Option<Duration>,
}

/// A connection that was accepted.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) stream: Stream,
    pub(super) grants: Grants,
    pub(super) transform: Transform,
    pub(super) how: Opened,
    /// The TCP address from which it came.
    pub(super) peer: Option<SocketAddr>,
    /// The process that dialled, over a unix socket.
    pub(super) process: Option<Pid>,
}

impl Listening {
    /// Listens everywhere, or nowhere.
    pub(super) fn open(endpoints: &[Endpoint], registry: Registry) -> Result<Listening, String> {
        let (places, files) = (Vec::new(), Vec::new());
        let mut all = Listening { registry, places, files, paused_until: None };
        for endpoint in endpoints {
            let opened = all.open_one(endpoint, Opened::Accepted);
            opened.map_err(|error| format!("cannot listen on {endpoint}: {error}"))?;
        }
        Ok(all)
    }

    /// Takes direct connections at an endpoint; gives it with the port that the system chose.
    pub(super) fn open_direct(&mut self, endpoint: &Endpoint) -> Result<Endpoint, String> {
        let opened = self.open_one(endpoint, Opened::Direct);
        opened.map_err(|error| format!("cannot take direct connections on {endpoint}: {error}"))
    }

    fn open_one(&mut self, endpoint: &Endpoint, how: Opened) -> io::Result<Endpoint> {
        let mut endpoint = endpoint.clone();
        let mut listener = match &endpoint.transport {
            Transport::Unix { path } => {
                let listener = Listener::unix(Path::new(path))?;
                self.files.push(path.into());
                listener
            }
            Transport::Net { host, port } => {
                Listener::tcp(resolve(host, *port, endpoint.transform)?)?
            }
        };
        if let (Transport::Net { port, .. }, Some(chosen)) =
            (&mut endpoint.transport, listener.port())
        {
            *port = chosen;
        }
        let token = Ready::Listener(self.places.len()).token();
        self.registry.register(&mut listener, token, Interest::READABLE)?;
        log::info!("listening on {endpoint}");
        self.places.push(Place { listener, endpoint: endpoint.clone(), how, ready: true });
        Ok(endpoint)
    }

    /// The endpoints where links are taken, with the ports that the system chose.
    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        self.places
            .iter()
            .filter(|place| place.how == Opened::Accepted)
            .map(|place| place.endpoint.clone())
            .collect()
    }

    pub(super) fn ready(&mut self, index: usize) {
        if let Some(place) = self.places.get_mut(index) {
            place.ready = true;
        }
    }

    /// When accepting goes on after the system refused us a descriptor.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.paused_until
    }

    /// Whether a connection may be waiting that `admits` lets in: no event tells of it again.
    pub(super) fn has_ready(&self, admits: impl Fn(Grants) -> bool) -> bool {
        let may_wait = |place: &Place| place.ready && admits(place.grants());
        self.paused_until.is_none() && self.places.iter().any(may_wait)
    }

    /// The next connection that waits at a listener whose grants `admits` lets in. What is not
    /// accepted now stays in the listener's queue.
    pub(super) fn accept(
        &mut self,
        now: Duration,
        admits: impl Fn(Grants) -> bool,
    ) -> Option<Accepted> {
        if self.paused_until.is_some_and(|until| now < until) {
            return None;
        }
        self.paused_until = None;
        for place in self.places.iter_mut().filter(|place| place.ready && admits(place.grants())) {
            match accept_from(place) {
                Ok(Some(accepted)) => return Some(accepted),
                Ok(None) => place.ready = false,
                Err(error) => {
                    log::warn!("cannot accept on {}: {error}; trying again", place.endpoint);
                    self.paused_until = Some(now + PAUSE);
                    return None;
                }
            }
        }
        None
    }

    /// Listens no more, and removes the files of the sockets.
    pub(super) fn close(&mut self) {
        self.places.clear();
        self.paused_until = None;
        for file in self.files.drain(..) {
            if let Err(error) = std::fs::remove_file(&file) {
                log::warn!("{}: cannot be removed: {error}", file.display());
            }
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.close();
    }
}

fn accept_from(place: &Place) -> io::Result<Option<Accepted>> {
    loop {
        let (stream, peer) = match place.listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => return Ok(None),
                // The peer was gone before we came to it.
                io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => continue,
                _ => return Err(error),
            },
        };
        let other = match &stream {
            Stream::Unix(stream) => OtherSide::of(stream).map(Some),
            Stream::Tcp(_) => Ok(None),
        };
        let (grants, transform, how) = (place.grants(), place.endpoint.transform, place.how);
        let accepted = |process| Accepted { stream, grants, transform, how, peer, process };
        match other {
            Ok(None) => return Ok(Some(accepted(None))),
            Ok(Some(other)) if other.is_trusted().is_ok() => {
                return Ok(Some(accepted(Some(other.process))));
            }
            Ok(Some(_)) | Err(_) => {
                log::warn!("{}: another user's connection was refused", place.endpoint);
            }
        }
    }
}

/// The address to listen on. Names are looked up while the server starts, when it may still wait;
/// without keys, only a name of loopback will do.
fn resolve(host: &Host, port: u16, transform: Transform) -> io::Result<SocketAddr> {
    match host {
        Host::V4(ip) => Ok(SocketAddr::new(IpAddr::V4(*ip), port)),
        Host::V6(ip) => Ok(SocketAddr::new(IpAddr::V6(*ip), port)),
        name => {
            let mut found = (name.to_string(), port).to_socket_addrs()?;
            let fits =
                |addr: &SocketAddr| transform != Transform::NoAuth || addr.ip().is_loopback();
            found.find(fits).ok_or_else(|| io::Error::other("the name is not one of this machine"))
        }
    }
}
