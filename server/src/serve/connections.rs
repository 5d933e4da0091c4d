//! The sockets of connections: cached readiness, and reading and writing within a budget.

use super::open_files;
use super::socket::Stream;
use super::token::Ready;
use mio::event::Event;
use mio::{Interest, Registry};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::time::Duration;
use trunkline_core::broker::{Broker, ConnId};

/// How long a closing connection may take to write its last bytes, and the peer to read them.
const LINGER: Duration = Duration::from_secs(1);

/// Bytes that one connection writes in one turn. One connection cannot starve the others.
const WRITE_BUDGET: usize = 1 << 20;

/// After this many useless "writable" events in a row, stop asking epoll for them. In a bulk
/// transfer a write finds the socket full more often than that, and changing the interest costs as
/// much as a wakeup.
const USELESS_EVENTS_MAX: u8 = 16;

/// The result of reading from a connection.
#[derive(Debug)]
pub(super) enum ReadResult {
    /// This many bytes were read.
    Bytes(usize),
    /// Nothing can be read now.
    Nothing,
    /// The connection has ended, for this reason.
    End(String),
}

#[derive(Debug)]
struct Socket {
    stream: Stream,
    readable: bool,
    writable: bool,
    interest: PollInterest,
    /// The poll has reported the end of the stream. It is edge-triggered and does not report it
    /// again.
    read_closed: bool,
    ending: Ending,
}

/// The events that the poll reports for a socket. The kernel reports "writable" each time that the
/// peer has read something. So it is asked for only after a write found the socket full; otherwise
/// each message would cost a useless wakeup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PollInterest {
    Readable,
    ReadableAndWritable {
        /// Writable events in a row for a socket that was known to be writable.
        useless: u8,
    },
}

/// The state of closing a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Not,
    /// The broker has closed it; its last bytes are being written.
    Flushing,
    /// All bytes are written and the writing half is shut down; the peer may still be reading.
    Lingering,
}

/// The sockets of all connections.
#[derive(Debug)]
pub(super) struct Connections {
    registry: Registry,
    sockets: BTreeMap<ConnId, Socket>,
    /// Connections that may be readable, in the order in which they became so.
    readable: VecDeque<ConnId>,
    /// Connections that the broker has closed, by the end of their time to linger.
    closing: VecDeque<(Duration, ConnId)>,
}

impl Connections {
    pub(super) fn new(registry: Registry) -> Connections {
        Connections {
            registry,
            sockets: BTreeMap::new(),
            readable: VecDeque::new(),
            closing: VecDeque::new(),
        }
    }

    pub(super) fn add(&mut self, id: ConnId, mut stream: Stream) -> io::Result<()> {
        open_files::keep_room_above(&stream);
        self.registry.register(&mut stream, Ready::Conn(id.0).token(), Interest::READABLE)?;
        let socket = Socket {
            stream,
            readable: true,
            writable: true,
            interest: PollInterest::Readable,
            read_closed: false,
            ending: Ending::Not,
        };
        self.sockets.insert(id, socket);
        self.readable.push_back(id);
        Ok(())
    }

