//! What the example programs share: their arguments, and the handshake over a blocking stream.
#![allow(dead_code)] // Each program uses its part of it.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use trunkline_shs::{Ephemeral, Handshake, Progress, PublicKey, Sealer, Session};

/// The time for the whole handshake, which other implementations allow as well.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Whatever goes wrong in an example ends it with one line.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// Runs a program and turns its failure into a line on stderr: 2 for wrong usage, else 1.
pub(crate) fn run(
    name: &str,
    usage: &str,
    main: impl Fn(&[String]) -> Result<(), Failure>,
) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (most, least) =
        (usage.split(' ').count(), usage.split(' ').filter(|w| !w.starts_with('[')).count());
    if !(least..=most).contains(&arguments.len()) {
        eprintln!("usage: {name} {usage}");
        return ExitCode::from(2);
    }
    match main(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{name}: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Bytes written as hexadecimal digits.
pub(crate) fn unhex<const N: usize>(text: &str) -> Result<[u8; N], Failure> {
    let digits = |i: usize| text.get(2 * i..2 * i + 2).unwrap_or("");
    if text.len() != 2 * N {
        return Err(format!("{text}: not {N} bytes in hexadecimal").into());
    }
    let mut bytes = [0; N];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits(i), 16)
            .map_err(|_| format!("{text}: not {N} bytes in hexadecimal"))?;
    }
    Ok(bytes)
}

/// A key pair from the system's randomness.
pub(crate) fn ephemeral() -> Ephemeral {
    let mut secret = [0; 32];
    dryoc::rng::copy_randombytes(&mut secret);
    Ephemeral::from_secret(&secret)
}

/// Both ends of a pipe, or a socket.
pub(crate) struct Stream<R, W>(pub(crate) R, pub(crate) W);

/// Completes a handshake; returns the session and the bytes read behind it.
///
/// `output` is sent first. `admit` decides about a dialler. `early` seals the bytes that a dialler
/// sends right behind message 3.
pub(crate) fn shake<R: Read, W: Write>(
    mut handshake: Handshake,
    mut output: Vec<u8>,
    Stream(read, write): &mut Stream<R, W>,
    admit: impl Fn(&PublicKey) -> bool,
    early: impl Fn(&mut Sealer, &mut Vec<u8>) -> Result<(), Failure>,
) -> Result<(Session, Vec<u8>), Failure> {
    let mut buffer = [0; 4096];
    loop {
        write.write_all(&output)?;
        write.flush()?;
        output.clear();
        let length = read.read(&mut buffer)?;
        if length == 0 {
            return Err("the peer closed the connection during the handshake".into());
        }
        let mut rest = &buffer[..length];
        match handshake.receive(&mut rest, &mut output)? {
            Progress::Waiting if output.is_empty() => {}
            // A message was made just now. The dialler's is message 3, behind which frames may
            // follow.
            Progress::Waiting => {
                if let Some(sealer) = handshake.sealer() {
                    early(sealer, &mut output)?;
                }
            }
            Progress::Asks(caller) if !admit(&caller) => {
                return Err("this key may not connect".into());
            }
            Progress::Asks(_) => {
                let session = handshake.admit(&mut output)?;
                write.write_all(&output)?;
                write.flush()?;
                return Ok((session, rest.to_vec()));
            }
            Progress::Done(session) => return Ok((session, rest.to_vec())),
        }
    }
}

/// Writes what the suite compares: key and nonce for sealing, then those for opening.
pub(crate) fn outcome(session: &Session) -> Result<(), Failure> {
    let mut stdout = io::stdout();
    for (key, nonce) in [session.sealer.export(), session.opener.export()] {
        stdout.write_all(&key)?;
        stdout.write_all(&nonce)?;
    }
    Ok(stdout.flush()?)
}

/// Reads from a socket until a point in time.
pub(crate) struct Deadline<'a> {
    socket: &'a TcpStream,
    until: Instant,
}

impl<'a> Deadline<'a> {
    /// From now on, for this time.
    pub(crate) fn after(socket: &'a TcpStream, time: Duration) -> Deadline<'a> {
        Deadline { socket, until: Instant::now() + time }
    }
}

impl Read for Deadline<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long"));
        }
        self.socket.set_read_timeout(Some(left))?;
        self.socket.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => {
                io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long")
            }
            _ => error,
        })
    }
}
