//! A program for machines in tests: it obeys commands on stdin, and prints the result of each in
//! one line. Times are in milliseconds; port 0 is any port.
//!
//! * `listen PORT`: reports to each client the address by which it is seen, and echoes lines.
//! * `dial ADDRESS PORT TIME`: connects from this port to one that listens.
//! * `say TEXT TIME`, `hear TIME`: on the last connection that was made.
//! * `meet ADDRESS PORT TEXT TIME`: dials a peer that dials back (hole punching), and exchanges
//!   texts.

use socket2::{Domain, Socket, Type};
use std::error::Error;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let mut connections = Vec::new();
    for line in std::io::stdin().lines().map_while(std::io::Result::ok) {
        let answer = obey(&line, &mut connections);
        let answer = answer.unwrap_or_else(|error| format!("failed: {error}"));
        if writeln!(std::io::stdout(), "{answer}").is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn obey(command: &str, connections: &mut Vec<BufReader<TcpStream>>) -> Result<String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    if let ["listen", port] = words[..] {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port.parse()?))?;
        let address = listener.local_addr()?;
        std::thread::spawn(move || listener.incoming().flatten().for_each(serve));
        return Ok(format!("listening {}", address.port()));
    }
    match words[..] {
        ["dial", to, from, time] => connections.push(connect(to, from, time)?),
        ["meet", to, from, text, time] => {
            connections.push(connect(to, from, time)?);
            write(connections, text)?;
        }
        ["say", text, _] => write(connections, text)?,
        ["hear", _] => {}
        _ => return Err("no such command".into()),
    }
    let time = words.last().ok_or("no time")?;
    hear(connections, time)
}

/// Connects from a port that other connections may use as well.
fn connect(to: &str, from: &str, time: &str) -> Result<BufReader<TcpStream>> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, from.parse()?).into())?;
    socket.connect_timeout(&to.parse::<SocketAddr>()?.into(), milliseconds(time)?)?;
    Ok(BufReader::new(socket.into()))
}

fn write(connections: &mut [BufReader<TcpStream>], text: &str) -> Result<()> {
    let last = connections.last_mut().ok_or("no connection")?;
    Ok(writeln!(last.get_mut(), "{text}")?)
}

fn hear(connections: &mut [BufReader<TcpStream>], time: &str) -> Result<String> {
    let last = connections.last_mut().ok_or("no connection")?;
    last.get_ref().set_read_timeout(Some(milliseconds(time)?))?;
    let mut line = String::new();
    match last.read_line(&mut line) {
        Ok(0) => Err("hung up".into()),
        Ok(_) => Ok(format!("heard {}", line.trim())),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok("silence".into()),
        Err(error) => Err(error.into()),
    }
}

fn serve(mut stream: TcpStream) {
    std::thread::spawn(move || {
        let peer = stream.peer_addr()?;
        writeln!(stream, "{peer}")?;
        let mut reader = stream.try_clone()?;
        std::io::copy(&mut reader, &mut stream)
    });
}

fn milliseconds(time: &str) -> Result<Duration> {
    Ok(Duration::from_millis(time.parse()?))
}