    /// The TCP address of our end of a connection.
    pub(super) fn local_addr(&self, id: ConnId) -> Option<SocketAddr> {
        Some(self.sockets.get(&id)?.stream.tcp_addrs()?.0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// Notes the readiness of a socket. Returns whether it has become writable.
    pub(super) fn ready(&mut self, id: ConnId, event: &Event) -> bool {
        let Some(socket) = self.sockets.get_mut(&id) else { return false };
        let room = event.is_writable() || event.is_write_closed();
        let again = room && !std::mem::replace(&mut socket.writable, true);
        if room && !again {
            socket.count_useless_event(id, &self.registry);
        }
        socket.read_closed |= event.is_read_closed() || event.is_error();
        let readable = event.is_readable() || socket.read_closed;
        if readable && !std::mem::replace(&mut socket.readable, true) {
            self.readable.push_back(id);
        }
        again
    }

    /// How many connections may be readable.
    pub(super) fn readable(&self) -> usize {
        self.readable.len()
    }

    /// The next connection that may be readable. If it stays readable, it is queued behind the
    /// others (`still_readable`).
    pub(super) fn next_readable(&mut self) -> Option<ConnId> {
        self.readable.pop_front()
    }

    pub(super) fn has_readable(&self) -> bool {
        !self.readable.is_empty()
    }

    /// Queues a connection again that had more bytes than its budget.
    pub(super) fn still_readable(&mut self, id: ConnId) {
        if self.sockets.get(&id).is_some_and(|socket| socket.readable) {
            self.readable.push_back(id);
        }
    }

    /// Makes the next `read` of a connection try the socket, without an event from the poll.
    pub(super) fn assume_readable(&mut self, id: ConnId) {
        if let Some(socket) = self.sockets.get_mut(&id) {
            socket.readable = true;
        }
    }

    pub(super) fn read(&mut self, id: ConnId, buffer: &mut [u8]) -> ReadResult {
        let Some(socket) = self.sockets.get_mut(&id).filter(|socket| socket.readable) else {
            return ReadResult::Nothing;
        };
        loop {
            match socket.stream.read(buffer) {
                Ok(0) => return ReadResult::End("the peer closed the connection".into()),
                Ok(count) => {
                    // A short read means that the socket is empty, and the poll will report new
                    // bytes. It does not report again an end that it reported with these bytes.
                    socket.readable = count == buffer.len() || socket.read_closed;
                    return ReadResult::Bytes(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    socket.readable = false;
                    return ReadResult::Nothing;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return ReadResult::End(error.to_string()),
            }
        }
    }

    /// Writes a connection's outbox until the socket is full or the budget is used up.
    pub(super) fn flush(&mut self, id: ConnId, broker: &mut Broker) -> Result<(), String> {
        let Some(socket) = self.sockets.get_mut(&id) else { return Ok(()) };
        let mut budget = WRITE_BUDGET;
        socket.writable = socket.writable || broker.tries_socket(id);
        while socket.writable && budget > 0 {
            let outgoing = broker.outgoing(id);
            let waiting: usize = outgoing.iter().map(|slice| slice.len()).sum();
            if waiting == 0 {
                // Streams may wait for their turn although the outbox is empty.
                broker.flushed(id, 0);
                break;
            }
            match socket.stream.write_slices(outgoing) {
                Ok(0) => return Err("the socket accepted no bytes".into()),
                Ok(count) => {
                    socket.writable = count == waiting;
                    budget = budget.saturating_sub(count);
                    broker.flushed(id, count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => socket.writable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        if !socket.writable {
            socket.poll_for_writable(id, &self.registry).map_err(|error| error.to_string())?;
        } else if budget == 0 {
            // The socket stayed writable, so the poll will not report it.
            broker.write_later(id);
        }
        if socket.ending == Ending::Flushing && broker.is_written(id) {
            socket.ending = Ending::Lingering;
            socket.stream.shut_down_writing();
        }
        Ok(())
    }

    /// Closes a connection once its last bytes are written and the peer has read them, or its time
    /// is over.
    pub(super) fn close_after_flush(&mut self, id: ConnId, now: Duration) {
        if let Some(socket) = self.sockets.get_mut(&id)
            && socket.ending == Ending::Not
        {
            socket.ending = Ending::Flushing;
            self.closing.push_back((now + LINGER, id));
        }
    }

    /// The next connection whose time to linger is over. Until then it is read, or until the peer
    /// closes too: closing a socket with unread bytes resets the connection, and the peer would
    /// lose bytes that it has not read.
    pub(super) fn next_closed(&mut self, now: Duration) -> Option<ConnId> {
        while let Some((until, id)) = self.closing.front().copied() {
            let there = self.sockets.contains_key(&id);
            if there && now < until {
                return None;
            }
            self.closing.pop_front();
            if there {
                return Some(id);
            }
        }
        None
    }

    /// When the time to linger of the next connection is over.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.closing.front().map(|(until, _)| *until)
    }

    /// Closes a socket.
    pub(super) fn remove(&mut self, id: ConnId) {
        if let Some(mut socket) = self.sockets.remove(&id)
            && let Err(error) = self.registry.deregister(&mut socket.stream)
        {
            log::debug!("a socket cannot be deregistered: {error}");
        }
    }
}

impl Socket {
    /// Asks the poll for a "writable" event, after a write found the socket full. The event also
    /// comes if the socket is writable by now.
    fn poll_for_writable(&mut self, id: ConnId, registry: &Registry) -> io::Result<()> {
        if self.interest == PollInterest::Readable {
            let interest = Interest::READABLE | Interest::WRITABLE;
            registry.reregister(&mut self.stream, Ready::Conn(id.0).token(), interest)?;
        }
        self.interest = PollInterest::ReadableAndWritable { useless: 0 };
        Ok(())
    }

    /// Counts a "writable" event of a socket that was known to be writable.
    fn count_useless_event(&mut self, id: ConnId, registry: &Registry) {
        let PollInterest::ReadableAndWritable { useless } = &mut self.interest else { return };
        *useless = useless.saturating_add(1);
        if *useless < USELESS_EVENTS_MAX {
            return;
        }
        let token = Ready::Conn(id.0).token();
        match registry.reregister(&mut self.stream, token, Interest::READABLE) {
            Ok(()) => self.interest = PollInterest::Readable,
            Err(error) => log::debug!("a socket's interest in epoll cannot be changed: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writable_events_begin_after_a_full_socket_and_end_when_useless() {
        let mut poll = mio::Poll::new().unwrap();
        let mut events = mio::Events::with_capacity(1);
        let mut connections = Connections::new(poll.registry().try_clone().unwrap());
        let (ours, _theirs) = mio::net::UnixStream::pair().unwrap();
        let id = ConnId(1);
        connections.add(id, Stream::Unix(ours)).unwrap();
        poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        assert!(events.is_empty(), "no write has found the socket full");

        let socket = connections.sockets.get_mut(&id).unwrap();
        socket.writable = false;
        socket.poll_for_writable(id, poll.registry()).unwrap();
        poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        let event = events.iter().next().expect("the socket is writable already");
        assert!(connections.ready(id, event), "it has become writable");
        for _ in 0..USELESS_EVENTS_MAX {
            let interest = connections.sockets[&id].interest;
            assert_ne!(interest, PollInterest::Readable, "more writes may find it full");
            assert!(!connections.ready(id, event), "it was known to be writable");
        }
        assert_eq!(connections.sockets[&id].interest, PollInterest::Readable);
    }
}
