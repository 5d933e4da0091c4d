//! One request of the command line to a running server: a link with one stream, over a unix socket.

use crate::other_side::check_listener;
use std::io::{self, ErrorKind, Read, Write};
use std::num::NonZeroU64;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};
use trunkline_core::bymux::{MuxRole, StreamId};
use trunkline_core::control::{Answer, Goodbye, Hello, Message, PROTOCOL, Preface, Role};
use trunkline_core::key::Key;
use trunkline_core::limits::{Limits, WINDOW};
use trunkline_core::link::{Event, Link};
use trunkline_core::reason::Code;

/// How long a server may be silent: the longest time of a stop, and some reserve.
pub(super) const PATIENCE: Duration = Duration::from_secs(6);

/// How long a whole answer may take, however often a part of it arrives.
const WHOLE_ANSWER: Duration = Duration::from_secs(30);

/// The tag of the one stream.
const REQUEST: u32 = 0;

/// Sends a command (`status`, `stop`, `explain FROM TO`) and waits for the whole answer.
pub(super) fn request(socket: &Path, command: &str) -> Result<Vec<u8>, String> {
    converse(connect(socket)?, socket, command)
}

/// Connects to a server of our user or of root. Connecting, and each write afterwards, take at most
/// [`PATIENCE`], because the queue of a server that does not accept may be full.
pub(super) fn connect(socket: &Path) -> Result<UnixStream, String> {
    let stream = trunkline_net::unix::connect_within(socket, PATIENCE)
        .map_err(|error| failure(socket, &error))?;
    let hint = "run this command as that user, or remove the file";
    check_listener(&stream).map_err(|why| format!("{}: {why}; {hint}", socket.display()))?;
    Ok(stream)
}

/// As [`request`], over an open connection.
fn converse(stream: UnixStream, socket: &Path, command: &str) -> Result<Vec<u8>, String> {
    let at = |error: io::Error| failure(socket, &error);
    let mut client = Client::new(stream, command);
    loop {
        client.flush().map_err(at)?;
        if let Some(outcome) = client.outcome.take() {
            return outcome.map_err(|why| format!("{}: {why}", socket.display()));
        }
        client.read(PATIENCE).map_err(at)?;
    }
}

/// What came of asking a server to stop.
pub(super) enum Asked {
    /// It has closed the connection.
    Stopped,
    /// It has not said anything within the time.
    Silent,
}

/// Asks a server to stop, and waits until it closes the connection. It has to begin to answer
/// `within` a time.
pub(super) fn ask_to_stop(
    stream: UnixStream,
    socket: &Path,
    within: Duration,
) -> Result<Asked, String> {
    let at = |error: io::Error| failure(socket, &error);
    let mut client = Client::new(stream, "stop");
    loop {
        client.flush().map_err(at)?;
        if let Some(outcome) = client.outcome.take() {
            let failed = |why| format!("{}: {why}", socket.display());
            return outcome.map(|_| Asked::Stopped).map_err(failed);
        }
        let patience = if client.answered { PATIENCE } else { within };
        match client.read(patience) {
            Err(error) if is_late(&error) && !client.answered => return Ok(Asked::Silent),
            read => read.map_err(at)?,
        }
    }
}

/// Whether a socket was not ready in time.
fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn failure(socket: &Path, error: &io::Error) -> String {
    let socket = socket.display();
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            format!("{socket}: no server listens there; start one with `trunkline run`")
        }
        _ if is_late(error) => format!("{socket}: the server did not answer in time"),
        _ => format!("{socket}: {error}"),
    }
}

struct Client<'a> {
    command: &'a str,
    socket: UnixStream,
    link: Link,
    stream: Option<StreamId>,
    reply: Vec<u8>,
    outcome: Option<Result<Vec<u8>, String>>,
    /// When the whole answer has to be here.
    deadline: Instant,
    /// The server has accepted the request, or has begun to stop.
    answered: bool,
    /// The server has announced its stop: it may close the connection at any time.
    stopping: bool,
}

