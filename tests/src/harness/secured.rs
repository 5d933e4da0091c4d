//! A blocking client of Secret Handshake and box stream. A test may also make the frames itself.

use super::{PATIENCE, Server};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use trunkline_core::key::{Key, NETWORK};
use trunkline_shs::{Ephemeral, Handshake, Identity, Opened, Progress, Reader, Sealer, Session};

/// The public key of a peer whose secret key has 32 times this byte as its seed.
#[must_use]
pub fn key_of(seed: u8) -> Key {
    Key(*Identity::from_seed(&[seed; 32]).public())
}

/// A key pair for one handshake.
#[must_use]
pub fn fresh() -> Ephemeral {
    let mut secret = [0; 32];
    dryoc::rng::copy_randombytes(&mut secret);
    Ephemeral::from_secret(&secret)
}

/// Exchanges messages 1 and 2 with a server, and makes message 3, which is not sent.
///
/// # Errors
///
/// When the server does not answer with a right message 2.
pub fn message_3(stream: &mut TcpStream, server: &Server, seed: u8) -> io::Result<Vec<u8>> {
    let us = Identity::from_seed(&[seed; 32]);
    let mut output = Vec::new();
    let mut handshake = Handshake::dial(&NETWORK, &us, &server.key().0, fresh(), &mut output)
        .map_err(io::Error::other)?;
    stream.write_all(&output)?;
    let mut second = [0; 64];
    stream.read_exact(&mut second)?;
    output.clear();
    match handshake.receive(&mut &second[..], &mut output).map_err(io::Error::other)? {
        Progress::Done(_) => Err(io::ErrorKind::InvalidData.into()),
        _ => Ok(output),
    }
}

/// A connection on which both sides have proved their keys.
pub struct Secured {
    stream: TcpStream,
    key: Key,
    sealer: Sealer,
    reader: Reader,
    /// Decrypted bytes that were not read yet.
    plain: Vec<u8>,
}

impl Secured {
    /// Connects to a server's TCP port with the key of this seed.
    ///
    /// # Errors
    ///
    /// The server does not complete the handshake, or completes it wrongly.
    pub fn connect(server: &Server, seed: u8) -> io::Result<Secured> {
        Secured::connect_at(server.tcp_address(), server.key(), seed)
    }

    /// Connects to an address where the owner of a key is expected.
    ///
    /// # Errors
    ///
    /// As for [`connect`](Secured::connect).
    pub fn connect_at(at: SocketAddr, expected: Key, seed: u8) -> io::Result<Secured> {
        let mut stream = TcpStream::connect(at)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let us = Identity::from_seed(&[seed; 32]);
        let mut output = Vec::new();
        let mut handshake = Handshake::dial(&NETWORK, &us, &expected.0, fresh(), &mut output)
            .map_err(io::Error::other)?;
        loop {
            stream.write_all(&std::mem::take(&mut output))?;
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let mut rest = &buffer[..count];
            let progress = handshake.receive(&mut rest, &mut output).map_err(io::Error::other)?;
            if let Progress::Done(Session { sealer, opener, .. }) = progress {
                let (reader, plain) = (Reader::from(opener), Vec::new());
                let mut secured = Secured { stream, key: key_of(seed), sealer, reader, plain };
                secured.open(&mut rest.to_vec())?;
                return Ok(secured);
            }
        }
    }

    /// The key that was proved to the server.
    #[must_use]
    pub fn key(&self) -> Key {
        self.key
    }

    /// The connection below, for bytes that are not frames.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The sealer of outgoing frames.
    pub fn sealer(&mut self) -> &mut Sealer {
        &mut self.sealer
    }

    /// Sends the transform's goodbye, and ends the sending direction.
    ///
    /// # Errors
    ///
    /// The server has closed the connection.
    pub fn send_goodbye(&mut self) -> io::Result<()> {
        let frame = self.sealer.goodbye().map_err(io::Error::other)?;
        self.stream.write_all(&frame)?;
        self.stream.shutdown(Shutdown::Write)
    }

    /// Decrypts received bytes; fails when the server has ended the stream.
    fn open(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let mut at = 0;
        loop {
            let (used, opened) = self.reader.next(&mut bytes[at..]).map_err(io::Error::other)?;
            at += used;
            match opened {
                Opened::Body(body) => self.plain.extend_from_slice(body),
                Opened::Goodbye => {}
                Opened::Waiting => return Ok(()),
            }
        }
    }
}

impl Read for Secured {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.plain.is_empty() {
            let mut sealed = [0; 16 * 1024];
            match self.stream.read(&mut sealed)? {
                0 => return Ok(0),
                count => self.open(&mut sealed[..count])?,
            }
        }
        let count = self.plain.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.plain[..count]);
        self.plain.drain(..count);
        Ok(count)
    }
}

impl Write for Secured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut frames = Vec::new();
        self.sealer.append(bytes, &mut frames).map_err(io::Error::other)?;
        self.stream.write_all(&frames)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl std::fmt::Debug for Secured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secured").field("key", &self.key).finish_non_exhaustive()
    }
}
