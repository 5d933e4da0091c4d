//! An HTTP client that fetches `/file` and keeps the connection open for inspection.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::file::sha256;

/// The fetched file, with its connection.
pub(super) struct Fetched {
    connection: BufReader<TcpStream>,
    body: Vec<u8>,
    took: Duration,
}

/// Fetches `/file`. No single read may take longer than `patience`.
pub(super) fn fetch(from: SocketAddr, patience: Duration) -> Result<Fetched, String> {
    attempt(from, patience).map_err(|error| format!("http://{from}/file: {error}"))
}

fn attempt(from: SocketAddr, patience: Duration) -> io::Result<Fetched> {
    let began = Instant::now();
    let mut connection = TcpStream::connect(from)?;
    connection.set_read_timeout(Some(patience))?;
    connection.write_all(b"GET /file HTTP/1.1\r\nHost: web\r\n\r\n")?;
    let mut connection = BufReader::new(connection);
    let mut body = vec![0; read_head(&mut connection)?];
    connection.read_exact(&mut body)?;
    Ok(Fetched { connection, body, took: began.elapsed() })
}

/// Reads the head of a response; returns the length of its body in bytes.
fn read_head(connection: &mut impl BufRead) -> io::Result<usize> {
    let mut lines = connection.lines();
    let mut next = || lines.next().transpose().map(Option::unwrap_or_default);
    let status = next()?;
    if status != "HTTP/1.1 200 OK" {
        return Err(io::Error::other(format!("the answer begins with {status:?}")));
    }
    let mut length = None;
    loop {
        let line = next()?;
        if line.is_empty() {
            return length.ok_or_else(|| io::Error::other("the answer does not tell its length"));
        }
        if let Some(text) = line.strip_prefix("Content-Length: ") {
            length = text.parse().ok();
        }
    }
}

impl Fetched {
    /// From connecting to the last byte, in megabytes for each second.
    pub(super) fn rate(&self) -> f64 {
        self.body.len() as f64 / 1e6 / self.took.as_secs_f64()
    }

    /// Closes the connection, checks that nothing else came over it, and returns the SHA-256 of the
    /// body.
    pub(super) fn end(mut self) -> Result<String, String> {
        let cannot = |error: io::Error| format!("ending the connection: {error}");
        self.connection.get_ref().shutdown(std::net::Shutdown::Write).map_err(cannot)?;
        let more = self.connection.read(&mut [0]).map_err(cannot)?;
        match more {
            0 => Ok(sha256(&self.body)),
            _ => Err("more came than the file".into()),
        }
    }
}
