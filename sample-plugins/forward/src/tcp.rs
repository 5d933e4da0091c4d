//! What Trunkline needs of TCP sockets and the standard library does not offer.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// How many connections may wait to be accepted: the kernel's usual bound, so that a burst is not
/// refused while the loop is busy elsewhere.
const BACKLOG: i32 = 4096;

/// A non-blocking listening socket.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address)?;
    // Without this option, the address stays in use for a minute after its connections have ended.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Begins a non-blocking connection; it is up, or has failed, when it becomes writable.
pub(crate) fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = socket(address)?;
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(IN_PROGRESS) => Err(error),
        _ => Ok(socket.into()),
    }
}

/// `EINPROGRESS` of Linux: the connection has begun.
const IN_PROGRESS: i32 = 115;

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Makes an accepted socket non-blocking, and has it send small pieces at once.
pub(crate) fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    socket.set_nodelay(true)
}

/// Makes the other side see a reset, not an orderly end, when the socket is dropped.
pub(crate) fn reset_on_drop(socket: &TcpStream) {
    if let Err(error) = SockRef::from(socket).set_linger(Some(Duration::ZERO)) {
        trunkline_plugin::log::debug!("a connection could not be reset and ends in order: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_socket_that_is_reset_is_seen_as_reset() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        listener.set_nonblocking(false).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        reset_on_drop(&server);
        drop(server);
        let error = client.read(&mut [0]).expect_err("the connection was reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
