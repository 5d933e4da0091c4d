//! Accepts connections on 127.0.0.1 and echoes every byte:
//! `echo_server PORT NETWORK_HEX SEED_HEX [ALLOWED_CLIENT_HEX]`. Port 0 means that the system
//! chooses one; the address is printed first.

mod wire;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;

use trunkline_core::key::Key;
use trunkline_shs::{Handshake, Identity, NetworkId, Opened, PublicKey, Reader, Sealer};
use wire::{Deadline, Failure, HANDSHAKE_TIMEOUT, Stream, shake, unhex};

/// The most bytes of one read.
const READ: usize = 64 * 1024;

/// What all connections share.
struct Server {
    network: NetworkId,
    identity: Identity,
    allowed: Option<PublicKey>,
}

fn main() -> ExitCode {
    wire::run("echo_server", "PORT NETWORK_HEX SEED_HEX [ALLOWED_CLIENT_HEX]", serve)
}

fn serve(arguments: &[String]) -> Result<(), Failure> {
    let server = Arc::new(Server {
        network: unhex(&arguments[1])?,
        identity: Identity::from_seed(&unhex(&arguments[2])?),
        allowed: arguments.get(3).map(|text| unhex(text)).transpose()?,
    });
    let port: u16 = arguments[0].parse().map_err(|_| format!("{}: not a port", arguments[0]))?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let key = Key(*server.identity.public());
    println!("net:127.0.0.1:{}~shs:{key}", listener.local_addr()?.port());
    loop {
        let (socket, peer) = listener.accept()?;
        let server = server.clone();
        std::thread::spawn(move || {
            if let Err(failure) = server.connection(&socket) {
                eprintln!("echo_server: {peer}: {failure}");
            }
        });
    }
}

impl Server {
    fn connection(&self, mut socket: &TcpStream) -> Result<(), Failure> {
        socket.set_nodelay(true)?;
        let handshake = Handshake::accept(&self.network, &self.identity, wire::ephemeral());
        let mut stream = Stream(Deadline::after(socket, HANDSHAKE_TIMEOUT), socket);
        let admit = |caller: &PublicKey| self.allowed.is_none_or(|allowed| allowed == *caller);
        let (session, mut input) = shake(handshake, Vec::new(), &mut stream, admit, |_, _| Ok(()))?;
        socket.set_read_timeout(None)?;
        let (mut sealer, mut reader) = (session.sealer, Reader::from(session.opener));
        let mut output = Vec::new();
        loop {
            echo(&mut reader, &mut sealer, &mut input, &mut output)?;
            socket.write_all(&output)?;
            output.clear();
            if reader.has_ended() {
                return Ok(());
            }
            input.resize(READ, 0);
            let length = socket.read(&mut input)?;
            input.truncate(length);
            if length == 0 {
                return Ok(reader.end()?);
            }
        }
    }
}

/// Seals the bytes of `input`; goodbye is answered with goodbye.
fn echo(
    reader: &mut Reader,
    sealer: &mut Sealer,
    input: &mut [u8],
    output: &mut Vec<u8>,
) -> Result<(), Failure> {
    let mut at = 0;
    loop {
        let (used, opened) = reader.next(&mut input[at..])?;
        at += used;
        match opened {
            Opened::Body(body) => sealer.append(body, output)?,
            Opened::Goodbye => output.extend_from_slice(&sealer.goodbye()?),
            Opened::Waiting => return Ok(()),
        }
    }
}