impl Client<'_> {
    fn new(socket: UnixStream, command: &str) -> Client<'_> {
        let link = Link::new(MuxRole::Dialler, Duration::ZERO, &Limits::default(), 0);
        let mut client = Client {
            command,
            socket,
            link,
            stream: None,
            reply: Vec::new(),
            outcome: None,
            deadline: Instant::now() + WHOLE_ANSWER,
            answered: false,
            stopping: false,
        };
        client.ask();
        client
    }

    fn ask(&mut self) {
        let hello = Hello {
            protocol: PROTOCOL,
            role: Role::Command,
            // Over a unix socket a peer is identified by its user, not by a key.
            key: Key([0; 32]),
            name: "trunkline".into(),
            machine: Key([0; 32]),
            plugins: Vec::new(),
            software: Some(concat!("trunkline ", env!("CARGO_PKG_VERSION")).into()),
            seen: None,
        };
        if let Err(fault) = self.link.send(&Message::Hello(hello)) {
            self.outcome = Some(Err(fault.to_string()));
        }
        self.stream = self.link.open(REQUEST);
        if let Some(stream) = self.stream {
            let preface = Preface::Command { name: self.command.into() }.frame();
            self.link.mux().write(stream, &preface);
            self.link.mux().close(stream);
        }
        self.grant(WINDOW);
    }

    fn grant(&mut self, bytes: u64) {
        if let (Some(stream), Some(bytes)) = (self.stream, NonZeroU64::new(bytes)) {
            self.link.mux().credit(stream, bytes);
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let bytes = self.link.outbox().slices().concat();
        // A server that has said goodbye may have closed already.
        match self.socket.write_all(&bytes) {
            Err(error) if self.outcome.is_none() && !self.stopping => return Err(error),
            _ => {}
        }
        self.link.mux().outbox_mut().advance(bytes.len());
        Ok(())
    }

    /// Reads what the server sends next, within this time.
    fn read(&mut self, patience: Duration) -> io::Result<()> {
        let mut buffer = [0; 64 * 1024];
        let left = self.deadline.saturating_duration_since(Instant::now());
        // Zero would be no limit.
        let timeout = left.min(patience).max(Duration::from_millis(1));
        self.socket.set_read_timeout(Some(timeout))?;
        let count = self.socket.read(&mut buffer)?;
        if count == 0 {
            let why = "the server closed the connection without an answer";
            self.outcome =
                Some(if self.command == "stop" { Ok(Vec::new()) } else { Err(why.into()) });
            return Ok(());
        }
        let mut input = &buffer[..count];
        while self.outcome.is_none() {
            let event = self.link.receive(Duration::ZERO, &mut input);
            match event.map_err(|fault| io::Error::other(fault.to_string()))? {
                Some(event) => self.event(event),
                None => break,
            }
        }
        Ok(())
    }

    fn event(&mut self, event: Event<'_>) {
        self.answered |= matches!(event, Event::Answer { .. });
        match event {
            Event::Message(message) => self.message(*message),
            Event::Answer { answer: Answer::Accept(_), rest, used, .. } => {
                self.reply.extend_from_slice(rest);
                self.grant(used + rest.len() as u64);
            }
            Event::Answer { answer: Answer::Refuse(reason), .. } => {
                self.outcome = Some(Err(reason.to_string()));
            }
            Event::Write { bytes, .. } => {
                self.reply.extend_from_slice(bytes);
                self.grant(bytes.len() as u64);
            }
            // After `stop`, the server closes the connection when it has ended.
            Event::Close { .. } if self.command != "stop" => {
                self.outcome = Some(Ok(std::mem::take(&mut self.reply)));
            }
            _ => {}
        }
    }

    fn message(&mut self, message: Message) {
        let Message::Goodbye(Goodbye { reason }) = message else { return };
        match self.command == "stop" && reason.is(Code::ServerStopping) {
            true => (self.stopping, self.answered) = (true, true),
            false => self.outcome = Some(Err(reason.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_sends_byte_after_byte_is_given_up() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut client = Client::new(ours, "status");
        // A whole hello is longer than the time that there is for its bytes.
        let hello = client.link.outbox().slices().concat();
        client.deadline = Instant::now() + Duration::from_millis(100);
        let send = move || {
            for byte in hello {
                let _ = theirs.write_all(&[byte]);
                std::thread::park_timeout(Duration::from_millis(10));
            }
        };
        let sender = std::thread::spawn(send);
        let given_up = loop {
            if let Err(error) = client.read(PATIENCE) {
                break error;
            }
            assert!(client.outcome.is_none(), "all bytes came in time");
        };
        drop(client);
        sender.join().unwrap();
        assert!(is_late(&given_up), "{given_up}");
    }
}
