//! Dials a `net~shs` address, sends a pattern, says goodbye and checks the echo and the peer's
//! goodbye: `dial ADDRESS NETWORK_HEX SEED_HEX BYTES`. The exit code is 0 only if everything was
//! right.

mod wire;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use trunkline_core::address::{Address, Transform, Transport};
use trunkline_shs::{BODY_MAX, Handshake, Identity, Opened, PublicKey, Reader, Sealer};
use wire::{Deadline, Failure, HANDSHAKE_TIMEOUT, Stream, shake, unhex};

/// How long the peer may be silent before it counts as dead.
const SILENCE: Duration = Duration::from_secs(30);

/// What is sealed and written at once.
const WRITE: usize = 16 * BODY_MAX;

fn main() -> ExitCode {
    wire::run("dial", "ADDRESS NETWORK_HEX SEED_HEX BYTES", dial)
}

fn dial(arguments: &[String]) -> Result<(), Failure> {
    let (host, port, peer) = target(&arguments[0])?;
    let identity = Identity::from_seed(&unhex(&arguments[2])?);
    let total: u64 = arguments[3].parse().map_err(|_| format!("{}: not a number", arguments[3]))?;
    let socket = TcpStream::connect((host.as_str(), port))?;
    socket.set_nodelay(true)?;
    let mut first = Vec::new();
    let handshake =
        Handshake::dial(&unhex(&arguments[1])?, &identity, &peer, wire::ephemeral(), &mut first)?;
    // The first bytes follow message 3 at once, and cost no round trip.
    let early = total.min(BODY_MAX as u64);
    let mut stream = Stream(Deadline::after(&socket, HANDSHAKE_TIMEOUT), &socket);
    let (session, rest) =
        shake(handshake, first, &mut stream, |_| false, |sealer, out| send(sealer, 0..early, out))?;
    socket.set_read_timeout(Some(SILENCE))?;
    socket.set_write_timeout(Some(SILENCE))?;
    let (sealer, reader) = (session.sealer, Reader::from(session.opener));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(&socket, sealer, early..total));
        let received = check(&socket, reader, rest);
        if received.is_err() {
            // The writer must not wait for a peer that is no longer trusted.
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
        let written = writer.join().map_err(|_| "the writer panicked")?;
        let received = received?;
        written?;
        if received != total {
            return Err(format!("{received} bytes came back of {total}").into());
        }
        println!("{total} bytes came back, and goodbye");
        Ok(())
    })
}

/// The socket address and the key that is expected there.
fn target(text: &str) -> Result<(String, u16, PublicKey), Failure> {
    let address: Address = text.parse().map_err(|error| format!("{text}: {error}"))?;
    for endpoint in address.endpoints().0 {
        if let (Transport::Net { host, port }, Transform::Shs(key)) =
            (endpoint.transport, endpoint.transform)
        {
            return Ok((host.to_string(), port, key.0));
        }
    }
    Err(format!("{text}: not a net~shs address with a key").into())
}

/// The byte at a place of the pattern: it repeats after 2^32 bytes only.
fn pattern(place: u64) -> u8 {
    ((place as u32).wrapping_mul(0x9e37_79b1) >> 24) as u8
}

/// Seals a part of the pattern.
fn send(
    sealer: &mut Sealer,
    part: std::ops::Range<u64>,
    output: &mut Vec<u8>,
) -> Result<(), Failure> {
    let bytes: Vec<u8> = part.map(pattern).collect();
    Ok(sealer.append(&bytes, output)?)
}

/// Writes the rest of the pattern, and goodbye.
fn write(
    mut socket: &TcpStream,
    mut sealer: Sealer,
    part: std::ops::Range<u64>,
) -> Result<(), Failure> {
    let mut output = Vec::new();
    let mut start = part.start;
    while start < part.end {
        let end = part.end.min(start + WRITE as u64);
        send(&mut sealer, start..end, &mut output)?;
        socket.write_all(&output)?;
        output.clear();
        start = end;
    }
    Ok(socket.write_all(&sealer.goodbye()?)?)
}

/// Reads until goodbye; how many bytes came, which all were right.
fn check(mut socket: &TcpStream, mut reader: Reader, mut input: Vec<u8>) -> Result<u64, Failure> {
    let mut place = 0;
    loop {
        let mut at = 0;
        loop {
            let (used, opened) = reader.next(&mut input[at..])?;
            at += used;
            match opened {
                Opened::Body(body) => {
                    if let Some(wrong) =
                        body.iter().zip(place..).position(|(b, i)| *b != pattern(i))
                    {
                        return Err(format!("byte {} came back wrong", place + wrong as u64).into());
                    }
                    place += body.len() as u64;
                }
                Opened::Goodbye => return Ok(place),
                Opened::Waiting => break,
            }
        }
        input.resize(WRITE, 0);
        let length = socket.read(&mut input)?;
        input.truncate(length);
        if length == 0 {
            reader.end()?;
        }
    }
}
