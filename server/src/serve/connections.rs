//! The sockets of connections: cached readiness, reading within a budget, writing what is there.

use super::socket::Stream;
use super::token::Ready;
use mio::event::Event;
use mio::{Interest, Registry};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::time::Duration;
use trunkline_core::broker::{Broker, ConnId};

/// How long a connection that ends may take to write its last bytes, and the peer to read them.
const LINGER: Duration = Duration::from_secs(1);

/// Most bytes that one connection writes in one turn, so that it cannot starve the others.
const WRITE_BUDGET: usize = 1 << 20;

/// Times in a row that a socket's room is told in vain before it is told no more. While bytes flow
/// in bulk, a write finds no room more often than that, and changing what the poll tells costs as
/// much as a wakeup.
const TOLD_IN_VAIN: u8 = 16;

/// What reading from a connection came to.
#[derive(Debug)]
pub(super) enum ReadResult {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// No more bytes will come: how it ended.
    End(String),
}

#[derive(Debug)]
struct Socket {
    stream: Stream,
    readable: bool,
    writable: bool,
    /// What the poll tells of.
    told: Told,
    /// The poll has told that no more bytes will come; it does not tell it again.
    read_closed: bool,
    ending: Ending,
}

/// What the poll tells of a socket. Room is told each time that the peer has read something, so it
/// is asked for only where a write found none: else each message would cost a wakeup for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Bytes,
    BytesAndRoom {
        /// Times in a row that room was told where there had been room all the time.
        in_vain: u8,
    },
}

/// How far a connection has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Not,
    /// The broker is done with it: what is left is written.
    Closing,
    /// All is written, and the peer has been told so.
    Shut,
}

/// The sockets of all connections.
#[derive(Debug)]
pub(super) struct Connections {
    registry: Registry,
    sockets: BTreeMap<ConnId, Socket>,
    /// Connections that may be readable, in the order in which they became so.
    readable: VecDeque<ConnId>,
    /// Connections that the broker is done with, in the order in which their time is over.
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
        self.registry.register(&mut stream, Ready::Conn(id.0).token(), Interest::READABLE)?;
        let socket = Socket {
            stream,
            readable: true,
            writable: true,
            told: Told::Bytes,
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

    /// A socket became ready; whether it may be written to again.
    pub(super) fn ready(&mut self, id: ConnId, event: &Event) -> bool {
        let Some(socket) = self.sockets.get_mut(&id) else { return false };
        let room = event.is_writable() || event.is_write_closed();
        let again = room && !std::mem::replace(&mut socket.writable, true);
        if room && !again {
            socket.told_in_vain(id, &self.registry);
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

    /// The next connection that may be readable; one that stays so is asked for again, behind the
    /// others.
    pub(super) fn next_readable(&mut self) -> Option<ConnId> {
        self.readable.pop_front()
    }

    pub(super) fn has_readable(&self) -> bool {
        !self.readable.is_empty()
    }

    /// A connection had more than its budget: it goes on in the next turn.
    pub(super) fn still_readable(&mut self, id: ConnId) {
        if self.sockets.get(&id).is_some_and(|socket| socket.readable) {
            self.readable.push_back(id);
        }
    }

    /// What a connection brings is read next, though the poll has not told of any.
    pub(super) fn look(&mut self, id: ConnId) {
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
                    // Fewer bytes than fit: the socket is empty, and the poll tells of new ones. It
                    // has told of an end already if that came with these bytes.
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

    /// Writes what is in a connection's outbox, as far as the socket takes it.
    pub(super) fn flush(&mut self, id: ConnId, broker: &mut Broker) -> Result<(), String> {
        let Some(socket) = self.sockets.get_mut(&id) else { return Ok(()) };
        let mut budget = WRITE_BUDGET;
        while socket.writable && budget > 0 {
            let outgoing = broker.outgoing(id);
            let waiting: usize = outgoing.iter().map(|slice| slice.len()).sum();
            if waiting == 0 {
                // Streams may be waiting for their turn though nothing is left to write.
                broker.flushed(id, 0);
                break;
            }
            match socket.stream.write_slices(outgoing) {
                Ok(0) => return Err("the connection takes no more bytes".into()),
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
            socket.ask_for_room(id, &self.registry).map_err(|error| error.to_string())?;
        } else if budget == 0 {
            // The poll tells of no room that was there all the time.
            broker.write_later(id);
        }
        if socket.ending == Ending::Closing && broker.is_written(id) {
            socket.ending = Ending::Shut;
            socket.stream.shut_down_writing();
        }
        Ok(())
    }

    /// The broker is done with a connection: it is closed when its last bytes are written and read.
    pub(super) fn hang_up(&mut self, id: ConnId, now: Duration) {
        if let Some(socket) = self.sockets.get_mut(&id)
            && socket.ending == Ending::Not
        {
            socket.ending = Ending::Closing;
            self.closing.push_back((now + LINGER, id));
        }
    }

    /// The next connection that is done with and has had its time. Closing a socket that holds
    /// unread bytes would make the system drop what the peer has not read, so it is read until
    /// then, or until the peer closes too.
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

    /// When the next connection that is done with has had its time.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.closing.front().map(|(until, _)| *until)
    }

    /// Closes a socket.
    pub(super) fn remove(&mut self, id: ConnId) {
        if let Some(mut socket) = self.sockets.remove(&id)
            && let Err(error) = self.registry.deregister(&mut socket.stream)
        {
            log::debug!("a socket cannot be taken off the poll: {error}");
        }
    }
}

impl Socket {
    /// A write found no room: the poll tells when there is some, also if that is so already.
    fn ask_for_room(&mut self, id: ConnId, registry: &Registry) -> io::Result<()> {
        if self.told == Told::Bytes {
            let interest = Interest::READABLE | Interest::WRITABLE;
            registry.reregister(&mut self.stream, Ready::Conn(id.0).token(), interest)?;
        }
        self.told = Told::BytesAndRoom { in_vain: 0 };
        Ok(())
    }

    /// The poll told of room though there had been some all the time.
    fn told_in_vain(&mut self, id: ConnId, registry: &Registry) {
        let Told::BytesAndRoom { in_vain } = &mut self.told else { return };
        *in_vain = in_vain.saturating_add(1);
        if *in_vain < TOLD_IN_VAIN {
            return;
        }
        let token = Ready::Conn(id.0).token();
        match registry.reregister(&mut self.stream, token, Interest::READABLE) {
            Ok(()) => self.told = Told::Bytes,
            Err(error) => log::debug!("a socket cannot be polled for bytes alone: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_told_after_a_write_that_found_none_and_not_for_ever() {
        let mut poll = mio::Poll::new().unwrap();
        let mut events = mio::Events::with_capacity(1);
        let mut connections = Connections::new(poll.registry().try_clone().unwrap());
        let (ours, _theirs) = mio::net::UnixStream::pair().unwrap();
        let id = ConnId(1);
        connections.add(id, Stream::Unix(ours)).unwrap();
        poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        assert!(events.is_empty(), "there is room, and nobody has missed any");

        let socket = connections.sockets.get_mut(&id).unwrap();
        socket.writable = false;
        socket.ask_for_room(id, poll.registry()).unwrap();
        poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        let event = events.iter().next().expect("the room is told that was there already");
        assert!(connections.ready(id, event), "it may be written to again");
        for _ in 0..TOLD_IN_VAIN {
            assert_ne!(connections.sockets[&id].told, Told::Bytes, "more writes may find no room");
            assert!(!connections.ready(id, event), "that there is room was known");
        }
        assert_eq!(connections.sockets[&id].told, Told::Bytes, "room is told no more");
    }
}
