//! Unix and TCP sockets, and their addresses.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::path::PathBuf;

use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use socket2::{Domain, Type};

/// An address to listen on: `unix:PATH` or `tcp:ADDRESS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

impl Place {
    pub(crate) fn read(text: &str) -> Result<Place, String> {
        let no_place = || format!("{text:?} is no place; it is unix:PATH or tcp:ADDRESS");
        match text.split_once(':') {
            Some(("unix", path)) => Ok(Place::Unix(path.into())),
            Some(("tcp", address)) => address.parse().map(Place::Tcp).map_err(|_| no_place()),
            _ => Err(no_place()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
            Place::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

/// A unix or TCP listener.
pub(crate) enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    pub(crate) fn bind(place: &Place) -> io::Result<Listener> {
        Ok(match place {
            Place::Unix(path) => Listener::Unix(UnixListener::bind(path)?),
            Place::Tcp(address) => Listener::Tcp(TcpListener::from_std(listen(*address)?)),
        })
    }

    /// Its address, with the port that the system chose.
    pub(crate) fn place(&self, asked: &Place) -> io::Result<Place> {
        Ok(match self {
            Listener::Unix(_) => asked.clone(),
            Listener::Tcp(listener) => Place::Tcp(listener.local_addr()?),
        })
    }

    pub(crate) fn accept(&self) -> io::Result<Socket> {
        match self {
            Listener::Unix(listener) => Ok(Socket::Unix(listener.accept()?.0)),
            Listener::Tcp(listener) => Socket::tcp(listener.accept()?.0),
        }
    }

    pub(crate) fn source(&mut self) -> &mut dyn Source {
        match self {
            Listener::Unix(listener) => listener,
            Listener::Tcp(listener) => listener,
        }
    }
}

/// The congestion control of all contenders on loopback. The system's default may pace what it
/// sends, and would then decide the comparison.
const CONGESTION: &[u8] = b"reno";

/// Listens with the options of all contenders, without blocking.
pub(crate) fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = socket(address)?;
    socket.bind(&address.into())?;
    socket.listen(16)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Connects with the options of all contenders. The socket does not block.
pub(crate) fn connect(address: SocketAddr) -> io::Result<std::net::TcpStream> {
    let socket = socket(address)?;
    socket.connect(&address.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn socket(address: SocketAddr) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_tcp_congestion(CONGESTION)?;
    Ok(socket)
}

/// A unix or TCP connection that does not block.
pub(crate) enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Socket {
    /// Connects to a child, which is listening.
    pub(crate) fn connect(place: &Place) -> Result<Socket, String> {
        let connected = match place {
            Place::Unix(path) => std::os::unix::net::UnixStream::connect(path)
                .and_then(|stream| stream.set_nonblocking(true).map(|()| stream))
                .map(|stream| Socket::Unix(UnixStream::from_std(stream))),
            Place::Tcp(address) => {
                connect(*address).and_then(|stream| Socket::tcp(TcpStream::from_std(stream)))
            }
        };
        connected.map_err(|error| format!("{place}: {error}"))
    }

    fn tcp(stream: TcpStream) -> io::Result<Socket> {
        stream.set_nodelay(true)?;
        Ok(Socket::Tcp(stream))
    }

    pub(crate) fn source(&mut self) -> &mut dyn Source {
        match self {
            Socket::Unix(stream) => stream,
            Socket::Tcp(stream) => stream,
        }
    }

    /// Shuts down the writing half.
    pub(crate) fn finish(&self) -> io::Result<()> {
        match self {
            Socket::Unix(stream) => stream.shutdown(Shutdown::Write),
            Socket::Tcp(stream) => stream.shutdown(Shutdown::Write),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Unix(stream) => stream.read(buffer),
            Socket::Tcp(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Unix(stream) => stream.write(bytes),
            Socket::Tcp(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_parsed_as_it_is_printed() {
        for text in ["unix:a/b.sock", "tcp:127.0.0.1:8000"] {
            assert_eq!(Place::read(text).map(|place| place.to_string()), Ok(text.to_owned()));
        }
        assert!(Place::read("udp:1").is_err(), "there are two kinds of places");
        assert!(Place::read("tcp:localhost:1").is_err(), "names are not looked up");
    }
}
