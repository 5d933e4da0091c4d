//! Dialling without blocking: one address after the other, until one is connected.

use super::lookups::{Lookups, NamedBy, NamedPlace};
use super::open_files;
use super::socket::Stream;
use super::token::Ready;
use super::wake::Mailbox;
use crate::other_side::check_listener;
use mio::{Interest, Registry};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use trunkline_core::address::{Endpoint, Host, Scope, Transform, Transport};
use trunkline_core::broker::{DirectId, PeerId};

/// The pause before an endpoint is dialled again in hole punching.
const AGAIN: Duration = Duration::from_millis(100);

/// How long one address may take to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Addresses of one name that are dialled: as many as one message may name.
const NAMED_MAX: usize = 8;

/// The outcome of a dial.
#[derive(Debug)]
pub(super) enum DialOutcome {
    /// It is connected to this endpoint.
    Connected(DialFor, Endpoint, Stream),
    /// No endpoint could be reached; this is the last error.
    Failed(DialFor, String),
}

/// The purpose of a dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DialFor {
    /// A peer, for a link.
    Peer(PeerId),
    /// A direct connection to a process, for one channel.
    Process(DirectId),
    /// Hole punching, where the process of the caller dials us at the same moment.
    Caller(DirectId),
}

/// What to dial.
#[derive(Debug)]
pub(super) struct DialRequest {
    pub(super) purpose: DialFor,
    /// The best endpoint first.
    pub(super) endpoints: Vec<Endpoint>,
    /// Where their names come from.
    pub(super) named_by: NamedBy,
    /// The local address to dial from in hole punching. The other side dials it meanwhile, and the
    /// endpoint is dialled repeatedly, because the first attempt may be refused.
    pub(super) from: Option<SocketAddr>,
}

#[derive(Debug)]
struct Attempt {
    purpose: DialFor,
    named_by: NamedBy,
    from: Option<SocketAddr>,
    /// When to dial the same endpoint again.
    again: Option<Duration>,
    /// The endpoint that is dialled now, and those that are left, the next one last.
    current: Endpoint,
    left: Vec<Endpoint>,
    /// Addresses of the current endpoint that are left, the next one last.
    addrs: Vec<SocketAddr>,
    stream: Option<Stream>,
    deadline: Duration,
    /// When it times out or is dialled again, as in `due` of [`Dialling`].
    due: Duration,
    /// The name that is being resolved for it.
    looks_up: Option<NamedPlace>,
    failure: String,
}

/// All dials in progress.
#[derive(Debug)]
pub(super) struct Dialling {
    registry: Registry,
    mailbox: Arc<Mailbox>,
    lookups: Lookups,
    next: u64,
    attempts: BTreeMap<u64, Attempt>,
    /// When each of them times out or is dialled again.
    due: BTreeSet<(Duration, u64)>,
    /// The number of each attempt.
    numbers: BTreeMap<DialFor, u64>,
    done: Vec<DialOutcome>,
}

impl Dialling {
    pub(super) fn new(registry: Registry, mailbox: Arc<Mailbox>) -> Dialling {
        let (lookups, attempts, due, numbers, done) = Default::default();
        Dialling { registry, mailbox, lookups, next: 0, attempts, due, numbers, done }
    }

    /// Begins to dial.
    pub(super) fn begin(&mut self, now: Duration, request: DialRequest) {
        let DialRequest { purpose, mut endpoints, named_by, from } = request;
        endpoints.reverse();
        let Some(current) = endpoints.pop() else { return };
        let number = self.next;
        self.next += 1;
        let attempt = Attempt {
            purpose,
            named_by,
            from,
            again: None,
            current,
            left: endpoints,
            addrs: Vec::new(),
            stream: None,
            deadline: now + CONNECT_TIMEOUT,
            due: now + CONNECT_TIMEOUT,
            looks_up: None,
            failure: String::new(),
        };
        self.give_up(purpose);
        self.due.insert((attempt.due, number));
        self.numbers.insert(purpose, number);
        self.attempts.insert(number, attempt);
        self.begin_endpoint(now, number);
        self.schedule(number);
    }

    /// Cancels a dial.
    pub(super) fn give_up(&mut self, purpose: DialFor) {
        if let Some(number) = self.numbers.get(&purpose).copied() {
            self.remove(number);
            self.look_up_next();
        }
    }

    fn remove(&mut self, number: u64) -> Option<Attempt> {
        let attempt = self.attempts.remove(&number)?;
        self.due.remove(&(attempt.due, number));
        self.numbers.remove(&attempt.purpose);
        if let Some(place) = &attempt.looks_up {
            self.lookups.give_up(number, place);
        }
        Some(attempt)
    }

