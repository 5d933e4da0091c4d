//! The control socket of a driver: commands and answers are lines, and there is one client at a
//! time.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use trunkline_plugin::prelude::*;

/// A listener, and the client that connected last.
pub(crate) struct Control {
    listener: UnixListener,
    accepting: Watch,
    client: Option<(Watch, UnixStream)>,
    /// An incomplete line.
    rest: Vec<u8>,
}

impl Control {
    pub(crate) fn listen(host: &Host, path: &str) -> Result<Self, Reason> {
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        let accepting = host.watch(&listener, Interest::READABLE)?;
        Ok(Self { listener, accepting, client: None, rest: Vec::new() })
    }

    /// Reads from the sockets that are ready, and returns the complete lines.
    pub(crate) fn ready(&mut self, host: &Host, watch: Watch) -> Result<Vec<String>, Reason> {
        if watch == self.accepting {
            self.accept(host)?;
        }
        self.read(host)
    }

    fn accept(&mut self, host: &Host) -> Result<(), Reason> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    self.hang_up(host);
                    stream.set_nonblocking(true)?;
                    let watch = host.watch(&stream, Interest::READABLE)?;
                    self.client = Some((watch, stream));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn read(&mut self, host: &Host) -> Result<Vec<String>, Reason> {
        let mut buffer = [0; 4096];
        while let Some((_, stream)) = &mut self.client {
            match stream.read(&mut buffer) {
                Ok(0) => self.hang_up(host),
                Ok(length) => self.rest.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        let end = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let whole: Vec<u8> = self.rest.drain(..end).collect();
        Ok(String::from_utf8_lossy(&whole).lines().map(str::to_owned).collect())
    }

    /// Answers. A line is far shorter than a socket's buffer.
    pub(crate) fn answer(&mut self, line: &str) {
        if let Some((_, stream)) = &mut self.client
            && let Err(error) = stream.write_all(format!("{line}\n").as_bytes())
        {
            log::error!("an answer was not taken: {error}");
        }
    }

    fn hang_up(&mut self, host: &Host) {
        if let Some((watch, _)) = self.client.take() {
            host.unwatch(watch);
        }
        self.rest.clear();
    }
}
