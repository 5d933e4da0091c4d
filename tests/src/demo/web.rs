//! A minimal HTTP server of one file, in place of a user's server behind `forward`. One connection
//! at a time, one request for each.

use std::fs::File as Disk;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use super::file::File;
use crate::harness::PATIENCE;

/// The longest head of a request in bytes.
const HEAD_MAX: u64 = 8 * 1024;

/// A server that runs on a thread of its own until it is stopped or dropped.
pub(super) struct Web {
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Web {
    /// Serves a file as `/file`, at a port that the system chooses.
    pub(super) fn serve(file: &File) -> Result<Self, String> {
        let cannot = |error: io::Error| format!("the HTTP server does not start: {error}");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let stopping = Arc::new(AtomicBool::new(false));
        let (path, stop) = (file.path().to_path_buf(), stopping.clone());
        let thread = thread::spawn(move || accept(&listener, &path, &stop));
        Ok(Self { address, stopping, thread: Some(thread) })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it; all connections are closed when this returns.
    pub(super) fn stop(&mut self) -> Result<(), String> {
        self.stopping.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return Ok(()) };
        // The thread checks the flag after it has accepted a connection.
        let woken = TcpStream::connect(self.address);
        woken.map_err(|error| format!("the HTTP server cannot be stopped: {error}"))?;
        thread.join().map_err(|_| "the HTTP server panicked".to_owned())
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        // When it is dropped instead, another error is reported.
        let _ = self.stop();
    }
}

fn accept(listener: &TcpListener, path: &Path, stopping: &AtomicBool) {
    for connection in listener.incoming() {
        if stopping.load(Ordering::Relaxed) {
            return;
        }
        // A client that went away knows what it did not receive.
        let _ = connection.and_then(|connection| answer(connection, path));
    }
}

fn answer(mut connection: TcpStream, path: &Path) -> io::Result<()> {
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    let request = read_head(&connection)?;
    if !request.starts_with("GET /file ") {
        return connection.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    }
    let mut file = Disk::open(PathBuf::from(path))?;
    let length = file.metadata()?.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    connection.write_all(head.as_bytes())?;
    io::copy(&mut file, &mut connection)?;
    // The client closes the connection after it has inspected it.
    io::copy(&mut connection, &mut io::sink())?;
    Ok(())
}

/// The first line of a request; the others are read and ignored.
fn read_head(connection: &TcpStream) -> io::Result<String> {
    let mut lines = BufReader::new(connection.take(HEAD_MAX)).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    while let Some(line) = lines.next().transpose()? {
        if line.is_empty() {
            break;
        }
    }
    Ok(first)
}
