//! The answering side of the plain sockets, in a child process of this program.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use mio::{Events, Interest, Poll, Token};

use super::socket::{Listener, Socket};
use super::{COUNT, ECHO, Place, READ};

/// A child of this program that answers at an address. Dropping it ends the process.
pub(crate) struct Child {
    process: std::process::Child,
    pub(crate) place: Place,
}

impl Child {
    /// Starts a child, and waits until it listens.
    pub(crate) fn start(program: &Path, what: &str, place: &Place) -> Result<Child, String> {
        let mut command = Command::new(program);
        command.args(["child", what, &place.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let cannot = |error: std::io::Error| format!("{}: {error}", program.display());
        let mut process = command.spawn().map_err(cannot)?;
        let mut line = String::new();
        let said = process.stdout.take().map(|stdout| BufReader::new(stdout).read_line(&mut line));
        let mut child = Child { process, place: place.clone() };
        said.transpose().map_err(cannot)?;
        child.place = Place::read(line.trim())
            .map_err(|_| format!("the child {what} at {place} does not listen"))?;
        Ok(child)
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs a child until its parent has ended.
pub(crate) fn run(what: &str, place: &str) -> Result<(), String> {
    // Stdin ends with the parent, which never writes to it.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let place = Place::read(place)?;
    match what {
        "bare" => serve(&place).map_err(|error| format!("{place}: {error}")),
        peer => crate::peers::serve(peer, &place),
    }
}

/// Prints the address for the parent.
pub(crate) fn tell(place: &Place) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{place}")
}

/// A connection, with its purpose once the first byte has arrived.
struct Connection {
    socket: Socket,
    usage: Option<u8>,
    count: u64,
}

const LISTENER: Token = Token(usize::MAX);

fn serve(place: &Place) -> std::io::Result<()> {
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(64));
    let mut listener = Listener::bind(place)?;
    poll.registry().register(listener.source(), LISTENER, Interest::READABLE)?;
    tell(&listener.place(place)?)?;
    let (mut connections, mut next) = (HashMap::new(), 0);
    let mut buffer = vec![0; READ];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            let token = event.token();
            if token == LISTENER {
                while let Some(mut socket) = would_block(listener.accept())? {
                    poll.registry().register(socket.source(), Token(next), Interest::READABLE)?;
                    connections.insert(Token(next), Connection { socket, usage: None, count: 0 });
                    next += 1;
                }
            } else if let Some(connection) = connections.get_mut(&token)
                && connection.read(&mut buffer, event.is_read_closed())?
            {
                connections.remove(&token);
            }
        }
    }
}

impl Connection {
    /// Reads until the socket is empty. Returns whether that was the end, because the poll does not
    /// report an end again that it has reported with the last bytes.
    fn read(&mut self, buffer: &mut [u8], ends: bool) -> std::io::Result<bool> {
        loop {
            let length = match would_block(self.socket.read(buffer)) {
                Ok(Some(0)) => {
                    if self.usage == Some(COUNT) {
                        self.socket.write_all(&self.count.to_le_bytes())?;
                    }
                    return Ok(true);
                }
                Ok(Some(length)) => length,
                Ok(None) => return Ok(false),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(true),
                Err(error) => return Err(error),
            };
            let skip = usize::from(self.usage.is_none());
            let usage = *self.usage.get_or_insert(buffer[0]);
            self.count += length as u64;
            if usage == ECHO && length > skip {
                // There is room, because the client waits for each message.
                self.socket.write_all(&buffer[skip..length])?;
            }
            if length < buffer.len() && !ends {
                return Ok(false);
            }
        }
    }
}

/// `None` in place of `WouldBlock`.
fn would_block<T>(result: std::io::Result<T>) -> std::io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        result => result.map(Some),
    }
}