    /// Notes when an attempt times out or is dialled again.
    fn schedule(&mut self, number: u64) {
        let Some(attempt) = self.attempts.get_mut(&number) else { return };
        let due = attempt.again.unwrap_or(attempt.deadline);
        self.due.remove(&(attempt.due, number));
        attempt.due = due;
        self.due.insert((due, number));
    }

    /// Dials the same endpoint again, from the same port.
    fn dial_again(&mut self, now: Duration, number: u64) {
        let Some(attempt) = self.attempts.get_mut(&number) else { return };
        attempt.again = None;
        let deadline = attempt.deadline;
        self.begin_endpoint(now, number);
        if let Some(attempt) = self.attempts.get_mut(&number) {
            attempt.deadline = deadline;
        }
    }

    /// Takes the outcomes of finished dials.
    pub(super) fn take_done(&mut self) -> Vec<DialOutcome> {
        std::mem::take(&mut self.done)
    }

    /// When the next endpoint times out or is dialled again.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Dials endpoints again that are due, and gives up those that have timed out.
    pub(super) fn tick(&mut self, now: Duration) {
        let due = self.due.range(..=(now, u64::MAX)).map(|(_, number)| *number);
        for number in due.collect::<Vec<_>>() {
            match self.attempts.get(&number).map(|attempt| attempt.deadline) {
                Some(deadline) if now < deadline => self.dial_again(now, number),
                _ => self.endpoint_failed(now, number, "no answer in time"),
            }
            self.schedule(number);
        }
        self.look_up_next();
    }

    /// The socket of a dial is connected, or has failed.
    pub(super) fn ready(&mut self, now: Duration, number: u64) {
        self.check_socket(now, number);
        self.schedule(number);
        self.look_up_next();
    }

    fn check_socket(&mut self, now: Duration, number: u64) {
        let Some(stream) = self.attempts.get(&number).and_then(|a| a.stream.as_ref()) else {
            return;
        };
        match stream.connected() {
            Ok(None) => {}
            Ok(Some(())) => match self.check_listener(number) {
                Ok(()) => self.succeed(number),
                Err(why) => self.endpoint_failed(now, number, &why),
            },
            Err(error) => self.endpoint_failed(now, number, &error.to_string()),
        }
    }

    /// A name was resolved, or could not be.
    pub(super) fn looked_up(
        &mut self,
        now: Duration,
        place: &NamedPlace,
        found: &io::Result<Vec<SocketAddr>>,
    ) {
        for number in self.lookups.done(place) {
            self.use_name(now, number, found);
            self.schedule(number);
        }
        self.look_up_next();
    }

    fn use_name(&mut self, now: Duration, number: u64, found: &io::Result<Vec<SocketAddr>>) {
        let Some(attempt) = self.attempts.get_mut(&number) else { return };
        attempt.looks_up = None;
        match found {
            Ok(addrs) => {
                let (purpose, transform) = (attempt.purpose, attempt.current.transform);
                let usable = addrs.iter().filter(|a| may_be_named(a.ip(), purpose, transform));
                attempt.addrs = usable.copied().take(NAMED_MAX).collect();
                attempt.addrs.reverse();
                self.next_addr(now, number, "the name has no address that may be dialled");
            }
            Err(error) => self.endpoint_failed(now, number, &error.to_string()),
        }
    }

    /// Resolves the names for which there are threads.
    fn look_up_next(&mut self) {
        while let Some(place) = self.lookups.next() {
            self.mailbox.look_up(place);
        }
    }

    fn begin_endpoint(&mut self, now: Duration, number: u64) {
        let Some(attempt) = self.attempts.get_mut(&number) else { return };
        attempt.deadline = now + CONNECT_TIMEOUT;
        match &attempt.current.transport {
            Transport::Unix { path } => {
                let begun = Stream::dial_unix(Path::new(path));
                self.begun(now, number, begun);
            }
            Transport::Net { host: Host::V4(ip), port } => {
                attempt.addrs = vec![SocketAddr::new(IpAddr::V4(*ip), *port)];
                self.next_addr(now, number, "");
            }
            Transport::Net { host: Host::V6(ip), port } => {
                attempt.addrs = vec![SocketAddr::new(IpAddr::V6(*ip), *port)];
                self.next_addr(now, number, "");
            }
            // The resolver also handles IPv6 addresses with an interface.
            Transport::Net { host, port } => {
                let (place, named_by) = ((host.to_string(), *port), attempt.named_by);
                attempt.looks_up = Some(place.clone());
                self.lookups.want(number, place, named_by);
                self.look_up_next();
            }
        }
    }

