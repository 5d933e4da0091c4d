//! The client of the plain sockets: round trips, and floods, for a given time.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use super::{COUNT, ECHO, Place, READ, Socket};
use crate::contender::Sample;
use crate::statistics::percentiles;

/// If the other side does nothing for this long, the measurement fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A socket, and the loop that waits for it.
struct Client {
    socket: Socket,
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
}

/// Round trips of messages of this size, one at a time.
pub(crate) fn ping(place: &Place, size: usize, length: Duration) -> Result<Sample, String> {
    let message = vec![7; size];
    // A "writable" event would be a useless wakeup.
    let mut client = Client::connect(place, Interest::READABLE)?;
    client.write(&[ECHO])?;
    let (mut times, began) = (Vec::new(), Instant::now());
    let mut now = began;
    while now.duration_since(began) < length {
        client.write(&message)?;
        client.read(size)?;
        let then = std::mem::replace(&mut now, Instant::now());
        times.push(now.duration_since(then).as_secs_f64());
    }
    let (count, seconds) = (times.len() as u64, began.elapsed().as_secs_f64());
    let percentiles = percentiles(times);
    Ok(Sample { percentiles, ..Sample::of(count, count * size as u64, seconds) })
}

/// Writes of this size, as fast as the other side reads.
pub(crate) fn flood(place: &Place, size: usize, length: Duration) -> Result<Sample, String> {
    let message = vec![7; size];
    let mut client = Client::connect(place, Interest::READABLE | Interest::WRITABLE)?;
    client.write(&[COUNT])?;
    let began = Instant::now();
    while began.elapsed() < length {
        // The clock is read as rarely as in a server: once for each socket buffer.
        for _ in 0..(READ / size).max(1) {
            client.write(&message)?;
        }
    }
    client.socket.finish().map_err(|error| format!("{place}: {error}"))?;
    client.read(8)?;
    let seconds = began.elapsed().as_secs_f64();
    let answer = client.buffer[..8].try_into().map_err(|_| "an answer is 8 bytes")?;
    let bytes = u64::from_le_bytes(answer);
    Ok(Sample::of(bytes / size as u64, bytes, seconds))
}

impl Client {
    fn connect(place: &Place, interest: Interest) -> Result<Client, String> {
        let mut socket = Socket::connect(place)?;
        let poll = Poll::new().map_err(|error| format!("the poll: {error}"))?;
        let registered = poll.registry().register(socket.source(), Token(0), interest);
        registered.map_err(|error| format!("{place}: {error}"))?;
        Ok(Client { socket, poll, events: Events::with_capacity(8), buffer: vec![0; READ] })
    }

    fn wait(&mut self) -> Result<(), String> {
        let waited = self.poll.poll(&mut self.events, Some(PATIENCE));
        waited.map_err(|error| format!("the poll: {error}"))?;
        match self.events.is_empty() {
            true => Err(format!("nothing happened for {PATIENCE:?}")),
            false => Ok(()),
        }
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            match self.socket.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait()?,
                Err(error) => return Err(format!("a write: {error}")),
            }
        }
        Ok(())
    }

    /// Reads this many bytes into the buffer. It waits first, as a loop does after writing.
    fn read(&mut self, size: usize) -> Result<(), String> {
        let mut have = 0;
        while have < size {
            self.wait()?;
            loop {
                match self.socket.read(&mut self.buffer[have..]) {
                    Ok(0) => return Err("the other side has hung up".to_owned()),
                    Ok(count) => have += count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(format!("a read: {error}")),
                }
                if have >= size {
                    break;
                }
            }
        }
        Ok(())
    }
}