    fn next_addr(&mut self, now: Duration, number: u64, failure: &str) {
        let addr = self.attempts.get_mut(&number).and_then(|attempt| attempt.addrs.pop());
        match addr {
            Some(addr) => {
                let from = self.attempts.get(&number).and_then(|attempt| attempt.from);
                self.begun(now, number, Stream::dial_tcp(addr, from));
            }
            None => self.endpoint_failed(now, number, failure),
        }
    }

    fn begun(&mut self, now: Duration, number: u64, begun: io::Result<Stream>) {
        let token = Ready::Dial(number).token();
        let registered = begun.and_then(|mut stream| {
            open_files::keep_room_above(&stream);
            self.registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
            Ok(stream)
        });
        match registered {
            Ok(stream) => {
                if let Some(attempt) = self.attempts.get_mut(&number) {
                    attempt.stream = Some(stream);
                }
                // A unix socket connects at once.
                self.check_socket(now, number);
            }
            Err(error) => {
                // The next attempt may then succeed.
                open_files::raise_after(&error);
                self.endpoint_failed(now, number, &error.to_string());
            }
        }
    }

    fn endpoint_failed(&mut self, now: Duration, number: u64, why: &str) {
        let Some(attempt) = self.attempts.get_mut(&number) else { return };
        (attempt.stream, attempt.again) = (None, None);
        if let Some(place) = attempt.looks_up.take() {
            self.lookups.give_up(number, &place);
        }
        if !why.is_empty() {
            attempt.failure = format!("{}: {why}", attempt.current);
        }
        if attempt.from.is_some() && now < attempt.deadline {
            attempt.again = Some(now + AGAIN);
        } else if !attempt.addrs.is_empty() {
            attempt.deadline = now + CONNECT_TIMEOUT;
            self.next_addr(now, number, "");
        } else if let Some(next) = attempt.left.pop() {
            attempt.current = next;
            self.begin_endpoint(now, number);
        } else if let Some(attempt) = self.remove(number) {
            self.done.push(DialOutcome::Failed(attempt.purpose, attempt.failure));
        }
    }

    /// Without keys, only the kernel knows which user listens on a unix socket.
    fn check_listener(&self, number: u64) -> Result<(), String> {
        let Some(attempt) = self.attempts.get(&number) else { return Ok(()) };
        match (&attempt.stream, attempt.current.transform) {
            (Some(Stream::Unix(stream)), Transform::NoAuth) => {
                let hint = "if that is intended, use ~shs with its key";
                check_listener(stream).map_err(|why| format!("{why}; {hint}"))
            }
            _ => Ok(()),
        }
    }

    fn succeed(&mut self, number: u64) {
        let Some(attempt) = self.remove(number) else { return };
        let Some(mut stream) = attempt.stream else { return };
        // `Connections` registers the socket with another token.
        let done = match self.registry.deregister(&mut stream) {
            Ok(()) => DialOutcome::Connected(attempt.purpose, attempt.current, stream),
            Err(error) => DialOutcome::Failed(attempt.purpose, error.to_string()),
        };
        self.done.push(done);
    }
}

/// Whether a name may resolve to this address. Without keys, only loopback is dialled. A name from
/// another process must never resolve to this machine.
fn may_be_named(ip: IpAddr, purpose: DialFor, transform: Transform) -> bool {
    let host = match ip {
        IpAddr::V4(v4) => Host::V4(v4),
        IpAddr::V6(v6) => Host::V6(v6),
    };
    let loopback = host.scope() == Scope::Device;
    match purpose {
        DialFor::Peer(_) => transform != Transform::NoAuth || ip.is_loopback(),
        DialFor::Process(_) | DialFor::Caller(_) => !loopback,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_core::key::Key;

    #[test]
    fn a_name_from_another_process_never_resolves_to_this_machine() {
        let keyed = Transform::Shs(Key([1; 32]));
        for (ip, of_peer, of_process) in [
            ("203.0.113.7", true, true),
            ("10.0.0.1", true, true),
            ("127.0.0.1", true, false),
            ("0.0.0.0", true, false),
            ("::1", true, false),
            ("::ffff:127.0.0.1", true, false),
        ] {
            let ip: IpAddr = ip.parse().unwrap();
            assert_eq!(may_be_named(ip, DialFor::Peer(PeerId(0)), keyed), of_peer, "{ip}");
            for purpose in [DialFor::Process(DirectId(0)), DialFor::Caller(DirectId(0))] {
                assert_eq!(may_be_named(ip, purpose, keyed), of_process, "{ip}");
            }
        }
        let plain = Transform::NoAuth;
        let peer = DialFor::Peer(PeerId(0));
        assert!(may_be_named("127.0.0.1".parse().unwrap(), peer, plain));
        assert!(!may_be_named("10.0.0.1".parse().unwrap(), peer, plain));
    }
}
